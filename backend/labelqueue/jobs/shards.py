"""Shards of images that wait to be embedded: handed out a few at a time, and taken back from dead workers."""

from __future__ import annotations

import json
import logging
from typing import Any

from redis.exceptions import RedisError
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from ..state import Project, Redis, text
from .queues import EMBED, alive, queue, request_tend

__all__ = ["claim", "enqueue_shards", "give_back", "in_flight", "reclaim"]

log = logging.getLogger(__name__)

SHARD = 32  # images per job: small enough that a refill never waits long behind one
WINDOW = 4  # shards of one project in the queue at a time, so that a large project cannot starve the others
TIMEOUT = 900  # seconds; an image may take 60, and four are read at a time
LONELY_AFTER, QUARANTINE_AFTER = 2, 4  # workers that may die on an image before it goes alone, and before it goes


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
    embed = queue(project.store, EMBED)
    job = embed.create_job(
        "labelqueue.embedding.embed_job",  # the name that a worker of the version before can import too
        args=(project.key, ids),
        timeout=TIMEOUT,
        result_ttl=60,
        failure_ttl=86_400,
    )
    project.store.hset(project.name("inflight"), job.id, json.dumps({"ids": ids, "worker": ""}))
    embed.enqueue_job(job)


def claim(project: Project, job_id: str, worker: str) -> None:
    """Write down which worker runs a shard."""
    raw = project.store.hget(project.name("inflight"), job_id)
    if raw is not None:
        project.store.hset(project.name("inflight"), job_id, json.dumps({**json.loads(raw), "worker": worker}))


def in_flight(project: Project) -> set[int]:
    """Return the tasks that shards in the queue or at a worker hold."""
    rows = project.store.hvals(project.name("inflight"))
    return {task for raw in rows for task in json.loads(raw)["ids"]}


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
