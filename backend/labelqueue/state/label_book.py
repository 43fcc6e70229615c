"""The book of labels: what the annotations of every task say, as last read from Label Studio."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ..labels import Annotation, Labels, Target, Verdicts, state_of
from ..store import get_fields, scan_fields
from .project import Project

__all__ = ["COMPLETE", "LabelBook", "parse_labels"]

FORMAT = "2"  # of the rows; those of another format are not looked at, and read again from Label Studio
COMPLETE = b"complete"  # a field beside the tasks
PART = "labels"  # of the change stream


class LabelBook:
    """Annotations of one project by task, in one Redis hash. It can be lost: a complete reading writes it again.

    Parameters
    ----------
    project : Project
        Whose annotations.

    Attributes
    ----------
    key : str
        Of the hash.
    """

    def __init__(self, project: Project) -> None:
        self._store, self._changes = project.store, project.changes
        self.key = project.name("labels", FORMAT)

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
        self._changes.put(PART, self.key, rows)

    def drop(self, tasks: Iterable[int]) -> None:
        """Forget tasks."""
        self._changes.drop(PART, self.key, map(str, tasks))

    def tasks(self) -> set[int]:
        """Return the tasks in the book."""
        return {int(field) for part in scan_fields(self._store, self.key) for field in part if field != COMPLETE}

    def read_at(self, tasks: Sequence[int]) -> dict[int, str]:
        """Return the marks of those of these tasks that are in the book."""
        raws = get_fields(self._store, self.key, [str(task) for task in tasks])
        return {task: json.loads(raw)[0] for task, raw in zip(tasks, raws, strict=True) if raw is not None}

    def states(self, tasks: Sequence[int]) -> dict[int, str]:
        """Return the state of those of these tasks that are in the book: annotated, or only skipped."""
        return {task: state_of(said) for task, said in self.annotations_of(tasks).items()}

    def annotations_of(self, tasks: Sequence[int]) -> dict[int, list[Annotation]]:
        """Return the annotations of those of these tasks that are in the book."""
        raws = get_fields(self._store, self.key, [str(task) for task in tasks])
        return {task: parse_labels(raw) for task, raw in zip(tasks, raws, strict=True) if raw is not None}

    def annotations(self) -> dict[int, list[Annotation]]:
        """Return every annotation we know, by task."""
        return dict(self._rows())

    def labels(self, target: Target) -> Labels:
        """Return the labels that the annotations come to for this target; see `labels.judge` for the rules."""
        verdicts = Verdicts(target)
        for task, said in self.annotations().items():
            verdicts.put(task, said)
        return verdicts.labels()

    @property
    def complete(self) -> bool:
        """Whether every task was read since the book was begun; it stays so, for changes are read as they come."""
        return self._store.hget(self.key, COMPLETE.decode()) == b"1"

    @property
    def begun(self) -> bool:
        """Whether the book is there, complete or not."""
        return bool(self._store.hexists(self.key, COMPLETE.decode()))

    def begin(self) -> None:
        """Note that from now on every task is read; a book that is complete stays so."""
        if self._store.hsetnx(self.key, COMPLETE.decode(), ""):  # there was none, or it was lost
            self._changes.renew(PART)

    def set_complete(self) -> None:
        """Note that every task was read."""
        self._store.hset(self.key, COMPLETE.decode(), "1")

    def _rows(self) -> Iterator[tuple[int, list[Annotation]]]:
        for part in scan_fields(self._store, self.key):
            for name, raw in part.items():
                if name != COMPLETE:
                    yield int(name), parse_labels(raw)


def parse_labels(raw: bytes | str) -> list[Annotation]:
    """Return the annotations in a row of the book, as it is stored."""
    return [Annotation.load(row) for row in json.loads(raw)[1:]]
