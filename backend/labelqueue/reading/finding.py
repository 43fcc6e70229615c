"""Finding again the projects that Redis lost: Label Studio still has their connections to this backend."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from ..exceptions import LabelStudioError, ProjectError
from ..labelstudio import LabelStudio, Skipped
from ..state import LIVE_VERSION, Project, ProjectRef, Redis, text

__all__ = ["find_lost"]

log = logging.getLogger(__name__)

STRANGERS = "lq:strangers"  # project key -> when it was seen to have no connection to this backend
RUN = "run"  # field beside them: which run of the Redis server they belong to
STRANGER_FOR = 900.0  # seconds; a new connection calls /setup anyway
CONNECTED = "CO"  # Label Studio's word for a backend that answered
ENOUGH = 45.0  # seconds for one search; the next one goes on with the rest


def find_lost(store: Redis, client: LabelStudio) -> list[Project]:
    """Have Label Studio call our ``/setup`` for the projects that are connected to this backend and not known here.

    Label Studio does so whenever it lists a project's connections, and ``/setup`` registers the project. Nothing else
    is proof: another labelqueue on the same Label Studio has its own projects, and its answers look like ours.

    Only projects that are not known are asked for their connections, each once in a while: what has no connection is
    remembered, until Redis starts anew and may have lost what it knew. A project that is known is left as it is, also
    one that people disconnected.

    Parameters
    ----------
    store : Redis
        Connection.
    client : LabelStudio
        Of the server whose projects are meant.

    Returns
    -------
    list of Project
        Those that are known now; `/setup` asked for a look at each.

    Raises
    ------
    LabelStudioError
        When Label Studio does not list its projects.
    """
    begin, found = time.monotonic(), []
    strangers = _strangers(store)
    for row in client.projects(odd=True):
        try:
            project = Project(store, ProjectRef.from_api(client.origin, row))
        except ProjectError:  # of a form that no webhook could name either
            continue
        if project.key in strangers or store.hexists("lq:projects", project.key):
            continue
        if time.monotonic() - begin > ENOUGH:
            break
        try:
            backends = client.ml_backends(project.ref.id, skipped=Skipped())
        except LabelStudioError as error:
            if error.status is None:  # no answer: the others would wait as long
                raise
            continue  # deleted meanwhile, or it fails today
        if store.hexists("lq:projects", project.key):
            log.warning(
                "project %d was not known here, and Label Studio has it connected: it is read anew", project.ref.id
            )
            found.append(project)
        elif not any(_may_be_ours(backend) for backend in backends):
            store.hset(STRANGERS, project.key, str(time.time()))
    return found


def _may_be_ours(backend: Mapping[str, Any]) -> bool:
    """Tell whether a connection may be to our web process, which did not answer just now."""
    return backend.get("model_version") == LIVE_VERSION and backend.get("state") != CONNECTED


def _strangers(store: Redis) -> dict[str, float]:
    """Return the projects that were lately seen to be none of ours, in this run of the Redis server, and when."""
    run = str(store.info("server").get("run_id", ""))
    rows = {text(name): text(raw) for name, raw in store.hgetall(STRANGERS).items()}
    if rows.pop(RUN, "") != run:
        store.delete(STRANGERS)
        store.hset(STRANGERS, RUN, run)
        return {}
    young = {name: float(raw) for name, raw in rows.items() if time.time() - float(raw) < STRANGER_FOR}
    if old := [name for name in rows if name not in young]:
        store.hdel(STRANGERS, *old)
    return young
