"""What people said of a task: annotations reduced to the labels in them, and the one value they come to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .label_config import CONTROLS, PATH, Target

__all__ = [
    "ANNOTATED",
    "SKIPPED",
    "UNLABELED",
    "Annotation",
    "Value",
    "classes_of",
    "counted",
    "read_annotation",
    "state_of",
    "unknown_labels",
    "value_of",
]

# What became of a task: one letter each, as it is stored.
UNLABELED, ANNOTATED, SKIPPED = "u", "a", "s"

# A class for controls that give one; else the sorted labels that are present, () when all are absent. A task without
# a label has no value (None).
Value = str | tuple[str, ...]

# A result keeps its labels in its value under the lower-case tag of its control.
KEYS = tuple(tag.lower() for tag in CONTROLS)


@dataclass(frozen=True)
class Annotation:
    """One annotation, without its geometry.

    Attributes
    ----------
    id : int
        Ids grow with time, and an update keeps the id.
    updated_at : str
        When it was last changed, as Label Studio writes it.
    user : int or None
        Who completed it.
    ground_truth : bool
        The star. Annotations imported without saying so have it.
    cancelled : bool
        A skip.
    values : mapping of str to tuple of str
        Name of a control to the labels found for it, each once, sorted. It covers every control, so that another
        target or another label config needs no second reading.
    """

    id: int
    updated_at: str
    user: int | None
    ground_truth: bool
    cancelled: bool
    values: Mapping[str, tuple[str, ...]]

    def dump(self) -> list[Any]:
        """Return the form that goes into JSON."""
        return [self.id, self.updated_at, self.user, int(self.ground_truth), int(self.cancelled), dict(self.values)]

    @classmethod
    def load(cls, row: Sequence[Any]) -> Annotation:
        """Read `dump`'s form."""
        number, updated_at, user, ground_truth, cancelled, values = row[:6]
        found = {str(control): tuple(labels) for control, labels in values.items()}
        return cls(number, updated_at, user, bool(ground_truth), bool(cancelled), found)


def read_annotation(raw: Mapping[str, Any]) -> Annotation:
    """Reduce an annotation as the API shows it.

    Parameters
    ----------
    raw : mapping
        With the keys id, updated_at, completed_by, ground_truth, was_cancelled and result. Regions without a label,
        and results of other tags, hold no labels and are passed over.
    """
    found: dict[str, set[str]] = {}
    for item in raw["result"] or ():
        value, control = item.get("value"), item.get("from_name")
        if isinstance(value, Mapping) and isinstance(control, str):
            labels = {label for key in KEYS if key in value for label in _labels(value[key])}
            if labels:
                found.setdefault(control, set()).update(labels)
    return Annotation(
        int(raw["id"]),
        str(raw["updated_at"]),
        _user(raw.get("completed_by")),
        bool(raw.get("ground_truth")),
        bool(raw.get("was_cancelled")),
        {control: tuple(sorted(labels)) for control, labels in found.items()},
    )


def counted(annotations: Iterable[Annotation]) -> list[Annotation]:
    """Return the annotations that have a say: no skips, and only ground truth where there is any."""
    said = [one for one in annotations if not one.cancelled]
    return [one for one in said if one.ground_truth] or said


def state_of(annotations: Sequence[Annotation]) -> str:
    """Return whether a task with these annotations is annotated, only skipped, or neither."""
    if not annotations:
        return UNLABELED
    return SKIPPED if all(one.cancelled for one in annotations) else ANNOTATED


def unknown_labels(annotations: Iterable[Annotation], target: Target) -> set[str]:
    """Return the labels that annotations give the target's control and the label config does not have (any more).

    A step above a label, such as "animal" above "animal > cat", is known; it counts for nothing.
    """
    given = {label for one in counted(annotations) for label in one.values.get(target.control_name, ())}
    given.difference_update(target.labels)
    if target.open or not given:
        return set()
    paths = [label.split(PATH) for label in target.labels] if target.nested else []
    return given - {PATH.join(steps[:end]) for steps in paths for end in range(1, len(steps))}


def value_of(annotations: Iterable[Annotation], target: Target) -> Value | None:
    """Return what the annotations of one task come to, or None when that is no label.

    Parameters
    ----------
    annotations : iterable of Annotation
        All of one task's, in any order.
    target : Target
        The control that counts. Labels that it does not have (any more) count for nothing.

    Notes
    -----
    Skips have no say, and ground truth overrides everybody else.

    One class per task: every annotation with exactly one class has a vote, so submitting nothing is no vote; most votes
    win, and a tie for the first place is no label.

    Several labels per task: every annotation votes on every label, and submitting nothing says that all are absent. The
    majority decides label by label. If it is undecided on any label, the task has no label: people disagree on the
    task, and taking the label for absent would teach a guess as if somebody had said it.
    """
    votes = [_vote(one, target) for one in counted(annotations)]
    if target.multi:
        present = Counter(label for vote in votes for label in vote)
        if not votes or any(2 * count == len(votes) for count in present.values()):
            return None
        return tuple(sorted(label for label, count in present.items() if 2 * count > len(votes)))
    first = Counter(vote[0] for vote in votes if len(vote) == 1).most_common(2)
    if not first or (len(first) == 2 and first[0][1] == first[1][1]):
        return None
    return first[0][0]


def classes_of(target: Target, values: Iterable[Value]) -> tuple[str, ...]:
    """Return the target's labels in the order of the config, or, where it leaves them open, those seen, sorted."""
    if not target.open:
        return target.labels
    return tuple(sorted({label for value in values for label in ((value,) if isinstance(value, str) else value)}))


def _vote(annotation: Annotation, target: Target) -> tuple[str, ...]:
    given = annotation.values.get(target.control_name, ())
    return given if target.open else tuple(label for label in given if label in target.labels)


def _labels(value: Any) -> list[str]:
    """Return the labels in a result's value: a list of names or of paths, or one rating."""
    if not isinstance(value, list):
        return [] if value in (None, "") else [str(value)]
    return [PATH.join(map(str, label)) if isinstance(label, list) else str(label) for label in value if label]


def _user(raw: Any) -> int | None:
    if isinstance(raw, Mapping):  # some endpoints show the whole user
        raw = raw.get("id")
    return int(raw) if raw is not None else None
