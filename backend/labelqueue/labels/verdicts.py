"""What all annotations of a project come to, kept up to date task by task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .annotations import Annotation
from .label_config import Target
from .values import Value, classes_of, judge, unknown_labels
from .work import Deed, Work, deeds_of

__all__ = ["Labels", "Verdicts"]


@dataclass(frozen=True)
class Labels:
    """The labels of a project for one target.

    Attributes
    ----------
    values : dict of int to Value
        Task to its label, in order of arrival: by the id of the task's first annotation. An update keeps the place.
    classes : tuple of str
        The target's labels in the order of the config; for a config that takes them from the tasks, those seen, sorted.
    dropped : dict of str to int
        Labels that annotations give and the label config does not have (any more), with the number of tasks.
    without : dict of str to int
        Why tasks that people annotated have no label, with the number of tasks.
    answers : tuple of int
        Every task at its first annotation, and less than zero at its first skip, in order of creation.
    work : mapping
        What people did by day and by person; see `Work.told`.
    """

    values: dict[int, Value]
    classes: tuple[str, ...]
    dropped: dict[str, int]
    without: dict[str, int]
    answers: tuple[int, ...] = ()
    work: Mapping[str, Any] = field(default_factory=dict)


class _Verdict(NamedTuple):
    """What one task's annotations come to, so that it can be taken back."""

    value: Value | None
    why: str
    first: int  # id of the first annotation that is no skip
    answers: dict[int, int]  # the task, below zero for its skips, to the id of the first such annotation
    unknown: frozenset[str]
    deeds: tuple[Deed, ...]
    ids: tuple[int, ...]  # of all its annotations


class Verdicts:
    """The verdicts on tasks for one target, to which tasks are added, and from which they are taken, one by one.

    Parameters
    ----------
    target : Target
        What the label config asks of an image.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self._of: dict[int, _Verdict] = {}
        self._task: dict[int, int] = {}  # by annotation
        self._dropped: Counter[str] = Counter()
        self._without: Counter[str] = Counter()
        self._work = Work()
        self._labels: Labels | None = None

    def __len__(self) -> int:
        return len(self._of)

    def put(self, task: int, said: Sequence[Annotation]) -> None:
        """Let a task have these annotations, and no others."""
        self.drop(task)
        answers: dict[int, int] = {}
        for one in sorted(said, key=lambda one: one.id, reverse=True):
            answers[-task if one.cancelled else task] = one.id
        verdict = judge(said, self.target)
        unknown, deeds = frozenset(unknown_labels(said, self.target)), deeds_of(said)
        ids = tuple(one.id for one in said)
        row = _Verdict(verdict.value, verdict.why, answers.get(task, 0), answers, unknown, deeds, ids)
        self._of[task] = row
        self._task |= dict.fromkeys(ids, task)
        self._count(row, 1)

    def drop(self, task: int) -> None:
        """Forget a task."""
        if (row := self._of.pop(task, None)) is not None:
            for number in row.ids:
                self._task.pop(number, None)
            self._count(row, -1)

    def tasks_of(self, annotations: Iterable[int]) -> set[int]:
        """Return the tasks of annotations of these ids, as far as they are known."""
        return {self._task[number] for number in annotations if number in self._task}

    def labels(self) -> Labels:
        """Return the labels; the same object until something changes."""
        if self._labels is None:
            self._labels = self._told()
        return self._labels

    def _count(self, row: _Verdict, by: int) -> None:
        self._labels = None
        for name in row.unknown:
            self._dropped[name] += by
        if row.value is None and row.why:
            self._without[row.why] += by
        self._work.add(row.deeds, by)

    def _told(self) -> Labels:
        found = sorted((row.first, task) for task, row in self._of.items() if row.value is not None)
        values = {task: value for _, task in found if (value := self._of[task].value) is not None}
        answers = sorted((first, task) for row in self._of.values() for task, first in row.answers.items())
        return Labels(
            values,
            classes_of(self.target, values.values()),
            {name: count for name, count in sorted(self._dropped.items()) if count},
            {why: count for why, count in sorted(self._without.items(), key=lambda pair: (-pair[1], pair[0])) if count},
            tuple(task for _, task in answers),
            self._work.told(),
        )
