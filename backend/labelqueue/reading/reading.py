"""Reading Label Studio: two passes through its list of tasks bring our copy of tasks and labels up to date.

One goes through the tasks that changed; the other, now and then, through all of them, and it alone sees deletions. A
look reads a slice of both, so that no look takes long, however many tasks there are.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from ..labels import Target
from ..labelstudio import LabelStudio, Skipped, TaskRecord
from ..state import Event, LabelBook, PatternCache, Project
from ..telemetry import count
from .pages import NAMED, Reader, note_skipped
from .passes import CHANGES, WHOLE, Pass, Progress

__all__ = [
    "FULL_EVERY",
    "drop_deleted",
    "note_skipped",
    "read_changes",
    "read_project",
    "read_whole",
    "unread",
    "wants_full",
]

log = logging.getLogger(__name__)

FULL_EVERY = 3600.0  # seconds between complete readings
FULL_AT_MOST_EVERY = 60.0  # seconds, when only the number of tasks asks for one
SLICE = 5.0  # seconds after which a look begins no further page of a pass
OVERLAP = timedelta(seconds=60)  # a slow transaction may commit rows older than the newest one we saw
AGAIN = 1000  # tasks that may be read again at each look because of the overlap
CONFIRM = 1000  # missing tasks that are asked for one by one; more are believed to be gone, and read again if not


def read_project(
    project: Project,
    client: LabelStudio,
    target: Target,
    cache: PatternCache | None,
    events: Sequence[Event],
    check: Callable[[], None],
    counted: int | None = None,
) -> None:
    """Bring our copy of tasks and labels up to date, reading as little as will do; `unread` tells what is left.

    Parameters
    ----------
    cache : PatternCache or None
        Where the embeddings of tasks that are gone are dropped.
    events : sequence of Event
        What was heard since the last reading; the tasks they name are looked at in any case.
    check : callable
        Raises when this job no longer holds the project's lock; called before anything is written.
    counted : int, optional
        How many tasks Label Studio counted a moment ago: while they are as many as are known here, it is not asked
        once more.

    Notes
    -----
    Label Studio's counts are not trusted, they only say where to look: when predictions are imported it counts the
    annotations of the whole project and writes all counts back, and with them the old count of a task that somebody
    annotated meanwhile (so its source says; on a busy machine one label of 76 was missed, and one deletion). The
    annotations themselves are the truth.
    """
    drop_deleted(project, client, cache, events)
    began_to_watch = not project.get("read_to")
    if project.get("balance_field") and not project.settings()["balance"]:
        _drop_values(project, check)
    if wants_full(project, target):
        _begin_whole(project, client, target)
    whole = Pass(project, WHOLE)
    reader = Reader(project, client, target, check)
    reader.hear(events)
    # While the very first pass begins, nothing has changed since.
    current = True if whole.at and began_to_watch else read_changes(reader, whole)
    if current and not whole.at and _misses(project, client, counted):
        _begin_whole(project, client, target)
        whole = Pass(project, WHOLE)
    if whole.at:
        read_whole(reader, whole, cache)


def unread(project: Project) -> str:
    """Say, for people, how far the passes came; empty when nothing is left for the next look."""
    if (at := Pass(project, WHOLE).at) is not None:
        return f"reading everything: {at.seen:,} of {max(at.of, at.seen):,}"
    at = Pass(project, CHANGES).at
    return "" if at is None else f"reading what changed: {at.seen:,} so far"


def wants_full(project: Project, target: Target) -> bool:
    """Tell whether a complete reading is to begin.

    An incremental one cannot see deletions, nor tasks whose image stands in another field since the label config
    changed, nor the labels of tasks that did not change since the book of labels was lost, nor the values of a field
    that the setting `balance` names since a moment ago.
    """
    balance = project.settings()["balance"]
    if (at := Pass(project, WHOLE).at) is not None:  # it goes on; what else asks for one gets the next
        return at.image_field != target.image_field or bool(balance and at.balance != balance)
    return (
        project.get("want_full") == "1"
        or not LabelBook(project).complete
        or project.get("image_field") != target.image_field
        or bool(balance and project.get("balance_field") != balance)
        or time.time() - float(project.get("full_at", "0")) > FULL_EVERY
    )


def _begin_whole(project: Project, client: LabelStudio, target: Target) -> None:
    remote, book = client.project(project.ref.id), LabelBook(project)
    if not project.get("read_to"):  # from here on, the other pass sees what changes behind this one
        project.set(read_to=client.newest_change(project.ref.id), watermark_at=str(time.time()))
    book.begin()
    if remote.get("total_annotations_number") == remote.get("skipped_annotations_number") == 0:
        book.set_complete()  # what changes from here on is all there is to know: no order has to wait
    count, balance = remote.get("task_number"), project.settings()["balance"]
    if balance != project.get("balance_field"):
        _drop_values(project)
    of = count if isinstance(count, int) else 0
    Pass(project, WHOLE).begin(Progress(of=of, image_field=target.image_field, balance=balance))
    project.set(want_full="0")


def _drop_values(project: Project, check: Callable[[], None] = lambda: None) -> None:
    """Forget the tasks' values of a field that the setting `balance` names no longer."""
    check()
    project.set(balance_field="")
    project.changes.renew("balance", project.name("balance"))


