"""Which tasks stand next in the queue: the strategy's picks, random controls among them, and what comes after."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..block import Block, widened
from ..learning import Model, control_order, is_blank, is_control, prelabel, shares
from .order import Place
from .recipe import Recipe
from .snapshot import Tasks

if TYPE_CHECKING:
    from poolselect import Balance, Selection

__all__ = [
    "BLOCK",
    "NOT_EMBEDDED",
    "NO_FEATURES",
    "SKIPPED_BEFORE",
    "Said",
    "ask",
    "balance_of",
    "fill_in",
    "rank_tasks",
]

# Places that are shared out at once, from twice as many picks; what values lack among those is asked for, so many at a
# time. Always as many, however many are wanted: of more places, fewer are the beginning.
BLOCK, MORE = 100, 20
Picks = list[tuple[int, str]]  # rows, and why

CONTROL, DUPLICATE = "random control", "near-duplicate of task"
NOT_EMBEDDED = "its image is not embedded yet"
SKIPPED_BEFORE = "skipped before"
NO_FEATURES = "it has no rotation features yet: run `labelqueue pretext` again"


Facts = dict[Hashable, Any]


class Said(NamedTuple):
    """What a model says of rows: see `rank_tasks`."""

    probabilities: NDArray[np.float32]
    class_names: tuple[str, ...]
    multilabel: bool


def ask(
    recipe: Recipe,
    rows: Block,
    among: NDArray[np.bool_],
    selected: NDArray[np.bool_],
    count: int,
    said: Said | None,
    facts: Facts | None = None,
) -> Selection:
    """Ask a recipe's strategy for some rows.

    Parameters
    ----------
    recipe, rows
        See `rank_tasks`.
    among, selected : ndarray of shape (n,), bool
        Which rows it may choose, and which count as chosen before.
    count : int
        How many; fewer where there are no more.
    said : Said or None
        What the model says of the rows.
    facts : dict, optional
        What is known of the vectors, see `poolselect.Pool`.
    """
    from poolselect import Pool

    shared = rows.patterns is rows.embeddings
    pool = Pool(
        ids=rows.ids,
        embeddings=_vectors(recipe, rows.embeddings),
        patterns=None if shared else _vectors(recipe, rows.patterns),
        offsets=None if shared else rows.offsets,
        probabilities=None if said is None else said.probabilities,
        class_names=None if said is None else said.class_names,
        multilabel=said is not None and said.multilabel,
        candidates=among,
        selected=selected,
        facts=facts,
    )
    return recipe.strategy.query(pool, batch_size=min(count, int(among.sum())))


def _vectors(recipe: Recipe, vectors: NDArray[np.float16]) -> NDArray[np.float32]:
    """Return vectors as a strategy takes them: those in a file stay there, if the strategy is one of ours.

    A third party's may expect plain arrays.
    """
    wide = widened(vectors)
    return wide if type(recipe.strategy).__module__.startswith("poolselect.") else np.asarray(wide[:])


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
    leaders: Mapping[int, int] | None = None,
    balance: Balance | None = None,
    facts: Facts | None = None,
) -> list[Place]:
    """Rank the next tasks: the strategy's picks with random controls among them, tasks not embedded yet,
    near-duplicates, skipped ones, those with a bad image, and last those that an admin left out.

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
    leaders : mapping of int to int, optional
        Near-duplicates, each with the task that stands for it. A control may be one of them: then it stands for its
        group, and the leader goes to the others.
    balance : Balance, optional
        Shares the places out among the values that tasks have of a field, and counts them; then a size of at most
        `BLOCK`. Near-duplicates and what comes after stand outside.
    facts : dict, optional
        What was worked out of these very rows before, see `poolselect.Pool`; it is added to.

    Returns
    -------
    list of Place
        At most `size` places, best first.
    """
    at, out = tasks.find(rows.ids), tasks.out
    known = at >= 0
    known[known] = ~out[at[known]]
    if not known.all():
        rows, at, facts = rows.take(np.flatnonzero(known)), at[known], None  # of others
        probabilities = None if probabilities is None else probabilities[known]
    facts = {} if facts is None else facts
    waiting = ~tasks.among(published)  # not published yet
    candidates = (tasks.unlabeled & waiting)[at]
    leaders = leaders or {}
    stands_for = {leaders[task]: task for task in published if task in leaders}

    def query(among: NDArray[np.bool_], selected: NDArray[np.bool_], count: int) -> Selection:
        said = None if probabilities is None else Said(probabilities, class_names, multilabel)
        return ask(recipe, rows, among, selected, count, said, facts)

    def rank(among: NDArray[np.bool_], drawn: NDArray[np.bool_], done: int, leaders: Mapping[int, int]) -> list[Place]:
        """Rank some rows, with controls of those that may be drawn."""
        if not among.any() or done >= size:
            return []
        selection = query(among, ~drawn, size - done)
        row_ids = rows.ids[among].tolist()
        walk = _with_controls(recipe, rows.ids, np.flatnonzero(drawn), selection, row_ids, leaders, first + done)
        return list(islice(walk, size - done))

    second = np.isin(rows.ids, np.array([*leaders, *stands_for], dtype=np.int64))
    leading = candidates & ~second
    if balance is None:
        places = rank(leading, candidates, 0, leaders)
    elif not leading.any():
        places = []
    else:
        assert tasks.groups is not None
        shared = _Shared(recipe, rows.ids, tasks.groups[at], leading, candidates, leaders, first)
        places = list(islice(shared.places(balance, query), size))
    without = waiting & tasks.unlabeled & ~out
    without[at] = False
    bad = tasks.among(tasks.bad.keys())

    def first_of(which: NDArray[np.bool_]) -> list[int]:
        some: list[int] = tasks.ids[which][: max(size - len(places), 0)].tolist()
        return some

    places += [Place(task, missing) for task in first_of(without & ~bad)]
    stands_for |= {leaders[place.task]: place.task for place in places if place.task in leaders}
    rest = candidates & ~np.isin(rows.ids, np.array([place.task for place in places], dtype=np.int64))
    for place in rank(rest, rest, len(places), {}):
        other = leaders.get(place.task) or stands_for[place.task]
        places.append(place if place.control else replace(place, reason=f"{DUPLICATE} {other}"))
    places += [Place(task, SKIPPED_BEFORE) for task in first_of(waiting & tasks.skipped & ~out)]
    places += [Place(task, f"bad image: {tasks.bad[task]}") for task in first_of(without & bad)]
    places += [Place(task, tasks.bad[task]) for task in first_of(waiting & out)]
    return places


def balance_of(tasks: Tasks, served: NDArray[np.int64]) -> Balance | None:
    """Return what shares places out among the values that tasks have of a field; None when they are not shared out.

    Parameters
    ----------
    tasks : Tasks
        Every task: the share of a value is that of all tasks.
    served : ndarray of shape (m,), int64
        Tasks that had places before, oldest first.
    """
    if tasks.groups is None or not len(tasks):
        return None
    from poolselect import Balance

    at = tasks.find(served)
    return Balance(np.bincount(tasks.groups) / len(tasks), tasks.groups[at[at >= 0]].tolist())


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
    At least as many chosen tasks as there are controls are left empty too, at random: an empty form tells no control.
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
    recipe: Recipe,
    ids: NDArray[np.int64],
    candidates: NDArray[np.int64],
    selection: Selection,
    ranked: Collection[int],
    leaders: Mapping[int, int],
    first: int,
) -> Iterator[Place]:
    """Yield the strategy's picks with controls at their positions, until every ranked task, or a near-duplicate that
    stands for it, has its place.

    A control is the next candidate of a random permutation that does not stand in front of it already: of the tasks
    still unlabeled when it is served, each is as likely as any other.
    """
    seed, left = recipe.strategy.random_state, set(ranked)
    chances = shares(first, len(candidates), recipe.control_share, recipe.control_share_start)
    controls = is_control(seed, first, len(candidates), chances)
    picks = iter(zip(selection.indices.tolist(), selection.reasons, strict=True))
    drawn = iter(candidates[control_order(ids[candidates], seed, first)].tolist() if controls.any() else ())
    placed: set[int] = set()
    for control in controls:
        if not left:
            break
        if control:
            row, reason = next(row for row in drawn if row not in placed), CONTROL
        else:
            row, reason = next((row, why) for row, why in picks if int(ids[row]) in left)
        placed.add(row)
        task = int(ids[row])
        left.discard(leaders.get(task, task))
        yield Place(task, reason, control=bool(control))


class _Shared:
    """The walk of `_with_controls` where places are shared out among the values that tasks have of a field.

    All controls of the block are drawn first, from all candidates; the picks make room for them, before and after.
    """

    def __init__(
        self,
        recipe: Recipe,
        ids: NDArray[np.int64],
        groups: NDArray[np.int64],
        among: NDArray[np.bool_],
        candidates: NDArray[np.bool_],
        leaders: Mapping[int, int],
        first: int,
    ) -> None:
        self._ids, self._groups, self._selected, self._leaders = ids, groups, ~candidates, leaders
        seed, drawable = recipe.strategy.random_state, np.flatnonzero(candidates)
        chances = shares(first, BLOCK, recipe.control_share, recipe.control_share_start)
        self._controls = np.flatnonzero(is_control(seed, first, BLOCK, chances))
        self._drawn = drawable[control_order(ids[drawable], seed, first)][: self._controls.size].tolist()
        self._left = among.copy()  # rows that have no place yet, nor a near-duplicate that stands for them
        self._open = among.copy()  # those of them that no control is to take
        for row in self._drawn:
            self._take(self._open, row)

    def places(
        self, balance: Balance, query: Callable[[NDArray[np.bool_], NDArray[np.bool_], int], Selection]
    ) -> Iterator[Place]:
        """Yield the block's places, fewer where there are no more tasks."""
        coming = np.full(BLOCK, -1, dtype=np.int64)
        drawn = dict(zip(self._controls.tolist(), self._drawn, strict=False))
        coming[list(drawn)] = self._groups[list(drawn.values())]
        picks = _picked(query(self._left, self._selected, 2 * BLOCK))
        for at in range(BLOCK):
            if not self._left.any():
                return
            if not self._open.any():  # the last ones are controls to be
                self._open = self._left.copy()
                coming[:] = -1
            alive = np.bincount(self._groups[self._open], minlength=balance.values) > 0
            row = drawn.get(at, -1)
            control = row >= 0 and not self._selected[row]
            if not control:
                allowed = balance.allowed(alive, coming[at + 1 :].tolist())[self._groups] & self._open
                found = next(((row, why) for row, why in picks if allowed[row]), None)
                if found is None:
                    more = _picked(query(allowed, self._selected, MORE))
                    picks += more
                    found = more[0]
                row, reason = found
            balance.serve(int(self._groups[row]), alive)
            self._selected[row] = True
            for rows in (self._left, self._open):
                self._take(rows, row)
            yield Place(int(self._ids[row]), CONTROL if control else reason, control=bool(control))

    def _take(self, rows: NDArray[np.bool_], row: int) -> None:
        """Take a task from some rows, and the one that it stands for."""
        rows[row] = False
        if (leader := self._leaders.get(int(self._ids[row]))) is not None:
            rows[self._ids == leader] = False


def _picked(selection: Selection) -> Picks:
    return list(zip(selection.indices.tolist(), selection.reasons, strict=True))
