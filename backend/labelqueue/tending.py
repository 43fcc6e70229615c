"""The job that tends a project: read Label Studio, embed what is new, follow people's changes, publish what is due."""

from __future__ import annotations

import logging
import time

from rq import get_current_job

from . import jobs
from .auth import SECRET_HEADER
from .block import source_hash
from .embedding import RETRY_DELAY, generation_of
from .exceptions import CacheError, LabelQueueError, NotFoundError, ProjectError, PublishError
from .journal import Journal
from .lock import ProjectLock
from .order import Order, Orders
from .ordering import SPARE, due, make_strategy, rank_tasks
from .project import UNLABELED, Project, ProjectRef, TaskRow
from .publishing import Publisher
from .reconcile import drop_deleted, read_changes, wants_full
from .runtime import Runtime, current
from .steering import connected, steer

__all__ = ["tend", "tend_job"]

log = logging.getLogger(__name__)

HOUR = 3600.0
MIN_GAP = 5.0  # seconds between two orders that only arrivals ask for


def tend_job(key: str) -> str:
    """Tend a project; called by the worker."""
    runtime, job = current(), get_current_job()
    try:
        project = Project.open(runtime.store, key)
    except ProjectError as error:  # forgotten between the request and this run
        return str(error)
    # From here on a new event asks for another run.
    runtime.store.delete(project.name("queued"))
    with ProjectLock(project) as lock:
        if not lock.acquired:
            jobs.request_tend(project, delay=1.0)
            return "another worker tends it"
        runtime.store.set(project.name("tending"), (job.worker_name if job else "") or "")
        try:
            outcome = tend(runtime, project, lock)
            project.set(error="")
        except (LabelQueueError, OSError) as error:
            # The journal still holds what was not acted on; the next run repairs it.
            log.error("project %d: %s", project.ref.id, error)
            project.set(error=str(error))
            if not isinstance(error, ProjectError):  # a label config without an image changes by an event only
                jobs.request_tend(project, delay=RETRY_DELAY)
            outcome = str(error)
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
    try:
        remote = client.project(project.ref.id)
    except NotFoundError:
        remote = {}
    if not remote or ProjectRef.from_api(project.ref.origin, remote) != project.ref:
        log.info("project %d was deleted in Label Studio", project.ref.id)
        project.forget()
        return "deleted"
    project.set(title=str(remote.get("title") or ""), label_config=str(remote["label_config"]))
    if not connected(project, client, remote):
        journal.clear(mark)
        return "removed"
    _secure_webhook(project, runtime)
    _note_annotators(project, [user for event in events for user in event.annotators])

    target = project.target()
    settings = project.settings()
    wanted_generation = generation_of(runtime, target, settings)
    if not project.get("generation"):
        project.set(generation=wanted_generation)
    building = runtime.cache(project, wanted_generation)
    drop_deleted(project, client, building, events)
    full = wants_full(project, target)
    read_changes(project, client, target, building, full=full)
    tasks = project.tasks()
    if not full and remote.get("task_number", len(tasks)) != len(tasks):  # something was deleted without an event
        read_changes(project, client, target, building, full=True)
        tasks = project.tasks()
    arriving = _feed(project, tasks, building.rows())
    if not arriving and project.get("generation") != wanted_generation:
        runtime.cache(project, project.get("generation")).delete()
        project.set(generation=wanted_generation)

    publisher = Publisher(project, client, lock.check)
    steer(project, publisher, remote)
    outcome = project.get("paused") or _publish_due(runtime, project, publisher, tasks, arriving=bool(arriving))
    journal.clear(mark)
    return outcome


def _feed(project: Project, tasks: dict[int, TaskRow], rows: dict[int, int]) -> int:
    """Let every image without an embedding wait for a worker; return how many are not embedded yet."""
    quarantined = project.quarantined()
    missing = [
        task
        for task, row in tasks.items()
        if rows.get(task) != source_hash(row.uri) and quarantined.get(task, ("\0", ""))[0] != row.uri
    ]
    jobs.reclaim(project)
    in_flight = jobs.in_flight(project)
    waiting = {str(task): task for task in missing if task not in in_flight}
    if waiting:
        project.store.zadd(project.name("pending"), waiting)
    jobs.enqueue_shards(project)
    return len(missing)


