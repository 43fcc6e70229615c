"""What is remembered of similarities, so that a bound is brought up to date without a product."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Numbers remembered at most: 2 bytes each.
_MOST = 2**27
# Steps between 0 and 1, a few of 16 bits' left over for similarities that rounding puts above 1.
_STEPS = 65000.0
_ROWS = 512


class Similarities:
    """Similarities of candidates to the rows of a sample, in 16 bits, rounded up.

    Parameters
    ----------
    candidates : int
        How many there are; they are known by their places, 0 to that. 0 to remember none of any.
    sampled : int
        Rows of the sample.
    exact : bool
        Whether similarities are 0 or 1, so that nothing is rounded.
    """

    def __init__(self, candidates: int, sampled: int, *, exact: bool) -> None:
        self._steps = np.float32(1.0 if exact else _STEPS)
        # The system gives memory only where something is written.
        self._values = np.empty((min(candidates, _MOST // sampled), sampled), dtype=np.uint16)
        self._where = np.full(candidates, -1, dtype=np.int64)
        self._used = 0

    @property
    def holds_all(self) -> bool:
        """Whether there is room for all candidates, and there are some."""
        return 0 < self._where.size <= len(self._values)

    def known(self, places: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Say which candidates are remembered."""
        return self._where[places] >= 0 if self._where.size else np.zeros(places.size, dtype=np.bool_)

    def keep(self, places: NDArray[np.int64], similar: NDArray[np.float32]) -> None:
        """Remember candidates that are not yet, as long as there is room.

        Parameters
        ----------
        places : ndarray of shape (b,), int64
        similar : ndarray of shape (b, r), float32
            At least their similarities to the sample, within [0, 1.008].
        """
        room = min(places.size, len(self._values) - self._used)
        rows = slice(self._used, self._used + room)
        steps = similar[:room] * self._steps
        self._values[rows] = np.ceil(steps, out=steps)
        self._where[places[:room]] = np.arange(rows.start, rows.stop)
        self._used += room

    def gains(
        self, places: NDArray[np.int64], reached: NDArray[np.float32], weights: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """Return upper bounds of the sums of weights times what remembered candidates are more similar than `reached`.

        Parameters
        ----------
        places : ndarray of shape (b,), int64
        reached : ndarray of shape (r,), float32
            At most what the selection reaches.
        weights : ndarray of shape (r,), float32

        Returns
        -------
        ndarray of shape (b,), float64
            But for the rounding of a sum of float32.
        """
        floor = np.floor(np.clip(reached, 0.0, 1.0) * self._steps).astype(np.uint16)
        gains = np.empty(places.size)
        for start in range(0, places.size, _ROWS):
            block = slice(start, start + _ROWS)
            more = self._values[self._where[places[block]]]
            np.maximum(more, floor, out=more)
            more -= floor
            gains[block] = more.astype(np.float32) @ weights
        return gains / float(self._steps)
