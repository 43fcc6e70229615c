"""What admins ask of a project, by REST or on the command line: wishes are written down, and a worker fulfils them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ..exceptions import ProjectError, PublishError, SettingError
from ..jobs import queues as jobs
from ..labels.label_config import parse_label_config
from ..ordering.order import Order, Orders
from ..state.project import NOT_CONNECTED, Project

__all__ = ["change_settings", "find_order", "pause", "reconcile", "resume", "retrain", "rollback", "soon"]

NAMED = 10  # orders that an error lists


def change_settings(project: Project, raw: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Change settings, all of them or none.

    Parameters
    ----------
    project : Project
        Whose settings.
    raw : mapping
        Name to JSON value; None goes back to the default.
    source : str
        Where the change comes from, for people.

    Returns
    -------
    dict
        Name to new value, only of settings that now have another value.

    Raises
    ------
    SettingError
        On an unknown name, a value that is not allowed, or a `target` that the label config does not have.
    """
    if raw.get("target") and isinstance(raw["target"], str) and (config := project.get("label_config")):
        try:
            parse_label_config(config, raw["target"])
        except ProjectError as error:
            raise SettingError(f"setting 'target' has value {raw['target']!r}: {error}") from error
    changed = project.put_settings(raw, source)
    if changed:
        jobs.request_tend(project)
    return changed


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

    Parameters
    ----------
    order : str or int, optional
        Version or number; the order before the live one when not given.

    Raises
    ------
    ProjectError
        When there is no such order.
    PublishError
        When there is no order before the live one, or the backend is not connected.
    """
    _check_connected(project)
    chosen = _before_the_live_one(project) if order is None else find_order(project, order)
    _wish(project, rollback_wanted=str(chosen.number))  # it may fail: until it is done, a pause stays
    if chosen.number == max(one.number for one in Orders(project).all()):
        return f"{chosen.version!r} is live {soon(project)}; it is the newest, and new orders follow as they become due"
    return (
        f"{chosen.version!r} is live again {soon(project)} and is kept until `labelqueue retrain {project.ref.id}`, "
        f"`labelqueue resume {project.ref.id}` or a rollback to the newest order"
    )


def retrain(project: Project) -> str:
    """Train the model again and make a new order now; an older order is held no longer."""
    project.set(retrain_wanted=str(time.time()), hold="")
    jobs.request_tend(project)
    when = soon(project) if not project.get("paused") else "once the project is no longer paused"
    return f"the model is trained again and a new order follows {when}"


def reconcile(project: Project) -> str:
    """Read everything again from Label Studio and give bad images another chance."""
    project.release_quarantine()
    project.set(want_full="1")
    jobs.request_tend(project)
    return f"everything is read again from Label Studio, and bad images are tried again, {soon(project)}"


def find_order(project: Project, order: str | int) -> Order:
    """Return the order of this version (``r3 FreeSel``) or number (3, ``3``, ``r3``).

    Raises
    ------
    ProjectError
        When there is none; the message lists what there is.
    """
    orders = Orders(project)
    name = str(order).strip()
    number = name.removeprefix("r")
    found = orders.get(int(number)) if number.isascii() and number.isdigit() else orders.by_version(name)
    if found is None:
        raise ProjectError(f"project {project.ref.id} has no order {name!r}; {_known(orders)}")
    return found


def _before_the_live_one(project: Project) -> Order:
    orders = Orders(project)
    live = orders.live()
    earlier = [order for order in orders.all() if live is not None and order.number < live.number]
    if live is None:
        raise PublishError(f"project {project.ref.id} has no live order: name the order; {_known(orders)}")
    if not earlier:
        raise PublishError(f"project {project.ref.id} has no order before {live.version!r}")
    return earlier[-1]


def _known(orders: Orders) -> str:
    versions = [order.version for order in orders.all()]
    if not versions:
        return "none was published yet"
    older = f", and {len(versions) - NAMED} older ones" if len(versions) > NAMED else ""
    return f"there are {', '.join(repr(version) for version in reversed(versions[-NAMED:]))}{older}"


def _wish(project: Project, **wish: str) -> None:
    """Write down a wish for the queue; it replaces the one before."""
    project.set(**{"resume_wanted": "", "rollback_wanted": "", "rollback_error": "", **wish})
    jobs.request_tend(project)


def _check_connected(project: Project) -> None:
    if project.get("paused") == NOT_CONNECTED:
        raise PublishError(
            f"this backend is not connected to project {project.ref.id}: connect it in Label Studio under "
            "Settings > Model"
        )


def soon(project: Project) -> str:
    """Say when a wish will be fulfilled."""
    if jobs.alive(project.store):
        return "within seconds"
    return "as soon as a worker runs (none does: start `labelqueue serve` or `labelqueue worker`)"
