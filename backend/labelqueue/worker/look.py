"""The job that tends a project: read Label Studio, embed what is new, follow people's changes, publish what is due."""

from __future__ import annotations

import logging
import time
from typing import Any

from rq import get_current_job

from ..block import source_hash
from ..exceptions import EmbedderError, LabelQueueError, NotFoundError, ProjectError
from ..jobs import queues as jobs
from ..labelstudio.client import LabelStudio
from ..state.journal import Journal
from ..state.lock import ProjectLock
from ..state.project import Project, ProjectRef, TaskRow
from ..sync.publishing import Publisher
from ..sync.reading import FULL_EVERY, drop_deleted, read_changes, wants_full
from ..sync.steering import connected, steer
from ..web.access import SECRET_HEADER
from .embedding import RETRY_DELAY, generation_of
from .renewal import renew
from .runtime import Runtime, current

__all__ = ["tend", "tend_job"]

log = logging.getLogger(__name__)

HOUR = 3600.0
GONE_AFTER = 600.0  # seconds
MISSES = 5  # times that the project's webhook is looked for in vain
FULL_AT_MOST_EVERY = 60.0  # seconds, when only the number of tasks asks for a complete reading


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
            jobs.request_tend(project, delay=1.0)
            return "another worker tends it"
        runtime.store.set(project.name("tending"), (job.worker_name if job else "") or "")
        try:
            outcome = tend(runtime, project, lock)
        except (LabelQueueError, OSError) as error:
            # The journal still holds what was not acted on; the next run repairs it.
            log.error("project %d: %s", project.ref.id, error)
            project.set(error=str(error))
            if not isinstance(error, ProjectError):  # a label config without an image changes by an event only
                jobs.request_tend(project, delay=RETRY_DELAY)
            outcome = str(error)
        except Exception as error:
            project.set(error=f"unexpected {type(error).__name__}: {error}; the worker's log has the details")
            raise
        finally:
            runtime.store.delete(project.name("tending"))
    return outcome


def tend(runtime: Runtime, project: Project, lock: ProjectLock) -> str:
    """Bring the project and its queue up to date.

    Returns
    -------
    str
        What was done, for the log.
    """
    client, journal = runtime.client, Journal(project)
    events, mark = journal.read()
    remote = _find(project, runtime)
    if remote is None:
        return "not found in Label Studio"
    project.set(title=str(remote.get("title") or ""), label_config=str(remote["label_config"]))
    if not connected(project, client, remote):
        journal.clear(mark)
        project.set(error="")
        return "removed"
    _secure_webhook(project, runtime)
    _note_annotators(project, [user for event in events for user in event.annotators])

    target = project.target()
    settings = project.settings()
    try:
        wanted_generation = generation_of(runtime, target, settings)
    except EmbedderError as error:  # what is embedded already can still be ordered
        wanted_generation = project.get("generation")
        if not wanted_generation:
            raise
        project.set(embedder_error=str(error))
    else:
        project.set(embedder_error="")
    if not project.get("generation"):
        project.set(generation=wanted_generation)
    building = runtime.cache(project, wanted_generation)
    drop_deleted(project, client, building, events)
    full = wants_full(project, target)
    read_changes(project, client, target, building, full=full, events=events)
    tasks = project.tasks()
    if not full and _misses(project, client, len(tasks)):
        read_changes(project, client, target, building, full=True)
        tasks = project.tasks()
    cache, sources = building, {task: source_hash(row.uri) for task, row in tasks.items()}
    here = building.rows()
    arriving = _feed(project, tasks, {task for task, source in sources.items() if here.get(task) != source})
    if project.get("generation") != wanted_generation:
        cache = runtime.cache(project, project.get("generation"))
        if arriving:  # the old generation serves until the new one is complete
            here = cache.rows()
        else:
            cache.delete()
            project.set(generation=wanted_generation)
            cache = building

    publisher = Publisher(project, client, lock.check, remote, target)
    steer(project, publisher, remote)
    outcome = project.get("paused") or renew(
        runtime,
        project,
        publisher,
        target,
        tasks,
        cache=cache,
        sources={task: source for task, source in sources.items() if here.get(task) == source},
        arriving=bool(arriving),
        prelabels=bool(remote.get("show_collab_predictions", True)),
    )
    journal.clear(mark)
    project.set(error="")
    return outcome


def _find(project: Project, runtime: Runtime) -> dict[str, Any] | None:
    """Return the project as Label Studio shows it, or None when it is gone.

    Everything kept of a project is dropped only after Label Studio has denied it for a while, to an accepted key: a
    proxy answers 404 too while Label Studio restarts.
    """
    remote: dict[str, Any] | None
    try:
        remote = runtime.client.project(project.ref.id)
    except NotFoundError:
        runtime.client.whoami()
        remote = None
    if remote is not None and ProjectRef.from_api(project.ref.origin, remote) == project.ref:
        project.set(gone_since="")
        return remote
    since = float(project.get("gone_since") or time.time())
    if time.time() - since > GONE_AFTER:
        log.info("project %d was deleted in Label Studio; what was kept of it is dropped", project.ref.id)
        project.forget()
    else:
        project.set(gone_since=str(since), error="Label Studio does not know this project (any more)")
    return None


def _misses(project: Project, client: LabelStudio, known: int) -> bool:
    """Tell whether tasks were deleted without an event that names them.

    The count is read after the tasks: while somebody imports, it only grows.
    """
    count = int(client.project(project.ref.id).get("task_number", known))
    if count == known:
        return False
    return count < known or time.time() - float(project.get("full_at", "0")) > FULL_AT_MOST_EVERY


def _feed(project: Project, tasks: dict[int, TaskRow], absent: set[int]) -> int:
    """Let every image without an embedding wait for a worker; return how many are not embedded yet."""
    quarantined = project.quarantined()
    missing = [
        task for task, row in tasks.items() if task in absent and quarantined.get(task, ("\0", ""))[0] != row.uri
    ]
    jobs.reclaim(project)
    in_flight = jobs.in_flight(project)
    waiting = {str(task): task for task in missing if task not in in_flight}
    if waiting:
        project.store.zadd(project.name("pending"), waiting)
    jobs.enqueue_shards(project)
    return len(missing)


def _note_annotators(project: Project, users: list[int]) -> None:
    """Remember who annotated when: the refill threshold depends on how many are at work."""
    if users:
        now = time.time()
        project.store.zadd(project.name("annotators"), {str(user): now for user in users})
        project.store.zremrangebyscore(project.name("annotators"), 0, now - HOUR)


def _secure_webhook(project: Project, runtime: Runtime) -> None:
    """Install the secret header that the project's webhook must send; Label Studio makes the webhook a little late."""
    url = project.get("backend_url")
    # Looked at again now and then: a person may have removed the header, and then no event would come through.
    if not url or time.time() - float(project.get("webhook_secured_at") or 0) < FULL_EVERY:
        return
    if runtime.client.secure_webhooks(project.ref.id, url, {SECRET_HEADER: project.get("secret")}):
        project.set(webhook_secured_at=str(time.time()), webhook_misses="0")
    elif (misses := project.count("webhook_misses")) < MISSES:
        jobs.request_tend(project, delay=3.0)
    else:  # a person removed it: the reading of each minute has to do
        project.set(webhook_secured_at=str(time.time()))
        log.warning("project %d has no webhook for %s: found none %d times", project.ref.id, url, misses)
