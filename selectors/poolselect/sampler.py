"""Exact distance-weighted sampling without updating every distance at every pick.

The law is Eq. 5 of FreeSel: the next pattern is drawn with probability proportional to D(p, S)^power, where D is the
distance to the nearest selected pattern. Selected patterns only ever lower D, so weights computed earlier are upper
bounds. Rejection sampling with an upper bound is exact: propose a pattern in proportion to the stale weights, accept
it with probability true weight / stale weight, else propose again.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from poolselect.coverage import COST_PER_PROPOSAL, Coverage

_SMALLEST_BATCH = 16
_LARGEST_BATCH = 4096
# Proposals are first compared with this many pending patterns, then the survivors with twice as many, and so on.
_FIRST_LOOK = 64


class LazySampler:
    """Draws patterns in proportion to their distance from the selection, to a power.

    Parameters
    ----------
    coverage : Coverage
        The candidates against the selection; the sampler tells it what is chosen.
    power : float
        Exponent of the distance.
    rng : numpy.random.Generator
        The stream all draws come from.

    Notes
    -----
    Proposals are made in batches, because one product with many columns is far cheaper than many products with one.
    A batch stays exact while picks are made from it: its proposals are independent draws from the *stale* law, which
    the picks do not change, and each is accepted or not by the *true* law at the moment it is looked at. Bounds are
    brought up to date only between batches, never because of what a waiting proposal is.

    A proposal's fate is a number drawn with it, its *bar*: it is accepted if its true weight exceeds the bar. True
    weights only fall, so a proposal that has failed once can be dropped for good, and most fail after a glance at a few
    of the pending patterns.
    """

    def __init__(self, coverage: Coverage, *, power: float, rng: np.random.Generator) -> None:
        self._coverage = coverage
        self._power = power
        self._rng = rng
        self._batch_size = 0
        self._positions: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._accepted: NDArray[np.bool_] = np.empty(0, dtype=np.bool_)
        self._cursor = 0
        self._hits = 0
        self._survivors = 0
        self._cost = 0.0
        self._rebuild()

    def draw(self, count: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Draw patterns independently of each other from the law of this moment.

        Parameters
        ----------
        count : int
            How many, at least 1. Repeats are possible: nothing is chosen by drawing.

        Returns
        -------
        rows : ndarray of shape (count,), int64
            Rows of the pool that own the patterns drawn, in the order drawn. Empty if every weight is zero.
        distances : ndarray of shape (count,), float64
            Distance of each drawn pattern to the selection.
        """
        positions: list[NDArray[np.int64]] = []
        distances: list[NDArray[np.float64]] = []
        missing = count
        while missing:
            if self._cursor == self._positions.size and not self._propose(count):
                # All weights are zero, so none of the draws of this call was made before.
                return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float64)
            hits = self._cursor + np.flatnonzero(self._accepted[self._cursor :])[:missing]
            positions.append(self._positions[hits])
            distances.append(self._coverage.metric.distance(self._gaps(hits)))
            self._hits += hits.size
            missing -= hits.size
            # Everything up to the last proposal looked at is used up, the rejected ones too.
            self._cursor = int(hits[-1]) + 1 if missing == 0 else self._positions.size
        return self._coverage.owner[np.concatenate(positions)], np.concatenate(distances)

    def choose(self, row: int) -> NDArray[np.float32]:
        """Choose a row of the pool: all of its patterns join the selection. Return them, prepared."""
        new = self._coverage.choose(row)
        rest = slice(self._cursor, None)
        if self._cursor < self._positions.size:
            closer = self._coverage.closeness(self._vectors[rest], new)
            np.maximum(self._closeness[rest], closer, out=self._closeness[rest])
            self._judge(rest)
        return new

    def _propose(self, count: int) -> bool:
        """Make the next batch of proposals; False if no weight is left anywhere."""
        if self._batch_size:
            self._coverage.spend(self._cost * (1 - self._hits / self._batch_size))
        if self._total == 0.0 or self._coverage.pass_is_due():
            self._coverage.full_pass()
            self._rebuild()
        if self._total == 0.0:
            return False
        # Larger batches while few proposals survive: what is dropped early is cheap.
        if self._batch_size == 0 or self._survivors < 64 + 2 * count:
            self._batch_size = min(max(2 * self._batch_size, _SMALLEST_BATCH, 2 * count), _LARGEST_BATCH)
        uniforms = self._rng.random((2, self._batch_size))
        # 'right' skips patterns of weight zero; rounding may point past the end, where the last positive weight is.
        # In ascending order, because every look into a large pool's weights would else miss the cache.
        ascending = np.argsort(uniforms[0])
        found = np.searchsorted(self._cumulative, uniforms[0][ascending] * self._total, side="right")
        self._positions = np.empty_like(found)
        self._positions[ascending] = np.minimum(found, self._last)
        self._closeness = self._coverage.stale[self._positions]
        self._bars = uniforms[1] * self._weights(self._gaps(slice(0, None)))
        self._accepted = np.empty(self._batch_size, dtype=np.bool_)
        self._judge(slice(0, None))
        self._keep(np.flatnonzero(self._accepted))
        self._vectors = self._coverage.metric.vectors(self._coverage.flat[self._positions])
        self._sift()
        self._cursor = self._hits = 0
        return True

    def _sift(self) -> None:
        """Compare the new proposals with the pending patterns, more and more of them, dropping those that fail."""
        pending = self._coverage.pending
        self._cost = self._batch_size * COST_PER_PROPOSAL
        start, look = 0, _FIRST_LOOK
        while self._positions.size and (block := pending[start : start + look]).shape[0]:
            closer = self._coverage.closeness(self._vectors, block)
            np.maximum(self._closeness, closer, out=self._closeness)
            self._judge(slice(0, None))
            self._cost += closer.size * block.shape[0]
            kept = np.flatnonzero(self._accepted)
            if kept.size < self._positions.size:
                self._vectors = self._vectors[kept]
                self._keep(kept)
            start, look = start + look, 2 * look
        self._survivors = int(self._positions.size)

    def _keep(self, kept: NDArray[np.int64]) -> None:
        """Drop all waiting proposals but some; their vectors are left to the caller."""
        self._positions, self._bars = self._positions[kept], self._bars[kept]
        self._closeness, self._accepted = self._closeness[kept], self._accepted[kept]

    def _judge(self, part: slice) -> None:
        """Decide by the law of this moment which waiting proposals would be accepted."""
        free = self._coverage.free[self._coverage.owner[self._positions[part]]]
        self._accepted[part] = (self._bars[part] < self._weights(self._gaps(part))) & free

    def _rebuild(self) -> None:
        """Compute the cumulative stale weights; chosen rows get a weight of exactly zero."""
        gaps = self._coverage.metric.gap(self._coverage.stale, self._coverage.flat)
        weights = self._weights(gaps)
        weights[~self._coverage.free[self._coverage.owner]] = 0.0
        self._cumulative = np.cumsum(weights)
        self._total = float(self._cumulative[-1]) if weights.size else 0.0
        self._last = int(np.searchsorted(self._cumulative, self._total, side="left")) if weights.size else 0

    def _weights(self, gaps: NDArray[np.float32]) -> NDArray[np.float64]:
        # In units of the largest distance possible, so that no power overflows; the unit cancels out of the law.
        relative = self._coverage.metric.distance(gaps) / (self._coverage.metric.ceiling or 1.0)
        weights: NDArray[np.float64] = relative * relative if self._power == 2.0 else relative**self._power
        return weights

    def _gaps(self, part: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        return self._coverage.metric.gap(self._closeness[part], self._coverage.flat[self._positions[part]])
