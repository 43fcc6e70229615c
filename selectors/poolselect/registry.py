"""Names of strategies, ours and those of installed third parties."""

from __future__ import annotations

from importlib.metadata import entry_points

from poolselect.badge import BADGE
from poolselect.bait import BAIT
from poolselect.bal import BAL
from poolselect.clustering import FoundationClustering
from poolselect.dropquery import DropQuery
from poolselect.exceptions import StrategyLoadError
from poolselect.freesel import FreeSel
from poolselect.kcenter import KCenterGreedy
from poolselect.maxherding import MaxHerding
from poolselect.probcover import ProbCover
from poolselect.random import Random
from poolselect.strategy import QueryStrategy
from poolselect.typiclust import TypiClust
from poolselect.uherding import UHerding
from poolselect.uncertain import Entropy, LeastConfidence, Margin

ENTRY_POINT_GROUP = "labelqueue.strategies"

_OURS: dict[str, type[QueryStrategy]] = {
    "badge": BADGE,
    "bait": BAIT,
    "bal": BAL,
    "clustering": FoundationClustering,
    "dropquery": DropQuery,
    "entropy": Entropy,
    "freesel": FreeSel,
    "kcenter": KCenterGreedy,
    "least_confidence": LeastConfidence,
    "margin": Margin,
    "maxherding": MaxHerding,
    "probcover": ProbCover,
    "random": Random,
    "typiclust": TypiClust,
    "uherding": UHerding,
}


def strategies() -> dict[str, type[QueryStrategy]]:
    """List every strategy that can be used by name.

    A third party adds its own in its package's metadata, under the entry-point group ``labelqueue.strategies``; the
    entry point's name is the strategy's name, its object a subclass of `QueryStrategy`.

    Returns
    -------
    dict of str to type
        Name to class, sorted by name.

    Raises
    ------
    StrategyLoadError
        If an entry point takes a name that is in use, cannot be imported, or is no `QueryStrategy`. It is raised
        rather than passed over: an order made by another rule than the one asked for would look just as good.

    Examples
    --------
    >>> {"bal", "freesel", "random"} <= set(strategies())
    True
    """
    found = dict(_OURS)
    for point in entry_points(group=ENTRY_POINT_GROUP):
        where = f"strategy {point.name!r} ({point.value}, entry-point group {ENTRY_POINT_GROUP!r})"
        if point.name in found:
            raise StrategyLoadError(f"The name of {where} is in use already. Rename it or uninstall its package.")
        try:
            loaded = point.load()
        except Exception as error:
            raise StrategyLoadError(f"Cannot import {where}: {error}. Repair or uninstall its package.") from error
        if not (isinstance(loaded, type) and issubclass(loaded, QueryStrategy)):
            raise StrategyLoadError(f"{where} is {loaded!r}, not a subclass of QueryStrategy.")
        found[point.name] = loaded
    return dict(sorted(found.items()))
