"""The job queues: which there are, how a look at a project is asked for, and which workers live."""

from __future__ import annotations

import time

from rq import Queue, Retry
from rq.serializers import JSONSerializer

from ..state import Project, Redis, text

__all__ = ["EMBED", "QUEUES", "TEND", "alive", "heartbeat", "job_queues", "queue", "release_due", "request_tend"]

TEND, EMBED = "tend", "embed"
QUEUES = (TEND, EMBED)  # in order of priority
HEARTBEAT_TTL = 15  # seconds after which a silent worker counts as dead
TEND_TIMEOUT = 600  # seconds
QUEUED_TTL = 600  # seconds; a lost job blocks its successor no longer than this


def queue(store: Redis, name: str) -> Queue:
    """Return one job queue. JSON, since RQ's default serializer is pickle."""
    return Queue(name, connection=store, serializer=JSONSerializer)


def job_queues(store: Redis) -> list[Queue]:
    """Return the job queues, highest priority first."""
    return [queue(store, name) for name in QUEUES]


def request_tend(project: Project, *, delay: float = 0.0) -> None:
    """Ask for the project to be tended; requests made while one waits are one request.

    Parameters
    ----------
    delay : float
        Seconds to wait, so that a burst of events becomes one job.
    """
    store = project.store
    if delay > 0:
        store.zadd("lq:delayed", {project.key: time.time() + delay}, lt=True)
        return
    if store.set(project.name("queued"), "1", nx=True, ex=QUEUED_TTL):
        queue(store, TEND).enqueue(
            "labelqueue.tending.tend_job",  # the name that a worker of the version before can import too
            project.key,
            job_timeout=TEND_TIMEOUT,
            result_ttl=60,
            failure_ttl=86_400,
            retry=Retry(max=2),
        )


def release_due(store: Redis) -> None:
    """Turn delayed requests whose time has come into jobs."""
    ready: list[bytes] = store.zrangebyscore("lq:delayed", 0, time.time())  # type: ignore[assignment]
    for raw in ready:
        # A project that was forgotten meanwhile needs nothing.
        if store.zrem("lq:delayed", raw) and store.hexists("lq:projects", raw):
            request_tend(Project.open(store, text(raw)))


def heartbeat(store: Redis, worker: str) -> None:
    """Say that a worker lives."""
    store.set(f"lq:worker:{worker}", str(time.time()), ex=HEARTBEAT_TTL)


def alive(store: Redis) -> set[str]:
    """Return the names of the workers that live."""
    return {text(raw).removeprefix("lq:worker:") for raw in store.scan_iter(match="lq:worker:*")}
