"""What people said of a task: annotations reduced to the labels in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .label_config import CONTROLS, SHAPES, Path

__all__ = ["ANNOTATED", "SKIPPED", "UNLABELED", "Annotation", "Answer", "counted", "read_annotation", "state_of"]

# What became of a task: one letter each, as it is stored.
UNLABELED, ANNOTATED, SKIPPED = "u", "a", "s"

# A result keeps its labels in its value under the lower-case tag of its control.
KEYS = {tag.lower(): kind for tag, (kind, _) in CONTROLS.items()}
DRAWN = {key for key, kind in KEYS.items() if kind != "classification"} | {tag.lower() for tag in SHAPES}


@dataclass(frozen=True)
class Answer:
    """What one annotation says with one control, without its geometry.

    Attributes
    ----------
    paths : tuple of Path
        Labels found, each once, sorted.
    bare : bool
        Whether a region, or an answer, carries no label.
    drawn : bool
        Whether it draws regions.
    """

    paths: tuple[Path, ...] = ()
    bare: bool = False
    drawn: bool = False


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
    answers : mapping of str to Answer
        Name of a control to what was said with it. It covers every control, so that another target or another label
        config needs no second reading.
    unreadable : bool
        Whether a part of it is no answer in any form we know: imports store whatever they are given.
    created : int
        Unix time of its creation; 0 when it is not known.
    seconds : float or None
        How long the person had it open, as Label Studio says; None when it does not.
    """

    id: int
    updated_at: str
    user: int | None
    ground_truth: bool
    cancelled: bool
    answers: Mapping[str, Answer] = field(default_factory=dict)
    unreadable: bool = False
    created: int = 0
    seconds: float | None = None

    def dump(self) -> list[Any]:
        """Return the form that goes into JSON."""
        said = {name: [one.paths, int(one.bare), int(one.drawn)] for name, one in self.answers.items()}
        flags = [int(self.ground_truth), int(self.cancelled)]
        return [self.id, self.updated_at, self.user, *flags, said, int(self.unreadable), self.created, self.seconds]

    @classmethod
    def load(cls, row: Sequence[Any]) -> Annotation:
        """Read `dump`'s form."""
        number, updated_at, user, ground_truth, cancelled, said, unreadable = row[:7]
        answers = {
            str(control): Answer(tuple(map(tuple, paths)), bool(bare), bool(drawn))
            for control, (paths, bare, drawn, *_) in said.items()
        }
        created, seconds = row[7:9] if len(row) > 8 else (0, None)  # what an earlier version wrote ends before
        flags = bool(ground_truth), bool(cancelled)
        return cls(number, updated_at, user, *flags, answers, bool(unreadable), created, seconds)


def read_annotation(raw: Mapping[str, Any]) -> Annotation:
    """Reduce an annotation as the API shows it.

    Parameters
    ----------
    raw : mapping
        With the keys id, updated_at, completed_by, ground_truth, was_cancelled and result, and as far as they are
        known created_at and lead_time. Results of tags that give no labels are passed over.
    """
    results = raw["result"]
    items = results if isinstance(results, list) else []
    answers: dict[str, Answer] = {}
    unreadable = not isinstance(results, list | None)
    named = {_region(item) for item in items if isinstance(item, Mapping) and _has_labels(item)}
    for item in items:
        if not isinstance(item, Mapping):
            unreadable = True
            continue
        kind, control, value = _kind(item), item.get("from_name"), item.get("value")
        if kind not in KEYS and kind not in DRAWN:  # a relation, a text, and whatever else gives no labels
            continue
        if not isinstance(control, str) or not isinstance(value, Mapping):
            unreadable = True
            continue
        paths = _paths(value.get(kind)) if kind in KEYS else ()
        if paths is None:
            unreadable = True
            continue
        # A shape of `Labels` comes as two items of one id: the shape, and its labels.
        bare = not paths and (kind in KEYS or _region(item) is None or _region(item) not in named)
        answers[control] = _joined(answers.get(control), Answer(paths, bare, kind in DRAWN))
    return Annotation(
        int(raw["id"]),
        str(raw["updated_at"]),
        _user(raw.get("completed_by")),
        bool(raw.get("ground_truth")),
        bool(raw.get("was_cancelled")),
        answers,
        unreadable,
        int(datetime.fromisoformat(raw["created_at"]).timestamp()) if raw.get("created_at") else 0,
        raw.get("lead_time"),
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


def _kind(item: Mapping[str, Any]) -> str:
    """Return what a result is: its type, or what its value holds labels of."""
    kind, value = item.get("type"), item.get("value")
    if isinstance(kind, str) and (kind.lower() in KEYS or kind.lower() in DRAWN):
        # Of a shape that carries its labels itself the labels count.
        held = [key for key in KEYS if isinstance(value, Mapping) and key in value]
        return held[0] if kind.lower() not in KEYS and held else kind.lower()
    if kind is None and isinstance(value, Mapping):
        return next((key for key in KEYS if key in value), "")
    return ""


def _region(item: Mapping[str, Any]) -> str | int | None:
    """Return the id that the results of one region share."""
    region = item.get("id")
    return region if isinstance(region, str | int) else None


def _has_labels(item: Mapping[str, Any]) -> bool:
    kind, value = _kind(item), item.get("value")
    return kind in KEYS and kind in DRAWN and isinstance(value, Mapping) and bool(_paths(value.get(kind)))


def _joined(before: Answer | None, more: Answer) -> Answer:
    if before is None:
        return more
    paths = tuple(sorted({*before.paths, *more.paths}))
    return Answer(paths, before.bare or more.bare, before.drawn or more.drawn)


def _paths(value: Any) -> tuple[Path, ...] | None:
    """Return the labels in a result's value, a list of names or of paths, or one rating; None for anything else."""
    if value in (None, ""):
        return ()
    found = set()
    for label in value if isinstance(value, list) else [value]:
        steps = label if isinstance(label, list) and isinstance(value, list) else [label]
        if not all(isinstance(step, str | int | float) for step in steps):
            return None
        if path := tuple(_text(step) for step in steps if step != ""):
            found.add(path)
    return tuple(sorted(found))


def _text(step: str | float) -> str:
    return str(int(step)) if isinstance(step, float) and step.is_integer() else str(step)


def _user(raw: Any) -> int | None:
    if isinstance(raw, Mapping):  # some endpoints show the whole user
        raw = raw.get("id")
    return int(raw) if raw is not None else None
