"""The job that tends a project, one look at a time: read, decide, write."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial

from rq import get_current_job

from ..exceptions import LabelQueueError, ProjectError
from ..jobs import request_tend
from ..ordering import Snapshot, decide
from ..state import Journal, Project, ProjectLock, make_readable, read_columns, take_snapshot
from ..sync import Publisher, RefillError, carry_out, connected, find_remote, read_project, secure_webhook, steer, tidy
from .embedding import RETRY_DELAY
from .feeding import feed, wanted_generation
from .runtime import Runtime, current

__all__ = ["look", "tend_job"]

log = logging.getLogger(__name__)


def tend_job(key: str) -> str:
    """Tend a project; called by the worker."""
    runtime, job = current(), get_current_job()
    try:
        project = Project.open(runtime.store, key)
    except ProjectError as error:  # forgotten between the request and this run
        return str(error)
    if project.ref.origin != runtime.deployment.label_studio_url:
        return f"it belongs to {project.ref.origin}, and LABEL_STUDIO_URL names another Label Studio"
    # From here on a new event asks for another run.
    runtime.store.delete(project.name("queued"))
    with ProjectLock(project) as lock:
        if not lock.acquired:
            request_tend(project, delay=1.0)
            return "another worker tends it"
        runtime.store.set(project.name("tending"), (job.worker_name if job else "") or "")
        try:
            make_readable(project)
            outcome = look(runtime, project, lock)
        except (LabelQueueError, OSError) as error:
            # The journal still holds what was not acted on; the next run repairs it.
            log.error("project %d: %s", project.ref.id, error)
            project.set(error=str(error))
            if not isinstance(error, ProjectError):  # a label config without an image changes by an event only
                request_tend(project, delay=RETRY_DELAY)
            outcome = str(error)
        except Exception as error:
            project.set(error=f"unexpected {type(error).__name__}: {error}; the worker's log has the details")
            raise
        finally:
            runtime.store.delete(project.name("tending"))
    return outcome


def look(runtime: Runtime, project: Project, lock: ProjectLock) -> str:
    """Bring the project and its queue up to date.

    Returns
    -------
    str
        What was done, for the log.
    """
    journal = Journal(project)
    events, mark = journal.read()
    client = runtime.client
    remote = find_remote(project, client)
    if remote is None:
        return "not found in Label Studio"
    project.set(title=str(remote.get("title") or ""), label_config=str(remote["label_config"]))
    if not connected(project, client, remote, lock.check):
        journal.clear(mark)
        project.set(error="")
        return "removed"
    secure_webhook(project, client, lock.check)
    project.note_annotators([user for event in events for user in event.annotators])

    target = project.target()
    building = runtime.cache(project, wanted_generation(runtime, project, target))
    read_project(project, client, target, building, events)
    columns = read_columns(project)
    serving = feed(runtime, project, columns, building)

    publisher = Publisher(project, client, lock.check, remote, target)
    steer(project, publisher, remote)
    outcome = project.get("paused")
    if not outcome:
        snapshot = take_snapshot(
            project,
            target,
            columns,
            serving.cache,
            arriving=bool(serving.arriving),
            prelabels=bool(remote.get("show_collab_predictions", True)),
            lost=publisher.lost(),
            open_cache=partial(runtime.cache, project),
        )
        outcome = act_on(snapshot, project, publisher)
    journal.clear(mark)
    project.set(error="")
    tidy(project, client, lock.check)
    return outcome


def act_on(snapshot: Snapshot, project: Project, publisher: Publisher) -> str:
    """Decide, and carry the decision out; after a refill that failed, decide once more."""
    decision = decide(snapshot)
    try:
        return carry_out(decision, snapshot, project, publisher)
    except RefillError as error:
        log.warning("%s; a new order follows", error)
    again = replace(snapshot, state=decision.state, learned=decision.learned, wanted="", cut_short=True)
    return carry_out(decide(again), again, project, publisher)
