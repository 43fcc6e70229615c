"""How well a selection covers the pool, estimated on a fixed sample of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from poolselect.metric import Metric
from poolselect.pool import Pool

# A row of the pool that can lower the distances of no more rows of the sample than this is never multiplied again.
_FEW = 64
# A row whose bound exceeds this share of the last best gain is likely to be asked for.
_LIKELY = 0.7
# Numbers remembered of all of them: 8 bytes each.
_MOST = 2**22
# BLAS works on a matrix with few numbers by another routine, whose last digits differ: results of both never mix.
_SMALL = 4096


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

    Attributes
    ----------
    products : int
        Scalar products of a row of the pool with one of the sample so far.

    Notes
    -----
    What a row would lower the potential by, its gain, only falls while the selection grows, and so does the number of
    sampled rows that are closer to it than to the selection. So the last gain of a row is a bound of every later one,
    and once those sampled rows are few, they and their closeness are remembered: then a gain is the sum of a few
    differences, without a product. The choice is the same as if everything were computed anew.
    """

    def __init__(self, pool: Pool, metric: Metric, *, size: int, rng: np.random.Generator) -> None:
        n = len(pool)
        rows = np.arange(n) if n <= size else np.sort(rng.choice(n, size=size, replace=False, shuffle=False))
        self._rows = rows
        self._weights: NDArray[np.float64] | None = None
        self._metric = metric
        self._vectors = metric.vectors(rows)
        self._closeness = metric.loosest(rows)
        self.products = 0
        # Of each row of the pool: its last gain; of which sampled rows it may still be the nearest, if they are few.
        self._bounds = np.full(n, np.inf)
        self._starts = np.zeros(n, dtype=np.int64)
        self._counts = np.full(n, -1, dtype=np.int64)
        self._memory = 0
        self._last = 0.0  # gain of the last choice
        self._where, self._close = np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float32)
        selected = np.flatnonzero(pool.selected)
        if selected.size:
            self._cover(selected)

    def weigh(self, weights: NDArray[np.float64]) -> None:
        """Let the pool's rows count by these weights, of shape (n,) and not negative; at first all count the same."""
        self._weights = weights[self._rows]
        self._bounds[:] = np.inf

    def add(self, row: int) -> None:
        """Let a row of the pool join the selection."""
        self._cover(np.array([row], dtype=np.int64))

    def _cover(self, rows: NDArray[np.int64]) -> None:
        closer = self._metric.closeness(self._vectors, self._metric.vectors(rows))
        self.products += self._rows.size * rows.size
        np.maximum(self._closeness, closer, out=self._closeness)

    def best(self, rows: NDArray[np.int64]) -> int:
        """Return the place in `rows` of the pool row that would lower the potential most; the first one of a tie."""
        distinct, first = np.unique(rows, return_index=True)
        if distinct.size == 1:
            return 0
        if small := self._rows.size * distinct.size <= _SMALL:
            self._bounds[distinct] = np.inf
        known = (self._counts[distinct] >= 0) & (not small)
        self._bounds[distinct[known]] = self._remembered(distinct[known])
        bounds = self._bounds[distinct]
        # Never multiplied, or likely to be asked for: at once, since a product with many columns is cheaper.
        asked = ~known & (bounds >= min(_LIKELY * self._last, float(bounds.max())))
        while asked.any():
            self._bounds[distinct[asked]] = bounds[asked] = self._multiplied(distinct[asked], small)
            known |= asked
            asked = ~known & (bounds >= bounds[known].max())
        gains = np.where(known, bounds, -np.inf)
        self._last = float(gains.max())
        return int(first[gains >= self._last].min())

    def _multiplied(self, rows: NDArray[np.int64], small: bool) -> NDArray[np.float64]:
        """Return the gains of some rows of the pool, and remember whom they are close to where those are few."""
        wide = rows if small else np.resize(rows, max(rows.size, _SMALL // self._rows.size + 1))
        affinity = self._metric.affinity(self._vectors, self._metric.vectors(wide))
        self.products += affinity.size
        closer = affinity > self._closeness[:, None]
        flat = np.flatnonzero(closer) if np.count_nonzero(closer) <= _FEW * wide.size else None
        if flat is None:
            # The gaps' noise cuts favor no candidate, so a gain is a sum of differences of closenesses.
            covered = np.maximum(affinity, self._closeness[:, None], out=affinity)
            return (self._covered(covered) - self._covered(self._closeness[:, None]))[: rows.size]
        where, column = np.divmod(flat, wide.size)
        close = affinity.ravel()[flat]
        if not small:
            self._remember(rows, np.bincount(column, minlength=wide.size)[: rows.size], where, column, close)
        return _sums(column, self._lowered(where, close), wide.size)[: rows.size]

    def _covered(self, closeness: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the weighted sums of columns of closenesses (r, b): shape (b,)."""
        if self._weights is None:
            sums: NDArray[np.float64] = closeness.sum(axis=0, dtype=np.float64)
            return sums
        weighted: NDArray[np.float64] = self._weights @ closeness.astype(np.float64)
        return weighted

    def _lowered(self, where: NDArray[np.int64], close: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return what sampled rows would lower the potential by, if something were so close to them."""
        gains = close.astype(np.float64) - self._closeness[where]
        np.maximum(gains, 0.0, out=gains)
        return gains if self._weights is None else gains * self._weights[where]

    def _remember(
        self,
        rows: NDArray[np.int64],
        counts: NDArray[np.int64],
        where: NDArray[np.int64],
        column: NDArray[np.int64],
        close: NDArray[np.float32],
    ) -> None:
        """Remember of the first columns, one per row of the pool, those with few entries."""
        few = counts <= _FEW
        kept = np.flatnonzero(np.append(few, False)[np.minimum(column, rows.size)])
        start, end = self._memory, self._memory + kept.size
        if end > _MOST:
            return
        if end > self._where.size:
            size = min(max(2 * end, 4096), _MOST)
            self._where, self._close = np.resize(self._where, size), np.resize(self._close, size)
        kept = kept[np.argsort(column[kept].astype(np.uint32), kind="stable")]
        self._where[start:end], self._close[start:end] = where[kept], close[kept]
        self._starts[rows[few]] = start + np.cumsum(counts[few]) - counts[few]
        self._counts[rows[few]] = counts[few]
        self._memory = end

    def _remembered(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the gains of rows of the pool whose few entries are remembered."""
        counts = self._counts[rows]
        owner = np.repeat(np.arange(rows.size), counts)
        places = np.arange(owner.size) + np.repeat(self._starts[rows] - (np.cumsum(counts) - counts), counts)
        return _sums(owner, self._lowered(self._where[places], self._close[places]), rows.size)


def _sums(group: NDArray[np.int64], values: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return the sum of the values of each group, shape (count,)."""
    sums: NDArray[np.float64] = np.bincount(group, values, minlength=count).astype(np.float64, copy=False)
    return sums
