"""Carrying a decision out: what was learned is kept first, then the order goes to Label Studio."""

from __future__ import annotations

import logging

from ..exceptions import PublishError
from ..jobs import request_tend
from ..ordering import Decision, Order, Snapshot, moved, open_places
from ..state import Project, save_campaign, save_summary
from ..telemetry import count, note
from .publishing import Publisher

__all__ = ["RefillError", "carry_out"]

log = logging.getLogger(__name__)


class RefillError(PublishError):
    """A refill was not stored completely; only a new order helps."""


def carry_out(decision: Decision, snapshot: Snapshot, project: Project, publisher: Publisher) -> str:
    """Keep what was decided, tell people, and publish what is due.

    Parameters
    ----------
    decision : Decision
    snapshot : Snapshot
        What was decided from.
    project : Project
    publisher : Publisher
        It checks the project's lock before every write that others see.

    Returns
    -------
    str
        What was done, for the log.

    Raises
    ------
    RefillError
        When Label Studio did not store all of a refill. Everything else that was decided is kept.
    PublishError
        When the lock was lost, or Label Studio did not take a new order. What was learned is kept, and so is why an
        order is due.
    """
    publisher.check()  # deciding may take long: a job that stalled must not write over what another one learned
    save_campaign(project, decision.state, snapshot.state)
    save_summary(project, decision.summarize())
    left = str(len(open_places(snapshot.live, snapshot.tasks)))
    project.set(learned=decision.learned, features_error=snapshot.missing, head_left=left)
    # It was trained, and the order follows from `learned`: while an order is held, or cannot be published, the wish
    # would else ask for a training at every look.
    project.settle("retrain_wanted", snapshot.wanted)
    if decision.failure is not None:
        raise decision.failure
    if decision.again_in is not None:
        request_tend(project, delay=decision.again_in)
    if decision.order is None:
        if decision.arranged is not None and snapshot.live is not None:
            return _rearranged(decision.arranged, snapshot.live, snapshot, project, publisher)
        return decision.due.why
    if decision.due.action == "refill":
        places = decision.places
        try:
            wanted = decision.arranged
            order = publisher.refill(decision.order, places, **({} if wanted is None else {"scores": wanted.scores}))
        except PublishError as error:
            raise RefillError(str(error)) from error
        if wanted is not None:
            order = publisher.rearrange(order, wanted)
        done = f"{order.version} refilled with {len(places)} tasks"
    else:
        renewed = decision.order.again > 0  # the live one once more: what it was kept for, or asked for, stays
        order = publisher.publish(decision.order, **({"hold": project.get("hold")} if renewed else {}))
        if snapshot.lost:
            count("repairs_total", project=project.key, kind="order")
        places = order.places  # without tasks that were deleted meanwhile
        done = f"{order.version} is live with {len(places)} tasks"
        if not renewed:
            project.set(learned="")
    save_campaign(project, decision.state.serving(order.version, places), decision.state)
    project.set(head_left=str(len(open_places(order, snapshot.tasks))))
    count("orders_total", project=project.key, kind="refill" if decision.due.action == "refill" else "new")
    note(order=order.version)
    outcome = f"{done} ({decision.due.why})"
    log.info("project %d: %s", project.ref.id, outcome)
    return outcome


def _rearranged(wanted: Order, live: Order, snapshot: Snapshot, project: Project, publisher: Publisher) -> str:
    """Let the live order follow what was pinned and left out; return what was done, for the log."""
    publisher.rearrange(live, wanted)
    project.set(head_left=str(len(open_places(wanted, snapshot.tasks))))
    changed = len(moved(live, wanted))
    outcome = f"{live.version} follows what was pinned and left out ({changed} scores)"
    log.info("project %d: %s", project.ref.id, outcome)
    return outcome
