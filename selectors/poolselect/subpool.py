"""Which stretch of the pool, in ascending order of ambiguity, a cycle of BAL chooses from (Eq. 6-11)."""

from __future__ import annotations

import bisect
import math
import numbers
from collections.abc import Callable, Iterable
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from poolselect.exceptions import InvalidParameterError

# An unknown budget is taken to be this many cycles, or this share of the pool, whichever is more.
_LEAST_CYCLES, _SHARE_OF_POOL = 20, Fraction(1, 10)


def subpool(n: int, cycles: int, cycle: int, balancing_factor: float) -> tuple[int, int]:
    """Return the slot of one cycle of a known number of cycles.

    With x^_0, x^_1, ..., x^_{N-1} the pool in ascending CDD, A = N / C and beta the balancing factor (BAL, Eq. 6):

        P_0     = { x^_i : 0 <= i < beta A }
        P_c     = { x^_i : (c + 1/2) A - beta A / 2 <= i < (c + 1/2) A + beta A / 2 },    0 < c < C - 1
        P_{C-1} = { x^_i : N - beta A <= i < N }

    beta = 1 tiles the pool (Eq. 11), beta > 1 lets neighboring slots overlap by (beta - 1) A, beta < 1 leaves gaps of
    (1 - beta) A between them (Eq. 10).

    Parameters
    ----------
    n : int
        N, images in the pool, labeled ones included.
    cycles : int
        C, at least 1: the budget in cycles.
    cycle : int
        c, from 0. After the last cycle they start over.
    balancing_factor : float
        beta, greater than 0.

    Returns
    -------
    start, stop : int
        The slot is start <= i < stop, within [0, n]. It can be empty if beta A < 1.

    Notes
    -----
    Where we differ: the equation in the text we had is garbled; this is its reconstruction from "the number of
    samples", from Eq. 7, 10, 11 and from the figure. The released code works on slot c + 1 in cycle c, so that the
    second slot is never visited and the last one twice; here cycle c works on slot c. Slots are computed in
    rational numbers, so that neighbors meet exactly.

    References
    ----------
    Li, Wang, Chen, Tan: BAL: Balancing Diversity and Novelty for Active Learning, TPAMI 2023. Eq. 6-11.

    Examples
    --------
    >>> [subpool(100, 4, cycle, 1.0) for cycle in range(4)]
    [(0, 25), (25, 50), (50, 75), (75, 100)]
    >>> [subpool(100, 4, cycle, 1.2) for cycle in range(4)]
    [(0, 30), (23, 53), (48, 78), (70, 100)]
    """
    check_window(n, cycles, cycle, balancing_factor)
    slot = Fraction(n, int(cycles))
    width = _rational(balancing_factor) * slot
    place = cycle % cycles
    if place == 0:
        start, stop = Fraction(0), width
    elif place == cycles - 1:
        start, stop = n - width, Fraction(n)
    else:
        center = (place + Fraction(1, 2)) * slot
        start, stop = center - width / 2, center + width / 2
    # i is an integer: start <= i is ceil(start) <= i, and i < stop is i < ceil(stop).
    return max(math.ceil(start), 0), min(math.ceil(stop), n)


def rolling_subpool(n: int, cycles: float, cycle: int, balancing_factor: float) -> tuple[int, int]:
    """Return the window of one cycle when nobody knows how many there will be: it moves on and starts over.

        u = 1 / (2 C) + c / C  mod 1        window [u N - beta N / (2 C), u N + beta N / (2 C))

    A window that would stick out of the pool is shifted into it, not clipped, so that all are equally wide. With
    beta >= C it is the whole pool.

    Parameters
    ----------
    n : int
        N, images in the pool, labeled ones included.
    cycles : float
        C, at least 1: cycles from one end of the pool to the other (`rolling_cycles`); need not be whole.
    cycle : int
        c, from 0, without end.
    balancing_factor : float
        beta, greater than 0.

    Returns
    -------
    start, stop : int
        The window is start <= i < stop, within [0, n].

    Notes
    -----
    Where we differ: the paper knows its budget. With a whole C and beta <= 1 these are the slots of Eq. 6, except that
    for beta < 1 the first and last window stay in the middle of their slots.

    Examples
    --------
    >>> [rolling_subpool(100, 4, cycle, 1.0) for cycle in range(5)]
    [(0, 25), (25, 50), (50, 75), (75, 100), (0, 25)]
    >>> [rolling_subpool(100, 4, cycle, 2.0) for cycle in (0, 1, 3)], rolling_subpool(100, 4, 2, 4.5)
    ([(0, 50), (13, 63), (50, 100)], (0, 100))
    """
    check_window(n, cycles, cycle, balancing_factor)
    horizon = _rational(cycles)
    width = min(_rational(balancing_factor) * n / horizon, Fraction(n))
    center = (Fraction(1, 2) + cycle) / horizon % 1 * n
    start = min(max(center - width / 2, Fraction(0)), n - width)
    return math.ceil(start), min(math.ceil(start + width), n)


