"""Foundation-model clustering: the images nearest to the centers of finer and finer clusterings."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from poolselect.exceptions import InvalidParameterError
from poolselect.farthest import farthest_first
from poolselect.kmeans import fit_kmeans, fit_kmeans_quickly, nearest_rows, squared_distances
from poolselect.metric import ROWS_PER_BLOCK, build_metric
from poolselect.pool import Pool
from poolselect.selection import Selection
from poolselect.standardized import Standardized
from poolselect.strategy import QueryStrategy

# The finest clustering. A batch that exhausts it has about a thousand images: far beyond a cold start.
_MOST_CLUSTERS = 1024
_PAPER_MOST_CLUSTERS, _PAPER_STARTS = 50, 10

Move = tuple[int, float, str]


class FoundationClustering(QueryStrategy):
    """Choose the images nearest to the centroids of k-means, for one k after the other, each image once.

    With z the embeddings, each dimension standardized over the pool, and mu_1, ..., mu_k the centroids for k clusters:

        for k = 2, 4, 8, ...:   for each centroid:   x = argmin of |z(x) - mu_j|;   append x unless it is chosen already

    so the order is nested: any beginning of it is a selection spread over as many clusters as it has room for.

    ``mode="doubling"`` visits the centroids of one k farthest from everything chosen first, the farthest being found
    anew after each image. Labeled and selected rows are among the rows that can be nearest; where one of them is, the
    centroid is taken care of and adds nothing. So a refill of an unchanged pool goes on where the last batch stopped.
    When k reaches 1,024 or the number of rows, the rest follows farthest first.

    ``mode="paper"`` takes k = 2, 3, ..., 50, each the best of ten fits from random starts on all rows, in the order of
    the clusters' numbers, and then goes on by doubling from k = 64.

    Parameters
    ----------
    mode : {"doubling", "paper"}, default "doubling"
    random_state : int, default 0
        Any integer; starts and samples of k-means.

    Raises
    ------
    InvalidParameterError
        By `query`, if `mode` is neither.

    See Also
    --------
    TypiClust : Takes the densest place of a cluster instead of its center.

    Notes
    -----
    `Selection.utilities` is 1 / k for the k that brought the image, 0 for the rest. By doubling, k-means is fitted on
    at most 256 rows per centroid, or 64 beyond 50 centroids.

    Where we differ. In both modes: rows that are labeled or selected count as chosen, and the order does not end. In
    ``mode="doubling"``: k doubles and k-means starts once, from k-means++, because 49 clusterings of ten starts each
    are too dear for a large pool; within one k the farthest centroid comes first, because the numbers of clusters mean
    nothing. From the released code, in ``mode="paper"``: distances are computed once, not once per cluster. The
    abstract of the paper does not say that its selection is nested; its code is.

    References
    ----------
    Yuan, Hong: Foundation Model Makes Clustering A Better Initialization For Cold-Start Active Learning,
    arXiv 2402.02561.

    Examples
    --------
    Two groups: the first two images are the middles of the groups.

    >>> import numpy as np
    >>> from poolselect import Pool
    >>> pool = Pool(np.arange(6), [[0.0], [1.0], [2.0], [10.0], [11.0], [12.0]])
    >>> chosen = FoundationClustering().query(pool, batch_size=2)
    >>> sorted(chosen.indices.tolist()), chosen.reasons[0]
    ([1, 4], 'nearest to the center of one of 2 clusters')
    """

    def __init__(self, *, mode: Literal["doubling", "paper"] = "doubling", random_state: int = 0) -> None:
        super().__init__(random_state=random_state)
        self.mode = mode

    def _validate(self) -> None:
        if self.mode not in ("doubling", "paper"):
            raise InvalidParameterError(f"mode={self.mode!r} must be 'doubling' or 'paper'.")

    def _query(self, pool: Pool, batch_size: int, rng: np.random.Generator) -> Selection:
        chain = _Nested(pool, rng)
        order = itertools.chain(chain.paper() if self.mode == "paper" else (), chain.doubling(), chain.rest())
        rows, utilities, reasons = zip(*itertools.islice(order, batch_size), strict=True)
        return Selection(np.array(rows, dtype=np.int64), np.array(utilities), tuple(reasons))


class _Nested:
    """One growing list of rows: what is chosen already, and the ways to go on.

    Parameters
    ----------
    pool : Pool
        Rows sorted by id.
    rng : numpy.random.Generator
        Each clustering takes its numbers from it, in turn.
    """

    def __init__(self, pool: Pool, rng: np.random.Generator) -> None:
        self._pool = pool
        self._rng = rng
        self._chosen = pool.selected.copy()
        # Rows that are neither candidates nor selected shape the clusters, but stand for none.
        self._eligible = np.flatnonzero(pool.candidates | pool.selected)
        self._standardized = Standardized(pool.embeddings).of
        self._reached = 1

    def paper(self) -> Iterator[Move]:
        everything = self._standardized(slice(None))
        for k in range(2, min(_PAPER_MOST_CLUSTERS, len(self._pool)) + 1):
            self._reached = k
            centroids = fit_kmeans(everything, k, self._rng, init="random", n_init=_PAPER_STARTS)
            for row in nearest_rows(self._standardized, self._eligible, centroids).tolist():
                if not self._chosen[row]:
                    yield self._choose(row, k)

    def doubling(self) -> Iterator[Move]:
        k = 2
        while k <= min(_MOST_CLUSTERS, len(self._pool) - 1):
            if k > self._reached:
                yield from self._one_doubling(k)
            k *= 2

    def rest(self) -> Iterator[Move]:
        free = self._pool.candidates & ~self._chosen
        if free.any():
            everything = self._standardized(slice(None))
            left = Pool(self._pool.ids, everything, candidates=free, selected=self._chosen)
            for row, _, reason in farthest_first(left, build_metric("euclidean", left), self._rng):
                yield row, 0.0, reason

    def _one_doubling(self, k: int) -> Iterator[Move]:
        centroids = fit_kmeans_quickly(self._standardized, len(self._pool), k, self._rng)
        nearest = nearest_rows(self._standardized, self._eligible, centroids)
        gaps = self._gaps(centroids)
        for _ in range(centroids.shape[0]):
            place = int(gaps.argmax())
            row = int(nearest[place])
            gaps[place] = -1.0
            if not self._chosen[row]:
                yield self._choose(row, k)
                waiting = gaps >= 0
                new = squared_distances(self._standardized(np.array([row])), centroids)[0]
                gaps[waiting] = np.minimum(gaps[waiting], new[waiting])

    def _choose(self, row: int, k: int) -> Move:
        self._chosen[row] = True
        return row, 1.0 / k, f"nearest to the center of one of {k} clusters"

    def _gaps(self, centroids: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return every centroid's squared distance to the nearest chosen row, infinite if there is none."""
        gaps = np.full(centroids.shape[0], np.inf, dtype=np.float32)
        chosen = np.flatnonzero(self._chosen)
        for start in range(0, chosen.size, ROWS_PER_BLOCK):
            block = self._standardized(chosen[start : start + ROWS_PER_BLOCK])
            np.minimum(gaps, squared_distances(block, centroids).min(axis=0), out=gaps)
        return gaps
