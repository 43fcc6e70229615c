"""The switches for admins, by REST and on the command line: a wish is written down, and a worker fulfils it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime

from ..exceptions import ProjectError, PublishError
from ..jobs import EMBEDDING, alive, request_tend
from ..ordering import Order
from ..state import NOT_CONNECTED, Orders, Project
from .orders import check_recorded, find_order, known_orders

__all__ = ["pause", "reconcile", "resume", "retrain", "rollback", "soon", "try_again"]


def pause(project: Project) -> str:
    """Stop publishing and give the queue back to Label Studio's sampling of before, until `resume`.

    Returns
    -------
    str
        What will happen and how soon, for people; so do the functions below.

    Raises
    ------
    PublishError
        When the backend is not connected to the project; so do `resume` and `rollback`.
    """
    _check_connected(project)
    # The time makes each pause a wish of its own, which one that is being fulfilled cannot take away.
    now = datetime.now(UTC).isoformat(sep=" ", timespec="milliseconds").removesuffix("+00:00")
    _wish(project, pause_wanted=f"paused by an admin at {now} UTC")
    before = project.get("sampling_before")
    back = f"sampling goes back to {before!r}" if before else "sampling stays as it is"
    return f"publishing stops and {back} {soon(project)}; `labelqueue resume {project.ref.id}` goes on"


def resume(project: Project) -> str:
    """End a pause, whatever caused it, and take the queue over again; an older order is held no longer."""
    _check_connected(project)
    _wish(project, pause_wanted="", resume_wanted="1")
    return f"the queue is taken over again {soon(project)}, and new orders follow as they become due"


def rollback(project: Project, order: str | int | None = None) -> str:
    """Make an earlier order live again, exactly as it was, and hold it; this ends a pause.

    While Label Studio has its predictions that is one switch; else it is published again under a version of its own.

    Parameters
    ----------
    order : str or int, optional
        Version or number; the order before the live one when not given.

    Raises
    ------
    ProjectError
        When there is no such order.
    PublishError
        When there is no order before the live one, its tasks are no longer on record, or the backend is not connected.
    """
    _check_connected(project)
    chosen = _before_the_live_one(project) if order is None else find_order(project, order)
    check_recorded(project, chosen)
    _wish(project, rollback_wanted=str(chosen.number))  # it may fail: until it is done, a pause stays
    if chosen.origin == max(one.origin for one in Orders(project).all()):
        return f"{chosen.version!r} is live {soon(project)}; it is the newest, and new orders follow as they become due"
    return (
        f"{chosen.version!r} is live again {soon(project)} and is kept until `labelqueue retrain {project.ref.id}`, "
        f"`labelqueue resume {project.ref.id}` or a rollback to the newest order"
    )


def retrain(project: Project) -> str:
    """Train the model again and make a new order now; an older order is held no longer."""
    project.set(retrain_wanted=str(time.time()), hold="")
    request_tend(project)
    when = soon(project) if not project.get("paused") else "once the project is no longer paused"
    return f"the model is trained again and a new order follows {when}"


def reconcile(project: Project) -> str:
    """Read everything again from Label Studio and give bad images another chance."""
    project.release_quarantine()
    project.set(want_full="1", counted_at="")
    request_tend(project)
    return f"everything is read again from Label Studio, and bad images are tried again, {soon(project)}"


def try_again(project: Project, tasks: Sequence[int] | None = None) -> str:
    """Give bad images another chance: those of some tasks, or all of them.

    Raises
    ------
    ProjectError
        When one of the tasks has no bad image.
    """
    if others := [task for task in tasks or () if task not in project.quarantined()]:
        raise ProjectError(f"task {others[0]} has no bad image (any more): there is nothing to try again")
    project.release_quarantine(tasks)
    request_tend(project)
    which = "all bad images are" if tasks is None else f"the image of task {', '.join(map(str, tasks))} is"
    return f"{which} tried again, {soon(project)}"


def _before_the_live_one(project: Project) -> Order:
    orders = Orders(project)
    live = orders.live()
    # One that was published again is not asked for by itself: going back step by step must not go round in circles.
    earlier = [order for order in orders.all() if live is not None and not order.again and order.number < live.origin]
    if live is None:
        raise PublishError(f"project {project.ref.id} has no live order: name the order; {known_orders(orders)}")
    if not earlier:
        raise PublishError(f"project {project.ref.id} has no order before {live.version!r}")
    return earlier[-1]


def _wish(project: Project, **wish: str) -> None:
    """Write down a wish for the queue; it replaces the one before."""
    project.set(**{"resume_wanted": "", "rollback_wanted": "", "rollback_error": "", **wish})
    request_tend(project)


def _check_connected(project: Project) -> None:
    if project.get("paused") == NOT_CONNECTED:
        raise PublishError(
            f"this backend is not connected to project {project.ref.id}: connect it in Label Studio under "
            "Settings > Model"
        )


def soon(project: Project) -> str:
    """Say when a wish will be fulfilled."""
    if alive(project.store) - alive(project.store, EMBEDDING):
        return "within seconds"
    return "as soon as a worker runs that tends (none does: start `labelqueue serve` or `labelqueue worker`)"
