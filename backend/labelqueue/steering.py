"""What people did to the queue in Label Studio, and how we give way to it."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from . import jobs
from .exceptions import LabelStudioError
from .labelstudio import LabelStudio
from .order import Orders
from .project import LIVE_VERSION, Project
from .publishing import SAMPLING, Publisher

__all__ = ["connected", "steer"]

log = logging.getLogger(__name__)

GRACE = 10.0  # seconds between a set-up and the connection it belongs to


def connected(project: Project, client: LabelStudio, remote: Mapping[str, Any]) -> bool:
    """Tell whether the project still has this backend; when it was removed, give the queue back.

    Label Studio calls /setup a little before it stores the connection, so a young set-up counts as connected.
    """
    for backend in client.ml_backends(project.ref.id):
        # What /setup answered. Addresses are no proof: a proxy, a default port or an old webhook shows another one.
        if backend.get("model_version") == LIVE_VERSION:
            project.set(backend_url=str(backend["url"]), backend_title=str(backend.get("title") or ""))
            return True
    if (young := GRACE - (time.time() - float(project.get("setup_at", "0")))) > 0:
        jobs.request_tend(project, delay=young)
        return True
    if project.get("live"):
        before = project.get("sampling_before")
        if remote.get("sampling") == SAMPLING:
            client.update_project(project.ref.id, sampling=before or "Sequential sampling")
        log.info("project %d no longer uses this backend; its sampling is %r again", project.ref.id, before)
    project.set(live="", sampling_before="", paused="this backend is not connected to the project")
    return False


def steer(project: Project, publisher: Publisher, remote: Mapping[str, Any]) -> None:
    """Compare the project's queue settings with what we published, and follow a person's change.

    Another `sampling` or a version that is not ours pauses us until it is put back; one of our other orders becomes
    the live one and stays; an empty version, or the backend's title, is restored to the live order.
    """
    orders = Orders(project)
    live = orders.live()
    if live is None:
        project.set(paused="")
        return
    version, sampling = str(remote.get("model_version") or ""), str(remote.get("sampling") or "")
    if sampling != SAMPLING:
        _pause(project, f"sampling was changed to {sampling!r} in Label Studio; set it back to {SAMPLING!r} to go on")
        return
    if version == live.version:
        project.set(paused="")
        return
    if version in ("", project.get("backend_title")):
        project.set(paused="")
        try:
            publisher.switch(live)
        except LabelStudioError as error:
            if error.status != 400:
                raise
            # Its predictions were deleted: only a new order helps.
            log.info("%s has no predictions any more: %s", live.version, error)
            project.set(live="")
        return
    chosen = orders.by_version(version)
    if chosen is None:
        _pause(project, f"the model version was changed to {version!r} in Label Studio; choose one of ours to go on")
        return
    orders.go_live(chosen)
    newest = max(order.number for order in orders.all())
    project.set(paused="", hold="" if chosen.number == newest else f"{version!r} was chosen in Label Studio")


def _pause(project: Project, reason: str) -> None:
    if project.get("paused") != reason:
        log.warning("project %d: paused: %s", project.ref.id, reason)
        project.set(paused=reason)