def _misses(project: Project, client: LabelStudio, counted: int | None = None) -> bool:
    """Tell whether tasks were deleted without an event that names them.

    Label Studio's count is read after the tasks: while somebody imports, it only grows. One that was read before them
    can prove only that none is missing.
    """
    left_out = project.unreadable("tasks")
    kept = {f"task {task}" for task in project.task_rows([task for task in map(_number, left_out) if task is not None])}
    known = project.task_count() + len(left_out.keys() - kept)
    if counted == known:
        return False
    count = client.project(project.ref.id).get("task_number")
    if not isinstance(count, int):
        return False
    if count == known:
        return False
    return count < known or time.time() - float(project.get("full_at", "0")) > FULL_AT_MOST_EVERY


def read_changes(reader: Reader, whole: Pass) -> bool:
    """Read the tasks that changed since the last time; return whether those were all.

    Parameters
    ----------
    whole : Pass
        The other pass. While it goes on for the first time, what it has not come to is left to it: right after an
        import, that is most of what changed lately.
    """
    project, part, until = reader.project, Pass(reader.project, CHANGES), time.monotonic() + SLICE
    watermark, first = project.get("read_to"), not project.get("full_at")
    if part.at is None or not part.at.bound:  # stopped within its first slice: nobody knows what it missed since
        part.begin(Progress(since=_since(watermark, settled=project.get("settled"))))
    for page, left_out, last in reader.pages(part):
        rows = reader.take(page, left_out, watermark)
        if whole.at:  # it need not miss what was seen here
            whole.move(whole.at, rows, left_out.found)
        part.move(_after(part, page))
        behind = first and whole.at is not None and part.at is not None and part.at.last >= whole.at.last
        if last or behind:
            _keep_watermark(project, part)
            part.end()
            break
        if time.monotonic() > until:
            _note_bound(reader, part)
            break
    return part.at is None


def read_whole(reader: Reader, whole: Pass, cache: PatternCache | None) -> None:
    """Read on where the pass through all tasks stopped; at its end, tasks that it did not see are dropped."""
    until = time.monotonic() + SLICE
    for page, left_out, last in reader.pages(whole):
        rows = reader.take(page, left_out)
        at = _after(whole, page)
        bare = at.bare or next((_fields_of(task["data"]) for task in page if not rows[task["id"]].uri), "")
        pictured = at.pictured or any(row.uri for row in rows.values())
        fields = at.fields or next((_fields_of(task["data"]) for task in page), "")
        whole.move(replace(at, bare=bare, fields=fields, pictured=pictured), rows, left_out.found)
        if last:
            _conclude(reader, whole, cache)
        elif time.monotonic() > until:
            _note_bound(reader, whole)
            break


def _note_bound(reader: Reader, part: Pass) -> None:
    assert part.at is not None
    if not part.at.bound:
        part.move(replace(part.at, bound=reader.client.newest_change(reader.project.ref.id)))


