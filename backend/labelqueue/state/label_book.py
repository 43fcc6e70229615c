"""The book of labels: what the annotations of every task say, as last read from Label Studio."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..labels import Annotation, Target, Value, Work, classes_of, judge, state_of, unknown_labels
from ..store import drop_fields, get_fields, put_fields, scan_fields
from .project import Project

__all__ = ["LabelBook", "Labels"]

FORMAT = "2"  # of the rows; those of another format are not looked at, and read again from Label Studio
COMPLETE = b"complete"  # a field beside the tasks


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
        What people did by day and by person; see `labels.Work.told`.
    """

    values: dict[int, Value]
    classes: tuple[str, ...]
    dropped: dict[str, int]
    without: dict[str, int]
    answers: tuple[int, ...] = ()
    work: Mapping[str, Any] = field(default_factory=dict)


class LabelBook:
    """Annotations of one project by task, in one Redis hash. It can be lost: a complete reading writes it again.

    Parameters
    ----------
    project : Project
        Whose annotations.
    """

    def __init__(self, project: Project) -> None:
        self._store = project.store
        self._key = project.name("labels", FORMAT)

    def put(self, read: Mapping[int, tuple[str, Sequence[Annotation]]]) -> None:
        """Replace what is known of tasks.

        Parameters
        ----------
        read : mapping of int to (str, sequence of Annotation)
            Task to the mark of its state when its annotations were read, and all of them.
        """
        rows = {
            str(task): json.dumps([mark, *(one.dump() for one in annotations)], separators=(",", ":"))
            for task, (mark, annotations) in read.items()
        }
        put_fields(self._store, self._key, rows)

    def drop(self, tasks: Iterable[int]) -> None:
        """Forget tasks."""
        drop_fields(self._store, self._key, [str(task) for task in tasks])

    def tasks(self) -> set[int]:
        """Return the tasks in the book."""
        return {int(field) for part in scan_fields(self._store, self._key) for field in part if field != COMPLETE}

    def read_at(self, tasks: Sequence[int]) -> dict[int, str]:
        """Return the marks of those of these tasks that are in the book."""
        raws = get_fields(self._store, self._key, [str(task) for task in tasks])
        return {task: json.loads(raw)[0] for task, raw in zip(tasks, raws, strict=True) if raw is not None}

    def states(self, tasks: Sequence[int]) -> dict[int, str]:
        """Return the state of those of these tasks that are in the book: annotated, or only skipped."""
        return {task: state_of(said) for task, said in self.annotations_of(tasks).items()}

    def annotations_of(self, tasks: Sequence[int]) -> dict[int, list[Annotation]]:
        """Return the annotations of those of these tasks that are in the book."""
        raws = get_fields(self._store, self._key, [str(task) for task in tasks])
        rows = {task: json.loads(raw)[1:] for task, raw in zip(tasks, raws, strict=True) if raw is not None}
        return {task: [Annotation.load(row) for row in said] for task, said in rows.items()}

    def tasks_of(self, annotations: Iterable[int]) -> set[int]:
        """Return the tasks of annotations of these ids, as far as they are in the book."""
        wanted = set(annotations)
        found = self.annotations().items() if wanted else ()
        return {task for task, said in found if any(one.id in wanted for one in said)}

    def annotations(self) -> dict[int, list[Annotation]]:
        """Return every annotation we know, by task."""
        return {task: [Annotation.load(row) for row in rows] for task, rows in self._rows()}

    def labels(self, target: Target) -> Labels:
        """Return the labels that the annotations come to for this target; see `labels.judge` for the rules."""
        found: list[tuple[int, int, Value]] = []
        answers: dict[int, int] = {}
        dropped: Counter[str] = Counter()
        without: Counter[str] = Counter()
        work = Work()
        for task, said in self.annotations().items():
            work.add(said)
            dropped.update(unknown_labels(said, target))
            for one in sorted(said, key=lambda one: one.id, reverse=True):
                answers[-task if one.cancelled else task] = one.id
            verdict = judge(said, target)
            if verdict.value is not None:
                found.append((min(one.id for one in said if not one.cancelled), task, verdict.value))
            elif verdict.why:
                without[verdict.why] += 1
        values = {task: value for _, task, value in sorted(found, key=lambda row: row[:2])}
        return Labels(
            values,
            classes_of(target, values.values()),
            dict(sorted(dropped.items())),
            dict(without.most_common()),
            tuple(sorted(answers, key=lambda task: (answers[task], task))),
            work.told(),
        )

    @property
    def complete(self) -> bool:
        """Whether every task was read since the book was begun; it stays so, for changes are read as they come."""
        return self._store.hget(self._key, COMPLETE.decode()) == b"1"

    @property
    def begun(self) -> bool:
        """Whether the book is there, complete or not."""
        return bool(self._store.hexists(self._key, COMPLETE.decode()))

    def begin(self) -> None:
        """Note that from now on every task is read; a book that is complete stays so."""
        self._store.hsetnx(self._key, COMPLETE.decode(), "")

    def set_complete(self) -> None:
        """Note that every task was read."""
        self._store.hset(self._key, COMPLETE.decode(), "1")

    def _rows(self) -> Iterator[tuple[int, list[list[object]]]]:
        for part in scan_fields(self._store, self._key):
            for name, raw in part.items():
                if name != COMPLETE:
                    yield int(name), json.loads(raw)[1:]
