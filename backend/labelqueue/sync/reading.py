"""Reading Label Studio: which tasks exist, what their image is, and what people said of them."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from ..labels import ANNOTATED, SKIPPED, UNLABELED, Target, image_uri, read_annotation
from ..labelstudio import LabelStudio, Skipped
from ..state import Event, LabelBook, PatternCache, Project, TaskRow

__all__ = ["FULL_EVERY", "drop_deleted", "note_skipped", "read_changes", "read_project", "task_row", "wants_full"]

log = logging.getLogger(__name__)

FULL_EVERY = 3600.0  # seconds between complete readings
FULL_AT_MOST_EVERY = 60.0  # seconds, when only the number of tasks asks for one
OVERLAP = timedelta(seconds=60)  # a slow transaction may commit rows older than the newest one we saw
NAMED = 5  # records that cannot be read, in one line of the log
CONFIRM = 1000  # missing tasks that are asked for one by one; more are believed to be gone, and read again if not
# What moves whenever a task's annotations do. The counts belong to it: Label Studio counts imported annotations late,
# and `updated_at` stays.
MARK = ("updated_at", "total_annotations", "cancelled_annotations")
FIELDS = ("id", "data", "is_labeled", *MARK)


def read_project(
    project: Project, client: LabelStudio, target: Target, cache: PatternCache, events: Sequence[Event]
) -> None:
    """Bring our copy of tasks and labels up to date, reading as little as will do.

    Parameters
    ----------
    cache : PatternCache
        Where the embeddings of tasks that are gone are dropped.
    events : sequence of Event
        What was heard since the last reading.
    """
    drop_deleted(project, client, cache, events)
    full = wants_full(project, target)
    read_changes(project, client, target, cache, full=full, events=events)
    if not full and _misses(project, client):
        read_changes(project, client, target, cache, full=True)


def _misses(project: Project, client: LabelStudio) -> bool:
    """Tell whether tasks were deleted without an event that names them.

    Label Studio's count is read after the tasks: while somebody imports, it only grows.
    """
    left_out = project.unreadable("tasks")
    kept = {f"task {task}" for task in project.task_rows([task for task in map(_number, left_out) if task is not None])}
    known = project.task_count() + len(left_out.keys() - kept)
    count = client.project(project.ref.id).get("task_number")
    if not isinstance(count, int):
        return False
    if count == known:
        return False
    return count < known or time.time() - float(project.get("full_at", "0")) > FULL_AT_MOST_EVERY


def task_row(task: Mapping[str, Any], target: Target) -> TaskRow:
    """Return what we keep of a task as the API shows it, with the state that Label Studio's own counts claim."""
    if task.get("total_annotations") or task.get("is_labeled"):
        state = ANNOTATED
    elif task.get("cancelled_annotations"):
        state = SKIPPED
    else:
        state = UNLABELED
    return TaskRow(image_uri(task.get("data"), target.image_field), state)


def wants_full(project: Project, target: Target) -> bool:
    """Tell whether a complete reading is due.

    An incremental one cannot see deletions, nor tasks whose image stands in another field since the label config
    changed, nor the labels of tasks that did not change since the book of labels was lost.
    """
    return (
        project.get("want_full") == "1"
        or not LabelBook(project).complete
        or project.get("image_field") != target.image_field
        or time.time() - float(project.get("full_at", "0")) > FULL_EVERY
    )


def read_changes(
    project: Project,
    client: LabelStudio,
    target: Target,
    cache: PatternCache | None,
    *,
    full: bool,
    events: Sequence[Event] = (),
) -> int:
    """Bring our copy of the task list and of the labels up to date.

    Parameters
    ----------
    full : bool
        Read every task and drop those that are gone; else only tasks changed since the last reading.
    events : sequence of Event
        What was heard since; the tasks they name are looked at whatever Label Studio counts.

    Returns
    -------
    int
        Tasks that were new, changed, annotated in another way, or gone.

    Notes
    -----
    Label Studio's counts are not trusted, they only say where to look: when predictions are imported it counts the
    annotations of the whole project and writes all counts back, and with them the old count of a task that somebody
    annotated meanwhile (so its source says; on a busy machine one label of 76 was missed, and one deletion). The
    annotations themselves are the truth.
    """
    watermark = project.get("watermark")
    since = datetime.fromisoformat(watermark) - OVERLAP if watermark and not full else None
    started = time.time()
    fresh: dict[int, TaskRow] = {}
    marks: dict[int, str] = {}
    moved: set[int] = set()  # since the last reading
    newest = watermark
    skipped, silent = Skipped(), Skipped()
    example: Any = None  # data of a task without an image
    for task in client.tasks(project.ref.id, since=since, fields=FIELDS, skipped=skipped):
        number, updated = task["id"], task["updated_at"]
        fresh[number], marks[number] = task_row(task, target), _mark(task)
        if not fresh[number].uri:
            example = task["data"]
        if watermark and datetime.fromisoformat(updated) > datetime.fromisoformat(watermark):
            moved.add(number)
        if not newest or datetime.fromisoformat(updated) > datetime.fromisoformat(newest):
            newest = updated
    known = project.tasks() if full else project.task_rows(sorted(fresh))
    book = LabelBook(project)
    look = _named(project, book, events) | ((moved & known.keys()) if not full else set())
    claimed = {task for task, row in fresh.items() if row.state != UNLABELED}
    relabeled = _read_labels(book, project.ref.id, client, target, fresh, marks, look, silent)
    known |= project.task_rows(sorted(fresh.keys() - known.keys()))
    changed = {task: row for task, row in fresh.items() if known.get(task) != row}
    project.put_tasks(changed)
    # Of tasks with annotations, that is when somebody labeled them last.
    project.note_labeled(
        {task: _moment(marks[task]) for task in relabeled & marks.keys() if fresh[task].state != UNLABELED}
    )
    gone = sorted((set(known) | book.tasks()) - set(fresh)) if full else []
    if gone:  # tasks deleted while we paged shift the pages, so that a living one can be missed
        existing = client.existing(project.ref.id, gone) if len(gone) <= CONFIRM else set()
        gone = [task for task in gone if task not in existing]
        drop(project, cache, gone)
    note_skipped(project, "tasks", skipped, None if full else _names("task", fresh))
    # Of a task without annotations, or without itself, there is nothing that could not be read.
    settled = relabeled | (fresh.keys() - claimed) | set(gone)
    note_skipped(project, "annotations", silent, _names("annotations of task", settled))
    if full:
        without = bool(fresh) and not any(row.uri for row in fresh.values())
        project.set(image_error=_no_image(target, example) if without else "")
        book.set_complete()
        project.set(want_full="0", full_at=str(started), image_field=target.image_field)
    if newest:
        project.set(watermark=newest)
    return len(changed.keys() | relabeled) + len(gone)