def rolling_cycles(n: int, cycle_size: int) -> float:
    """Return C for an unknown budget: cycles in a horizon of max(20 K, 10 % of the pool) labels.

    Parameters
    ----------
    n : int
        Images in the pool, labeled ones included.
    cycle_size : int
        K, labels per cycle, at least 1.

    Examples
    --------
    >>> rolling_cycles(500, 10), rolling_cycles(100_000, 10)
    (20.0, 1000.0)
    """
    return max(float(_LEAST_CYCLES), float(_SHARE_OF_POOL * n / cycle_size))


def widen(free: NDArray[np.bool_], start: int, stop: int, wanted: int) -> tuple[int, int]:
    """Grow a window by equally much on both sides until enough free places lie in it.

    Parameters
    ----------
    free : ndarray of shape (n,), bool
        Places that can still be chosen.
    start, stop : int
        The window start <= i < stop, within [0, n].
    wanted : int
        Free places it should hold; at most as many as there are in all.

    Returns
    -------
    start, stop : int
        The smallest such window; the one given if it holds enough. An end of the pool stops that side only.

    Examples
    --------
    >>> import numpy as np
    >>> widen(np.array([True, True, False, False, True]), 2, 3, wanted=2)
    (0, 5)
    """
    if int(np.count_nonzero(free[start:stop])) >= wanted:
        return start, stop
    n = free.size
    below = np.concatenate([[0], np.cumsum(free)])
    reachable = min(wanted, int(below[-1]))

    def held(margin: int) -> int:
        return int(below[min(stop + margin, n)] - below[max(start - margin, 0)])

    margin = bisect.bisect_left(range(n + 1), reachable, key=held)
    return max(start - margin, 0), min(stop + margin, n)


def search_balancing_factor(factors: Iterable[float], accuracy: Callable[[float], float]) -> float:
    """Return the factor that led to the best accuracy, the smallest of a tie (BAL, Eq. 9).

        beta* = argmax over beta of Acc( f trained on the labels that beta chose )

    Parameters
    ----------
    factors : iterable of float
        The candidates, at least one.
    accuracy : callable
        Given a factor, chooses one cycle's sub-pool with it, labels, trains, and returns the accuracy on held-out
        labels.

    Notes
    -----
    **This costs labels.** Every factor chooses other images, so a search over b factors with K labels per cycle spends
    up to (b - 1) K labels beyond those that are kept, and the accuracy needs a validation set besides. The paper counts
    neither. That is why the live mode opens its window by trust instead of searching.

    Examples
    --------
    >>> search_balancing_factor([1.0, 1.5, 2.0], {1.0: 0.71, 1.5: 0.74, 2.0: 0.74}.__getitem__)
    1.5
    """
    candidates = sorted(factors)
    if not candidates:
        raise InvalidParameterError("factors are empty; give at least one balancing factor to choose from.")
    return max(candidates, key=accuracy)


def check_window(n: int, cycles: float, cycle: int, balancing_factor: float) -> None:
    """Raise `InvalidParameterError` naming the first argument of a window that is out of range."""
    if n < 0:
        raise InvalidParameterError(f"n={n!r} must be a number of images, 0 or more.")
    if isinstance(cycles, bool) or not isinstance(cycles, numbers.Real) or not 1 <= float(cycles) < math.inf:
        raise InvalidParameterError(f"cycles={cycles!r} must be a number of cycles, at least 1.")
    if isinstance(cycle, bool) or not isinstance(cycle, numbers.Integral) or cycle < 0:
        raise InvalidParameterError(f"cycle={cycle!r} must be an integer of at least 0.")
    beta = balancing_factor
    if isinstance(beta, bool) or not isinstance(beta, numbers.Real) or not 0 < float(beta) < math.inf:
        raise InvalidParameterError(f"balancing_factor={beta!r} must be a finite number greater than 0.")


def _rational(value: float) -> Fraction:
    # 1.2 means six fifths, not the nearest float: a slot that should start at 9 must not start at 10.
    return Fraction(float(value)).limit_denominator(1_000_000)
