"""Every error this library raises on purpose.

ValueError
└── PoolSelectError              anything below
    ├── InvalidPoolError         the pool's arrays contradict each other, or hold NaN, infinities, repeated ids
    ├── InvalidParameterError    a hyper-parameter, a seed or a batch size outside its range
    ├── InvalidSelectionError    a strategy broke its contract (a bug in the strategy, not in the caller)
    └── StrategyLoadError        an installed third-party strategy cannot be used

All of them are `ValueError`, so code that knows nothing of this library still catches them.
"""

from __future__ import annotations

from collections.abc import Sequence


class PoolSelectError(ValueError):
    """Base of every error raised by `poolselect`."""


class InvalidPoolError(PoolSelectError):
    """The arrays of a pool do not fit together or hold values nobody can rank."""


class InvalidParameterError(PoolSelectError):
    """A hyper-parameter or an argument is outside its range."""


class InvalidSelectionError(PoolSelectError):
    """A strategy returned something that is not a selection from its pool."""


class StrategyLoadError(PoolSelectError):
    """A strategy named in the entry-point group cannot be loaded."""


def name_some(values: Sequence[object], limit: int = 5) -> str:
    """Write a list for an error message: the first `limit` values, then how many more there are.

    Examples
    --------
    >>> name_some([3, 1, 4, 1, 5, 9, 2])
    '3, 1, 4, 1, 5 and 2 more'
    """
    shown = ", ".join(str(value) for value in values[:limit])
    hidden = len(values) - limit
    return f"{shown} and {hidden} more" if hidden > 0 else shown
