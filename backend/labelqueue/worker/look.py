"""The job that tends a project, one look at a time: read, decide, write."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from rq import get_current_job

from ..exceptions import CacheError, LabelQueueError, LabelStudioError, ProjectError
from ..jobs import begin_look, drop_request, end_look, request_tend
from ..labels import Target
from ..ordering import Snapshot, decide
from ..publishing import Publisher, RefillError, carry_out, connected, secure_webhook, steer, tidy
from ..reading import find_remote, noting_absence, read_names, read_project, unread
from ..replica import take_snapshot
from ..state import Event, Journal, LabelBook, People, Project, ProjectLock, make_readable
from ..telemetry import count, note, timed
from .embedding import RETRY_DELAY
from .feeding import feed, wanted_generation
from .runtime import Runtime, current
from .upkeep import leaving_nothing, tidy_project

__all__ = ["look", "tend_job"]

log = logging.getLogger(__name__)

PAUSE = 0.5  # seconds between two looks at what is left: a lone worker embeds an image or two meanwhile
LONGEST_DELAY = 300.0  # seconds that a look is put off at most, however long Label Studio asks to be left alone


@leaving_nothing
def tend_job(key: str) -> str:
    """Tend a project; called by the worker."""
    runtime, job = current(), get_current_job()
    try:
        project = Project.open(runtime.store, key)
    except ProjectError as error:  # forgotten between the request and this run
        return str(error)
    job_id, worker = (job.id, job.worker_name or "") if job else ("", "")
    if project.ref.origin != runtime.deployment.label_studio_url:
        drop_request(project, job_id)
        log.warning("%s is left alone: it is of %s", key, project.ref.origin)
        return f"it belongs to {project.ref.origin}, and LABEL_STUDIO_URL names another Label Studio"
    with ProjectLock(project) as lock:
        if not lock.acquired:
            count("looks_total", project=project.key, outcome="busy")
            request_tend(project, delay=1.0)
            drop_request(project, job_id)
            return "another worker tends it"
        begin_look(project, job_id, worker)
        try:
            make_readable(project)
            with noting_absence(project), timed("look_seconds"):
                outcome = look(runtime, project, lock)
            count("looks_total", project=project.key, outcome="done")
        except (LabelQueueError, OSError) as error:
            if isinstance(error, CacheError):
                runtime.forget_replica(key)
            # The journal still holds what was not acted on; the next run repairs it.
            count("looks_total", project=project.key, outcome="failed")
            log.error("project %d: %s", project.ref.id, error)
            project.set(error=str(error))
            if not isinstance(error, ProjectError):  # a label config without an image changes by an event only
                asked = error.retry_after if isinstance(error, LabelStudioError) else 0.0
                request_tend(project, delay=min(max(RETRY_DELAY, asked), LONGEST_DELAY))
            outcome = str(error)
        except Exception as error:
            runtime.forget_replica(key)
            count("looks_total", project=project.key, outcome="failed")
            project.set(error=f"unexpected {type(error).__name__}: {error}; the worker's log has the details")
            raise
        finally:
            end_look(project, worker)
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
    client = runtime.client.guarded(lock.check)
    with noting_absence(project, status=500):
        remote = find_remote(project, client)
    if remote is None:
        return "set aside" if project.get("set_aside") else "not found in Label Studio"
    prelabels = bool(remote.get("show_collab_predictions", True))
    project.set(
        title=str(remote.get("title") or ""),
        label_config=str(remote["label_config"]),
        prelabels_shown=str(int(prelabels)),
    )
    if not connected(project, client, remote, lock.check, public_url=runtime.deployment.public_url):
        journal.clear(mark)
        project.set(error="")
        return "removed"
    secure_webhook(project, client, lock.check)
    People(project).note([user for event in events for user in event.annotators])

    target = project.target()
    generation, known = wanted_generation(runtime, project, target)
    building = runtime.cache(project, generation)
    with noting_absence(project, status=500):
        heard = placed(events, runtime, project, target)
        read_project(project, client, target, building, heard, lock.check, remote.get("task_number"))
    replica = runtime.replica(project)
    project.set(counts=json.dumps(replica.columns.counts(replica.left_out())))
    serving = feed(runtime, project, replica, building)
    if known:  # else a generation that is half built would go
        tidy_project(runtime, project, replica.columns, {building.generation, serving.cache.generation})
        replica = runtime.replica(project)  # blocks may have been written anew

    publisher = Publisher(project, client, lock.check, remote, target)
    steer(project, publisher, remote)
    outcome = project.get("paused")
    if not outcome and not LabelBook(project).complete:
        outcome = unread(project)  # from a part of the labels, a model would learn what is not so
    if not outcome:
        publisher.settle()
        snapshot = take_snapshot(
            project,
            target,
            replica,
            serving.cache,
            arriving=bool(serving.arriving),
            prelabels=prelabels,
            lost=publisher.lost(),
            open_cache=partial(runtime.cache, project),
        )
        outcome = act_on(snapshot, project, publisher)
        read_names(project, client, [user for user, *_ in snapshot.work.get("people", ()) if user])
    lock.check()  # whoever took over may still have to act on these events
    journal.clear(mark)
    project.set(error="")
    if unread(project) or len(journal):  # the rest of a reading, or of the events
        request_tend(project, delay=PAUSE)
    else:
        tidy(project, client, lock.check)
    return outcome


def placed(events: Sequence[Event], runtime: Runtime, project: Project, target: Target) -> list[Event]:
    """Return the events, with the tasks of annotations that were deleted, which Label Studio does not name."""
    found = list(events)
    for at, event in enumerate(found):
        if event.action == "ANNOTATIONS_DELETED":
            tasks = runtime.replica(project).tasks_of(target, event.ids)
            found[at] = replace(event, tasks=(*event.tasks, *sorted(tasks)))
    return found


def act_on(snapshot: Snapshot, project: Project, publisher: Publisher) -> str:
    """Decide, and carry the decision out; after a refill that failed, decide once more."""
    note(order=snapshot.live.version if snapshot.live is not None else None)
    decision = decide(snapshot)
    try:
        return carry_out(decision, snapshot, project, publisher)
    except RefillError as error:
        log.warning("%s; a new order follows", error)
    again = replace(snapshot, state=decision.state, learned=decision.learned, wanted="", cut_short=True)
    return carry_out(decide(again), again, project, publisher)
