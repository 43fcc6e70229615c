"""Random controls in the queue: which positions they take, and which tasks stand there.

They have nothing to do with Label Studio's control tags.

Some positions of the queue are controls: their task is drawn at random from all that is still unlabeled, is shown
without a pre-label, and nobody is told. Whether the model was right on a control is an unbiased sample of its accuracy
on what was unlabeled then, whatever the strategy does with the other positions. The argument, step by step:

- whether a position is a control depends on its number only, never on a task (`is_control`); nor does the share, which
  may be another one for the first hundred (`shares`);
- the task is the first of a random permutation that does not stand before it in the order. The permutation is a hash of
  ids, which neither the strategy nor the model sees (`control_order`), so of the tasks left when the position is
  reached each is as likely as any other;
- every order has a permutation of its own. With one for all, tasks that arrive later would be drawn too often: whatever
  is left of the older ones lost the earlier draws, the new ones did not take part in them (simulated: the estimate was
  off by 2.6 points, and the 95 % interval covered the truth in 89 % of campaigns instead of 96 %);
- the prediction is that of the model at the moment its label comes, which it never learned from;
- only a control that was served at its position counts (`served_in_turn`): people also label tasks that they pick by
  hand, for reasons of their own, and a control of theirs is no random task any more. A new order forgets the controls
  that the one before did not come to serve.

Where pre-labels are filled in, an empty form would tell a control. So other tasks are left empty too, at random and at
least as often (`learning.is_blank`): of the empty forms about half are controls, fewer after a larger share at first.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from ..block import draws

__all__ = ["START", "control_order", "is_control", "places_for", "served_in_turn", "shares"]

START = 100  # positions from the project's first label on that may have a share of their own


def shares(first: int, count: int, share: float, start: float | None) -> NDArray[np.float64]:
    """Return the chance of each position to be a control.

    Parameters
    ----------
    first, count : int
        See `is_control`.
    share : float
        From 0 to 1.
    start : float or None
        Of the first hundred positions; None for the same.

    Returns
    -------
    ndarray of shape (count,), float64
    """
    at = np.arange(first, first + count)
    return np.where(at < START, share if start is None else start, share)


def places_for(controls: int, first: int, share: float, start: float | None) -> int | None:
    """Return after how many positions so many controls are to be expected; None when there will never be so many.

    Parameters
    ----------
    controls : int
        Above 0.
    first, share, start
        See `shares`.
    """
    early = max(START - first, 0)
    soon = early * (share if start is None else start)
    if soon >= controls and early:
        return math.ceil(controls * early / soon)
    return early + math.ceil((controls - soon) / share) if share else None


def is_control(seed: int, first: int, count: int, share: float | NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which positions of the queue are controls: a pure function of the seed and the position.

    Parameters
    ----------
    seed : int
        Any integer.
    first : int
        Absolute position of the first one, counted from the project's first label.
    count : int
        How many positions.
    share : float or ndarray of shape (count,)
        Chance of each, from 0 to 1; see `shares`.

    Returns
    -------
    ndarray of shape (count,), bool
    """
    drawn = draws(f"control position {seed}", np.arange(first, first + count, dtype=np.int64))
    return np.asarray((drawn >> np.uint64(11)) * 2.0**-53 < share)


def served_in_turn(
    order: Sequence[int], labeled: Sequence[int], waiting: Collection[int], annotators: int = 1
) -> set[int]:
    """Return which new labels came from the queue, at their task's turn.

    Parameters
    ----------
    order : sequence of int
        Tasks of the live order, by rank.
    labeled : sequence of int
        Tasks whose label is new, oldest label first.
    waiting : collection of int
        Tasks of the order that can still be served now.
    annotators : int
        People at work: each holds a task that the others are not served.

    Notes
    -----
    It is a task's turn when fewer tasks than there are people still wait before it: Label Studio serves the first that
    nobody holds. A task that somebody opened by hand is further back.
    """
    left = {*waiting, *labeled}
    behind = iter(order)
    front: list[int] = []  # those whose turn it is: the queue is walked once, however many labels are new
    served = set()
    for task in labeled:
        while len(front) < max(annotators, 1) and (following := next(behind, None)) is not None:
            if following in left:
                front.append(following)
        if task in front:
            front.remove(task)
            served.add(task)
        left.discard(task)
    return served


def control_order(ids: NDArray[np.int64], seed: int, first: int = 0) -> NDArray[np.int64]:
    """Return a random permutation in which each task's place depends on the ids only, not on their order.

    Parameters
    ----------
    ids : ndarray of shape (n,), int64
        Tasks, each once.
    seed : int
        Any integer.
    first : int
        Absolute position where the order begins: another one is another, independent permutation.

    Returns
    -------
    ndarray of shape (n,), int64
        Rows of `ids`. Without some of the ids the others come in the same sequence.
    """
    return np.argsort(draws(f"control task {seed} {first}", ids))
