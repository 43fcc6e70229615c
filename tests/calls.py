"""The calls that the web process takes, with what Label Studio really sends, and ways to spoil them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from conftest import CONFIG
from labelqueue.settings import PROJECT

CREATED_AT = "2026-11-21T00:44:53.544491Z"
TASK = {"id": 4, "data": {"image": "/4.jpg"}, "annotations": [], "predictions": [], "project": 1}
ANNOTATION = {"id": 9, "result": [{"from_name": "choice", "value": {"choices": ["cat"]}}], "completed_by": 1, "task": 4}
ODD = [
    None, True, 0, -1, 2**63, 10**400, 1.5, -0.0, 1e308, float("inf"), float("nan"), "", "²", "\ud800", "1" * 5000,
    "null", "[" * 5000, "\x00", "x" * 100_000, [], {}, [[]], {"": None}, [None] * 3, "9999-12-31T23:59:59Z", "r" * 30,
]  # fmt: skip

Place = tuple[Any, ...]  # the way to a value in a body


def calls(told: int = 1, asked: int = 7, created_at: str = CREATED_AT) -> list[tuple[str, str, Any]]:
    """Return method, path and body of every kind of call that changes something.

    Parameters
    ----------
    told, asked : int
        The project that Label Studio's calls are about, and that of REST.
    created_at : str
        When the first of them was created.
    """
    remote = {"id": told, "created_at": created_at, "label_config": CONFIG, "title": "animals"}
    name = f"{told}.1795221893"
    events = [
        {"action": "TASKS_CREATED", "tasks": [TASK], "project": remote},
        {"action": "TASKS_DELETED", "tasks": [{"id": 4}], "project": remote},
        {"action": "ANNOTATION_CREATED", "annotation": ANNOTATION, "task": TASK, "project": remote},
        {"action": "ANNOTATIONS_CREATED", "annotation": [ANNOTATION], "task": [TASK], "project": remote},
        {"action": "ANNOTATIONS_DELETED", "annotations": [{"id": 9}], "project": remote},
        {"action": "PROJECT_UPDATED", "project": remote},
        {"action": "START_TRAINING", "project": remote},
    ]
    rest = f"/api/v1/projects/{asked}"
    return [
        *(("POST", "/webhook", event) for event in events),
        ("POST", "/setup", {"project": name, "schema": CONFIG, "hostname": "h", "extra_params": {"seed": 1}}),
        ("POST", "/setup", {"project": name, "schema": CONFIG, "extra_params": '{"label_map": {"a": "cat"}}'}),
        ("POST", "/predict", {"tasks": [TASK], "project": name, "label_config": CONFIG, "params": {}}),
        ("POST", f"{rest}/rollback", {"order": 1}),
        *(("PATCH", f"{rest}/settings", {name: setting.default}) for name, setting in PROJECT.items()),
    ]


def places(value: Any, path: Place = ()) -> Iterator[Place]:
    """Yield the way to every value in a body."""
    yield path
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in entries:
        yield from places(entry, (*path, key))


def changed(body: Any, path: Place, value: Any) -> Any:
    """Return a body with another value at a place."""
    if not path:
        return value
    body = copy.deepcopy(body)
    inner = body
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return body
