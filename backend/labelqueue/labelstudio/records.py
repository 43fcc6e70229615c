"""The door for Label Studio's JSON: rows of known shape come out of it, and the names of what had to be left out.

A record in a form that nobody knows costs itself, never the list that it is in. Whoever reads through this door need
not ask again whether an id is a number.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, NotRequired, TypedDict

from ..exceptions import LabelStudioError

__all__ = [
    "AnnotationRow",
    "Hooks",
    "Json",
    "Skipped",
    "TaskRecord",
    "check_results",
    "clock_ahead",
    "hook_change",
    "ids_of",
    "is_id",
    "name_among",
    "objects",
    "one_object",
    "parsed",
    "predictions_in",
    "records",
    "task_records",
]

Json = dict[str, Any]
MAX_ID = 2**63 - 1  # what a database column, and an array of ours, can hold
HALF = re.compile("[\ud800-\udfff]")
LONGEST = 10**7  # seconds
COUNTS = ("total_annotations", "cancelled_annotations")


class Hooks(NamedTuple):
    """A project's webhooks that call us: how many there are, and how many were off and were switched on."""

    ours: int
    revived: int


class AnnotationRow(TypedDict):
    """An annotation; `result` is whatever was imported, for `labels.read_annotation` to read. When it was created, and
    for how many seconds it was open, is there where it can be read: nothing depends on it."""

    id: int
    updated_at: str
    completed_by: int | None
    ground_truth: bool
    was_cancelled: bool
    result: Any
    created_at: NotRequired[str]
    lead_time: NotRequired[float]


class TaskRecord(TypedDict, total=False):
    """A task with the fields that were asked for; `data` is whatever was imported, for `labels.image_uri` to read."""

    id: int
    updated_at: str
    created_at: str
    data: Any
    is_labeled: bool
    total_annotations: int
    cancelled_annotations: int
    annotations: list[AnnotationRow]


class Skipped:
    """What a reading left out.

    Parameters
    ----------
    found : mapping of str to str, optional
        What it begins with.

    Attributes
    ----------
    found : dict of str to str
        Name of a record, such as ``task 12``, to what is wrong with it.
    """

    def __init__(self, found: Mapping[str, str] | None = None) -> None:
        self.found: dict[str, str] = dict(found or {})

    def add(self, name: str, why: str) -> None:
        """Note that a record is left out; of several reasons under one name all are kept."""
        self.found[name] = f"{self.found[name]}; {why}" if name in self.found else why


def parsed(content: bytes) -> Any:
    """Return the JSON of an answer.

    Raises
    ------
    ValueError
        If it is none, or nests deeper than anybody can read.

    Notes
    -----
    Half a character (a lone surrogate) cannot be stored, printed or sent on: it becomes a replacement character.
    """
    try:
        found = json.loads(content)
        return _whole(found) if b"\\ud" in content.lower() else found
    except RecursionError as error:
        raise ValueError("it nests too deep") from error


def one_object(raw: Any, what: str, **needed: type) -> Json:
    """Return an answer that has to be one object with these fields.

    Raises
    ------
    LabelStudioError
        If it is not.
    """
    if not isinstance(raw, dict) or any(not _is(raw.get(name), kind) for name, kind in needed.items()):
        fields = f" with {', '.join(needed)}" if needed else ""
        raise LabelStudioError(f"Label Studio's answer is no {what}{fields}, but {_form(raw)}")
    return raw


def objects(raw: Any, what: str, skipped: Skipped) -> list[Json]:
    """Return those entries of an answer that are objects with an id and, if they have to have one, a URL.

    Parameters
    ----------
    raw : object
        An answer that has to be a list.
    what : str
        What the entries are, for people; of backends and webhooks the address is needed, of tabs and users none.
    skipped : Skipped
        Gets the others.
    """
    if not isinstance(raw, list):
        raise LabelStudioError(f"Label Studio's answer is no list of {what}s, but {_form(raw)}")
    rows = []
    for place, row in enumerate(raw, 1):
        if not isinstance(row, dict):
            skipped.add(f"{what} at place {place}", "no object")
        elif not is_id(row.get("id")):
            skipped.add(f"{what} at place {place}", "no id")
        elif what not in ("tab", "user") and not isinstance(row.get("url"), str):
            skipped.add(f"{what} {row['id']}", "no url")
        else:
            rows.append(row)
    return rows


def hook_change(hook: Json, headers: Mapping[str, str]) -> Json:
    """Return what is to be changed of a webhook so that it sends these headers and is switched on."""
    before: Json = hook["headers"] if isinstance(hook.get("headers"), dict) else {}
    change: Json = {}
    if any(before.get(key) != value for key, value in headers.items()):
        change["headers"] = {**before, **headers}
    return change | {"is_active": True} if hook.get("is_active") is False else change


def records(raw: Any) -> tuple[list[Any], int]:
    """Return the tasks on a page, as they are, and how many there are on all pages."""
    page = one_object(raw, "page", tasks=list)
    total = page.get("total")
    return page["tasks"], int(total) if isinstance(total, int) else len(page["tasks"])


def task_records(raw: Sequence[Any], fields: Sequence[str], skipped: Skipped, first: int = 1) -> Iterator[TaskRecord]:
    """Yield the tasks of a page that can be read.

    Parameters
    ----------
    fields : sequence of str
        What was asked for; with ``annotations``, each task has all of those that can be read.
    skipped : Skipped
        Gets the others: ``task 12``, and ``annotations of task 12`` where only annotations are left out.
    first : int, default 1
        Place of the first one in the whole list, the name of a task without an id.
    """
    for place, row in enumerate(raw, first):
        if not isinstance(row, dict):
            skipped.add(f"task at place {place}", "no object")
        elif not is_id(row.get("id")):
            skipped.add(f"task at place {place}", "no id")
        elif "updated_at" in fields and not _is_time(row.get("updated_at")):
            skipped.add(f"task {row['id']}", "no updated_at")
        else:
            yield _task(row, fields, skipped)


