"""When an order is due, and which tasks it holds: pure functions over what is known of a project."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from poolselect import Pool, Selection

from ..block import Block
from ..state.project import ANNOTATED, SKIPPED, UNLABELED, TaskRow
from .accuracy import control_order, is_control
from .order import Order, Place
from .recipe import Recipe

__all__ = ["NOT_EMBEDDED", "Due", "due", "open_places", "rank_tasks", "refill_threshold", "runs_low", "size_of"]

SPARE = 2  # spare tail, in heads
GROWTH = 2.0  # while images still arrive, a new order is made each time the embedded pool has doubled
CONTROL = "random control"
LEARNED = {"model", "cycle", "cycles", "cycle_size", "balancing_factor"}  # parameters that training moves
NOT_EMBEDDED = "its image is not embedded yet"


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


def open_places(order: Order | None, tasks: Mapping[int, TaskRow]) -> list[Place]:
    """Return the places of an order that can still be served."""
    places = order.places if order else ()
    return [place for place in places if place.task in tasks and tasks[place.task].state == UNLABELED]


def runs_low(live: Order | None, tasks: Mapping[int, TaskRow], *, horizon: int, annotators: int) -> bool:
    """Tell whether a refill is due: few tasks of the live order are left, and there are others to publish."""
    if live is None or len(open_places(live, tasks)) >= refill_threshold(horizon, annotators):
        return False
    published = {place.task for place in live.places}
    return any(row.state != ANNOTATED and task not in published for task, row in tasks.items())


def due(
    live: Order | None,
    *,
    tasks: Mapping[int, TaskRow],
    embedded: int,
    arrivals: int,
    arriving: bool,
    recipe: Recipe,
    generation: str,
    horizon: int,
    annotators: int,
    hold: bool,
    learned: str = "",
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
    recipe, generation
        What an order made now would be made with.
    horizon, annotators : int
        Tasks in the head; people who annotated within the last hour.
    hold : bool
        A person chose an older order: it is refilled but not replaced.
    learned : str
        Why what was learned just now asks for a new order; empty when it does not.
    """
    if not embedded:
        return Due("none", "no image is embedded yet")
    if live is None:
        return Due("new", "first order")
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


def size_of(horizon: int, annotators: int) -> int:
    """Return how many open tasks an order is published with: head and spare tail, and always half a head more than the
    threshold of its refill, however many people annotate."""
    return max((1 + SPARE) * horizon, refill_threshold(horizon, annotators) + horizon // 2)


def rank_tasks(
    recipe: Recipe,
    rows: Block,
    tasks: Mapping[int, TaskRow],
    *,
    size: int,
    first: int,
    published: Collection[int] = (),
    quarantined: Mapping[int, tuple[str, str]] | None = None,
    probabilities: NDArray[np.float32] | None = None,
    class_names: tuple[str, ...] = (),
    multilabel: bool = False,
    missing: str = NOT_EMBEDDED,
) -> list[Place]:
    """Rank the next tasks: the strategy's picks with random controls among them, tasks not embedded yet, skipped ones,
    and last those with a bad image.

    An order is a pure function of the rows sorted by task id, the states, and the recipe; arrival history and workers
    never enter.

    Parameters
    ----------
    recipe : Recipe
        Its strategy ranks the embedded, unlabeled, unpublished tasks. Annotated, skipped and already published ones
        count as selected: what they show needs no second look.
    rows : Block
        Embedded tasks in ascending order of id.
    tasks : mapping
        Every known task; a row without a task is ignored.
    size : int
        How many to rank.
    first : int
        Absolute position in the queue of the first of them: tasks annotated or skipped when the order began, and
        places it has already. Which positions are controls depends on it.
    published : collection of int
        Tasks of the live order, when this is its refill.
    quarantined : mapping, optional
        Tasks whose image cannot be used: id to (URI, reason).
    probabilities : ndarray of shape (n, c), float32, optional
        What the model predicts for each row.
    class_names : tuple of str, length c
    multilabel : bool
        Whether the rows of `probabilities` are independent of each other.
    missing : str
        Reason given for a task without a row.

    Returns
    -------
    list of Place
        At most `size` places, best first.
    """
    known = np.array([task in tasks for task in rows.ids.tolist()], dtype=bool)
    if not known.all():
        rows = rows.take(np.flatnonzero(known))
        probabilities = None if probabilities is None else probabilities[known]
    taken = set(published)
    candidates = np.array(
        [tasks[task].state == UNLABELED and task not in taken for task in rows.ids.tolist()], dtype=bool
    )
    places: list[Place] = []
    if candidates.any():
        pool = Pool(
            ids=rows.ids,
            embeddings=rows.embeddings.astype(np.float32),
            patterns=rows.patterns.astype(np.float32),
            offsets=rows.offsets,
            probabilities=probabilities,
            class_names=class_names if probabilities is not None else None,
            multilabel=multilabel,
            candidates=candidates,
            selected=~candidates,
        )
        selection = recipe.strategy.query(pool, batch_size=min(size, int(candidates.sum())))
        places = list(_with_controls(recipe, rows.ids, np.flatnonzero(candidates), selection, first))
    embedded = set(rows.ids.tolist())
    rest = sorted(task for task in tasks if task not in taken)
    bad = {
        task: reason for task, (uri, reason) in (quarantined or {}).items() if task in tasks and tasks[task].uri == uri
    }
    left = [task for task in rest if task not in embedded and tasks[task].state == UNLABELED]
    places += [Place(task, missing) for task in left if task not in bad]
    places += [Place(task, "skipped before") for task in rest if tasks[task].state == SKIPPED]
    places += [Place(task, f"bad image: {bad[task]}") for task in left if task in bad]
    return places[:size]


def _with_controls(
    recipe: Recipe, ids: NDArray[np.int64], candidates: NDArray[np.int64], selection: Selection, first: int
) -> Iterator[Place]:
    """Yield the strategy's picks with controls at their positions, as many as were picked.

    A control is the next candidate of a random permutation that does not stand in front of it already: of the tasks
    still unlabeled when it is served, each is as likely as any other.
    """
    seed = recipe.strategy.random_state
    controls = is_control(seed, first, len(selection), recipe.control_share)
    picks = iter(zip(selection.indices.tolist(), selection.reasons, strict=True))
    drawn = iter(candidates[control_order(ids[candidates], seed, first)].tolist() if controls.any() else ())
    placed: set[int] = set()
    for control in controls:
        if control:
            row, reason = next(row for row in drawn if row not in placed), CONTROL
        else:
            row, reason = next((row, why) for row, why in picks if row not in placed)
        placed.add(row)
        yield Place(int(ids[row]), reason, control=bool(control))
