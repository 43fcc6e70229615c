"""How well a selection covers the pool, estimated on a fixed sample of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from poolselect.metric import Metric
from poolselect.pool import Pool


class Reference:
    """A sample of the pool and the potential of the selection on it.

    The potential is the weighted sum over the sample of the distance to the nearest selected pattern: 1 - cos, or the
    squared Euclidean distance (on unit vectors, twice the same number). Lower is better.

    Parameters
    ----------
    pool : Pool
        Rows sorted by id. All rows can enter the sample, chosen or not: it stands for the whole pool.
    metric : Metric
        The metric over `pool`'s patterns, which must be its embeddings, one per row.
    size : int
        Rows in the sample, drawn without replacement; all rows if there are no more than that.
    rng : numpy.random.Generator
        Where the sample comes from.
    """

    def __init__(self, pool: Pool, metric: Metric, *, size: int, rng: np.random.Generator) -> None:
        n = len(pool)
        rows = np.arange(n) if n <= size else np.sort(rng.choice(n, size=size, replace=False, shuffle=False))
        self._rows = rows
        self._weights: NDArray[np.float64] | None = None
        self._metric = metric
        self._vectors = metric.vectors(rows)
        self._closeness = metric.loosest(rows)
        selected = np.flatnonzero(pool.selected)
        if selected.size:
            self._cover(selected)

    def weigh(self, weights: NDArray[np.float64]) -> None:
        """Let the pool's rows count by these weights, of shape (n,) and not negative; at first all count the same."""
        self._weights = weights[self._rows]

    def add(self, row: int) -> None:
        """Let a row of the pool join the selection."""
        self._cover(np.array([row], dtype=np.int64))

    def _cover(self, rows: NDArray[np.int64]) -> None:
        closer = self._metric.closeness(self._vectors, self._metric.vectors(rows))
        np.maximum(self._closeness, closer, out=self._closeness)

    def best(self, rows: NDArray[np.int64]) -> int:
        """Return the place in `rows` of the pool row that would lower the potential most; the first one of a tie."""
        distinct, first = np.unique(rows, return_index=True)
        if distinct.size == 1:
            return 0
        affinity = self._metric.affinity(self._vectors, self._metric.vectors(distinct))
        closeness = np.maximum(affinity, self._closeness[:, None])
        # The sum of gaps is a constant minus the sum of closenesses, up to noise cuts that favor no candidate.
        if self._weights is None:
            covered = closeness.sum(axis=0, dtype=np.float64)
        else:
            covered = self._weights @ closeness.astype(np.float64)
        best = covered.max()
        return int(first[covered >= best].min())
