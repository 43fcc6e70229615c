"""What ties a project in Label Studio to this backend: it names us as its ML backend, and it calls us."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from ..jobs import request_tend
from ..labelstudio import LabelStudio, Skipped
from ..reading import note_skipped
from ..state import LIVE_VERSION, NOT_CONNECTED, SECRET_HEADER, Project
from ..telemetry import count
from .intents import change_project, slipped_through
from .publishing import PLAIN_SAMPLING, SAMPLING

__all__ = ["connected", "secure_webhook"]

log = logging.getLogger(__name__)

HOOKS_EVERY = 50.0  # seconds between two looks at the webhooks
GRACE = 10.0  # seconds between a set-up and the connection it belongs to
MISSES = 5  # times that the project's webhook is looked for in vain

Check = Callable[[], None]


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
    """See to it that the project's webhook sends our secret and is switched on; it is made a little late.

    Label Studio may switch a webhook off after failed calls, and a person may remove the header: then no event would
    come through.
    """
    url = project.get("backend_url")
    if not url or time.time() - float(project.get("webhook_secured_at") or 0) < HOOKS_EVERY:
        return
    check()
    skipped = Skipped()
    hooks = client.secure_webhooks(project.ref.id, url, {SECRET_HEADER: project.get("secret")}, skipped=skipped)
    note_skipped(project, "webhooks", skipped)
    if hooks.revived:
        times = project.count("webhook_revived", hooks.revived)
        count("repairs_total", hooks.revived, project=project.key, kind="webhook")
        project.set(webhook_revived_at=str(time.time()), want_full="1")  # nothing was heard of meanwhile
        log.warning("project %d: its webhook was off and is on again, %d times by now", project.ref.id, times)
    if hooks.ours:
        project.set(webhook_secured_at=str(time.time()), webhook_misses="0")
        return
    misses = project.count("webhook_misses")
    if misses < MISSES:
        request_tend(project, delay=3.0)
        return
    project.set(webhook_secured_at=str(time.time()))
    if misses == MISSES:  # a person removed it: the reading of each minute has to do
        log.warning("project %d has no webhook for %s: found none %d times", project.ref.id, url, misses)
