"""How close every candidate's patterns are to the selection: bounds for all of them, exact values for a few.

Each pick may bring any pattern closer to the selection. Bringing all bounds up to date at every pick is what makes
the plain procedure slow. Here the patterns selected since the last full pass are kept aside (*pending*); a stale
closeness is too small, never too large, and is made exact only where somebody asks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from poolselect.metric import ROWS_PER_BLOCK, Metric
from poolselect.pool import Pool, ragged_rows

# When a full pass pays, in units of one scalar product. Handling one proposal costs about as much as 100 scalar
# products besides its own (gathering scattered rows, bookkeeping), touching one row in a full pass about 30 (it is
# bound by memory). The law of the picks does not depend on these numbers, only the time does.
COST_PER_PROPOSAL = 100
_COST_PER_ROW = 30
# A pass is made when this share of its price was spent in vain. Passes grow dearer with every pick, so early is better
# than break-even; with 100,000 images any share from 0.15 to 0.6 did about as well.
_PATIENCE = 0.3


class Coverage:
    """The candidates' patterns against the growing selection.

    *Positions* number the patterns of the candidates, 0 to `size` - 1, in the order of the pool's rows. `flat` turns
    positions into rows of `pool.patterns`, `owner` into rows of the pool.

    Parameters
    ----------
    pool : Pool
        Its candidates are watched; all patterns of its selected rows count as selected from the start.
    metric : Metric
        The metric over `pool`'s patterns.

    Attributes
    ----------
    size : int
        Patterns of candidates, those of candidates chosen meanwhile included.
    stale : ndarray of shape (size,), float32
        Lower bounds of the closeness (see `poolselect.metric`).
    free : ndarray of shape (n,), bool
        Rows of the pool that can still be chosen.
    products : int
        Scalar products of a candidate's pattern with a selected one so far.
    """

    def __init__(self, pool: Pool, metric: Metric) -> None:
        self.metric = metric
        self.free = pool.candidates.copy()
        self._offsets = pool.offsets
        rows = np.flatnonzero(pool.candidates)
        self.flat, _ = ragged_rows(pool.offsets, rows)
        self.owner = np.repeat(rows, np.diff(pool.offsets)[rows])
        # All rows: slices of the pool are views, whereas an index array would copy each block.
        self._everything = self.flat.size == pool.patterns.shape[0]
        self.size = int(self.flat.size)
        self.stale = metric.loosest(self.flat)
        selected, _ = ragged_rows(pool.offsets, np.flatnonzero(pool.selected))
        self._buffer = metric.vectors(selected)
        self._pending = int(selected.size)
        self._spent = 0.0
        self.products = 0

    @property
    def pending(self) -> NDArray[np.float32]:
        """Prepared patterns selected since the last full pass, shape (p, d)."""
        return self._buffer[: self._pending]

    def choose(self, row: int) -> NDArray[np.float32]:
        """Mark a row of the pool as chosen; return its prepared patterns, which are pending from now on."""
        self.free[row] = False
        new = self.metric.vectors(np.arange(self._offsets[row], self._offsets[row + 1]))
        needed = self._pending + new.shape[0]
        if needed > self._buffer.shape[0]:
            grown = np.empty((max(2 * needed, 64), new.shape[1]), dtype=np.float32)
            grown[: self._pending] = self.pending
            self._buffer = grown
        self._buffer[self._pending : needed] = new
        self._pending = needed
        return new

    def exact(self, positions: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the prepared vectors and the true closeness at some positions: shapes (b, d) and (b,)."""
        vectors = self.metric.vectors(self.flat[positions])
        closeness = self.stale[positions]
        if self._pending:
            np.maximum(closeness, self.closeness(vectors, self.pending), out=closeness)
        return vectors, closeness

    def closeness(self, vectors: NDArray[np.float32], selected: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return `Metric.closeness`, counted: what all comparisons with the selection go through."""
        self.products += vectors.shape[0] * selected.shape[0]
        return self.metric.closeness(vectors, selected)

    def spend(self, cost: float) -> None:
        """Note work that was done in vain because the bounds are stale, in scalar products."""
        self._spent += cost

    def pass_is_due(self) -> bool:
        """Say whether so much was spent in vain that a full pass pays.

        The rule looks back only. It must not ask how many picks are wanted: then a longer order would start differently
        from a shorter one.
        """
        return self._pending > 0 and self._spent >= _PATIENCE * self.size * (self._pending + _COST_PER_ROW)

    def full_pass(self) -> None:
        """Make every bound exact; nothing is pending afterwards."""
        if self._pending:
            for start in range(0, self.size, ROWS_PER_BLOCK):
                block = slice(start, min(start + ROWS_PER_BLOCK, self.size))
                vectors = self.metric.vectors(block if self._everything else self.flat[block])
                np.maximum(self.stale[block], self.closeness(vectors, self.pending), out=self.stale[block])
        self._pending = 0
        self._spent = 0.0
