"""The recipe of an order: the strategy with its parameters, and all else that shapes it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..exceptions import SettingError
from ..learning import balancing_factor, blank_share
from ..settings import COLD_START
from .campaign_state import Cycle

if TYPE_CHECKING:
    from poolselect import QueryStrategy

__all__ = [
    "BAL",
    "Recipe",
    "make_recipe",
    "make_strategy",
    "needs_model",
    "next_cycle",
    "paper_cycle",
    "sub_pool",
    "waits_for_model",
]

BAL = ("bal", "bal_paper")  # the strategies that may see other features than the embeddings
LEAST_COVERED = 0.5  # of the pool, in which doubt counts however little trust there is; see benchmarks/simulate.md
PAPER_CYCLES = 20  # that a budget is divided into when no setting says so


@dataclass(frozen=True)
class Recipe:
    """What an order made now would be made with.

    Attributes
    ----------
    name : str
        The strategy's name in the settings.
    title : str
        What its orders are called, such as ``FreeSel`` or ``BAL cycle 3``.
    strategy : QueryStrategy
    phase : {'cold', 'warm'}
    model : str
        Fingerprint of the model, if the order depends on it; else empty.
    prelabel : float or None
        Probability that a pre-label needs; None for no pre-labels.
    control_share : float
    features : {'vit', 'rotation'}
        Which embeddings the strategy sees.
    duplicates : {'last', 'serve'}
        What becomes of near-duplicates.
    control_share_start : float or None
        Control share of the first hundred positions; None for the same.
    balance : str
        Field of the tasks' data by whose values places are shared out; empty for none.
    """

    name: str
    title: str
    strategy: QueryStrategy
    phase: Literal["cold", "warm"]
    model: str
    prelabel: float | None
    control_share: float
    features: str
    duplicates: str = "last"
    control_share_start: float | None = None
    balance: str = ""

    @property
    def blank_share(self) -> float:
        """Share of tasks that never get a pre-label; see `learning.blank_share`."""
        return blank_share(vars(self))

    @property
    def parameters(self) -> dict[str, Any]:
        """Everything that shapes the order, as JSON gives it back; two recipes that differ here make other orders."""
        public = {key: value for key, value in vars(self.strategy).items() if key != "centroids" and key[0] != "_"}
        # A third party's may hold anything: of what JSON cannot hold, the type has to do.
        own: dict[str, Any] = json.loads(json.dumps(public, default=lambda value: type(value).__name__))
        shared = {"control_share": self.control_share, "prelabel": self.prelabel, "model": self.model}
        seldom = {
            "features": (self.features, "vit"),
            "duplicates": (self.duplicates, "last"),
            "control_share_start": (self.control_share_start, None),
            "balance": (self.balance, ""),
        }
        return own | shared | {name: value for name, (value, usual) in seldom.items() if value != usual}


def needs_model(name: str) -> bool:
    """Tell whether a strategy ranks by a model's predictions; of a third party's we must assume it."""
    return name not in COLD_START


def waits_for_model(name: str) -> bool:
    """Tell whether a strategy cannot begin without a model; BAL's Algorithm 1 has a first cycle of its own."""
    return needs_model(name) and name != "bal_paper"


