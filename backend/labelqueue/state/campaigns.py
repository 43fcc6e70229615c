"""Where a project's campaign is kept between jobs, and what the web process reads of it."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from ..exceptions import CacheError
from ..learning.model import Model
from ..learning.predictions import Outlook
from ..ordering.campaign_state import Memory
from .connection import text
from .project import Project

__all__ = ["load_memory", "outlook_of", "save_memory", "save_standing", "standing_of"]

log = logging.getLogger(__name__)


def load_memory(project: Project) -> Memory:
    """Return what the project's campaign remembers; an empty memory when it has none.

    A model that cannot be read, such as one of another format, is forgotten: a training needs the labels only.
    """
    found = project.store.hgetall(project.name("campaign"))
    parts = {text(name): part for name, part in found.items() if isinstance(part, bytes)}
    try:
        return Memory.load(parts)
    except CacheError as error:
        log.warning("project %d: it is trained anew from its labels: %s", project.ref.id, error)
        return replace(Memory.load({"facts": parts["facts"]}), trained_on={})


def save_memory(project: Project, memory: Memory, before: Memory) -> None:
    """Keep what changed; a reader sees all of it or nothing."""
    key, parts, old = project.name("campaign"), memory.dump(), before.dump()
    changed = {name: part for name, part in parts.items() if old.get(name) != part}
    if not changed and parts.keys() == old.keys():
        return
    with project.store.pipeline(transaction=True) as pipe:
        if changed:
            pipe.hset(key, mapping=changed)  # type: ignore[arg-type]
        for name in old.keys() - parts.keys():
            pipe.hdel(key, name)
        pipe.execute()


def save_standing(project: Project, **parts: Mapping[str, Any]) -> None:
    """Keep what `standing_of` returns; the web process has neither the means nor the time to work it out."""
    project.set(standing=json.dumps(parts))


def standing_of(project: Project) -> dict[str, Any]:
    """Return where learning stands: the parts last saved, none before the first look at the labels."""
    parts: dict[str, Any] = json.loads(project.get("standing", "{}"))
    return parts


def outlook_of(project: Project) -> tuple[Model, Outlook] | None:
    """Return the project's model and its predictions, or None before the first training."""
    model, outlook = project.store.hmget(project.name("campaign"), ["model", "outlook"])
    if not isinstance(model, bytes) or not isinstance(outlook, bytes):
        return None
    return _parse(model, outlook)


@lru_cache(maxsize=4)
def _parse(model: bytes, outlook: bytes) -> tuple[Model, Outlook]:
    return Model.from_bytes(model), Outlook.from_bytes(outlook)
