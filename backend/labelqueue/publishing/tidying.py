"""Deleting the predictions of old orders from Label Studio, a few at a time, while there is nothing else to do."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Sequence

from ..exceptions import LabelStudioError, NotFoundError
from ..jobs import TENDING, job_queues, request_tend
from ..labelstudio import LabelStudio
from ..state import Journal, Orders, People, Project
from .publishing import SAMPLING
from .versions import number_of

__all__ = ["tidy"]

log = logging.getLogger(__name__)

QUIET = 120.0  # seconds since anybody labeled, and since an order was published
FORM = 5.0  # seconds after an answer, within which the next form opens
STEP = 20  # predictions that are deleted in one look, unless there is something else to do
PACE = 0.25  # seconds from one deletion to the next
NEXT = 1.0  # seconds until the next look deletes more
AFTER = 20.0  # seconds until then, when there was something else to do
LATER = 600.0  # seconds until it is tried again, when Label Studio refused


def tidy(project: Project, client: LabelStudio, check: Callable[[], None], now: float | None = None) -> int:
    """Delete some predictions of orders that are not kept, and ask for another look when there are more.

    The live order and the two that were live before it keep theirs; what else has a version string of ours goes, that
    of attempts which failed included, and nothing else. One deletion takes Label Studio about a tenth of a second and
    blocks nobody; many in one request would keep every annotator waiting.

    Label Studio refuses an answer whose form was filled in from a prediction that is gone. So an order under which
    somebody at work got the form that is open now, after the last answer, keeps its predictions too, until the next
    answer or for an hour.

    Parameters
    ----------
    project : Project
    client : LabelStudio
    check : callable
        Raises when this job no longer holds the project's lock; called right before each deletion.
    now : float, optional
        Unix time.

    Returns
    -------
    int
        Predictions that were deleted.
    """
    now = time.time() if now is None else now
    orders = Orders(project)
    live = orders.live()
    if live is None or project.get("paused") or project.get("tidied") == live.version:
        return 0
    newest = max(order.created_at for order in [live, *orders.kept()])
    if now - max(newest, People(project).last_labeled()) < QUIET or now < float(project.get("tidy_after") or 0):
        return 0
    kept = {live.version, *(order.version for order in orders.kept())}
    forms = [orders.live_at(at + delay) for at in People(project).last_times() for delay in (0.0, FORM)]
    in_forms = {order.version for order in forms if order is not None} - kept
    try:
        old = _old_versions(project, client, kept | in_forms)
        deleted = _delete_some(project, client, check, old) if old else 0
    except LabelStudioError as error:
        log.warning("project %d: predictions of old orders stay for now: %s", project.ref.id, error)
        project.set(tidy_after=str(now + LATER))
        return 0
    if old == [] and not in_forms:
        project.set(tidied=live.version)
    elif old and not deleted and not _busy(project):  # it counts some that it does not show
        project.set(tidy_after=str(now + LATER))
    elif old:
        request_tend(project, delay=NEXT if deleted == STEP else AFTER)
    return deleted


def _old_versions(project: Project, client: LabelStudio, kept: Collection[str]) -> list[str] | None:
    """Return the versions whose predictions go, the oldest first; None while a person's change is not followed yet."""
    remote = client.project(project.ref.id)
    if remote.get("model_version") not in kept or remote.get("sampling") != SAMPLING:
        return None
    numbers = {
        version: number
        for version, count in client.prediction_counts(project.ref.id).items()
        if count and version not in kept and (number := number_of(version)) is not None
    }
    return sorted(numbers, key=lambda version: (numbers[version], version))


def _delete_some(project: Project, client: LabelStudio, check: Callable[[], None], old: Sequence[str]) -> int:
    """Delete a few predictions, until there is anything else to do; return how many."""
    deleted = 0
    for version in old:
        for prediction in client.predictions_of(project.ref.id, version, STEP - deleted):
            if _busy(project):
                return deleted
            start = time.monotonic()
            check()
            try:
                client.delete_prediction(prediction)
                deleted += 1
            except NotFoundError:
                pass  # its task was deleted meanwhile
            time.sleep(max(PACE - (time.monotonic() - start), 0.0))
        if deleted == STEP:
            break
    return deleted


def _busy(project: Project) -> bool:
    """Tell whether there is anything else to do: events of this project, or jobs of any."""
    return len(Journal(project)) > 0 or any(len(queue) for queue in job_queues(project.store, TENDING))