def paper_cycle(settings: Mapping[str, Any], labels: int) -> Cycle:
    """Return where BAL stands by the paper: the budget in equal cycles, counted from the first label of all.

    Parameters
    ----------
    settings : mapping
        The project's settings. Without a budget there is no number of cycles.
    labels : int
        Labels that the model knows.
    """
    budget = settings["budget"]
    size = settings["batch_size"] or max(10, (budget or 0) // PAPER_CYCLES)
    if budget is None:
        return Cycle(0, size, None, 1.0)
    slots = max(1, -(-budget // size))
    return Cycle(min(labels // size, slots - 1), size, slots, 1.0)


def next_cycle(
    settings: Mapping[str, Any], labels: int, begun: int, size: int, number: int, rows: int, trust: float
) -> Cycle:
    """Return where BAL stands from now on.

    Parameters
    ----------
    settings : mapping
        The project's settings.
    labels, begun : int
        Labels there are, and those there were when the phase began.
    size : int
        Labels per cycle.
    number : int
        Of the cycle, when there is no budget: its sub-pools go round in a circle.
    rows : int
        Embedded tasks.
    trust : float
        In the model.
    """
    from poolselect import rolling_cycles

    budget, least = settings["budget"], LEAST_COVERED if measured_by(settings) == "coverage" else 0.0
    if budget is None:
        return Cycle(number, size, None, balancing_factor(trust, rolling_cycles(rows, size), least))
    slots = max(1, -(-(budget - begun) // size))
    return Cycle(min(max(labels - begun, 0) // size, slots - 1), size, slots, balancing_factor(trust, slots, least))


def measured_by(settings: Mapping[str, Any]) -> Any:
    """Return what BAL takes, as the setting ``uncertainty`` says. Rotation features cover nothing that the model learns
    from, so with them it is the most doubtful by margin."""
    if settings["uncertainty"] == "coverage" and settings["bal_features"] != "vit":
        return "margin"
    return settings["uncertainty"]


def sub_pool(cycle: Cycle, factor: float | None, rows: int) -> float:
    """Return which share of the pool a cycle of BAL looks at, within (0, 1].

    Parameters
    ----------
    cycle : Cycle
    factor : float or None
        The balancing factor that somebody set, instead of the cycle's.
    rows : int
        Embedded tasks.
    """
    from poolselect import rolling_cycles

    cycles = cycle.slots or rolling_cycles(rows, cycle.size)
    return min((factor or cycle.balancing_factor) / cycles, 1.0)


def make_recipe(
    name: str,
    settings: Mapping[str, Any],
    cycle: Cycle,
    *,
    phase: Literal["cold", "warm"],
    model: str,
    prelabel: float | None,
    classes: int = 0,
    centroids: NDArray[np.float32] | None = None,
) -> Recipe:
    """Return the recipe of these settings; see `make_strategy` and `Recipe`."""
    strategy = make_strategy(name, settings, cycle, centroids, classes)
    title = type(strategy).__name__
    return Recipe(
        name=name,
        title=f"{title} cycle {cycle.number + 1}" if name in BAL else title,
        strategy=strategy,
        phase=phase,
        model=model,
        prelabel=prelabel,
        control_share=settings["control_share"],
        control_share_start=settings.get("control_share_start"),  # not on record of an order before there was one
        features=settings["bal_features"] if name in BAL else "vit",
        duplicates=settings.get("duplicates", "last"),  # of an order from before there was a choice
        balance=settings.get("balance", ""),
    )


def make_strategy(
    name: str,
    settings: Mapping[str, Any],
    cycle: Cycle | None = None,
    centroids: NDArray[np.float32] | None = None,
    classes: int = 0,
) -> QueryStrategy:
    """Build the strategy of a project's settings.

    Parameters
    ----------
    name : str
        Its name in `poolselect.strategies()`, or ``bal_paper``.
    settings : mapping
        The project's settings.
    cycle : Cycle, optional
        Where BAL stands; of how many images DropQuery's first round makes clusters.
    centroids : ndarray of shape (s, k, d), float32, optional
        BAL's frozen centroids. By the paper they are fitted on the whole pool.
    classes : int
        Classes of the label config, 0 for an open one: how many clusters BAL makes by the paper, and
        ProbCover's radius is measured with.

    Raises
    ------
    SettingError
        If the strategy is not installed, or ``bal_paper`` knows no budget.
    """
    from poolselect import BAL, DropQuery, FreeSel, ProbCover  # the web process knows orders too, and makes none

    seed = settings["seed"]
    if name == "freesel":
        return FreeSel(trials=settings["trials"], metric=settings["metric"], random_state=seed)
    cycle = cycle or Cycle()
    if name == "probcover":
        return ProbCover(n_clusters=classes if classes > 1 else None, random_state=seed)
    if name == "dropquery":
        return DropQuery(n_clusters=cycle.size, random_state=seed)
    if name == "bal_paper" and cycle.slots is None:
        raise SettingError(
            "strategy 'bal_paper' divides a budget into cycles, and setting 'budget' is empty: set it to the labels "
            "that you will pay for in total, or choose bal"
        )
    if name in ("bal", "bal_paper"):
        paper: dict[str, Any] = {"mode": "paper", "n_clusters": classes if classes > 1 else None}
        return BAL(
            cycle=cycle.number,
            cycles=cycle.slots,
            cycle_size=cycle.size,
            balancing_factor=settings["balancing_factor"] or cycle.balancing_factor,
            uncertainty=measured_by(settings) if name == "bal" else "least_confidence",
            metric=settings["metric"],
            centroids=centroids,
            random_state=seed,
            **(paper if name == "bal_paper" else {}),
        )
    if name not in _classes():
        raise SettingError(f"strategy {name!r} is not installed here (any more): install it, or choose another one")
    return _classes()[name](random_state=seed)


@cache
def _classes() -> dict[str, type[QueryStrategy]]:
    # Asking every installed package takes milliseconds, and what is installed does not change while we run.
    from poolselect import strategies

    return strategies()
