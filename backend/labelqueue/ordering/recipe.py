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
from ..settings import COLD_START
from .campaign_state import Cycle

if TYPE_CHECKING:
    from poolselect import QueryStrategy

__all__ = ["Recipe", "make_strategy", "needs_model"]


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
    """

    name: str
    title: str
    strategy: QueryStrategy
    phase: Literal["cold", "warm"]
    model: str
    prelabel: float | None
    control_share: float
    features: str

    @property
    def parameters(self) -> dict[str, Any]:
        """Everything that shapes the order, as JSON gives it back; two recipes that differ here make other orders."""
        public = {key: value for key, value in vars(self.strategy).items() if key != "centroids" and key[0] != "_"}
        # A third party's may hold anything: of what JSON cannot hold, the type has to do.
        own: dict[str, Any] = json.loads(json.dumps(public, default=lambda value: type(value).__name__))
        shared = {"control_share": self.control_share, "prelabel": self.prelabel, "model": self.model}
        return own | shared | ({"features": self.features} if self.features != "vit" else {})


def needs_model(name: str) -> bool:
    """Tell whether a strategy ranks by a model's predictions; of a third party's we must assume it."""
    return name not in COLD_START


def make_strategy(
    name: str, settings: Mapping[str, Any], cycle: Cycle | None = None, centroids: NDArray[np.float32] | None = None
) -> QueryStrategy:
    """Build the strategy of a project's settings.

    Parameters
    ----------
    name : str
        Its name in `poolselect.strategies()`.
    settings : mapping
        The project's settings.
    cycle : Cycle, optional
        Where BAL stands.
    centroids : ndarray of shape (s, k, d), float32, optional
        BAL's frozen centroids.
    """
    from poolselect import BAL, FreeSel  # the web process knows orders too, and makes none

    seed = settings["seed"]
    if name == "freesel":
        return FreeSel(trials=settings["trials"], metric="centered", random_state=seed)
    if name == "bal":
        cycle = cycle or Cycle()
        return BAL(
            cycle=cycle.number,
            cycles=cycle.slots,
            cycle_size=cycle.size,
            balancing_factor=settings["balancing_factor"] or cycle.balancing_factor,
            uncertainty=settings["uncertainty"],
            centroids=centroids,
            random_state=seed,
        )
    if name not in _classes():
        raise SettingError(f"strategy {name!r} is not installed here (any more): install it, or choose another one")
    return _classes()[name](random_state=seed)


@cache
def _classes() -> dict[str, type[QueryStrategy]]:
    # Asking every installed package takes milliseconds, and what is installed does not change while we run.
    from poolselect import strategies

    return strategies()
