"""Which rows of a folder or a collection come first, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from ..exceptions import LabelQueueError

if TYPE_CHECKING:
    from poolselect import QueryStrategy
    from poolselect.metric import MetricName

__all__ = ["Names", "Vectors", "chooser_of", "rank"]


class Vectors(Protocol):
    """What is known of images, a row each: a `Block` in memory, or the `Rows` of a collection on the disk."""

    @property
    def ids(self) -> NDArray[np.int64]:
        """Places in the names, ascending, shape (n,)."""

    @property
    def embeddings(self) -> NDArray[np.float16]:
        """One vector per image, shape (n, d)."""

    @property
    def patterns(self) -> NDArray[np.float16] | None:
        """Of all images, one after the other, shape (m, d); None where the vectors themselves are."""

    @property
    def offsets(self) -> NDArray[np.int64] | None:
        """Row `i` owns ``patterns[offsets[i]:offsets[i + 1]]``, shape (n + 1,)."""

    @property
    def hashes(self) -> NDArray[np.uint64]:
        """Perceptual hashes, shape (n,)."""

    def __len__(self) -> int: ...


class Names(Protocol):
    """What images are called."""

    def __getitem__(self, place: int, /) -> str: ...


def rank(strategy: QueryStrategy, rows: Vectors, n: int, names: Names, duplicates: str) -> list[tuple[str, str]]:
    """Return the names of the first `n` images and why; near-duplicates of others last, where that is wished.

    Parameters
    ----------
    strategy : QueryStrategy
    rows : Vectors
    n : int
        At least 1; fewer are returned where there are fewer.
    names : Names
        By the ids of the rows.
    duplicates : {'last', 'serve'}
    """
    from poolselect import Pool, near_duplicates

    leaders = np.full(len(rows), -1, dtype=np.int64)
    if duplicates == "last":
        leaders = near_duplicates(rows.embeddings, rows.hashes, leaders)
    found: list[tuple[str, str]] = []
    ahead = np.zeros(len(rows), dtype=np.bool_)
    for some in (leaders < 0, leaders >= 0):
        if some.any() and len(found) < n:
            pool = Pool(rows.ids, rows.embeddings, rows.patterns, rows.offsets, candidates=some, selected=ahead)
            chosen = strategy.query(pool, batch_size=n - len(found))
            for row, reason in zip(chosen.indices.tolist(), chosen.reasons, strict=True):
                other = int(leaders[row])
                why = reason if other < 0 else f"near-duplicate of {names[int(rows.ids[other])]}"
                found.append((names[int(rows.ids[row])], why))
        ahead = ahead | some
    return found


def chooser_of(strategy: str, trials: int | None, metric: MetricName | None, patterns: int, seed: int) -> QueryStrategy:
    """Return the strategy.

    Raises
    ------
    LabelQueueError
        If it would not look at something that was asked for.
    """
    from poolselect import FreeSel, strategies

    if strategy == "freesel":
        return FreeSel(trials=trials or 200, metric=metric or "centered", random_state=seed)
    given = {"--trials": trials, "--metric": metric, "--patterns": patterns if patterns > 1 else None}
    if without := [f"{name} {value}" for name, value in given.items() if value is not None]:
        raise LabelQueueError(
            f"{', '.join(without)}: only FreeSel looks at that, and --strategy is {strategy}; leave it out"
        )
    return strategies()[strategy](random_state=seed)
