"""What ties a project in Label Studio to this backend: it names us as its ML backend, and it calls us."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from ..exceptions import LabelStudioError
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
TOLD = "What the queue does, and why: "
OURS = re.compile(re.escape(TOLD) + r"https?://\S+/console/[0-9]+")
# Seconds between two tries to write the description, and until it gets another address: workers of two machines may
# have two of them.
DESCRIBED_EVERY = 600.0
SAME = ("url", "extra_params", "auth_method", "basic_auth_user")

Check = Callable[[], None]


def connected(
    project: Project, client: LabelStudio, remote: Mapping[str, Any], check: Check, *, public_url: str = ""
) -> bool:
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
    public_url : str, optional
        Where people's browsers reach us: the connection's description leads them there.
    """
    skipped = Skipped()
    backends = client.ml_backends(project.ref.id, skipped=skipped)
    note_skipped(project, "ML backends", skipped)
    for backend in backends:
        # What /setup answered. Addresses are no proof: a proxy, a default port or an old webhook shows another one.
        if backend.get("model_version") == LIVE_VERSION:
            project.set(backend_url=str(backend["url"]), backend_title=str(backend.get("title") or ""))
            project.settle("paused", NOT_CONNECTED)
            if public_url and "description" in backend:
                _describe(project, client, backend, public_url, check)
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


def _describe(project: Project, client: LabelStudio, backend: Mapping[str, Any], public_url: str, check: Check) -> None:
    """Let the connection's description say where the console is, unless a person wrote one.

    It is written once for each connection and address: whoever removes it is not contradicted. Label Studio calls us,
    and with what it is sent, before it takes a change: so the extra params and the credentials go along as they are.
    """
    told = f"{TOLD}{public_url}/console/{project.ref.id}"
    now, written = str(backend["description"] or "").strip(), f"{backend['id']} {told}"
    if now == told or (now and not OURS.fullmatch(now)) or project.get("described") == written:
        return
    recent = time.time() - float(project.get("described_at") or 0) < DESCRIBED_EVERY
    if recent and (now or not project.get("described")):
        return
    project.set(described="", described_at=str(time.time()))
    same = {name: backend[name] for name in SAME if name in backend}
    # An empty password stands for the one that is stored; without credentials, none may be sent.
    secret = {"basic_auth_pass": ""} if backend.get("auth_method") == "BASIC_AUTH" else {}
    check()
    try:
        client.update_backend(int(backend["id"]), **same, **secret, project=project.ref.id, description=told)
    except LabelStudioError as error:
        log.warning("project %d: the connection's description stays as it is: %s", project.ref.id, error)
    else:
        project.set(described=written)


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
