"""Whether a project is there: found, denied for the moment, set aside after a day of proof, forgotten a week later."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from ..exceptions import LabelStudioError, NotFoundError, ProjectError
from ..labelstudio import LabelStudio
from ..state import ASIDE, Journal, Project, ProjectRef

__all__ = ["BELIEVED_AFTER", "GAP", "find_remote", "noting_absence"]

log = logging.getLogger(__name__)

BELIEVED_AFTER = 24 * 3600.0  # seconds of proof, until a project counts as deleted
GAP = 3 * 3600.0  # seconds without proof, after which the day begins anew
ASK_EVERY = 3600.0  # seconds between two questions for a project that is set aside


def find_remote(project: Project, client: LabelStudio, now: float | None = None) -> dict[str, Any] | None:
    """Return the project as Label Studio shows it, or None when it does not.

    Only proof counts: Label Studio's own 404, or another project under that number, and then its list of projects,
    read whole, without this one. After `BELIEVED_AFTER` of proof, without a `GAP`, the project is set aside: it is not
    tended, and everything is kept. When it shows up it goes on as before; `ASIDE` later, with proof again, it is
    forgotten.

    Parameters
    ----------
    project : Project
    client : LabelStudio
    now : float, optional
        Unix time; that of the clock when not given.

    Raises
    ------
    LabelStudioError
        When Label Studio's answer is neither the project nor its own denial.
    """
    now = time.time() if now is None else now
    if _rests(project, now):
        return None
    try:
        remote: dict[str, Any] | None = client.project(project.ref.id)
    except NotFoundError as error:
        if not error.proven:
            raise
        remote = None
    if remote is not None and ProjectRef.from_api(project.ref.origin, remote) == project.ref:
        _found(project, remote)
        return remote
    doubt = _doubt(project, client)
    if doubt:
        project.set(error=f"Label Studio denies this project, which is not believed: {doubt}")
    else:
        _denied(project, now)
    return None


@contextmanager
def noting_absence(project: Project, *, status: int = 502) -> Iterator[None]:
    """Ask for a complete reading when Label Studio turns out to be away: it does not answer, or with this status or a
    higher one.

    Killed in the middle of a submit, it can keep the annotation and not move the task's ``updated_at``.
    """
    try:
        yield
    except LabelStudioError as error:
        if error.unanswered or (error.status or 0) >= status:
            project.set(want_full="1")
        raise


def _rests(project: Project, now: float) -> bool:
    """Tell whether a project that is set aside need not be asked for now: there is no sign of it, and no hour over."""
    if not project.get("set_aside"):
        return False
    asked = float(project.get("denied_at") or 0)
    signs = len(Journal(project)) or float(project.get("setup_at") or 0) > asked
    return not signs and now - asked < ASK_EVERY


def _found(project: Project, remote: Mapping[str, Any]) -> None:
    if project.get("set_aside"):
        log.warning("project %d is in Label Studio again and goes on as before", project.ref.id)
        project.set(want_full="1")
    project.set(denied_since="", denied_at="", set_aside="", organization=str(remote.get("organization") or ""))


def _doubt(project: Project, client: LabelStudio) -> str:
    """Return why a denial of Label Studio itself proves nothing; empty when it is proof.

    A key that lost its rights is denied everything, and a list of nothing says as little: it counts only where the key
    still belongs to the organization that the project was in.
    """
    user = client.whoami()
    listed = client.projects()
    for row in listed:
        try:
            if ProjectRef.from_api(project.ref.origin, row) == project.ref:
                return "it is in the list of projects"
        except ProjectError:
            return f"project {row.get('id')} is in the list without a time of creation"
    before, now = project.get("organization"), str(user.get("active_organization") or "")
    if before and now and before != now:
        return f"LABEL_STUDIO_API_KEY belongs to organization {now}, the project to {before}"
    if not listed and not (before and before == now):
        return (
            "it shows no project at all to LABEL_STUDIO_API_KEY, which may have lost its rights "
            f"(`labelqueue forget {project.ref.id}` removes what is kept)"
        )
    return ""


def _denied(project: Project, now: float) -> None:
    """Count proof that the project is gone, and do what follows from it."""
    since, seen = float(project.get("denied_since") or now), float(project.get("denied_at") or 0)
    aside = float(project.get("set_aside") or 0)
    if not aside and now - seen > GAP:
        since = now
    project.set(denied_since=str(since), denied_at=str(now))
    if aside and now - aside >= ASIDE:
        log.warning("project %d: deleted in Label Studio over a week ago; what was kept is dropped", project.ref.id)
        project.forget()
    elif aside:
        project.set(error="")
    elif now - since >= BELIEVED_AFTER:
        log.warning("project %d: deleted in Label Studio; its state is set aside for a week", project.ref.id)
        project.set(set_aside=str(now), error="")
    else:
        first = datetime.fromtimestamp(since, UTC)
        project.set(
            error=f"Label Studio does not know this project (any more), seen first {first:%Y-%m-%d %H:%M} UTC; after a "
            "day its state is set aside for a week"
        )
