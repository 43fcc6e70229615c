"""What random controls say of the model: how often it was right on tasks that nobody chose."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

from ..labels import Value

__all__ = ["ControlRecord", "ControlReport", "Present", "Share", "report", "wilson"]

ENOUGH = 30  # controls from which on an interval is given
RECENT = 100  # controls whose halves are compared
REACH = 0.1  # to either side: an interval that people can decide by
SHOWN = 5  # models that people are told of: a campaign trains dozens
HALF = 50  # controls that either side of a comparison in time needs


@dataclass(frozen=True)
class ControlRecord:
    """One task that an order served as a control.

    Attributes
    ----------
    task : int
    version : str
        The order's version string.
    model : int
        Number of the model that predicted, counted from 1; 0 when there was none.
    labels : int
        Labels that the model was trained on.
    predicted : str, tuple of str or None
        What the model said; None when there was no model.
    """

    task: int
    version: str
    model: int
    labels: int
    predicted: Value | None

    def dump(self) -> str:
        """Return the JSON form."""
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, raw: bytes | str) -> ControlRecord:
        """Parse `dump`'s form."""
        row = json.loads(raw)
        said = row["predicted"]
        return cls(**{**row, "predicted": tuple(said) if isinstance(said, list) else said})


@dataclass(frozen=True)
class Share:
    """How many of some controls the model was right on.

    Attributes
    ----------
    name : str
    right, count : int
    """

    name: str
    right: int
    count: int

    @property
    def accuracy(self) -> float | None:
        """The share; None of none."""
        return self.right / self.count if self.count else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Its 95 % interval, from 30 controls on."""
        return wilson(self.right, self.count) if self.count >= ENOUGH else None

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {**asdict(self), "accuracy": self.accuracy, "interval": self.interval}

    def __str__(self) -> str:
        text = f"{self.right} of {self.count}"
        if self.accuracy is None:
            return text
        if self.interval is None:
            return f"{text} ({self.accuracy:.0%})"
        low, high = self.interval
        return f"{text} ({self.accuracy:.0%}, 95% interval {low:.0%} to {high:.0%})"


@dataclass(frozen=True)
class Present:
    """The share once more, with recent controls counting more: nearer to the present model, and less sure.

    Attributes
    ----------
    accuracy : float
    effective : float
        How many equally weighed controls tell as much (Kish 1965).
    """

    accuracy: float
    effective: float

    @property
    def interval(self) -> tuple[float, float] | None:
        """Its 95 % interval, once as many as 30 equal controls tell as much."""
        return wilson(self.accuracy * self.effective, self.effective) if self.effective >= ENOUGH else None

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {**asdict(self), "interval": self.interval}

    def __str__(self) -> str:
        told = f"{self.accuracy:.0%}, as sure as of {self.effective:.0f} equal ones"
        return (
            told if self.interval is None else f"{told}, 95% interval {self.interval[0]:.0%} to {self.interval[1]:.0%}"
        )


@dataclass(frozen=True)
class ControlReport:
    """What the controls say of the model.

    Attributes
    ----------
    overall : Share
        Of all labeled controls. It estimates the model's accuracy on the tasks that were unlabeled when a control was
        served, averaged over the controls: the model learned meanwhile, and the pool shrank, so it lags behind the
        present model. It is no estimate for the labeled tasks, nor for images that were not in the project. The
        interval holds for any sequence of models and strategies; where the controls are a large part of a small pool,
        it is wider than need be.
    recent : Share
        Of the last 100 labeled controls, by their place in the records.
    present : Present or None
        Of all labeled controls, each weighed by the labels that its model knew: of one that knew half as many as the
        latest, half. None without any.
    wanted : int
        Labeled controls more until the interval reaches no more than 10 points to either side; 0 when it does.
    classes : tuple of Share
        Single choice: of the controls that people gave this class. Several labels: of all controls, whether the label
        was rightly called present or absent. In the order of the label config; classes without controls are left out.
    models : tuple of Share
        Of each model, in the order in which the models came.
    skipped : int
        Controls that people skipped: missing, and probably not the easy ones.
    waiting : int
        Controls without a label yet.
    unpredicted : int
        Controls served before there was a model.
    stalled : bool
        See `report`.
    excluded : int
        Images that an admin left out: none of this speaks of them.
    """

    overall: Share
    recent: Share
    present: Present | None
    wanted: int
    classes: tuple[Share, ...]
    models: tuple[Share, ...]
    skipped: int
    waiting: int
    unpredicted: int
    stalled: bool
    excluded: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        names = ("wanted", "skipped", "waiting", "unpredicted", "stalled", "excluded")
        told = {name: getattr(self, name) for name in names}
        return {
            "overall": self.overall.as_dict(),
            "recent": self.recent.as_dict(),
            "present": None if self.present is None else self.present.as_dict(),
            "classes": [share.as_dict() for share in self.classes],
            "models": [share.as_dict() for share in self.models],
            **told,
        }

    def lines(self) -> list[str]:
        """Return sentences for people."""
        if not self.overall.count:
            lines = ["No random control has a label yet, so nothing is known of the model on unlabeled tasks."]
        else:
            lines = [f"On random controls, drawn from what was unlabeled, the model was right on {self.overall}."]
            if self.overall.interval is None:
                lines.append(f"That is too few to say how sure this is; an interval follows from {ENOUGH} on.")
            lines.append(
                "It is the mean of the models that served, on what was unlabeled then: it lags behind the present one."
            )
            if self.present is not None and len(self.models) > 1:
                lines.append(f"With the latest models counting more: {self.present}.")
            if self.recent.count < self.overall.count:
                lines.append(f"Of the last {self.recent.count} it was right on {self.recent}.")
            lines += ["Class by class:", *(f"  {share.name}: {share}" for share in self.classes)]
            left_out = f" (the last {SHOWN} of {len(self.models)})" if len(self.models) > SHOWN else ""
            lines += [f"Model by model{left_out}:", *(f"  {share.name}: {share}" for share in self.models[-SHOWN:])]
        missing = {
            "skipped": self.skipped,
            "not labeled yet": self.waiting,
            "served before there was a model": self.unpredicted,
        }
        told = [f"{count} {what}" for what, count in missing.items() if count]
        if told:
            lines.append(f"Controls that do not count: {', '.join(told)}.")
        if self.excluded:
            images = "1 image that an admin left out" if self.excluded == 1 else f"{self.excluded:,} images left out"
            lines.append(f"It says nothing of {images}{'' if self.excluded == 1 else ' by an admin'}.")
        if self.stalled:
            lines.append(
                "The model has stopped improving: it was right no more often on the newer half of the latest "
                "controls than on the older half. More labels of the same kind may not be worth their time."
            )
        return lines


def wilson(successes: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of a share (Wilson 1927).

    Parameters
    ----------
    successes, n : float
        ``0 <= successes <= n``; whole numbers, but for what was weighed.
    confidence : float
        Within (0, 1).

    Returns
    -------
    tuple of float
        Lower and upper end, within [0, 1]; (0, 1) for n = 0.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} of {n} is no share: successes must be from 0 to n")
    if n == 0:
        return 0.0, 1.0
    z, share = NormalDist().inv_cdf((1 + confidence) / 2), successes / n
    middle, reach = share + z**2 / (2 * n), z * math.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    low, high = (middle - reach) / (1 + z**2 / n), (middle + reach) / (1 + z**2 / n)
    # Rounding must push an end neither past the share itself nor out of what a share can be.
    return max(min(low, share), 0.0), min(max(high, share), 1.0)


def _missing(share: Share) -> int:
    """Return how many more of its kind an interval of 10 points to either side takes, if the share stays as it is."""
    likely, n = (share.right + 1) / (share.count + 2), max(share.count, ENOUGH)  # of few, nearer to the middle
    while True:
        low, high = wilson(likely * n, n)
        if high - low <= 2 * REACH:
            return n - share.count
        n += 1


def _present(labeled: Sequence[ControlRecord], right: Sequence[bool]) -> Present | None:
    """Return the share with each control weighed by the labels that its model knew."""
    total = sum(record.labels for record in labeled)
    if not total:
        return None
    hits = sum(record.labels for record, hit in zip(labeled, right, strict=True) if hit)
    return Present(hits / total, total**2 / sum(record.labels**2 for record in labeled))


def report(
    records: Sequence[ControlRecord],
    labels: Mapping[int, Value],
    skipped: Collection[int],
    *,
    classes: Sequence[str],
    excluded: int = 0,
) -> ControlReport:
    """Compare what the model said of controls with the labels that came.

    Parameters
    ----------
    records : sequence of ControlRecord
        Those that count, in the order in which they were served, at most one per task: one whose task a later order
        chose, or drew again, must have been dropped or replaced.
    labels : mapping of int to Value
        The label of each labeled task. One with several labels is right when all of it is.
    skipped : collection of int
        Tasks that people skipped.
    classes : sequence of str
        Classes of the label config, in its order.
    excluded : int
        Images that an admin left out; no record may be of one of them.

    Returns
    -------
    ControlReport

    Notes
    -----
    `stalled` is true when the newer half of the latest labeled controls is no better than the older half, with at least
    50 and at most 100 in each. Chance alone makes it true half of the time once the model has really stopped, and one
    time in seven when it rose by 10 points between halves of 50: it is a hint, not a verdict.

    Raises
    ------
    ValueError
        If a task has two records.
    """
    if len({record.task for record in records}) < len(records):
        raise ValueError("a task has two control records: drop the older one when a later order takes the task up")
    predicted = [record for record in records if record.predicted is not None]
    labeled = [record for record in predicted if record.task in labels]
    right = [record.predicted == labels[record.task] for record in labeled]
    missing = [record for record in predicted if record.task not in labels]
    left_out = sum(record.task in skipped for record in missing)
    models: dict[int, list[bool]] = {}
    for record, hit in zip(labeled, right, strict=True):
        models.setdefault(record.model, []).append(hit)
    trained_on = {record.model: record.labels for record in labeled}
    half = min(len(right) // 2, RECENT)
    newer, older = right[len(right) - half :], right[len(right) - 2 * half : len(right) - half]
    overall = _share("all", right)
    return ControlReport(
        overall=overall,
        recent=_share("recent", right[-RECENT:]),
        present=_present(labeled, right),
        wanted=_missing(overall),
        classes=tuple(
            _share(name, hits)
            for name in classes
            if (hits := [each for one in labeled if (each := _hit(name, one, labels[one.task])) is not None])
        ),
        models=tuple(_share(f"model {number} ({trained_on[number]} labels)", models[number]) for number in models),
        skipped=left_out,
        waiting=len(missing) - left_out,
        unpredicted=len(records) - len(predicted),
        stalled=half >= HALF and sum(newer) <= sum(older),
        excluded=excluded,
    )


def _hit(name: str, record: ControlRecord, came: Value) -> bool | None:
    """Whether the record is right on one class; None if it says nothing of it."""
    if isinstance(came, tuple):
        return (name in came) == (name in (record.predicted or ()))
    return record.predicted == came if came == name else None


def _share(name: str, hits: Sequence[bool]) -> Share:
    return Share(name, sum(hits), len(hits))
