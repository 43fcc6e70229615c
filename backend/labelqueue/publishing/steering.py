"""What people did to the queue in Label Studio, and how we give way to it."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from ..ordering import Order
from ..state import Orders, Project
from ..telemetry import count
from .intents import slipped_through
from .publishing import SAMPLING, Publisher
from .versions import number_of, tag_of

__all__ = ["steer"]

log = logging.getLogger(__name__)

ANOTHER = 600.0  # seconds within which a second unknown tag is no loss of ours: somebody else publishes


def steer(project: Project, publisher: Publisher, remote: Mapping[str, Any]) -> None:
    """Do what people asked of the queue, by command or in Label Studio, and say in ``paused`` why it stands still.

    Wishes are the facts that `admin` writes. In Label Studio another `sampling` or a version that is not ours pauses us
    until it is put back; one of our other orders becomes the live one and stays; an empty version, or the backend's
    title, is restored to the live order. A version of ours that is not on record is no person's doing: what is stored
    here was lost, and a new order follows.
    """
    if project.get("rollback_wanted") and _rolled_back(project, publisher):
        return
    if _stands_still(project, publisher, remote):
        return
    orders = Orders(project)
    live = orders.live()
    if project.get("resume_wanted"):
        project.set(paused="", hold="", stranger_at="")
        if live is not None:
            _serve(project, publisher, live)
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
        publisher.settle()
        if project.get("hold") and (lost := publisher.lost()):
            log.warning("project %d: %s; it is published again", project.ref.id, lost)
            _keep(project, publisher, live)
        return
    if version in ("", project.get("backend_title")):
        project.set(paused="")
        count("repairs_total", project=project.key, kind="version")
        _serve(project, publisher, live)
        return
    if chosen is not None:
        _follow(project, publisher, chosen, live)
    elif number_of(version) is None:
        _pause(project, f"the model version was changed to {version!r} in Label Studio; choose one of ours to go on")
    else:
        _catch_up(project, publisher, version)


def _follow(project: Project, publisher: Publisher, chosen: Order, live: Order) -> None:
    """Keep the order that a person chose in Label Studio, or say why that cannot be."""
    project.set(paused="")
    if chosen.forgotten:
        what = f"{chosen.version!r} was chosen in Label Studio, and its tasks are no longer on record"
    elif publisher.restore(chosen, "was chosen in Label Studio", hold=_is_older(Orders(project), chosen)):
        project.set(rollback_error="")
        return
    else:
        what = f"{chosen.version!r} was chosen in Label Studio, and all of its tasks are labeled or deleted"
    _refuse(project, what, live)
    _serve(project, publisher, live)


def _catch_up(project: Project, publisher: Publisher, version: str) -> None:
    """Go on from a version of ours that is not on record: the end of what is stored here was lost.

    A tag that was never used here may be a loss too. When there is a second one soon after, another installation
    publishes to this project, and the two would replace each other's orders for ever.
    """
    tag, known = tag_of(version), project.get("tags").split()
    if tag and tag not in known:
        now, before = time.time(), project.get("stranger")
        soon = now - float(project.get("stranger_at") or 0) < ANOTHER
        project.set(stranger_at=str(now))
        if soon and before != version:
            _pause(
                project,
                f"another labelqueue publishes to this project ({version!r} is not ours): remove one of the two in "
                f"Label Studio under Settings > Model, then `labelqueue resume {project.ref.id}`",
            )
            return
        project.set(stranger=version)
    project.set(paused="")
    publisher.fall_behind(f"{version!r} is live in Label Studio and not on record")


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
    chosen = orders.get(int(wish))
    if chosen is None:
        what = f"order {wish} is gone"
    elif chosen.forgotten:
        what = f"the tasks of {chosen.version!r} are no longer on record"
    elif publisher.restore(chosen, "was chosen by a rollback", hold=_is_older(orders, chosen)):
        project.set(paused="", rollback_error="")
        project.settle("pause_wanted", pause)
        project.settle("rollback_wanted", wish)
        return True
    else:
        what = f"all tasks of {chosen.version!r} are labeled or deleted"
    _refuse(project, what, orders.live())
    project.settle("rollback_wanted", wish)
    return False


def _refuse(project: Project, what: str, live: Order | None) -> None:
    """Say why there is no rollback."""
    stands = f"{live.version!r} stays live" if live else "a new order follows"
    log.warning("project %d: no rollback: %s; %s", project.ref.id, what, stands)
    project.set(rollback_error=f"{what}; {stands}")


def _serve(project: Project, publisher: Publisher, live: Order) -> None:
    """Let Label Studio serve the live order again; when its predictions were deleted, it is published again if it is
    held, and gives way to a new order if not."""
    if not publisher.serve(live):
        log.info("%s has no predictions any more", live.version)
        if project.get("hold"):
            _keep(project, publisher, live)
        else:
            project.set(live="")


def _keep(project: Project, publisher: Publisher, live: Order) -> None:
    """Publish the held order again, or let a new one follow when nothing of it is left to label."""
    if publisher.restore(live, "is kept") is None:
        project.set(live="", hold="")


def _is_older(orders: Orders, chosen: Order) -> bool:
    """Tell whether an order is none that would be live by itself."""
    return chosen.origin != max(order.origin for order in orders.all())


def _pause(project: Project, reason: str) -> None:
    if project.get("paused") != reason:
        log.warning("project %d: paused: %s", project.ref.id, reason)
        project.set(paused=reason)
