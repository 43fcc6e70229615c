"""DropQuery: where a model changes its mind when features are dropped, one image from each cluster of such images."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from poolselect.exceptions import InvalidParameterError
from poolselect.head import decided, linear_head
from poolselect.herding import check_positive, check_size
from poolselect.kmeans import fit_kmeans_quickly, nearest_rows, squared_distances
from poolselect.maxherding import in_order
from poolselect.pool import Pool
from poolselect.selection import Selection
from poolselect.standardized import Standardized
from poolselect.strategy import QueryStrategy
from poolselect.uncertainty import contenders, known_probabilities, margin

_MOST_CLUSTERS = 500
_ROWS = 2048


class DropQuery(QueryStrategy):
    """Choose among the images on which the model changes its mind when features are dropped, one of each cluster.

    With z the embeddings, each dimension standardized over the pool, f the model's linear head, y its answer, and
    dropout D that sets each feature to 0 with probability rho and multiplies the others by 1 / (1 - rho):

        doubtful = { x : y(f(D_m z(x))) differs from y(f(z(x))) for more than M / 2 of m = 1, ..., M }
        chosen   = for each centroid of k-means on the doubtful rows, the doubtful row nearest to it

    A round makes `n_clusters` clusters, and those of the rows chosen in it that are farthest from everything chosen
    before, labeled and selected rows included, come first. The next round clusters what is left of the doubtful rows
    into as many clusters as rows were chosen in this order so far, 500 at most. When no doubtful row is left the others
    follow, least certain first.

    Parameters
    ----------
    dropout : float, default 0.75
        rho, above 0 and below 1.
    passes : int, default 3
        M, at least 1.
    n_clusters : int, default 10
        Clusters of the first round, at least 1. A batch of that size is the paper's.
    random_state : int, default 0
        Any integer; dropout, samples and starts of k-means, ties.

    Raises
    ------
    InvalidPoolError
        By `query`, if the pool has no probabilities.

    Notes
    -----
    `Selection.utilities` is 1 / round, 0 for rows that are not doubtful.

    The head is found again from the pool's probabilities (`poolselect.head`): it is the model itself where that is
    linear in the embedding, else a linear stand-in. The undropped answer is that of the probabilities. Where several
    labels may hold, a row is doubtful if the answer on any one label changes in more than half of the passes.

    Where we differ from the paper: its number of clusters is the batch size, which would make the order depend on it;
    rounds go on where its batch ends. Features are standardized, as a linear model wants them, so that a dropped one
    is an average one.

    References
    ----------
    Gupte, Aklilu, Nirschl, Yeung-Levy: Revisiting Active Learning in the Era of Vision Foundation Models, TMLR 2024.

    Examples
    --------
    The model looks at the first feature alone and is sure of ids 0 to 3: dropping a feature changes its mind on none
    but the other two.

    >>> import numpy as np
    >>> from poolselect import Pool
    >>> x = np.array([[-3.0], [-2.0], [2.0], [3.0], [0.1], [-0.1]])
    >>> pool = Pool(np.arange(6), x, probabilities=1 / (1 + np.exp(np.hstack([-x, x]))))
    >>> sorted(DropQuery(n_clusters=2, random_state=3).query(pool, batch_size=6).indices.tolist())
    [0, 1, 2, 3, 4, 5]
    """

    def __init__(self, *, dropout: float = 0.75, passes: int = 3, n_clusters: int = 10, random_state: int = 0) -> None:
        super().__init__(random_state=random_state)
        self.dropout = dropout
        self.passes = passes
        self.n_clusters = n_clusters

    def _validate(self) -> None:
        check_positive("dropout", self.dropout)
        if not self.dropout < 1:
            raise InvalidParameterError(f"dropout={self.dropout!r} must be below 1: something must be left.")
        check_size("passes", self.passes)
        check_size("n_clusters", self.n_clusters)

    def _query(self, pool: Pool, batch_size: int, rng: np.random.Generator) -> Selection:
        probabilities = known_probabilities(pool, type(self).__name__)
        vectors = Standardized(pool.embeddings)
        candidates = np.flatnonzero(pool.candidates)
        doubtful = candidates[self._changes(pool, vectors, candidates, rng) > self.passes / 2]
        doubt = margin(probabilities[candidates], pool.multilabel)
        by_doubt = candidates[np.lexsort((rng.random(candidates.size), -doubt))]
        others = by_doubt[~np.isin(by_doubt, doubtful)].tolist()

        def moves() -> Iterator[tuple[int, float, str]]:
            for row, begun in _rounds(pool, vectors, doubtful, int(self.n_clusters), rng):
                yield row, 1.0 / begun, f"the model changes its mind when features are dropped: {contenders(pool, row)}"
            for row in others:
                yield row, 0.0, f"the model does not change its mind; it is least sure of: {contenders(pool, row)}"

        return in_order(pool, moves(), batch_size, rng)

    def _changes(
        self, pool: Pool, vectors: Standardized, rows: NDArray[np.int64], rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Return in how many passes each row's answer changed; of several labels, that which changed most often."""
        head = linear_head(pool, vectors, rng, type(self).__name__)
        probabilities = known_probabilities(pool, type(self).__name__)
        most = np.zeros(rows.size, dtype=np.int64)
        rate, kept = np.float32(self.dropout), np.float32(1.0 / (1.0 - self.dropout))
        for start in range(0, rows.size, _ROWS):
            block = rows[start : start + _ROWS]
            z = vectors.of(block)
            answers = decided(probabilities[block], pool.multilabel, 0.5)
            changed = np.zeros(answers.shape, dtype=np.int64)
            for _ in range(int(self.passes)):
                dropped = np.where(rng.random(z.shape, dtype=np.float32) < rate, np.float32(0), z * kept)
                changed += head.decide(dropped) & ~answers if not pool.multilabel else head.decide(dropped) ^ answers
            most[start : start + _ROWS] = changed.max(axis=1) if pool.multilabel else changed.sum(axis=1)
        return most


