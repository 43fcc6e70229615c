"""Renewing a project's queue: decide what is due, let the strategy rank, publish."""

from __future__ import annotations

import logging
import time

from . import jobs
from .block import Block, source_hash
from .cache import PatternCache
from .exceptions import CacheError, PublishError
from .order import Order, Orders
from .ordering import due, make_strategy, rank_tasks, refill_threshold, size_of
from .project import UNLABELED, Project, TaskRow
from .publishing import Publisher
from .runtime import Runtime

__all__ = ["annotators_at_work", "renew"]

log = logging.getLogger(__name__)

HOUR = 3600.0
MIN_GAP = 5.0  # seconds between two orders that only arrivals ask for


def annotators_at_work(project: Project) -> int:
    """Return how many people annotated within the last hour."""
    return int(project.store.zcount(project.name("annotators"), time.time() - HOUR, "+inf"))


def renew(
    runtime: Runtime, project: Project, publisher: Publisher, tasks: dict[int, TaskRow], *, arriving: bool
) -> str:
    """Publish a new order or refill the live one, if that is due.

    Parameters
    ----------
    tasks : dict
        Every known task.
    arriving : bool
        Whether images still wait to be embedded.

    Returns
    -------
    str
        What was done, for the log.
    """
    settings, live = project.settings(), Orders(project).live()
    generation = project.get("generation")
    cache = runtime.cache(project, generation)
    sources = {task: source_hash(row.uri) for task, row in tasks.items()}
    here = cache.rows()
    embedded = sum(1 for task, source in sources.items() if here.get(task) == source)
    strategy = make_strategy(settings["strategy"], settings)
    name = type(strategy).__name__
    parameters = {key: value for key, value in vars(strategy).items() if not key.startswith("_")}
    arrivals, horizon = int(project.get("arrivals", "0")), settings["horizon"]
    annotators = annotators_at_work(project)
    decision = due(
        live if live is None or project.get("refilling") != live.version else None,
        tasks=tasks,
        embedded=embedded,
        arrivals=arrivals,
        arriving=arriving,
        strategy=name,
        parameters=parameters,
        generation=generation,
        horizon=horizon,
        annotators=annotators,
        hold=bool(project.get("hold")),
    )
    if decision.action == "none":
        return decision.why
    published = {place.task for place in live.places} if live else set()
    still_open = sum(1 for task in published if task in tasks and tasks[task].state == UNLABELED)
    if decision.action == "new" and live is not None and still_open >= refill_threshold(horizon, annotators):
        gap = max(MIN_GAP, 5 * float(project.get("bulk_seconds", "1")))
        if arrivals > live.arrivals and (wait := live.created_at + gap - time.time()) > 0:
            jobs.request_tend(project, delay=wait)
            return f"{decision.why}; a new order follows in {wait:.0f} s"
    block = _load(project, cache, sources)
    quarantined = project.quarantined()
    size = size_of(horizon, annotators)
    if decision.action == "refill" and live is not None:
        places = rank_tasks(
            strategy, block, tasks, size=max(size - still_open, 1), published=published, quarantined=quarantined
        )
        try:
            order = publisher.refill(live, places)
        except PublishError as error:
            log.warning("%s; a new order follows", error)
        else:
            log.info("project %d: %s refilled with %d tasks", project.ref.id, order.version, len(places))
            return f"{order.version} refilled with {len(places)} tasks ({decision.why})"
    places = rank_tasks(strategy, block, tasks, size=size, quarantined=quarantined)
    if not places:
        return "every task is annotated"
    order = publisher.publish(
        Order(
            number=0,
            version=name,
            strategy=name,
            parameters=parameters,
            generation=generation,
            arrivals=arrivals,
            labeled=sum(1 for row in tasks.values() if row.state != UNLABELED),
            embedded=embedded,
            created_at=0.0,
            places=tuple(places),
        )
    )
    log.info("project %d: %s is live with %d tasks (%s)", project.ref.id, order.version, len(places), decision.why)
    return f"{order.version} is live ({decision.why})"


def _load(project: Project, cache: PatternCache, sources: dict[int, int]) -> Block:
    try:
        return cache.load(sources)
    except CacheError:
        cache.delete()  # the next run embeds everything again
        project.set(generation="")
        raise
