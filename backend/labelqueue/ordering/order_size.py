"""How many tasks are published: the head and its spare tail, and when few of them are left."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from .order import Order, Place
from .snapshot import Tasks

__all__ = ["OrderSize", "head_size", "open_places", "order_size", "runs_low"]

SPARE = 2  # spare tail of a head that is fixed, in heads
ALONE = 6  # the part of an hour without us that a queue stands: ten minutes
RESERVE = 40  # open tasks that are always left: nobody knows yet how fast people will be
STEP = 20  # labels between two orders, or refills, at least
FASTEST = 3_600  # labels of one person in an hour: more were imported
MOST = 5_000  # tasks, whatever the pace: publishing takes long, and so many are out of date soon


@dataclass(frozen=True)
class OrderSize:
    """How many open tasks an order has.

    Attributes
    ----------
    full : int
        When it is published or refilled.
    low : int
        When a refill is due: with fewer. It is what still serves people while a refill, or a new order, is made, or
        while nobody makes one.
    """

    full: int
    low: int


def order_size(horizon: int | None, *, annotators: int, pace: int = 0, cycle: int = 0) -> OrderSize:
    """Return how many tasks are published.

    Parameters
    ----------
    horizon : int or None
        Tasks in the head, with twice as many as a spare tail that stands by while a refill runs; None follows what
        people need.
    annotators : int
        People who annotated within the last hour.
    pace : int
        Tasks that are labeled per hour.
    cycle : int
        Labels until the next training, and with it a new order.

    Notes
    -----
    Fixed, a fifth of the head, or two tasks per annotator, are left of it when a refill is due; half a head is always
    refilled. Else what is needed until a new order comes is published, and as a reserve two tasks per annotator and
    ten minutes at this pace.
    """
    if horizon is not None:
        low = SPARE * horizon + max(2 * annotators, horizon // 5)
        return OrderSize(max((1 + SPARE) * horizon, low + horizon // 2), low)
    pace = min(pace, FASTEST * max(annotators, 1))
    low = min(max(2 * annotators + -(-pace // ALONE), RESERVE), MOST // 2)
    return OrderSize(min(low + max(cycle, STEP), MOST), low)


def head_size(places: int, horizon: int | None, *, annotators: int, pace: int = 0) -> int:
    """Return how many of an order's open places are its head; the others are the spare tail, see `order_size`."""
    if horizon is not None:
        return min(places, horizon)
    return max(places - order_size(None, annotators=annotators, pace=pace).low, 0)


def open_places(order: Order | None, tasks: Tasks) -> list[Place]:
    """Return what of an order's queue can still be served, in turn, but for what stands at its end since an admin left
    it out or pinned it no longer."""
    if order is None:
        return []
    return list(compress(order.standing[0], _still(order, tasks).tolist()))


def runs_low(live: Order | None, tasks: Tasks, low: int) -> bool:
    """Tell whether a refill is due: fewer than `low` tasks of the live order are left, and there are others."""
    if live is None or np.count_nonzero(_still(live, tasks)) >= low:
        return False
    return bool((~tasks.annotated & ~tasks.out & ~tasks.among(live.home.keys())).any())


def _still(order: Order, tasks: Tasks) -> NDArray[np.bool_]:
    """Return which of an order's standing places can still be served."""
    at = tasks.find(order.standing[1])
    return (at >= 0) & tasks.free[at] if len(tasks) else at >= 0
