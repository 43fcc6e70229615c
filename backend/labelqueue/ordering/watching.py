"""Watching a campaign: what each training changed, and the learning curve. Nothing noted here changes an order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..block import draws, find
from ..labels import Value
from ..learning import Trust
from ..stopping import LEAST, SAMPLE, Mark, due, hints, measure, step
from .campaign_state import CampaignState
from .snapshot import Snapshot, Tasks

__all__ = ["curve_of", "with_mark", "with_step"]

STEPS = 300  # that are kept


def with_step(before: CampaignState, after: CampaignState, tasks: Tasks, trust: Trust) -> CampaignState:
    """Return the state after a training with what the training changed.

    Parameters
    ----------
    before, after : CampaignState
        What was learned is in `after` already.
    tasks : Tasks
        Every known task.
    trust : Trust
        From the guesses that were made before the training.
    """
    if after.generation != before.generation:  # other vectors, another curve
        before, after = replace(before, model=None), replace(after, steps=(), marks=())
    if after.model is None or after.predictions is None:
        return replace(after, steps=(), marks=())
    fresh = tasks.ids[~np.isin(tasks.ids, np.fromiter(after.trained_on, np.int64, len(after.trained_on)))]
    old = None if before.model is None or before.predictions is None else (before.model, before.predictions)
    taken = step(
        old,
        (after.model, after.predictions),
        fresh,
        labels=after.model.labels,
        guessed=trust.balanced_accuracy if trust.count else None,
        guesses=trust.count,
    )
    # Marks of more labels belong to labels that are gone.
    marks = tuple(mark for mark in after.marks if mark.labels <= taken.labels)
    return replace(after, steps=(*after.steps, taken)[-STEPS:], marks=marks)


def with_mark(state: CampaignState, snapshot: Snapshot, classes: Sequence[str]) -> CampaignState:
    """Return the state with one more mark of the learning curve, when one is due.

    Parameters
    ----------
    state : CampaignState
        As it is after this look's labels.
    snapshot : Snapshot
        Its embeddings are read only when a mark is due.
    classes : sequence of str
        Of the label config.
    """
    model = state.model
    if model is None or state.generation != snapshot.generation or tuple(classes) != state.classes:
        return state
    if not due(state.marks, model.labels):
        return state
    mark = mark_of(state, snapshot, classes)
    return state if mark is None else replace(state, marks=(*state.marks, mark))


def mark_of(state: CampaignState, snapshot: Snapshot, classes: Sequence[str]) -> Mark | None:
    """Return the mark of the present model, whether one is due or not; None when there is nothing to measure."""
    rows, model = snapshot.rows, state.model
    labeled = np.array(sorted(state.trained_on), dtype=np.int64)
    at = find(rows.ids, labeled)
    labeled, at = labeled[at >= 0], at[at >= 0]
    if model is None or not at.size:
        return None
    others = np.setdiff1d(np.arange(len(rows)), at)
    others = others[np.argsort(draws(f"learning curve {state.seed}", rows.ids[others]), kind="stable")[:SAMPLE]]
    return measure(
        rows.embeddings[at].astype(np.float32),
        [state.trained_on[task] for task in labeled.tolist()],
        rows.embeddings[others].astype(np.float32),
        model=model,
        classes=classes,
        tasks=len(rows),
        seed=state.seed,
    )


def curve_of(state: CampaignState, labels: Mapping[int, Value], *, teaches: bool) -> dict[str, Any]:
    """Return the learning curve as people are told of it, ready for JSON; the forecast follows from it.

    Parameters
    ----------
    state : CampaignState
    labels : mapping
        Every label there is.
    teaches : bool
        Whether the label config has a control to learn from.
    """
    waits = ""
    if not state.marks:
        if not teaches:
            waits = "the label config has no control to learn from"
        elif len(labels) < LEAST:
            waits = f"it takes {LEAST} labels, there are {len(labels)}"
        elif state.model is None:
            waits = "all labels say the same so far"
        else:
            waits = "it comes with the next training"
    controls: dict[int, list[bool]] = {}
    for guess in state.guesses:
        if guess.control and guess.task in labels:
            controls.setdefault(guess.labels, []).append(guess.predicted == labels[guess.task])
    return {
        "waits_for": waits,
        "several": state.model is not None and state.model.multi,
        "marks": [mark.dump() for mark in state.marks],
        "steps": [taken.dump() for taken in state.steps],
        "hints": [hint.as_dict() for hint in hints(state.steps)] if state.model is not None else [],
        "controls": [{"labels": at, "right": sum(hits), "count": len(hits)} for at, hits in controls.items()],
    }
