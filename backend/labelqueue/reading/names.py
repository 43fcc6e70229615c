"""What the people are called who annotate: Label Studio's annotations give their numbers only."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable, Mapping
from typing import Any

from ..exceptions import LabelStudioError
from ..labelstudio import LabelStudio
from ..state import Project

__all__ = ["read_names"]

log = logging.getLogger(__name__)

ASK_EVERY = 3600.0  # seconds; who left Label Studio stays a number
LONGEST = 80  # characters of a name


def read_names(project: Project, client: LabelStudio, users: Iterable[int]) -> None:
    """Keep the names of these users as the fact ``people``, asking Label Studio when one is not known.

    Nothing depends on it: a list that cannot be had is asked for again an hour later.
    """
    known: dict[str, str] = json.loads(project.get("people") or "{}")
    wanted = {str(user) for user in users}
    if not wanted - known.keys() or time.time() - float(project.get("people_at") or 0) < ASK_EVERY:
        return
    project.set(people_at=str(time.time()))
    try:
        listed = client.people()
    except LabelStudioError as error:
        log.warning("project %d: annotators stay numbers for now: %s", project.ref.id, error)
        return
    found = {str(user["id"]): _name(user) for user in listed}
    project.set(people=json.dumps({user: name for user, name in (known | found).items() if user in wanted and name}))


def _name(user: Mapping[str, Any]) -> str:
    """Return what a user is called: by both names, or as they log in, without the rest of a mail address."""
    parts = [user.get(field) for field in ("first_name", "last_name")]
    full = " ".join(part.strip() for part in parts if isinstance(part, str) and part.strip())
    login = next((name for field in ("username", "email") if isinstance(name := user.get(field), str) and name), "")
    return (full or login.partition("@")[0])[:LONGEST]