def _after(part: Pass, page: Sequence[TaskRecord]) -> Progress:
    """Return how far a pass came with a page."""
    assert part.at is not None
    newest = max((task["updated_at"] for task in page), key=datetime.fromisoformat, default="")
    if part.at.newest:
        newest = max(newest or part.at.newest, part.at.newest, key=datetime.fromisoformat)
    last = max((task["id"] for task in page), default=part.at.last)
    return replace(part.at, last=last, seen=part.at.seen + len(page), newest=newest)


def _since(watermark: str, *, settled: str) -> str:
    """Return the time after which tasks have to have changed to be read; empty when all are read."""
    if not watermark or settled == watermark:
        return watermark
    return (datetime.fromisoformat(watermark) - OVERLAP).isoformat()


def _keep_watermark(project: Project, part: Pass) -> None:
    """Write down up to which change everything was read."""
    at, before = part.at, project.get("read_to")
    assert at is not None
    if not at.newest or (not at.bound and time.time() - at.began > OVERLAP.total_seconds() / 2):
        return  # nothing changed, or nobody knows what did so behind the pass: the next one reads it again
    newest = min(at.newest, at.bound or at.newest, key=datetime.fromisoformat)
    if not before or datetime.fromisoformat(newest) > datetime.fromisoformat(before):
        project.set(read_to=newest, watermark_at=str(time.time()))
    elif at.seen > AGAIN and at.began - float(project.get("watermark_at", "0")) > OVERLAP.total_seconds():
        project.set(settled=before)  # a large import need not be read again and again until something else changes


def _conclude(reader: Reader, whole: Pass, cache: PatternCache | None) -> None:
    """End the pass through all tasks: drop those that it did not see."""
    project, client, at, seen, book = reader.project, reader.client, whole.at, whole.seen(), LabelBook(reader.project)
    assert at is not None
    if seen is None:
        log.warning("project %d: Redis lost what a reading had seen; everything is read again", project.ref.id)
        _begin_whole(project, client, reader.target)
        return
    odd = {task for task in map(_number, at.left_out) if task is not None}
    known = [np.fromiter(ids, dtype=np.int64) for ids in (project.task_ids(), book.tasks())]
    gone = np.setdiff1d(np.concatenate(known), seen).tolist()
    if len(gone) <= CONFIRM:
        existing = client.existing(project.ref.id, gone)
        gone = [task for task in gone if task not in existing]
    else:
        gone = [task for task in gone if task not in odd]
    reader.check()
    count("repairs_total", len(gone), project=project.key, kind="deletion")
    drop(project, cache, gone)
    note_skipped(project, "tasks", Skipped(at.left_out))
    note_skipped(project, "annotations", Skipped(), [f"annotations of task {task}" for task in gone])
    project.set(image_error=_no_image(at) if at.seen and not at.pictured else "")
    if not project.get("read_to"):
        _keep_watermark(project, whole)
    if book.begun:  # else it was lost meanwhile
        book.set_complete()
    project.set(full_at=str(time.time()), image_field=at.image_field)
    project.set(balance_field=at.balance, data_fields=at.fields)
    whole.end()
    if wants_full(project, reader.target):  # somebody asked for one meanwhile, and cannot mean what was read before
        _begin_whole(project, client, reader.target)


def _no_image(at: Progress) -> str:
    """Say that no task has the image that the label config names, and what tasks have instead."""
    return (
        f"no task has an image in the field {at.image_field!r} that the label config names; their data has {at.bare}: "
        "change the <Image value>, or import with that field"
    )


def _fields_of(data: Any) -> str:
    return ", ".join(repr(key) for key in list(data)[:NAMED]) if isinstance(data, dict) and data else "nothing"


def _number(name: str) -> int | None:
    """Return the id in a task's name, None for one that has none."""
    number = name.removeprefix("task ")
    return int(number) if number.isdecimal() else None


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
    """Forget deleted tasks, their labels and their embeddings; the tasks last, so that one who is stopped goes on."""
    LabelBook(project).drop(gone)
    if cache is not None:
        cache.discard(gone)
    project.drop_tasks(gone)
