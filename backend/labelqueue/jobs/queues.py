"""Background jobs: which exist, how they are asked for, and how work of a dead worker is taken back."""

from __future__ import annotations

import json
import logging
import time
from typing import Any

from redis.exceptions import RedisError
from rq import Queue, Retry
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from ..state.connection import Redis, text
from ..state.project import Project

__all__ = [
    "EMBED",
    "QUEUES",
    "TEND",
    "alive",
    "claim",
    "enqueue_shards",
    "give_back",
    "heartbeat",
    "in_flight",
    "queues",
    "reclaim",
    "release_due",
    "request_tend",
]

log = logging.getLogger(__name__)

TEND, EMBED = "tend", "embed"
QUEUES = (TEND, EMBED)  # in order of priority
SHARD = 32  # images per job: small enough that a refill never waits long behind one
WINDOW = 4  # shards of one project in the queue at a time, so that a large project cannot starve the others
HEARTBEAT_TTL = 15  # seconds after which a silent worker counts as dead
TEND_TIMEOUT, EMBED_TIMEOUT = 600, 900  # seconds; an image may take 60, and four are read at a time
QUEUED_TTL = 600  # seconds; a lost job blocks its successor no longer than this
LONELY_AFTER, QUARANTINE_AFTER = 2, 4  # workers that may die on an image before it goes alone, and before it goes


def queues(store: Redis) -> list[Queue]:
    """Return the job queues, highest priority first. JSON, since RQ's default serializer is pickle."""
    return [Queue(name, connection=store, serializer=JSONSerializer) for name in QUEUES]


def _queue(store: Redis, name: str) -> Queue:
    return Queue(name, connection=store, serializer=JSONSerializer)


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
        _queue(store, TEND).enqueue(
            "labelqueue.worker.look.tend_job",
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


def enqueue_shards(project: Project) -> int:
    """Hand waiting images to the workers, a bounded number of shards at a time; return how many were enqueued."""
    store, enqueued = project.store, 0
    while store.hlen(project.name("inflight")) < WINDOW:
        popped: list[tuple[bytes, float]] = store.zpopmin(project.name("pending"), SHARD)  # type: ignore[assignment]
        if not popped:
            break
        ids = [int(raw) for raw, _ in popped]
        deaths = store.hmget(project.name("deaths"), [str(task) for task in ids])
        lonely = [task for task, n in zip(ids, deaths, strict=True) if n is not None and int(n) >= LONELY_AFTER]
        together = [task for task in ids if task not in lonely]
        for shard in ([together] if together else []) + [[task] for task in lonely]:
            _enqueue_shard(project, shard)
            enqueued += 1
    return enqueued


def _enqueue_shard(project: Project, ids: list[int]) -> None:
    queue = _queue(project.store, EMBED)
    job = queue.create_job(
        "labelqueue.worker.embedding.embed_job",
        args=(project.key, ids),
        timeout=EMBED_TIMEOUT,
        result_ttl=60,
        failure_ttl=86_400,
    )
    project.store.hset(project.name("inflight"), job.id, json.dumps({"ids": ids, "worker": ""}))
    queue.enqueue_job(job)


def claim(project: Project, job_id: str, worker: str) -> None:
    """Write down which worker runs a shard."""
    raw = project.store.hget(project.name("inflight"), job_id)
    if raw is not None:
        project.store.hset(project.name("inflight"), job_id, json.dumps({**json.loads(raw), "worker": worker}))


def in_flight(project: Project) -> set[int]:
    """Return the tasks that shards in the queue or at a worker hold."""
    rows = project.store.hvals(project.name("inflight"))
    return {task for raw in rows for task in json.loads(raw)["ids"]}


def heartbeat(store: Redis, worker: str) -> None:
    """Say that a worker lives."""
    store.set(f"lq:worker:{worker}", str(time.time()), ex=HEARTBEAT_TTL)


def alive(store: Redis) -> set[str]:
    """Return the names of the workers that live."""
    return {text(raw).removeprefix("lq:worker:") for raw in store.scan_iter(match="lq:worker:*")}


def reclaim(project: Project) -> int:
    """Take back the shards of dead workers and lost jobs; return how many images wait again.

    An image that several workers died on is tried alone, and at last quarantined: it must not stop the others.
    """
    store, living, taken = project.store, alive(project.store), 0
    for raw_id, raw in store.hgetall(project.name("inflight")).items():
        entry: dict[str, Any] = json.loads(raw)
        job_id = text(raw_id)
        if entry["worker"] in living or (not entry["worker"] and _waits(store, job_id)):
            continue
        if not store.hdel(project.name("inflight"), job_id):
            continue  # its worker just finished, or another one reclaims it
        ids = entry["ids"]
        if entry["worker"]:
            log.warning("worker %s died while embedding %d images of %s", entry["worker"], len(ids), project.key)
            taken += give_back(project, ids, "its worker died")
        else:
            taken += _wait_again(project, ids)
    tending = store.get(project.name("tending"))
    if tending is not None and text(tending) not in living:
        store.delete(project.name("tending"), project.name("queued"))
        request_tend(project)
    if taken:
        enqueue_shards(project)
    return taken


def give_back(project: Project, ids: list[int], why: str) -> int:
    """Let the images of a failed shard wait again; return how many do.

    Which of them did it is not known, so each is tried alone after a while, and at last quarantined.
    """
    rows = project.task_rows(ids)
    deaths = {task: project.store.hincrby(project.name("deaths"), str(task), 1) for task in ids}
    bad = [task for task in ids if deaths[task] >= QUARANTINE_AFTER and task in rows]
    project.quarantine({task: (rows[task].uri, f"{why}, {deaths[task]} times") for task in bad})
    return _wait_again(project, [task for task in ids if task not in bad])


def _wait_again(project: Project, ids: list[int]) -> int:
    if ids:
        project.store.zadd(project.name("pending"), {str(task): task for task in ids})
    return len(ids)


def _waits(store: Redis, job_id: str) -> bool:
    """Tell whether a job is still in its queue."""
    try:
        job = Job.fetch(job_id, connection=store, serializer=JSONSerializer)
    except RedisError:
        raise
    except Exception:  # RQ raises several kinds for a job that is gone or unreadable
        return False
    return job.get_status() in (JobStatus.QUEUED, JobStatus.DEFERRED, JobStatus.SCHEDULED, JobStatus.STARTED)
