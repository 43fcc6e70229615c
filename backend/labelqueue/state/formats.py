"""The formats of what is stored: one number for each part of a project's state, and what becomes of another one.

A part's number changes when this version can no longer read what the version before wrote, or the other way round. What
only gained fields keeps its number: unknown fields are ignored, and missing ones have defaults.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from .project import Project

__all__ = ["PARTS", "Part", "make_readable"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Part:
    """One part of a project's state.

    Attributes
    ----------
    format : int
        Written by this version, and read by it.
    keys : tuple of str
        Names below the project's own (`Project.name`); one that ends with ``:*`` stands for all that begin so.
    facts : mapping of str to str
        Facts that make the next look fill the part again when it was dropped. Empty: it cannot be filled again, and is
        read as well as can be.
    """

    format: int
    keys: tuple[str, ...]
    facts: Mapping[str, str]


READ_AGAIN = {"want_full": "1"}
PARTS: Mapping[str, Part] = {
    "facts": Part(1, ("info", "lock", "fence", "queued", "tending"), {}),
    "settings": Part(1, ("settings", "extra_params"), {}),
    "tasks": Part(1, ("tasks",), READ_AGAIN),
    "labels": Part(2, ("labels:*",), READ_AGAIN),
    "journal": Part(1, ("journal", "annotators"), READ_AGAIN),
    "orders": Part(1, ("orders", "order_inputs"), {"live": "", "hold": "", "refilling": ""}),
    "campaign": Part(1, ("campaign",), {"learned": "", "standing": "{}"}),
    "embeddings": Part(1, ("cache:*",), {"generation": "", "rotation_generation": ""}),
    "waiting": Part(1, ("pending", "inflight", "tries", "deaths", "quarantine"), READ_AGAIN),
}


def make_readable(project: Project) -> list[str]:
    """Drop the parts of a project's state that another version wrote in a format of its own, and say so.

    Returns
    -------
    list of str
        Names of the parts that were dropped: the next look reads them again from Label Studio, embeds, learns or orders
        anew.
    """
    ours = {name: part.format for name, part in PARTS.items()}
    raw = project.get("formats")
    theirs = dict.fromkeys(PARTS, 1) | (json.loads(raw) if raw else {})  # 1: from before they were written down
    dropped = []
    for name, part in PARTS.items():
        if theirs[name] == ours[name]:
            continue
        if not part.facts:
            log.warning("project %d: its %s have format %s, we read %d", project.ref.id, name, theirs[name], ours[name])
            continue
        log.warning("project %d: its %s have format %s and are made anew", project.ref.id, name, theirs[name])
        project.drop(*part.keys)
        project.set(**part.facts)
        dropped.append(name)
    if json.loads(raw or "{}") != ours:
        project.set(formats=json.dumps(ours))
    return dropped
