"""What people are told of a look: where learning stands, and what the random controls say of the model.

`admin.status` shows it with everything else that is known of a project.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

from ..labels import Value
from ..learning import waits_for
from .accuracy import ControlRecord, report
from .campaign import Campaign, share_of

__all__ = ["accuracy_summary", "learning_summary"]

NOTHING_TO_LEARN = "a control to learn from, and the label config has none: the cold start orders for ever"


def learning_summary(campaign: Campaign, labels: Mapping[int, Value], *, pool: int) -> dict[str, Any]:
    """Return phase, model and labels.

    Parameters
    ----------
    labels : mapping
        Every label there is, oldest first.
    pool : int
        Tasks in the project.
    """
    state, course, settings = campaign.state, campaign.state.course, campaign.settings
    classes = campaign.classes(labels)
    waits = waits_for(
        course,
        values=list(labels.values()),
        classes=classes,
        multi=campaign.target.multi,
        pool=pool,
        trust=campaign.trust(labels),
        switch_after=settings["switch_after"],
        has_model=state.model is not None,
    )
    if campaign.target.kind == "none":
        waits = [NOTHING_TO_LEARN]
    counts = Counter(name for value in labels.values() for name in ([value] if isinstance(value, str) else value))
    return {
        "phase": course.phase,
        "reason": course.reason,
        "waits_for": waits if course.phase == "cold" else [],
        "cycle": state.cycle.number + 1 if campaign.active() == "bal" else None,
        "labels": len(labels),
        "labels_per_class": {name: counts[name] for name in classes},
        "trained_on": state.model.labels if state.model else 0,
        "unlearned": campaign.unlearned(labels),
        "retrain_every": settings["retrain_every"] or share_of(len(labels)),
        "trust": round(state.trust, 3),
        "model": state.model.fingerprint if state.model else "",
        "regularization": state.model.regularization if state.model else None,
        "prelabels": campaign.least_probability() is not None,
    }


def accuracy_summary(campaign: Campaign, labels: Mapping[int, Value], skipped: Collection[int]) -> dict[str, Any]:
    """Return what the random controls say of the model; see `accuracy.report`, and `lines` for people.

    Parameters
    ----------
    skipped : collection of int
        Tasks that people skipped. A skipped control is missing, and is counted as such.
    """
    state = campaign.state
    counted = {guess.task for guess in state.guesses if guess.control}
    records = [
        ControlRecord(guess.task, guess.control, guess.training, guess.labels, guess.predicted)
        for guess in state.guesses
        if guess.control
    ]
    if state.model is not None and state.predictions is not None:
        records += [
            ControlRecord(
                task, version, state.trainings, state.model.labels, state.predictions.decide(state.model, task)
            )
            for task, version in state.controls.items()
            if task in skipped and task not in counted
        ]
    told = report(records, labels, skipped, classes=campaign.classes(labels))
    return {"controls": told.overall.count, **told.as_dict(), "lines": told.lines()}
