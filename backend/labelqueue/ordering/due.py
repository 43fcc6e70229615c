"""What is due: a new order, a refill of the live one, or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .order import Order
from .order_size import open_places, runs_low
from .recipe import Recipe
from .snapshot import Tasks

__all__ = ["Due", "due"]

GROWTH = 2.0  # while images still arrive, a new order is made each time the embedded pool has doubled
LEARNED = {"model", "cycle", "cycles", "cycle_size", "balancing_factor", "n_clusters"}  # parameters that training moves


@dataclass(frozen=True)
class Due:
    """What is due now, and why."""

    action: Literal["new", "refill", "none"]
    why: str


def due(
    live: Order | None,
    *,
    tasks: Tasks,
    embedded: int,
    arrivals: int,
    arriving: bool,
    recipe: Recipe,
    generation: str,
    low: int,
    hold: bool,
    cut_short: bool = False,
    lost: str = "",
    learned: str = "",
) -> Due:
    """Decide what is due.

    Parameters
    ----------
    live : Order or None
        The order Label Studio serves.
    tasks : Tasks
        Every known task.
    embedded, arrivals : int
        Tasks with embeddings now, and rows ever embedded.
    arriving : bool
        Whether images still wait to be embedded.
    recipe, generation
        What an order made now would be made with.
    low : int
        Open published tasks below which the live order is refilled.
    hold : bool
        A person chose an older order: it is refilled but not replaced.
    cut_short : bool
        The last refill ended half-way.
    lost : str
        What Label Studio no longer has of the live order; empty when it has everything.
    learned : str
        Why what was learned asks for a new order; empty when it does not.
    """
    if not embedded:
        return Due("none", "no image is embedded yet")
    if live is None:
        return Due("new", "first order")
    if cut_short:
        return Due("new", "the refill before it failed")
    if lost:
        return Due("new", lost)
    if not hold:
        if learned:
            return Due("new", learned)
        if changed := _changed(live, recipe):
            return Due("new", changed)
        if live.generation != generation:
            return Due("new", "the images were embedded anew")
        if arrivals > live.arrivals and (not arriving or embedded >= GROWTH * live.embedded):
            return Due("new", f"{arrivals - live.arrivals} more images are embedded")
    if runs_low(live, tasks, low):
        return Due("refill", f"{len(open_places(live, tasks))} published tasks are left")
    return Due("none", "the live order holds")


def _changed(live: Order, recipe: Recipe) -> str:
    """Return what an order made now would be made with in another way than the live one; empty when nothing."""
    now = recipe.parameters
    differing = {key for key in live.parameters.keys() | now.keys() if live.parameters.get(key) != now.get(key)}
    if live.strategy == type(recipe.strategy).__name__ and differing <= LEARNED:
        return "the model has learned more since" if differing else ""
    return "settings changed"
