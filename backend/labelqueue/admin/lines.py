"""How facts look on the command line: the pieces that its lines are made of."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

__all__ = ["Record", "clock", "embedder_lines", "fact", "lacking", "moment", "shown"]

Record = Mapping[str, Any]


def fact(name: str, what: str) -> str:
    """Return one fact, its name in a column of its own."""
    return f"  {name:<14} {what}"


def shown(value: Any) -> str:
    """Return a setting's value as people write it."""
    if value is None:
        return "auto"
    return value if isinstance(value, str) and value else json.dumps(value)


def moment(at: float) -> str:
    """Return a Unix time in the local time zone, to the minute."""
    return datetime.fromtimestamp(at).strftime("%Y-%m-%d %H:%M")


def clock(at: float) -> str:
    """Return the time of day of a Unix time in the local time zone, to the second."""
    return datetime.fromtimestamp(at).strftime("%H:%M:%S")


def embedder_lines(status: Record) -> Iterator[str]:
    """Yield what `labelqueue status` says of it; see `jobs.embedder_status`."""
    found, project = status.get("embedder"), status["project"]
    if not found or not found["serving"]:
        return
    yield fact("embedder", found["serving"])
    if found["building"]:
        yield fact("", f"asked for is {found['building']}: it serves once every image is embedded")
    if found["model"]:
        way = f"`labelqueue set {project} embedder={found['model']}` builds it here, beside what serves"
        yield fact("", f"new projects get {found['new_projects']}; {way}")
    if found["without_vector"]:
        yield fact("", lacking(project, found["without_vector"]))


def lacking(project: int, count: int) -> str:
    """Return what is to be done about tasks without a vector where those that serve were imported."""
    have = "task has" if count == 1 else "tasks have"
    return f"{count:,} {have} no vector; your own model gives them: `labelqueue embeddings import {project} FILE`"
