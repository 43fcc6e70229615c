"""Which tasks stand next in the queue: the strategy's picks, random controls among them, and what comes after."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..block import Block
from ..learning import Model, is_blank, prelabel
from .order import Place
from .random_controls import control_order, is_control, shares
from .recipe import Recipe
from .snapshot import Tasks

if TYPE_CHECKING:
    from poolselect import Selection

__all__ = ["NOT_EMBEDDED", "NO_FEATURES", "fill_in", "rank_tasks"]

CONTROL = "random control"
NOT_EMBEDDED = "its image is not embedded yet"
NO_FEATURES = "it has no rotation features yet: run `labelqueue pretext` again"


def rank_tasks(
    recipe: Recipe,
    rows: Block,
    tasks: Tasks,
    *,
    size: int,
    first: int,
    published: Collection[int] = (),
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
    tasks : Tasks
        Every known task; a row without a task is ignored.
    size : int
        How many to rank.
    first : int
        Absolute position in the queue of the first of them: tasks annotated or skipped when the order began, and
        places it has already. Which positions are controls depends on it.
    published : collection of int
        Tasks of the live order, when this is its refill.
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
    at = tasks.find(rows.ids)
    known = at >= 0
    if not known.all():
        rows, at = rows.take(np.flatnonzero(known)), at[known]
        probabilities = None if probabilities is None else probabilities[known]
    waiting = ~tasks.among(published)  # not published yet
    candidates = (tasks.unlabeled & waiting)[at]
    places: list[Place] = []
    if candidates.any():
        from poolselect import Pool

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
    without = waiting & tasks.unlabeled
    without[at] = False
    bad = tasks.among(tasks.bad.keys())

    def first_of(which: NDArray[np.bool_]) -> list[int]:
        some: list[int] = tasks.ids[which][: max(size - len(places), 0)].tolist()
        return some

    places += [Place(task, missing) for task in first_of(without & ~bad)]
    places += [Place(task, "skipped before") for task in first_of(waiting & tasks.skipped)]
    places += [Place(task, f"bad image: {tasks.bad[task]}") for task in first_of(without & bad)]
    return places


def fill_in(
    places: Sequence[Place],
    model: Model,
    probabilities: NDArray[np.float32],
    tasks: Tasks,
    recipe: Recipe,
) -> list[Place]:
    """Return places with pre-labels where the model is sure enough, and never on a control.

    Parameters
    ----------
    places : sequence of Place
        As `rank_tasks` returns them.
    model : Model
    probabilities : ndarray of shape (n, c), float32
        What it predicts for each row of embeddings.
    tasks, recipe
        See `rank_tasks`. The recipe must ask for pre-labels.

    Notes
    -----
    As many chosen tasks as there are controls are left empty too, at random: an empty form tells no control.
    """
    assert recipe.prelabel is not None
    ids = np.array([place.task for place in places], dtype=np.int64)
    rows, blank = tasks.rows_of(ids), is_blank(recipe.strategy.random_state, ids, recipe.blank_share)
    return [
        place
        if place.control or empty or row < 0
        else replace(place, prelabel=prelabel(model, probabilities[row], recipe.prelabel))
        for place, row, empty in zip(places, rows.tolist(), blank.tolist(), strict=True)
    ]


def _with_controls(
    recipe: Recipe, ids: NDArray[np.int64], candidates: NDArray[np.int64], selection: Selection, first: int
) -> Iterator[Place]:
    """Yield the strategy's picks with controls at their positions, as many as were picked.

    A control is the next candidate of a random permutation that does not stand in front of it already: of the tasks
    still unlabeled when it is served, each is as likely as any other.
    """
    seed = recipe.strategy.random_state
    chances = shares(first, len(selection), recipe.control_share, recipe.control_share_start)
    controls = is_control(seed, first, len(selection), chances)
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
