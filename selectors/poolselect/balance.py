"""Balance: which values, of sites say, may be served next so that any 20 places in turn hold each by its share.

A value's *credit* is its share times the places so far, less the places it had. As long as it stays between -1 and 1,
the places of any stretch, 20 or not, differ by less than 2 from the share. One machine that serves several customers
by their shares has the same task, and the same answer: every place of a value has a first and a last time, and to serve
the one whose last time comes first always works (Baruah and others, Proportionate Progress, 1996). Others may be served
instead as long as all last times can still be met. That freedom is the strategy's.

Of a value with a share up to a tenth, 20 places may hold none; only too many would be wrong. All those are one
customer, and within it 20 places never hold more of a value than its share and two.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["SLACK", "WINDOW", "Balance"]

WINDOW, SLACK = 20, 2  # places in turn, and by how many of them a value may differ from its share
AHEAD = 200  # places that are looked ahead, at most; what can wait longer waits where the strategy would not
EPSILON = 1e-9  # of sums of shares


class Balance:
    """Counts the places of each value, and tells which may be next.

    Parameters
    ----------
    shares : ndarray of shape (v,), float64
        Share of each value in the pool; they sum to 1.
    served : sequence of int
        Values of the places before, oldest first. What did not follow the shares is made good as far as it weighs on
        the places to come.

    Examples
    --------
    >>> balance, alive = Balance(np.array([0.75, 0.25])), np.array([True, True])
    >>> served = []
    >>> for _ in range(8):
    ...     served.append(int(np.argmax(balance.allowed(alive))))
    ...     balance.serve(served[-1], alive)
    >>> served
    [0, 0, 0, 1, 0, 0, 0, 1]
    """

    def __init__(self, shares: NDArray[np.float64], served: Sequence[int] = ()) -> None:
        self._shares = np.asarray(shares, dtype=np.float64)
        big = np.flatnonzero(self._shares * WINDOW > SLACK)
        self._rest = big.size
        self._of = np.full(self._shares.size, self._rest, dtype=np.int64)  # customer of each value
        self._of[big] = np.arange(big.size)
        self._credit = np.zeros(big.size + 1)
        self._last: deque[int] = deque(maxlen=WINDOW - 1)
        everyone = np.ones(self._shares.size, dtype=np.bool_)
        for value in served:
            self.serve(value, everyone)
            self._forgive()

    @property
    def values(self) -> int:
        """How many values there are."""
        return int(self._shares.size)

    def serve(self, value: int, alive: NDArray[np.bool_]) -> None:
        """Note that a value has the next place.

        Parameters
        ----------
        value : int
        alive : ndarray of shape (v,), bool
            Values that had candidates for it; the others' shares go to these.
        """
        weights = self._weights(alive)
        self._settle(weights)
        self._credit += weights
        self._credit[self._of[value]] -= 1
        self._last.append(value)

    def allowed(self, alive: NDArray[np.bool_], coming: Sequence[int] = ()) -> NDArray[np.bool_]:
        """Return which values may have the next place: at least one of those alive.

        Parameters
        ----------
        alive : ndarray of shape (v,), bool
            Values with candidates, at least one.
        coming : sequence of int
            Values of places that are taken already, -1 for a free one; the first is the place after the next.
        """
        weights = self._weights(alive)
        credit = self._credit.copy()
        self._settle(weights, credit)
        some = np.flatnonzero(weights > 0)
        names, credit, weights = some, credit[some], weights[some]
        steps = np.arange(1, AHEAD + 1)
        sums = credit[:, None] + weights[:, None] * steps  # credit after so many places, if none were its own
        taken = np.zeros((names.size, AHEAD))
        for step, value in enumerate(coming[: AHEAD - 1], 1):
            if value >= 0:
                taken[names == self._of[value], step:] += 1
        free = steps - np.cumsum([0, *(value >= 0 for value in coming[: AHEAD - 1])] + [0] * AHEAD)[:AHEAD]
        needed = np.maximum(np.floor(sums + EPSILON) - taken, 0)
        released = np.all((sums - taken > EPSILON)[:, :WINDOW], axis=1)
        if not released.any():
            released = sums[:, 0] > EPSILON
        last = np.where((needed > 0).any(axis=1), np.argmax(needed > 0, axis=1) + 1, AHEAD + 1)
        tight = np.flatnonzero(free - needed.sum(axis=0) <= 0)
        until = int(tight[0]) + 1 if tight.size else AHEAD
        fine = released & (last <= until)
        if not fine.any():  # the one whose last time comes first
            due = np.where(released, last, 2 * AHEAD)
            fine = released & (due == due.min())
        allowed = alive & np.isin(self._of, names[fine])
        small = allowed & (self._of == self._rest)
        if small.any():
            room = small & (self._room(alive) > 0)
            allowed &= ~small | (room if room.any() else small)
        return np.asarray(allowed, dtype=np.bool_)

    def _room(self, alive: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return how many places more each value may have among those that end with the next."""
        shares = self._shares / max(float(self._shares[alive].sum()), EPSILON)
        had = np.bincount(np.array(self._last, dtype=np.int64), minlength=shares.size)
        return np.asarray(np.floor(shares * WINDOW + SLACK + EPSILON) - had, dtype=np.float64)

    def _weights(self, alive: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return the share of each customer among the values alive; equal ones where those have none."""
        shares = np.where(alive, np.maximum(self._shares, EPSILON), 0.0)
        weights = np.bincount(self._of, weights=shares, minlength=self._rest + 1)
        return np.asarray(weights / max(weights.sum(), EPSILON), dtype=np.float64)

    def _settle(self, weights: NDArray[np.float64], credit: NDArray[np.float64] | None = None) -> None:
        """Give the credit of those without candidates to the others."""
        credit = self._credit if credit is None else credit
        gone = weights <= 0
        left = float(credit[gone].sum())
        credit[gone] = 0
        credit += left * weights

    def _forgive(self) -> None:
        """Keep what was served otherwise than by the shares from weighing on more than the next places."""
        if np.abs(self._credit).max() > 1:
            self._credit = np.clip(self._credit, -1, 1)
            self._credit -= self._credit.mean()
