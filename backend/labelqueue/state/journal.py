"""The event journal: what Label Studio told us, kept until it was acted on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .project import Project, is_id

__all__ = ["ACTIONS", "Event", "Journal", "is_echo", "read_event"]

# action -> where the ids of what changed stand in the payload
ACTIONS: dict[str, str] = {
    "TASKS_CREATED": "tasks",
    "TASKS_DELETED": "tasks",
    "ANNOTATION_CREATED": "annotation",
    "ANNOTATION_UPDATED": "annotation",
    "ANNOTATIONS_CREATED": "annotation",
    "ANNOTATIONS_DELETED": "annotations",
    "PROJECT_UPDATED": "",
    "START_TRAINING": "",
}
AT_ONCE = 2_000  # events that one look acts on
CHUNK = 500  # events read by one command; one may name 5,000 tasks
MAX_LENGTH = 100_000  # events kept per project if nobody drains them; older ones are repaired by reconciling


@dataclass(frozen=True)
class Event:
    """One webhook call, reduced to what changed: values are always re-read from Label Studio.

    Attributes
    ----------
    action : str
        One of `ACTIONS`.
    ids : tuple of int
        Ids of the tasks or annotations it names.
    annotators : tuple of int
        Users who completed the annotations.
    tasks : tuple of int
        Tasks of the annotations, where the payload shows them.
    """

    action: str
    ids: tuple[int, ...] = ()
    annotators: tuple[int, ...] = ()
    tasks: tuple[int, ...] = ()


def read_event(payload: Mapping[str, Any]) -> Event | None:
    """Return the event in a webhook's payload, or None when we do not act on its action."""
    action = str(payload.get("action", ""))
    if action not in ACTIONS:
        return None
    rows = _rows(payload.get(ACTIONS[action]) if ACTIONS[action] else None)
    return Event(
        action,
        tuple(_ids(rows)),
        tuple(sorted({row["completed_by"] for row in rows if is_id(row.get("completed_by"))})),
        tuple(sorted(set(_ids(_rows(payload.get("task")))))),
    )


def is_echo(project: Project, shown: Mapping[str, Any]) -> bool:
    """Tell whether a change that Label Studio tells of is one that a worker of ours makes right now, and nothing else
    changed that a look acts on.

    Label Studio tells before it answers the worker, whose write is on record until then.

    Parameters
    ----------
    project : Project
    shown : mapping
        The project as the event shows it.
    """
    prelabels = str(int(bool(shown.get("show_collab_predictions", True))))
    known = {"title": shown.get("title"), "label_config": shown.get("label_config"), "prelabels_shown": prelabels}
    if any(project.get(fact) != str(value or "") for fact, value in known.items()):
        return False
    writes = [json.loads(raw)["values"] for raw in project.store.hvals(project.name("intents"))]
    return any(all(str(shown.get(name) or "") == value for name, value in values.items()) for values in writes)


def _rows(items: Any) -> list[Mapping[str, Any]]:
    """Return one object, or those of a list; what is no object is passed over."""
    return [row for row in (items if isinstance(items, list) else [items]) if isinstance(row, Mapping)]


def _ids(rows: list[Mapping[str, Any]]) -> list[int]:
    return [row["id"] for row in rows if is_id(row.get("id"))]


class Journal:
    """Stream of a project's events, in the order they came."""

    def __init__(self, project: Project) -> None:
        self._store = project.store
        self._key = project.name("journal")

    def append(self, event: Event) -> None:
        """Keep an event; when this returns, it will be acted on."""
        row = json.dumps([event.action, event.ids, event.annotators, event.tasks])
        self._store.xadd(self._key, {"event": row}, maxlen=MAX_LENGTH, approximate=True)

    def read(self) -> tuple[list[Event], bytes]:
        """Return the events that wait longest, at most `AT_ONCE`, and the mark to `clear` once they were acted on."""
        events: list[Event] = []
        mark = b""
        while len(events) < AT_ONCE and (
            part := self._store.xrange(self._key, min=b"(" + mark if mark else "-", count=CHUNK)
        ):
            rows = (json.loads(row[b"event"]) for _, row in part)  # type: ignore[index]
            events += [Event(action, *(tuple(ids) for ids in parts[:3])) for action, *parts in rows]
            mark = part[-1][0]  # type: ignore[assignment]
        return events, mark

    def clear(self, mark: bytes) -> None:
        """Forget the events up to `mark`."""
        if mark:
            milliseconds, _, sequence = mark.decode().partition("-")
            self._store.xtrim(self._key, minid=f"{milliseconds}-{int(sequence) + 1}", approximate=False)

    def __len__(self) -> int:
        return int(self._store.xlen(self._key))
