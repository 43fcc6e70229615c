"""The law of pins: pinned tasks come first, random controls keep their positions, what is left out comes last.

The places of an order stay as the strategy put them. What is worked out here is its overlay: the scores that have to be
other ones than those of the ranks, and as few of them as can be, since each is a write to Label Studio.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from operator import lt

from .order import END, Order, Overlay, Place, score

__all__ = ["arranged", "moved"]

ROUNDS = 5
STEP = 1e-11  # from one score to the next at the end; a million of them fit before 1


def moved(before: Order, after: Order) -> set[int]:
    """Return the tasks whose prediction has another score in an order than in the same one before, or is new."""
    scores = before.scores
    return {task for task, at in after.scores.items() if scores.get(task) != at}


def arranged(
    order: Order,
    pins: Sequence[Place],
    excluded: Mapping[int, str],
    done: Collection[int] = (),
    *,
    act: int = 0,
    fresh: bool = False,
) -> Order | None:
    """Return an order with the overlay that it should have.

    Parameters
    ----------
    order : Order
        As it is published.
    pins : sequence of Place
        Pinned tasks that come first, in the strategy's order. One with `control` set is a random control among the
        order's places, and stays at its position.
    excluded : mapping of int to str
        Tasks that are left out, and why.
    done : collection of int
        Tasks of the queue that are not to be served any more. They stay where they are.
    act : int
        Number of the newest act that this follows.
    fresh : bool
        The order is not published yet, so that every score is free.

    Returns
    -------
    Order or None
        None when there is no room between two scores: then it has to be published anew.

    Notes
    -----
    A position is counted over what was served and what will be. So the control of rank r has r tasks before it,
    whichever they are, but at the end of the queue, where there may be fewer.
    """
    found = _once(order, pins, excluded, done, act, fresh)
    if found == order and not fresh:
        return order
    # Where a control that comes back stands among what was served shows once it stands there.
    for _ in range(ROUNDS):
        again = None if found is None else _once(found, pins, excluded, done, act, False)
        if again is None or again == found:
            break
        found = again
    return found


def _once(
    order: Order, pins: Sequence[Place], excluded: Mapping[int, str], done: Collection[int], act: int, fresh: bool
) -> Order | None:
    before = Overlay() if fresh else order.overlay
    home, now = order.home, order.home if fresh else order.scores
    wanted = {pin.task: pin for pin in pins if pin.task not in excluded}
    over = {task for task in done if task in now and task not in wanted}
    # A prediction is never deleted: somebody may have its form open, whose answer Label Studio would then refuse. What
    # was pinned, and is no place of this order, waits at the end.
    out = [task for task in now if task not in over and (task in excluded or (task not in home and task not in wanted))]
    elsewhere, walls = {*out, *over}, sorted(now[task] for task in over)
    sequence = _sequence(order, wanted, elsewhere, walls)
    scores = _scores(sequence, {} if fresh else now, home, walls, score(len(order.places)))
    if scores is None:
        return None
    last = max([END, *(now[task] for task in now if now[task] < 1)])
    for task in out:
        scores[task] = now[task] if now[task] >= END and not fresh else (last := last + STEP)
    if last >= 1:
        return None
    scores |= {task: before.scores[task] for task in over if task in before.scores}
    standing = {pin.task: pin for pin in before.pins if pin.task in elsewhere} | wanted
    overlay = Overlay(
        scores={task: at for task, at in scores.items() if home.get(task) != at},
        pins=tuple(standing.values()),
        excluded={task: excluded[task] for task in out if task in excluded},
        act=act,
    )
    return replace(order, overlay=overlay)


def _sequence(
    order: Order, pins: Mapping[int, Place], elsewhere: Collection[int], served: Sequence[float]
) -> list[int]:
    """Return the tasks that are to be served, in turn: pins, then places, around the controls."""
    now = order.scores
    stay: dict[int, int] = {}
    least = 0
    for rank, place in order.drawn:
        if place.task not in elsewhere and (place.task not in pins or pins[place.task].control):
            here = now[place.task] if now[place.task] < END else score(rank)
            at = max(rank - bisect_left(served, here), least)
            stay[at] = place.task
            least = at + 1
    controls = {*stay.values()}
    others = [task for task in order.home if task not in elsewhere and task not in pins]
    rest = [task for task in (*pins, *others) if task not in controls]
    found: list[int] = []
    taken = 0
    for at, task in stay.items():  # ascending
        more = at - len(found)
        found += [*rest[taken : taken + more], task]
        taken += more
    return [*found, *rest[taken:]]


def _scores(
    sequence: Sequence[int], now: Mapping[int, float], home: Mapping[int, float], walls: Sequence[float], end: float
) -> dict[int, float] | None:
    """Return scores that ascend along a sequence, as many as can be as they are now; None where no room is left.

    Parameters
    ----------
    sequence : sequence of int
        Tasks.
    now, home : mapping of int to float
        Score of each task that has one, and that of its rank.
    walls : sequence of float
        Scores of tasks that were served, ascending. What moves goes behind the last one that fits.
    end : float
        Above all scores.
    """
    tied = now or home
    values = [tied.get(task, 1.0) for task in sequence]
    if all(map(lt, values, [*values[1:], end])):  # nothing moves
        return dict(zip(sequence, values, strict=True))
    standing = [task for task in sequence if tied.get(task, 1.0) < end]
    kept = {standing[at] for at in _longest([tied[t] for t in standing], [tied[t] == home.get(t) for t in standing])}
    scores: dict[int, float] = {}
    low, gap = 0.0, list[int]()
    for task in (*sequence, None):
        if task is not None and task not in kept:
            gap.append(task)
            continue
        high = end if task is None else tied[task]
        if gap:
            at = bisect_left(walls, high)
            filled = _filled(gap, max(low, walls[at - 1] if at else 0.0), high, home)
            if filled is None:
                return None
            scores |= filled
            gap = []
        if task is not None:
            scores[task] = low = high
    return scores


def _filled(gap: Sequence[int], low: float, high: float, home: Mapping[int, float]) -> dict[int, float] | None:
    """Return scores for tasks between two scores: those of their ranks where these ascend, evenly spread between."""
    fitting = [task for task in gap if low < home.get(task, 0.0) < high]
    back = {fitting[at] for at in _longest([home[task] for task in fitting], [True] * len(fitting))}
    found: dict[int, float] = {}
    run: list[int] = []
    for task in (*gap, None):
        if task is not None and task not in back:
            run.append(task)
            continue
        top = high if task is None else home[task]
        for number, one in enumerate(run, 1):
            found[one] = low + (top - low) * number / (len(run) + 1)
        ladder = [low, *(found[one] for one in run), top]
        if any(b <= a for a, b in pairwise(ladder)):
            return None
        run = []
        if task is not None:
            found[task] = low = top
    return found


def _longest(values: Sequence[float], favored: Sequence[bool]) -> list[int]:
    """Return the positions of the longest ascending run in a sequence, with as many favored ones as can be."""
    rank = {value: number for number, value in enumerate(sorted(set(values)), 1)}
    best: list[tuple[int, int, int]] = [(0, 0, -1)] * (len(rank) + 1)  # a Fenwick tree of maxima: length, favored, end
    before: list[int] = []
    top = (0, 0, -1)
    for position, value in enumerate(values):
        at, found = rank[value] - 1, (0, 0, -1)
        while at > 0:
            found = max(found, best[at])
            at -= at & -at
        before.append(found[2])
        mine = (found[0] + 1, found[1] + favored[position], position)
        top = max(top, mine)
        at = rank[value]
        while at < len(best):
            best[at] = max(best[at], mine)
            at += at & -at
    run: list[int] = []
    position = top[2]
    while position >= 0:
        run.append(position)
        position = before[position]
    return run[::-1]
