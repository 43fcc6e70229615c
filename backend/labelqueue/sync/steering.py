"""What people did to the queue in Label Studio, and how we give way to it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from ..exceptions import LabelStudioError
from ..ordering import Order
from ..state import Orders, Project
from .intents import slipped_through
from .publishing import SAMPLING, Publisher

__all__ = ["steer"]

log = logging.getLogger(__name__)


def steer(project: Project, publisher: Publisher, remote: Mapping[str, Any]) -> None:
    """Do what people asked of the queue, by command or in Label Studio, and say in ``paused`` why it stands still.

    Wishes are the facts that `admin` writes. In Label Studio another `sampling` or a version that is not ours pauses us
    until it is put back; one of our other orders becomes the live one and stays; an empty version, or the backend's
    title, is restored to the live order.
    """
    if project.get("rollback_wanted") and _rolled_back(project, publisher):
        return
    if _stands_still(project, publisher, remote):
        return
    orders = Orders(project)
    live = orders.live()
    if project.get("resume_wanted"):
        if live is not None:
            _serve(project, publisher, live)
        project.set(paused="", hold="")
        project.settle("resume_wanted", "1")
        return
    if live is None:
        project.set(paused="")
        return
    version, sampling = str(remote.get("model_version") or ""), str(remote.get("sampling") or "")
    chosen = orders.by_version(version)
    ours = (version, sampling) == (live.version, SAMPLING)
    newer = chosen is not None and chosen.number > live.number  # of a job that was killed just then: it counts
    if not ours and slipped_through(project, remote) is not None and not newer:
        project.set(paused="")
        _serve(project, publisher, live)
        return
    if sampling != SAMPLING:
        _pause(project, f"sampling was changed to {sampling!r} in Label Studio; set it back to {SAMPLING!r} to go on")
        return
    if version == live.version:
        project.set(paused="")
        return
    if version in ("", project.get("backend_title")):
        project.set(paused="")
        _serve(project, publisher, live)
        return
    if chosen is None:
        _pause(project, f"the model version was changed to {version!r} in Label Studio; choose one of ours to go on")
        return
    orders.go_live(chosen)
    project.set(paused="", hold=_hold(orders, chosen, "was chosen in Label Studio"))


def _stands_still(project: Project, publisher: Publisher, remote: Mapping[str, Any]) -> bool:
    """Pause the project as a command asked, and tell whether it is paused.

    The sampling is put back once; a person who then chooses ours in Label Studio ends the pause.
    """
    wish = project.get("pause_wanted")
    if not wish:
        return False
    reason = f"{wish}; `labelqueue resume {project.ref.id}` goes on"
    ours = bool(project.get("live")) and remote.get("sampling") == SAMPLING
    if project.get("paused") != reason:
        if ours:
            publisher.give_back()
        _pause(project, reason)
        return True
    if not ours:
        return True
    if slipped_through(project, remote) is not None:
        publisher.give_back()
        return True
    log.info("project %d: sampling was set to %r in Label Studio, which ends the pause", project.ref.id, SAMPLING)
    project.settle("pause_wanted", wish)
    return False


def _rolled_back(project: Project, publisher: Publisher) -> bool:
    """Make the order that a command asked for the live one and keep it, which ends a pause; or say why not."""
    orders, wish, pause = Orders(project), project.get("rollback_wanted"), project.get("pause_wanted")
    chosen, live = orders.get(int(wish)), orders.live()
    if chosen is not None and _switched(publisher, chosen):
        project.set(paused="", hold=_hold(orders, chosen, "was chosen by a rollback"), rollback_error="")
        project.settle("pause_wanted", pause)
        project.settle("rollback_wanted", wish)
        return True
    what = f"the predictions of {chosen.version!r} were deleted in Label Studio" if chosen else f"order {wish} is gone"
    stands = f"{live.version!r} stays live" if live else "a new order follows"
    log.warning("project %d: no rollback: %s; %s", project.ref.id, what, stands)
    project.set(rollback_error=f"{what}; {stands}")
    project.settle("rollback_wanted", wish)
    return False


def _serve(project: Project, publisher: Publisher, live: Order) -> None:
    """Let Label Studio serve the live order again; when its predictions were deleted, only a new order helps."""
    if not _switched(publisher, live):
        log.info("%s has no predictions any more", live.version)
        project.set(live="")


def _switched(publisher: Publisher, order: Order) -> bool:
    """Switch to an order and tell whether Label Studio has its predictions."""
    try:
        publisher.switch(order)
    except LabelStudioError as error:
        if error.status != 400:
            raise
        return False
    return True


def _hold(orders: Orders, chosen: Order, how: str) -> str:
    newest = max(order.number for order in orders.all())
    return "" if chosen.number == newest else f"{chosen.version!r} {how}"


def _pause(project: Project, reason: str) -> None:
    if project.get("paused") != reason:
        log.warning("project %d: paused: %s", project.ref.id, reason)
        project.set(paused=reason)
