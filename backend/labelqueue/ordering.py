"""When an order is due, and which tasks it holds: pure functions over what is known of a project."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from poolselect import FreeSel, Pool, QueryStrategy, Random

from .block import Block
from .order import Order, Place
from .project import ANNOTATED, SKIPPED, UNLABELED, TaskRow

__all__ = ["Due", "due", "make_strategy", "rank_tasks", "refill_threshold", "size_of"]

SPARE = 2  # spare tail, in heads
GROWTH = 2.0  # while images still arrive, a new order is made each time the embedded pool has doubled


@dataclass(frozen=True)
class Due:
    """What is due now: a new order, a refill of the live one, or nothing."""

    action: Literal["new", "refill", "none"]
    why: str


def refill_threshold(horizon: int, annotators: int) -> int:
    """Return the number of open published tasks below which the order is refilled.

    The spare tail stands by while a refill runs; a fifth of the head, or two tasks per annotator, is left of the head.
    """
    return SPARE * horizon + max(2 * annotators, horizon // 5)


def due(
    live: Order | None,
    *,
    tasks: Mapping[int, TaskRow],
    embedded: int,
    arrivals: int,
    arriving: bool,
    strategy: str,
    parameters: Mapping[str, Any],
    generation: str,
    horizon: int,
    annotators: int,
    hold: bool,
) -> Due:
    """Decide what is due.

    Parameters
    ----------
    live : Order or None
        The order Label Studio serves.
    tasks : mapping
        Every known task.
    embedded, arrivals : int
        Rows in the cache now, and rows ever embedded.
    arriving : bool
        Whether images still wait to be embedded.
    strategy, parameters, generation
        What an order made now would be made with.
    horizon, annotators : int
        Tasks in the head; people who annotated within the last hour.
    hold : bool
        A person chose an older order: it is refilled but not replaced.
    """
    if not embedded:
        return Due("none", "no image is embedded yet")
    if live is None:
        return Due("new", "first order")
    if not hold:
        if (live.strategy, dict(live.parameters)) != (strategy, dict(parameters)):
            return Due("new", "settings changed")
        if live.generation != generation:
            return Due("new", "the images were embedded anew")
        if arrivals > live.arrivals and (not arriving or embedded >= GROWTH * live.embedded):
            return Due("new", f"{arrivals - live.arrivals} more images are embedded")
    published = {place.task for place in live.places}
    still_open = sum(1 for task in published if task in tasks and tasks[task].state == UNLABELED)
    unpublished = sum(1 for task, row in tasks.items() if row.state != ANNOTATED and task not in published)
    if unpublished and still_open < refill_threshold(horizon, annotators):
        return Due("refill", f"{still_open} published tasks are left")
    return Due("none", "the live order holds")


def size_of(horizon: int, annotators: int) -> int:
    """Return how many open tasks an order is published with: head and spare tail, and always half a head more than the
    threshold of its refill, however many people annotate."""
    return max((1 + SPARE) * horizon, refill_threshold(horizon, annotators) + horizon // 2)


def make_strategy(name: str, settings: Mapping[str, Any]) -> QueryStrategy:
    """Return the query strategy that the project settings ask for."""
    if name == "random":
        return Random(random_state=settings["seed"])
    return FreeSel(trials=settings["trials"], random_state=settings["seed"])


def rank_tasks(
    strategy: QueryStrategy,
    rows: Block,
    tasks: Mapping[int, TaskRow],
    *,
    size: int,
    published: Collection[int] = (),
    quarantined: Mapping[int, tuple[str, str]] | None = None,
) -> list[Place]:
    """Rank the next tasks: the strategy's picks, tasks not embedded yet, skipped ones, and last those with a bad image.

    An order is a pure function of the rows sorted by task id, the states, and the strategy with its seed; arrival
    history and workers never enter.

    Parameters
    ----------
    strategy : QueryStrategy
        Ranks the embedded, unlabeled, unpublished tasks. Annotated, skipped and already published ones count as
        selected: what they show needs no second look.
    rows : Block
        Embedded tasks in ascending order of id.
    tasks : mapping
        Every known task; a row without a task is ignored.
    size : int
        How many to rank.
    published : collection of int
        Tasks of the live order, when this is its refill.
    quarantined : mapping, optional
        Tasks whose image cannot be used: id to (URI, reason).

    Returns
    -------
    list of Place
        At most `size` places, best first.
    """
    known = np.array([task in tasks for task in rows.ids.tolist()], dtype=bool)
    rows = rows.take(np.flatnonzero(known))
    states = [tasks[task].state for task in rows.ids.tolist()]
    taken = set(published)
    candidates = np.array(
        [state == UNLABELED and task not in taken for task, state in zip(rows.ids.tolist(), states, strict=True)],
        dtype=bool,
    )
    places: list[Place] = []
    if candidates.any():
        pool = Pool(
            ids=rows.ids,
            embeddings=rows.embeddings.astype(np.float32),
            patterns=rows.patterns.astype(np.float32),
            offsets=rows.offsets,
            candidates=candidates,
            selected=~candidates,
        )
        selection = strategy.query(pool, batch_size=min(size, int(candidates.sum())))
        places = [
            Place(int(rows.ids[row]), reason) for row, reason in zip(selection.indices, selection.reasons, strict=True)
        ]
    embedded = set(rows.ids.tolist())
    rest = sorted(task for task in tasks if task not in taken)
    bad = {
        task: reason for task, (uri, reason) in (quarantined or {}).items() if task in tasks and tasks[task].uri == uri
    }
    left = [task for task in rest if task not in embedded and tasks[task].state == UNLABELED]
    places += [Place(task, "its image is not embedded yet") for task in left if task not in bad]
    places += [Place(task, "skipped before") for task in rest if tasks[task].state == SKIPPED]
    places += [Place(task, f"bad image: {bad[task]}") for task in left if task in bad]
    return places[:size]
