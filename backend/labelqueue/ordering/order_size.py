"""How many tasks are published: the head and its spare tail, and when few of them are left."""

from __future__ import annotations

from .order import Order, Place
from .snapshot import Tasks

__all__ = ["open_places", "refill_threshold", "runs_low", "size_of"]

SPARE = 2  # spare tail, in heads


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
