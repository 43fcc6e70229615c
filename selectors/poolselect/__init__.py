"""Which items of an unlabeled pool should be annotated next: pure functions and thin strategy classes.

Needs numpy, scikit-learn and threadpoolctl. Only the functions of `poolselect.patterns` need torch, which is imported
when one of them is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from poolselect.exceptions import (
    InvalidParameterError,
    InvalidPoolError,
    InvalidSelectionError,
    PoolSelectError,
    StrategyLoadError,
)
from poolselect.freesel import FreeSel
from poolselect.pool import Pool
from poolselect.random import Random
from poolselect.registry import strategies
from poolselect.selection import Selection
from poolselect.strategy import QueryStrategy

if TYPE_CHECKING:
    from poolselect.patterns import (
        attention_filter,
        neighborhood_mask,
        semantic_patterns,
        spectral_clusters,
    )

__all__ = [
    "FreeSel",
    "InvalidParameterError",
    "InvalidPoolError",
    "InvalidSelectionError",
    "Pool",
    "PoolSelectError",
    "QueryStrategy",
    "Random",
    "Selection",
    "StrategyLoadError",
    "attention_filter",
    "neighborhood_mask",
    "semantic_patterns",
    "spectral_clusters",
    "strategies",
]

_NEED_TORCH = ("attention_filter", "neighborhood_mask", "semantic_patterns", "spectral_clusters")


def __getattr__(name: str) -> Any:
    if name in _NEED_TORCH:
        return getattr(importlib.import_module("poolselect.patterns"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
