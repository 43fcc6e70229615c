"""Changes of a project in Label Studio, written down before they are made.

A job looks at its project's lock right before each write. If it stalls in the very moment after that, the write still
arrives, late, and would look like a person's. What was written down and never finished tells that it was ours.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from ..exceptions import LabelStudioError, PublishError
from ..labelstudio import LabelStudio
from ..state import Project, text

__all__ = ["change_project", "slipped_through"]

log = logging.getLogger(__name__)

REMEMBERED = 3600.0  # seconds


def change_project(project: Project, client: LabelStudio, check: Callable[[], None], **values: str) -> None:
    """Change fields of a project in Label Studio.

    Parameters
    ----------
    project : Project
    client : LabelStudio
    check : callable
        Raises when this job no longer holds the project's lock; called right before the change and right after it.
    **values : str
        The fields.

    Raises
    ------
    PublishError
        When the lock was lost. If it was lost with the change, whoever holds it now finds the change and undoes it.
    """
    key, name = project.name("intents"), uuid.uuid4().hex
    row = {"values": values, "before": project.get("sampling_before"), "at": time.time()}
    project.store.hset(key, name, json.dumps(row))
    try:
        check()
        client.update_project(project.ref.id, **values)
    except PublishError:
        project.store.hdel(key, name)  # nothing was sent
        raise
    except LabelStudioError as error:
        if error.status is not None:  # else nobody knows whether it arrived
            project.store.hdel(key, name)
        raise
    check()
    project.store.hdel(key, name)


def slipped_through(project: Project, remote: Mapping[str, Any]) -> str | None:
    """Return the sampling that there was before us, if a project is in a state that a job left it in which then lost
    the lock; None when it is in another one.

    Parameters
    ----------
    remote : mapping
        The project as Label Studio shows it.
    """
    key, found = project.name("intents"), None
    for name, raw in project.store.hgetall(key).items():
        row = json.loads(raw)
        same = all(str(remote.get(field) or "") == value for field, value in row["values"].items())
        if same or time.time() - row["at"] > REMEMBERED:
            project.store.hdel(key, text(name))
        if same:
            log.warning("project %d: %s came late, from a job that stalled", project.ref.id, row["values"])
            found = str(row["before"])
    return found
