"""Gray values of more than 8 bits, brought to 8 by the image's own range. Numpy only, a part of the image at a time.

A file says how many bits its values are stored in, not how many of them a camera or a scanner used: 10 or 12 bits in a
file of 16, Hounsfield units from -1024, floats of any unit. Dividing by what the container could hold makes most such
images almost black, and a vision transformer finds next to nothing in them. So the range comes from the values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..exceptions import ImageError

__all__ = ["CONSTANT", "TAIL", "Range", "find_range"]

TAIL = 0.005  # share of the values at either end that may be clipped: dead and hot pixels, burnt-in letters
CONSTANT = 128  # an image of one value has no range to be bright or dark in
_HALF = 1 << 16


@dataclass(frozen=True)
class Range:
    """The values that become black and white.

    Attributes
    ----------
    low, high : float
        In the image's own unit; equal when the image has one value only.
    """

    low: float
    high: float

    def scale(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """Map values linearly, `low` to 0 and `high` to 255, and clip what lies outside.

        Parameters
        ----------
        values : ndarray of any shape, any real dtype
            NaN becomes black, infinities what they are nearest to.

        Returns
        -------
        ndarray of the same shape, uint8
            `CONSTANT` for every finite value when there is no range.
        """
        if self.low == self.high:
            pixels = np.where(np.isfinite(values), CONSTANT, 0)
            return np.where(values == np.inf, 255, pixels).astype(np.uint8)
        # Multiplied before it is divided: integers stay exact that far, so the result does not depend on their unit.
        result = values.astype(np.float64)
        result -= self.low
        result *= 255.0
        result /= self.high - self.low
        np.nan_to_num(result, copy=False, nan=0.0, posinf=255.0, neginf=0.0)
        np.clip(result, 0.0, 255.0, out=result)
        return np.rint(result, out=result).astype(np.uint8)


def find_range(parts: Callable[[], Iterable[NDArray[Any]]]) -> Range:
    """Return the range from the `TAIL` quantile of an image's finite values to its mirror image at the other end.

    Parameters
    ----------
    parts : callable
        Returns the image's values in parts, 1-D, all of one real dtype; called twice. 64-bit values are compared as
        float32.

    Returns
    -------
    Range
        Where so much of the image is of one value that both quantiles are equal, from the least to the largest value:
        a few bright cells on a black ground are the picture, not its outliers.

    Raises
    ------
    ImageError
        If no value is finite.

    Notes
    -----
    The quantiles are exact order statistics, found by counting the upper and then the lower 16 bits of the values'
    ordered keys: whatever the size of the image, that takes a few counters instead of a sorted copy of all pixels, and
    unlike a sample of the pixels it cannot fall in step with a pattern in them.
    """
    upper = np.zeros(_HALF, np.int64)
    for part in parts():
        upper += np.bincount(_keys(part) >> 16, minlength=_HALF)
    total = int(upper.sum())
    if not total:
        raise ImageError(
            "the image has no finite pixel: every value is NaN, infinite, transparent or marked as missing"
        )
    tail = int(TAIL * (total - 1))
    ranks = np.array([0, tail, total - 1 - tail, total - 1])
    ends = np.cumsum(upper)
    halves = np.searchsorted(ends, ranks, side="right")
    lower = {int(half): np.zeros(_HALF, np.int64) for half in halves}
    dtype: np.dtype[Any] = np.dtype(np.float32)
    for part in parts():
        keys, dtype = _keys(part), part.dtype
        for half, counts in lower.items():
            counts += np.bincount(keys[keys >> 16 == half] & (_HALF - 1), minlength=_HALF)
    least, low, high, most = (
        _value((half << 16) | int(np.searchsorted(np.cumsum(lower[half]), rank - before, side="right")), dtype)
        for half, rank, before in zip(halves.tolist(), ranks, (ends - upper)[halves], strict=True)
    )
    return Range(low, high) if low < high else Range(least, most)


def _keys(values: NDArray[Any]) -> NDArray[np.int64]:
    """Return 32-bit numbers in the order of the finite values, without the others."""
    if values.dtype.kind == "u" and values.dtype.itemsize <= 4:
        return values.astype(np.int64)
    if values.dtype.kind == "i" and values.dtype.itemsize <= 4:
        return values.astype(np.int64) + (1 << 31)
    with np.errstate(over="ignore"):
        floats = values.astype(np.float32)
    bits = floats[np.isfinite(floats)].view(np.uint32)
    # IEEE 754: the bits of positive numbers are in order, those of negative ones in reverse.
    return np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31)).astype(np.int64)


def _value(key: int, dtype: np.dtype[Any]) -> float:
    """Return the value that a key stands for."""
    if dtype.kind == "u" and dtype.itemsize <= 4:
        return float(key)
    if dtype.kind == "i" and dtype.itemsize <= 4:
        return float(key - (1 << 31))
    bits = key & 0x7FFF_FFFF if key >> 31 else ~key & 0xFFFF_FFFF
    return float(np.array(bits, np.uint32).view(np.float32))
