"""What ties a project in Label Studio to this backend: it exists there, it names us as its ML backend, it calls us."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from ..exceptions import NotFoundError
from ..jobs import request_tend
from ..labelstudio import LabelStudio, Skipped
from ..state import LIVE_VERSION, NOT_CONNECTED, SECRET_HEADER, Project, ProjectRef
from .intents import change_project, slipped_through
from .publishing import PLAIN_SAMPLING, SAMPLING
from .reading import FULL_EVERY, note_skipped

__all__ = ["connected", "find_remote", "secure_webhook"]

log = logging.getLogger(__name__)

GONE_AFTER = 600.0  # seconds
GRACE = 10.0  # seconds between a set-up and the connection it belongs to
MISSES = 5  # times that the project's webhook is looked for in vain

Check = Callable[[], None]


def find_remote(project: Project, client: LabelStudio) -> dict[str, Any] | None:
    """Return the project as Label Studio shows it, or None when it is gone.

    Everything kept of a project is dropped only after Label Studio has denied it for a while, to an accepted key: a
    proxy answers 404 too while Label Studio restarts.
    """
    remote: dict[str, Any] | None
    try:
        remote = client.project(project.ref.id)
    except NotFoundError:
        client.whoami()
        remote = None
    if remote is not None and ProjectRef.from_api(project.ref.origin, remote) == project.ref:
        project.set(gone_since="")
        return remote
    since = float(project.get("gone_since") or time.time())
    if time.time() - since > GONE_AFTER:
        log.info("project %d was deleted in Label Studio; what was kept of it is dropped", project.ref.id)
        project.forget()
    else:
        project.set(gone_since=str(since), error="Label Studio does not know this project (any more)")
    return None


def connected(project: Project, client: LabelStudio, remote: Mapping[str, Any], check: Check) -> bool:
    """Tell whether the project still has this backend; when it was removed, give the queue back.

    Label Studio calls /setup a little before it stores the connection, so a young set-up counts as connected.

    Parameters
    ----------
    project : Project
    client : LabelStudio
    remote : mapping
        The project as Label Studio shows it.
    check : callable
        Raises when this job no longer holds the project's lock.
    """
    skipped = Skipped()
    backends = client.ml_backends(project.ref.id, skipped=skipped)
    note_skipped(project, "ML backends", skipped)
    for backend in backends:
        # What /setup answered. Addresses are no proof: a proxy, a default port or an old webhook shows another one.
        if backend.get("model_version") == LIVE_VERSION:
            project.set(backend_url=str(backend["url"]), backend_title=str(backend.get("title") or ""))
            project.settle("paused", NOT_CONNECTED)
            return True
    if (young := GRACE - (time.time() - float(project.get("setup_at", "0")))) > 0:
        request_tend(project, delay=young)
        return True
    check()
    late = slipped_through(project, remote) if not project.get("live") else None
    if project.get("live") or late is not None:
        before = late or project.get("sampling_before") or PLAIN_SAMPLING
        if remote.get("sampling") == SAMPLING:
            change_project(project, client, check, sampling=before)
        log.info("project %d no longer uses this backend; its sampling is %r again", project.ref.id, before)
    # Wishes end with the connection: one from long ago must not surprise people who connect again.
    project.set(
        live="", sampling_before="", paused=NOT_CONNECTED, pause_wanted="", resume_wanted="", rollback_wanted=""
    )
    return False


def secure_webhook(project: Project, client: LabelStudio, check: Check) -> None:
    """Install the secret header that the project's webhook must send; Label Studio makes the webhook a little late."""
    url = project.get("backend_url")
    # Looked at again now and then: a person may have removed the header, and then no event would come through.
    if not url or time.time() - float(project.get("webhook_secured_at") or 0) < FULL_EVERY:
        return
    check()
    skipped = Skipped()
    ours = client.secure_webhooks(project.ref.id, url, {SECRET_HEADER: project.get("secret")}, skipped=skipped)
    note_skipped(project, "webhooks", skipped)
    if ours:
        project.set(webhook_secured_at=str(time.time()), webhook_misses="0")
    elif (misses := project.count("webhook_misses")) < MISSES:
        request_tend(project, delay=3.0)
    else:  # a person removed it: the reading of each minute has to do
        project.set(webhook_secured_at=str(time.time()))
        log.warning("project %d has no webhook for %s: found none %d times", project.ref.id, url, misses)
