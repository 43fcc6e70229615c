"""Random generators from any integer."""

from __future__ import annotations

import numbers

import numpy as np

from poolselect.exceptions import InvalidParameterError


def generator(seed: int) -> np.random.Generator:
    """Build the random generator that belongs to an integer seed.

    Parameters
    ----------
    seed : int
        Any integer: negative ones and ones beyond 64 bits have streams of their own.

    Returns
    -------
    numpy.random.Generator
        A fresh generator; two calls with equal seeds give equal streams.

    Raises
    ------
    InvalidParameterError
        If `seed` is not an integer (booleans are refused: they are a slip, not a seed).

    Examples
    --------
    >>> bool(generator(-1).random() == generator(-1).random())
    True
    >>> bool(generator(1).random() == generator(-1).random())
    False
    """
    if isinstance(seed, bool | np.bool_) or not isinstance(seed, numbers.Integral):
        raise InvalidParameterError(f"random_state={seed!r} is not an integer. Pass an int; None is not accepted.")
    # numpy takes non-negative integers only: fold the sign into the lowest bit, so that no two seeds collide.
    value = int(seed)
    folded = 2 * value if value >= 0 else -2 * value - 1
    return np.random.default_rng(np.random.SeedSequence(folded))