def _rounds(
    pool: Pool, vectors: Standardized, rows: NDArray[np.int64], first: int, rng: np.random.Generator
) -> Iterator[tuple[int, int]]:
    """Yield rows, and the number of the round, from 1, that chose each."""
    chosen = np.flatnonzero(pool.selected)
    begun, done = 0, 0
    while rows.size:
        begun += 1
        k = min(max(first, done), _MOST_CLUSTERS, rows.size)
        left = rows

        def points(places: NDArray[np.int64], left: NDArray[np.int64] = left) -> NDArray[np.float32]:
            return vectors.of(left[places])

        centroids = fit_kmeans_quickly(points, rows.size, k, rng)
        found = np.unique(nearest_rows(vectors.of, rows, centroids))
        for row in _farthest_first(vectors, found, chosen):
            yield row, begun
        chosen = np.concatenate([chosen, found])
        done += found.size
        rows = rows[~np.isin(rows, found)]


def _farthest_first(vectors: Standardized, rows: NDArray[np.int64], chosen: NDArray[np.int64]) -> Iterator[int]:
    """Yield rows, always the one farthest from everything chosen before; the first of a tie."""
    points = vectors.of(rows)
    gaps = np.full(rows.size, np.inf, dtype=np.float32)
    for start in range(0, chosen.size, _ROWS):
        np.minimum(gaps, squared_distances(points, vectors.of(chosen[start : start + _ROWS])).min(axis=1), out=gaps)
    for _ in range(rows.size):
        place = int(gaps.argmax())
        yield int(rows[place])
        waiting = gaps >= 0
        gaps[waiting] = np.minimum(gaps, squared_distances(points, points[place : place + 1])[:, 0])[waiting]
        gaps[place] = -1.0