def _publish_due(
    runtime: Runtime, project: Project, publisher: Publisher, tasks: dict[int, TaskRow], *, arriving: bool
) -> str:
    settings, orders = project.settings(), Orders(project)
    live = orders.live()
    generation = project.get("generation")
    cache = runtime.cache(project, generation)
    sources = {task: source_hash(row.uri) for task, row in tasks.items()}
    here = cache.rows()
    embedded = sum(1 for task, source in sources.items() if here.get(task) == source)
    strategy = make_strategy(settings["strategy"], settings)
    parameters = {name: value for name, value in vars(strategy).items() if not name.startswith("_")}
    parameters["target"] = settings["target"]
    arrivals = int(project.get("arrivals", "0"))
    decision = due(
        live,
        tasks=tasks,
        embedded=embedded,
        arrivals=arrivals,
        arriving=arriving,
        strategy=type(strategy).__name__,
        parameters=parameters,
        generation=generation,
        horizon=settings["horizon"],
        annotators=int(project.store.zcount(project.name("annotators"), time.time() - HOUR, "+inf")),
        hold=bool(project.get("hold")),
    )
    if decision.action == "none":
        return decision.why
    if decision.action == "new" and live is not None and live.arrivals < arrivals:
        gap = max(MIN_GAP, 5 * float(project.get("bulk_seconds", "1")))
        if (wait := live.created_at + gap - time.time()) > 0:
            jobs.request_tend(project, delay=wait)
            return f"{decision.why}; a new order follows in {wait:.0f} s"
    try:
        block = cache.load(sources)
    except CacheError:
        cache.delete()
        project.set(generation="")
        raise
    size = (1 + SPARE) * settings["horizon"]
    if decision.action == "refill" and live is not None:
        published = {place.task for place in live.places}
        still_open = sum(1 for task in published if task in tasks and tasks[task].state == UNLABELED)
        places = rank_tasks(strategy, block, tasks, size=size - still_open, published=published)
        try:
            order = publisher.refill(live, places)
            log.info("project %d: %s refilled with %d tasks", project.ref.id, order.version, len(places))
            return f"{order.version} refilled with {len(places)} tasks ({decision.why})"
        except PublishError as error:
            log.warning("%s; a new order follows", error)
    places = rank_tasks(strategy, block, tasks, size=size)
    if not places:
        return "every task is annotated"
    order = publisher.publish(
        Order(
            number=0,
            version=type(strategy).__name__,
            strategy=type(strategy).__name__,
            parameters=parameters,
            generation=generation,
            arrivals=arrivals,
            labeled=sum(1 for row in tasks.values() if row.state != UNLABELED),
            embedded=embedded,
            created_at=0.0,
            places=tuple(places),
        )
    )
    project.set(hold="")
    log.info("project %d: %s is live with %d tasks (%s)", project.ref.id, order.version, len(places), decision.why)
    return f"{order.version} is live ({decision.why})"


def _note_annotators(project: Project, users: list[int]) -> None:
    """Remember who annotated when: the refill threshold depends on how many are at work."""
    if users:
        now = time.time()
        project.store.zadd(project.name("annotators"), {str(user): now for user in users})
        project.store.zremrangebyscore(project.name("annotators"), 0, now - HOUR)


def _secure_webhook(project: Project, runtime: Runtime) -> None:
    """Install the secret header that the project's webhook must send; Label Studio makes the webhook a little late."""
    url = project.get("backend_url")
    if not url or project.get("webhook_secured") == url:
        return
    if runtime.client.secure_webhooks(project.ref.id, url, {SECRET_HEADER: project.get("secret")}):
        project.set(webhook_secured=url)
    else:
        jobs.request_tend(project, delay=3.0)
