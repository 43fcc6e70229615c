"""The job queues: which there are, which kind of worker serves them, and whether a job is still in them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from rq import Queue
from rq.job import JobStatus
from rq.serializers import JSONSerializer

from ..state import Redis, text

__all__ = [
    "EMBED",
    "EMBEDDING",
    "KINDS",
    "PAGE",
    "PAGE_SLOW",
    "TEND",
    "TENDING",
    "is_on_its_way",
    "job_queues",
    "oldest_job",
    "queue",
]

TEND, PAGE, EMBED, PAGE_SLOW = "tend", "page", "embed", "page-slow"
TENDING, EMBEDDING = "tending", "embedding"
# What each kind of worker serves, in order of priority. Labels never wait for images, nor images for labels. What
# somebody waits for at a page comes before images that wait; what takes a page long comes after all of them.
KINDS: Mapping[str, tuple[str, ...]] = {TENDING: (TEND,), EMBEDDING: (PAGE, EMBED, PAGE_SLOW)}


def queue(store: Redis, name: str) -> Queue:
    """Return one job queue. JSON, since RQ's default serializer is pickle."""
    return Queue(name, connection=store, serializer=JSONSerializer)


def job_queues(store: Redis, kind: str) -> list[Queue]:
    """Return the queues that a kind of worker serves, highest priority first."""
    return [queue(store, name) for name in KINDS[kind]]


def is_on_its_way(store: Redis, name: str, job_id: str, living: Collection[str]) -> bool:
    """Tell whether a job waits in the queue of this name, or runs in one of the workers that live."""
    if store.lpos(f"rq:queue:{name}", job_id) is not None:
        return True
    status, worker = store.hmget(f"rq:job:{job_id}", "status", "worker_name")
    return status == JobStatus.STARTED.value.encode() and text(worker or b"") in living


def oldest_job(store: Redis, name: str) -> tuple[int, float]:
    """Return how many jobs wait in the queue of this name, and since when the first of them does (Unix time); 0 when
    none waits, or nobody knows."""
    first = store.lindex(f"rq:queue:{name}", 0)
    raw = None if first is None else store.hget(f"rq:job:{text(first)}", "enqueued_at")
    try:
        since = datetime.fromisoformat(text(raw)).timestamp() if raw else 0.0
    except ValueError:
        since = 0.0
    return int(store.llen(f"rq:queue:{name}")), since