def _no_image(target: Target, data: Any) -> str:
    """Say that no task has the image that the label config names, and what tasks have instead."""
    keys = ", ".join(repr(key) for key in list(data)[:NAMED]) if isinstance(data, dict) and data else "nothing"
    return (
        f"no task has an image in the field {target.image_field!r} that the label config names; their data has {keys}: "
        "change the <Image value>, or import with that field"
    )


def note_skipped(project: Project, kind: str, skipped: Skipped, read: Iterable[str] | None = None) -> None:
    """Remember and say which records were left out; see `Project.note_unreadable`."""
    new = project.note_unreadable(kind, skipped.found, read=read)
    if new:
        some = "; ".join(f"{name}: {skipped.found[name]}" for name in new[:NAMED])
        log.warning("project %d: %d %s cannot be read and are left out: %s", project.ref.id, len(new), kind, some)


def _names(what: str, tasks: Iterable[int]) -> list[str]:
    return [f"{what} {task}" for task in tasks]


def _number(name: str) -> int | None:
    """Return the id in a task's name, None for one that has none."""
    number = name.removeprefix("task ")
    return int(number) if number.isdecimal() else None


def _named(project: Project, book: LabelBook, events: Sequence[Event]) -> set[int]:
    """Return the tasks whose annotations events name."""
    deleted = {one for event in events if event.action == "ANNOTATIONS_DELETED" for one in event.ids}
    named = {task for event in events for task in event.tasks} | book.tasks_of(deleted)
    return set(project.task_rows(sorted(named)))


def _mark(task: Mapping[str, Any]) -> str:
    return " ".join(str(task.get(field)) for field in MARK)


def _moment(mark: str) -> float:
    """Return the Unix time at which a task's annotations moved."""
    return datetime.fromisoformat(mark.split()[0]).timestamp()


def _read_labels(
    book: LabelBook,
    project: int,
    client: LabelStudio,
    target: Target,
    fresh: dict[int, TaskRow],
    marks: Mapping[int, str],
    look: set[int],
    silent: Skipped,
) -> set[int]:
    """Read the annotations of tasks that moved since they were read last, and of those to look at; return them.

    The states in `fresh` are set by what was read. `silent` gets what cannot be read: a task of which nothing else is
    said keeps the state that Label Studio's counts claim, and has no label.
    """
    before = book.read_at(sorted(fresh))
    moved = {
        task
        for task, row in fresh.items()
        if (row.state != UNLABELED or task in before) and before.get(task) != marks[task]
    }
    read = sorted(moved | look)
    bare: set[int] = set()
    for batch in client.annotated(project, read, fields=FIELDS, skipped=silent):
        said = {task["id"]: [read_annotation(raw) for raw in task["annotations"]] for task in batch}
        book.put({task["id"]: (_mark(task), said[task["id"]]) for task in batch if said[task["id"]]})
        bare |= {task for task, annotations in said.items() if not annotations}
        fresh.update({task["id"]: task_row(task, target) for task in batch})
    book.drop(bare)
    bare -= {task for task in bare if f"annotations of task {task}" in silent.found}
    states = book.states(sorted(fresh))
    for task in (*states, *bare):
        fresh[task] = TaskRow(fresh[task].uri, states.get(task, UNLABELED))
    return set(read)


def drop_deleted(project: Project, client: LabelStudio, cache: PatternCache | None, events: Sequence[Event]) -> None:
    """Drop the tasks that events call deleted, once Label Studio confirms it."""
    named = {task for event in events if event.action == "TASKS_DELETED" for task in event.ids}
    known = sorted(project.task_rows(sorted(named)))
    if len(known) > CONFIRM:
        project.set(want_full="1")
    elif known:
        existing = client.existing(project.ref.id, known)
        drop(project, cache, [task for task in known if task not in existing])


def drop(project: Project, cache: PatternCache | None, gone: Sequence[int]) -> None:
    """Forget deleted tasks, their labels and their embeddings."""
    project.drop_tasks(gone)
    LabelBook(project).drop(gone)
    if cache is not None:
        cache.discard(gone)