def _task(row: Json, fields: Sequence[str], skipped: Skipped) -> TaskRecord:
    task: TaskRecord = {"id": row["id"]}
    if "updated_at" in fields:
        task["updated_at"] = row["updated_at"]
    if "created_at" in fields and _is_time(row.get("created_at")):
        task["created_at"] = row["created_at"]
    if "data" in fields:
        task["data"] = row.get("data")
    if "is_labeled" in fields:
        task["is_labeled"] = row.get("is_labeled") is True
    for name in COUNTS:
        if name in fields:
            task[name] = row[name] if _is(row.get(name), int) else 0  # type: ignore[literal-required]
    if "annotations" in fields:
        task["annotations"] = list(_annotations(row, skipped))
    return task


def _annotations(row: Json, skipped: Skipped) -> Iterator[AnnotationRow]:
    name = f"annotations of task {row['id']}"
    said = row.get("annotations")
    if not isinstance(said, list):
        skipped.add(name, "no list")
        return
    for place, one in enumerate(said, 1):
        if not isinstance(one, dict):
            skipped.add(name, f"annotation at place {place}: no object")
        elif not is_id(one.get("id")):
            skipped.add(name, f"annotation at place {place}: no id")
        elif not _is_time(one.get("updated_at")):
            skipped.add(name, f"annotation {one['id']}: no updated_at")
        elif "result" not in one:
            skipped.add(name, f"annotation {one['id']}: no result")
        else:
            user = one.get("completed_by")
            user = user.get("id") if isinstance(user, dict) else user
            found: AnnotationRow = {
                "id": one["id"],
                "updated_at": one["updated_at"],
                "completed_by": user if is_id(user) else None,
                "ground_truth": bool(one.get("ground_truth")),
                "was_cancelled": bool(one.get("was_cancelled")),
                "result": one["result"],
            }
            if _is_time(one.get("created_at")):
                found["created_at"] = one["created_at"]
            if _is_duration(one.get("lead_time")):
                found["lead_time"] = round(float(one["lead_time"]), 1)
            yield found


def _is(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and not (kind is int and isinstance(value, bool))


def _form(raw: Any) -> str:
    """Say what an answer is, without anything that it says."""
    words = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "nothing"}
    return words.get(type(raw), "a number")


def is_id(value: Any) -> bool:
    """Tell whether a value can be the id of a record."""
    return _is(value, int) and 0 <= value <= MAX_ID


def _is_time(value: Any) -> bool:
    """Tell whether a value is a time that can be compared with others: with its zone, and not at the end of time."""
    try:
        when = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return False
    return when is not None and when.utcoffset() is not None and 1970 <= when.year < 9999


def _is_duration(value: Any) -> bool:
    """Tell whether a value is a number of seconds that a person can have had something open."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < LONGEST


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return HALF.sub("\N{REPLACEMENT CHARACTER}", value)
    if isinstance(value, list):
        return [_whole(one) for one in value]
    if isinstance(value, dict):
        return {_whole(key): _whole(one) for key, one in value.items()}
    return value


def ids_of(rows: Sequence[Any]) -> list[int]:
    """Return the ids in a list of records, of those that cannot be read too."""
    return [row["id"] for row in rows if isinstance(row, dict) and is_id(row.get("id"))]


def predictions_in(rows: Sequence[Any], version: str) -> list[tuple[int, int, float | None]]:
    """Return the predictions of a version in rows of tasks: task, id and score."""
    found = []
    for task in rows:
        said = task.get("predictions") if isinstance(task, dict) and is_id(task.get("id")) else None
        for one in said if isinstance(said, list) else ():
            if isinstance(one, dict) and one.get("model_version") == version and is_id(one.get("id")):
                at = one.get("score")
                found.append((task["id"], one["id"], float(at) if isinstance(at, int | float) else None))
    return found


def check_results(batch: Sequence[Any], origin: str) -> None:
    """Raise when no annotation among tasks shows its result: that is no odd record, but another Label Studio."""
    rows = [task for task in batch if isinstance(task, dict)]
    lists = [said for task in rows if isinstance(said := task.get("annotations", [{}]), list)]
    said = [one for annotations in lists for one in annotations if isinstance(one, dict)]
    if said and not any("result" in one for one in said):
        raise LabelStudioError(
            f"Label Studio at {origin} shows task {rows[0].get('id')} without its annotations' results: "
            "this version is not one that labelqueue can read labels from (see its README)"
        )


def name_among(answer: Any) -> str:
    """Return how a server names itself in its list of templates, by the addresses of their pictures; empty when not."""
    templates = answer.get("templates") if isinstance(answer, dict) else None
    listed = templates if isinstance(templates, list) else []
    pictures = [one.get("image") for one in listed if isinstance(one, dict)]
    starts = (str(picture).partition("/static/")[0] for picture in pictures)
    return next((start for start in starts if "://" in start), "")


def clock_ahead(date: str | None, now: float) -> float | None:
    """Return by how many seconds the clock that wrote a Date header is ahead; None when it is none."""
    try:
        return parsedate_to_datetime(date or "").timestamp() - now
    except (TypeError, ValueError):
        return None
