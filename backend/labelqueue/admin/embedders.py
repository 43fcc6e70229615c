"""Which embedder a project has, which one a new project would get, and how to ask for another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..jobs import EmbedderChoice
from .lines import Record, fact

__all__ = ["embedder_lines", "embedder_status", "lacking"]


def embedder_status(info: Mapping[str, str], embedded: int, tasks: int) -> dict[str, Any]:
    """Return which embedder made the vectors that serve, which one is to, and what new projects get.

    Parameters
    ----------
    info : mapping of str to str
        The project's facts.
    embedded, tasks : int
        How many vectors serve, and for how many tasks.
    """
    names = ("embedder", "embedder_wanted", "embedder_offered")
    serving, wanted, offered = (EmbedderChoice.load(info.get(name, "")) for name in names)
    return {
        "serving": serving.told if serving else "",
        "building": wanted.told if wanted and serving and not wanted.same(serving) else "",
        "new_projects": offered.told if offered else "",
        "model": offered.model if offered and not (wanted and offered.same(wanted)) else "",
        "without_vector": max(tasks - embedded, 0) if serving and serving.imported else 0,
    }


def embedder_lines(status: Record) -> Iterator[str]:
    """Yield what `labelqueue status` says of it; see `embedder_status`."""
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
