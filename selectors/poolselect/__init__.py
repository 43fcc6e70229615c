"""Which items of an unlabeled pool should be annotated next: pure functions and thin strategy classes.

Needs numpy, scikit-learn and threadpoolctl. Only the functions of `poolselect.patterns` need torch, which is imported
when one of them is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from poolselect.badge import BADGE
from poolselect.bait import BAIT
from poolselect.bal import BAL
from poolselect.balance import Balance
from poolselect.cdd import cluster_distance_difference, default_clusters, fit_centroids
from poolselect.clustering import FoundationClustering
from poolselect.dropquery import DropQuery
from poolselect.duplicates import near_duplicates
from poolselect.exceptions import (
    InvalidParameterError,
    InvalidPoolError,
    InvalidSelectionError,
    PoolSelectError,
    StrategyLoadError,
)
from poolselect.freesel import FreeSel
from poolselect.half_rows import HalfRows
from poolselect.kcenter import KCenterGreedy
from poolselect.maxherding import MaxHerding
from poolselect.pool import Pool
from poolselect.probcover import ProbCover
from poolselect.random import Random
from poolselect.registry import strategies
from poolselect.selection import Selection
from poolselect.strategy import QueryStrategy
from poolselect.subpool import rolling_cycles, rolling_subpool, search_balancing_factor, subpool
from poolselect.typiclust import TypiClust, typicality
from poolselect.uherding import UHerding
from poolselect.uncertain import Entropy, LeastConfidence, Margin
from poolselect.uncertainty import entropy, least_confidence, margin

if TYPE_CHECKING:
    from poolselect.patterns import (
        attention_filter,
        neighborhood_mask,
        semantic_patterns,
        spectral_clusters,
    )

__all__ = [
    "BADGE",
    "BAIT",
    "BAL",
    "Balance",
    "DropQuery",
    "Entropy",
    "FoundationClustering",
    "FreeSel",
    "HalfRows",
    "InvalidParameterError",
    "InvalidPoolError",
    "InvalidSelectionError",
    "KCenterGreedy",
    "LeastConfidence",
    "Margin",
    "MaxHerding",
    "Pool",
    "PoolSelectError",
    "ProbCover",
    "QueryStrategy",
    "Random",
    "Selection",
    "StrategyLoadError",
    "TypiClust",
    "UHerding",
    "attention_filter",
    "cluster_distance_difference",
    "default_clusters",
    "entropy",
    "fit_centroids",
    "least_confidence",
    "margin",
    "near_duplicates",
    "neighborhood_mask",
    "rolling_cycles",
    "rolling_subpool",
    "search_balancing_factor",
    "semantic_patterns",
    "spectral_clusters",
    "strategies",
    "subpool",
    "typicality",
]

_NEED_TORCH = ("attention_filter", "neighborhood_mask", "semantic_patterns", "spectral_clusters")


def __getattr__(name: str) -> Any:
    if name in _NEED_TORCH:
        return getattr(importlib.import_module("poolselect.patterns"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
