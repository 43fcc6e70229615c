"""A page of Label Studio's tasks: what we keep of each, and what people said of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from ..labels import ANNOTATED, SKIPPED, UNLABELED, Target, field_value, image_uri, read_annotation
from ..labelstudio import LabelStudio, Skipped, TaskRecord
from ..state import Event, LabelBook, People, Project, TaskRow, keep_values
from ..telemetry import count
from .passes import Pass

__all__ = ["FIELDS", "NAMED", "Reader", "note_skipped", "task_row"]

log = logging.getLogger(__name__)

PAGE = 1000  # tasks after which it is written down how far a pass came
NAMED = 5  # records that cannot be read, in one line of the log
# What moves whenever a task's annotations do. The counts belong to it: Label Studio counts imported annotations late,
# and `updated_at` stays.
MARK = ("updated_at", "total_annotations", "cancelled_annotations")
FIELDS = ("id", "data", "is_labeled", *MARK)
UNTOUCHED = timedelta(seconds=1)  # between creation and change of a task that was imported and left alone since


class Reader:
    """Reads pages of one project's tasks in one look.

    Parameters
    ----------
    project : Project
    client : LabelStudio
    target : Target
        What the label config asks of an image.
    check : callable
        Raises when this job no longer holds the project's lock; called before anything is written.

    Attributes
    ----------
    balance : str
        Field of the tasks' data whose values are kept; empty for none.
    """

    def __init__(self, project: Project, client: LabelStudio, target: Target, check: Callable[[], None]) -> None:
        self.project, self.client, self.target, self.check = project, client, target, check
        self.balance: str = project.settings()["balance"]
        self._book = LabelBook(project)
        self._heard: set[int] = set()
        self._told: set[int] = set()  # tasks that events name, known here or not

    def pages(self, part: Pass) -> Iterator[tuple[list[TaskRecord], Skipped, bool]]:
        """Yield what is left of a pass: tasks, what cannot be read beside them, and whether that is the last page."""
        assert part.at is not None
        since, skipped = part.at.since, Skipped()
        rows = self.client.tasks(
            self.project.ref.id,
            since=datetime.fromisoformat(since) if since else None,
            after=part.at.last,
            fields=(*FIELDS, "created_at"),
            skipped=skipped,
        )
        last = False
        while not last:
            page = list(islice(rows, PAGE))
            left_out, skipped.found, last = Skipped(skipped.found), {}, len(page) < PAGE
            yield page, left_out, last

    def hear(self, events: Sequence[Event]) -> None:
        """Read the annotations of the tasks that events name, whatever Label Studio counts."""
        named = {task for event in events for task in event.tasks}
        created = {task for event in events if event.action == "TASKS_CREATED" for task in event.ids}
        self._heard, self._told = set(self.project.task_rows(sorted(named))), named | created
        if self._heard:
            self._keep({}, {}, self._heard)

    def take(self, page: Sequence[TaskRecord], left_out: Skipped, watermark: str = "") -> dict[int, TaskRow]:
        """Keep what a page says.

        Parameters
        ----------
        page : sequence of TaskRecord
        left_out : Skipped
            Tasks beside them that cannot be read.
        watermark : str, optional
            The annotations of tasks that we know and that moved after it are read, whatever Label Studio counts.

        Returns
        -------
        dict of int to TaskRow
            The tasks as they are kept now.
        """
        rows = {task["id"]: task_row(task, self.target) for task in page}
        look: set[int] = set()
        if watermark:
            moved = {task["id"] for task in page if _moved(task, datetime.fromisoformat(watermark))}
            look = moved & self.project.task_rows(sorted(moved)).keys() - self._heard
        if self.balance:  # first, so that no task is known without
            self.check()
            keep_values(self.project, {task["id"]: field_value(task.get("data"), self.balance) for task in page})
        rows = self._keep(rows, {task["id"]: _mark(task) for task in page}, look)
        note_skipped(self.project, "tasks", left_out, (f"task {task}" for task in rows))
        return rows

    def _keep(self, rows: dict[int, TaskRow], marks: Mapping[int, str], look: set[int]) -> dict[int, TaskRow]:
        """Keep rows, and the annotations of those of them that moved since they were read last, and of those to look
        at; return them with the states that were read."""
        silent = Skipped()
        claimed = {task for task, row in rows.items() if row.state != UNLABELED}
        relabeled = self._read_labels(rows, marks, look, silent)
        known = self.project.task_rows(sorted(rows))
        self.check()
        self._count_missed(rows, known)
        self.project.put_tasks({task: row for task, row in rows.items() if known.get(task) != row})
        # Of a task without annotations, or without itself, there is nothing that could not be read.
        settled = relabeled | (rows.keys() - claimed)
        note_skipped(self.project, "annotations", silent, (f"annotations of task {task}" for task in settled))
        return rows

    def _count_missed(self, rows: Mapping[int, TaskRow], known: Mapping[int, TaskRow]) -> None:
        """Count what no event had told of, once there was a complete reading."""
        missed = rows.keys() - self._told
        new = missed - known.keys()
        moved = [task for task in missed & known.keys() if known[task].state != rows[task].state]
        if (new or moved) and self.project.get("full_at"):
            count("repairs_total", len(new), project=self.project.key, kind="task")
            count("repairs_total", len(moved), project=self.project.key, kind="label")

    def _read_labels(
        self, rows: dict[int, TaskRow], marks: Mapping[int, str], look: set[int], silent: Skipped
    ) -> set[int]:
        """Read the annotations of tasks that moved, and of those to look at; return them.

        The states in `rows` are set by what was read. `silent` gets what cannot be read: a task of which nothing else
        is said keeps the state that Label Studio's counts claim, and has no label.
        """
        before = self._book.read_at(sorted(rows))
        moved = {
            task
            for task, row in rows.items()
            if (row.state != UNLABELED or task in before) and before.get(task) != marks[task]
        }
        read = sorted(moved | look)
        bare: set[int] = set()
        for batch in self.client.annotated(self.project.ref.id, read, fields=FIELDS, skipped=silent):
            said = {task["id"]: [read_annotation(raw) for raw in task["annotations"]] for task in batch}
            self.check()
            self._book.put({task["id"]: (_mark(task), said[task["id"]]) for task in batch if said[task["id"]]})
            # Of tasks with annotations, that is when somebody labeled them last.
            People(self.project).note_labeled({task["id"]: _moment(task) for task in batch if said[task["id"]]})
            bare |= {task for task, annotations in said.items() if not annotations}
            rows.update({task["id"]: task_row(task, self.target) for task in batch})
        self._book.drop(bare)
        bare -= {task for task in bare if f"annotations of task {task}" in silent.found}
        states = self._book.states(sorted(rows))
        for task in (*states, *bare):
            rows[task] = TaskRow(rows[task].uri, states.get(task, UNLABELED))
        return set(read)


def task_row(task: TaskRecord, target: Target) -> TaskRow:
    """Return what we keep of a task as the API shows it, with the state that Label Studio's own counts claim."""
    if task.get("total_annotations") or task.get("is_labeled"):
        state = ANNOTATED
    elif task.get("cancelled_annotations"):
        state = SKIPPED
    else:
        state = UNLABELED
    return TaskRow(image_uri(task.get("data"), target.image_field), state)


def note_skipped(project: Project, kind: str, skipped: Skipped, read: Iterable[str] | None = None) -> None:
    """Remember and say which records were left out; see `Project.note_unreadable`."""
    new = project.note_unreadable(kind, skipped.found, read=read)
    if new:
        some = "; ".join(f"{name}: {skipped.found[name]}" for name in new[:NAMED])
        log.warning("project %d: %d %s cannot be read and are left out: %s", project.ref.id, len(new), kind, some)


def _moved(task: TaskRecord, after: datetime) -> bool:
    """Tell whether something was done to a task after a time: it is no change that the task was created."""
    changed, created = datetime.fromisoformat(task["updated_at"]), task.get("created_at")
    return changed > after and (not created or changed - datetime.fromisoformat(created) > UNTOUCHED)


def _moment(task: Mapping[str, Any]) -> float:
    """Return the Unix time at which something was done to a task last."""
    return datetime.fromisoformat(task["updated_at"]).timestamp()


def _mark(task: Mapping[str, object]) -> str:
    return " ".join(str(task.get(field)) for field in MARK)
