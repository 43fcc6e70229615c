"""Where learning stands and what the controls say of the model: the facts that people see, ready for JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

from ..labels.annotations import Value
from ..learning.phase import waits_for
from .accuracy import ControlRecord, report
from .campaign import Campaign, share_of

__all__ = ["accuracy_standing", "learning_standing"]


def learning_standing(campaign: Campaign, labels: Mapping[int, Value], tasks: Collection[int]) -> dict[str, Any]:
    """Return phase, model and labels.

    Parameters
    ----------
    labels : mapping
        Every label there is, oldest first.
    tasks : collection of int
        Every known task.
    """
    memory, course, settings = campaign.memory, campaign.memory.course, campaign.settings
    classes = campaign.classes(labels)
    waits = waits_for(
        course,
        values=list(labels.values()),
        classes=classes,
        multi=campaign.target.multi,
        pool=len(tasks),
        trust=campaign.trust(labels),
        switch_after=settings["switch_after"],
        has_model=memory.model is not None,
    )
    counts = Counter(name for value in labels.values() for name in ([value] if isinstance(value, str) else value))
    return {
        "phase": course.phase,
        "reason": course.reason,
        "waits_for": waits if course.phase == "cold" else [],
        "cycle": memory.cycle.number + 1 if campaign.active() == "bal" else None,
        "labels": len(labels),
        "labels_per_class": {name: counts[name] for name in classes},
        "trained_on": memory.model.labels if memory.model else 0,
        "unlearned": campaign.unlearned(labels),
        "retrain_every": settings["retrain_every"] or share_of(len(labels)),
        "trust": round(memory.trust, 3),
        "model": memory.model.fingerprint if memory.model else "",
        "regularization": memory.model.regularization if memory.model else None,
        "prelabels": campaign.least_probability() is not None,
    }


def accuracy_standing(campaign: Campaign, labels: Mapping[int, Value], skipped: Collection[int]) -> dict[str, Any]:
    """Return what the random controls say of the model; see `control.report`, and `lines` for people.

    Parameters
    ----------
    skipped : collection of int
        Tasks that people skipped. A skipped control is missing, and is counted as such.
    """
    memory = campaign.memory
    counted = {guess.task for guess in memory.guesses if guess.control}
    records = [
        ControlRecord(guess.task, guess.control, guess.training, guess.labels, guess.predicted)
        for guess in memory.guesses
        if guess.control
    ]
    if memory.model is not None and memory.outlook is not None:
        records += [
            ControlRecord(
                task, version, memory.trainings, memory.model.labels, memory.outlook.decide(memory.model, task)
            )
            for task, version in memory.controls.items()
            if task in skipped and task not in counted
        ]
    told = report(records, labels, skipped, classes=campaign.classes(labels))
    return {"controls": told.overall.count, **told.as_dict(), "lines": told.lines()}
