"""What is due: a new order, a refill of the live one, or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .order import Order, Place
from .recipe import Recipe
from .snapshot import Tasks

__all__ = ["Due", "due", "open_places", "refill_threshold", "runs_low", "size_of"]

SPARE = 2  # spare tail, in heads
GROWTH = 2.0  # while images still arrive, a new order is made each time the embedded pool has doubled
LEARNED = {"model", "cycle", "cycles", "cycle_size", "balancing_factor"}  # parameters that training moves


@dataclass(frozen=True)
class Due:
    """What is due now, and why."""

    action: Literal["new", "refill", "none"]
    why: str


def refill_threshold(horizon: int, annotators: int) -> int:
    """Return the number of open published tasks below which the order is refilled.

    The spare tail stands by while a refill runs; a fifth of the head, or two tasks per annotator, is left of the head.
    """
    return SPARE * horizon + max(2 * annotators, horizon // 5)


def size_of(horizon: int, annotators: int) -> int:
    """Return how many open tasks an order is published with: head and spare tail, and always half a head more than the
    threshold of its refill, however many people annotate."""
    return max((1 + SPARE) * horizon, refill_threshold(horizon, annotators) + horizon // 2)


def open_places(order: Order | None, tasks: Tasks) -> list[Place]:
    """Return the places of an order that can still be served."""
    if order is None:
        return []
    still = tasks.open([place.task for place in order.places])
    return [place for place, served in zip(order.places, still.tolist(), strict=True) if served]


def runs_low(live: Order | None, tasks: Tasks, *, horizon: int, annotators: int) -> bool:
    """Tell whether a refill is due: few tasks of the live order are left, and there are others to publish."""
    if live is None or len(open_places(live, tasks)) >= refill_threshold(horizon, annotators):
        return False
    return bool((~tasks.annotated & ~tasks.among({place.task for place in live.places})).any())


def due(
    live: Order | None,
    *,
    tasks: Tasks,
    embedded: int,
    arrivals: int,
    arriving: bool,
    recipe: Recipe,
    generation: str,
    horizon: int,
    annotators: int,
    hold: bool,
    cut_short: bool = False,
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
    horizon, annotators : int
        Tasks in the head; people who annotated within the last hour.
    hold : bool
        A person chose an older order: it is refilled but not replaced.
    cut_short : bool
        The last refill ended half-way.
    learned : str
        Why what was learned asks for a new order; empty when it does not.
    """
    if not embedded:
        return Due("none", "no image is embedded yet")
    if live is None:
        return Due("new", "first order")
    if cut_short:
        return Due("new", "the refill before it failed")
    if not hold:
        if learned:
            return Due("new", learned)
        if changed := _changed(live, recipe):
            return Due("new", changed)
        if live.generation != generation:
            return Due("new", "the images were embedded anew")
        if arrivals > live.arrivals and (not arriving or embedded >= GROWTH * live.embedded):
            return Due("new", f"{arrivals - live.arrivals} more images are embedded")
    if runs_low(live, tasks, horizon=horizon, annotators=annotators):
        return Due("refill", f"{len(open_places(live, tasks))} published tasks are left")
    return Due("none", "the live order holds")


def _changed(live: Order, recipe: Recipe) -> str:
    """Return what an order made now would be made with in another way than the live one; empty when nothing."""
    now = recipe.parameters
    differing = {key for key in live.parameters.keys() | now.keys() if live.parameters.get(key) != now.get(key)}
    if live.strategy == type(recipe.strategy).__name__ and differing <= LEARNED:
        return "the model has learned more since" if differing else ""
    return "settings changed"
