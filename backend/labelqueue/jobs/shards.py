"""Shards of images that wait to be embedded: handed out a few at a time, and taken back when they are lost."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterable
from typing import Any

from rq.job import JobStatus

from ..state import Project, Redis, scan_members, shared_time, text
from ..telemetry import count
from .living import alive, is_leaving
from .looks import request_tend
from .queues import EMBED, EMBEDDING, is_on_its_way, queue

__all__ = [
    "at_work",
    "claim",
    "enqueue_shards",
    "finish",
    "give_back",
    "held_back",
    "holds",
    "in_flight",
    "mark",
    "reclaim",
    "unmark",
    "wait_until",
]

log = logging.getLogger(__name__)

# Images per job: two minibatches, so that the second one is read while the first is computed, and few enough that a
# refill never waits long behind them. Where the minibatch is not known yet, and at least, as many as on a CPU.
SHARD, MINIBATCHES = 32, 2
# Shards of one project in the queue at a time: as many as keep every living worker busy, one at work and one that waits
# for it, and no more, so that a large project cannot starve the others. At least so many, for workers that come yet,
# and at most, so that comparing them with what is at work stays cheap.
WINDOW, PER_WORKER, WIDEST = 4, 2, 128
TIMEOUT = 900  # seconds; the first shard may have to wait for the model's weights
# Workers that may end while they decode or embed an image before it goes alone, and then, while it is the only one,
# before it goes. A worker may be killed from outside at any moment, and the image of that moment is innocent: one at a
# time, such a moment hits the same image three times in a row by next to no chance.
LONELY_AFTER, LONELY_DEATHS = 2, 3  # the first for failures of its server, too
QUARANTINE_AFTER = LONELY_AFTER + LONELY_DEATHS
LAST = 2**40  # added to the place of images that a worker died on: they come after all others


def shard_size(project: Project) -> int:
    """Return how many images a shard of the project has: whole minibatches of its embedder."""
    minibatch = int(project.get("minibatch") or 0)
    return minibatch * max(MINIBATCHES, -(-SHARD // minibatch)) if minibatch else SHARD


def window(workers: int) -> int:
    """Return how many shards of one project may be out at a time, for so many living embedding workers."""
    return min(max(WINDOW, PER_WORKER * workers), WIDEST)


def enqueue_shards(project: Project, living: Collection[str] | None = None) -> int:
    """Hand waiting images to the workers, a bounded number of shards at a time; return how many were enqueued.

    Parameters
    ----------
    living : collection of str, optional
        The workers that live, of all kinds; asked for when not given.
    """
    store, enqueued = project.store, 0
    if not store.exists(project.name("pending")):
        return 0
    embedding = alive(store, EMBEDDING) if living is None else [one for one in living if one.startswith(EMBEDDING)]
    most, size = window(len(embedding)), shard_size(project)
    while store.hlen(project.name("inflight")) < most:
        popped: list[tuple[bytes, float]] = store.zpopmin(project.name("pending"), size)  # type: ignore[assignment]
        if not popped:
            break
        ids = [int(raw) for raw, _ in popped]
        names = [str(task) for task in ids]
        deaths, tries = (store.hmget(project.name(counts), names) for counts in ("deaths", "tries"))
        # An image that did not come in time among others has more of it alone.
        troubles = [max(int(a or 0), int(b or 0)) for a, b in zip(deaths, tries, strict=True)]
        lonely = [task for task, n in zip(ids, troubles, strict=True) if n >= LONELY_AFTER]
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


def holds(project: Project, job_id: str) -> bool:
    """Tell whether a shard is still this job's; a worker that was silent for too long finds that others have it."""
    return bool(project.store.hexists(project.name("inflight"), job_id))


def at_work(project: Project, job_id: str) -> str:
    """Return the key of the set of a shard's images that are being decoded or embedded right now."""
    return project.name("at_work", job_id)


def mark(project: Project, job_id: str, task: int) -> None:
    """Write down that an image is being decoded, and embedded then: if the worker ends now, it may be why."""
    with project.store.pipeline(transaction=False) as pipe:
        pipe.sadd(at_work(project, job_id), str(task))
        pipe.expire(at_work(project, job_id), 2 * TIMEOUT)
        pipe.execute()


def unmark(project: Project, job_id: str, tasks: Collection[int]) -> None:
    """Write down that images are embedded and stored."""
    if tasks:
        project.store.srem(at_work(project, job_id), *map(str, tasks))


def finish(project: Project, job_id: str) -> set[int]:
    """Strike a shard off, whatever became of it; return the images that it was at work on."""
    with project.store.pipeline(transaction=True) as pipe:
        pipe.smembers(at_work(project, job_id))
        pipe.delete(at_work(project, job_id))
        pipe.hdel(project.name("inflight"), job_id)
        members, _, _ = pipe.execute()
    return {int(raw) for raw in members}


def in_flight(project: Project) -> set[int]:
    """Return the tasks that shards in the queue or at a worker hold."""
    rows = project.store.hvals(project.name("inflight"))
    return {task for raw in rows for task in json.loads(raw)["ids"]}


def wait_until(project: Project, ids: Iterable[int], until: float) -> None:
    """Let images wait until a Unix time of Redis' clock, as their server is slow; then a look hands them out again."""
    if late := {str(task): until for task in ids}:
        project.store.zadd(project.name("late"), late)
        request_tend(project, delay=until - shared_time(project.store) + 1.0)


def held_back(project: Project) -> set[int]:
    """Return the images that wait for a time to come."""
    project.store.zremrangebyscore(project.name("late"), 0, shared_time(project.store))
    return {int(task) for part in scan_members(project.store, project.name("late")) for task, _ in part}


def reclaim(project: Project, living: Collection[str] | None = None) -> int:
    """Take back the shards of dead workers and lost jobs, and hand out more where workers came; return how many images
    were taken back.

    Parameters
    ----------
    living : collection of str, optional
        The workers that live; asked for when not given.
    """
    store, taken = project.store, 0
    out = store.hgetall(project.name("inflight"))
    for raw_id, raw in out.items():
        entry: dict[str, Any] = json.loads(raw)
        job_id, worker = text(raw_id), entry["worker"]
        living = alive(store) if living is None else living
        if worker in living:
            held = not _is_over(store, job_id)
        else:
            held = not worker and is_on_its_way(store, EMBED, job_id, living)
        if held:
            continue
        if not store.hdel(project.name("inflight"), job_id):
            continue  # its worker just finished, or another one reclaims it
        suspects = finish(project, job_id)
        if worker in living or (worker and is_leaving(store, worker)):
            suspects = set()  # it lost Redis, or was told to stop
        elif worker:
            log.warning("worker %s died while embedding %d images of %s", worker, len(entry["ids"]), project.key)
        taken += give_back(project, entry["ids"], "its worker died", suspects)
        count("repairs_total", project=project.key, kind="shard")
    if taken or (out and not project.get("embedder_error")):  # where none is out, a look begins
        enqueue_shards(project, living)
    return taken


def _is_over(store: Redis, job_id: str) -> bool:
    """Tell whether RQ has ended a job, or knows it no more."""
    status = store.hget(f"rq:job:{job_id}", "status")
    return status is None or text(status) in (JobStatus.FINISHED, JobStatus.FAILED)


def give_back(project: Project, ids: Collection[int], why: str, suspects: Collection[int] = ()) -> int:
    """Let the images of a shard wait again; return how many do.

    Parameters
    ----------
    ids : collection of int
        The shard's tasks.
    why : str
        What ended it, for people.
    suspects : collection of int
        Those that were being decoded or embedded then. Which of them did it is not known: each of them comes last, goes
        alone once it was there `LONELY_AFTER` times, and is quarantined when it was there alone `LONELY_DEATHS` times.
    """
    suspects = sorted(set(suspects) & set(ids))
    deaths = {task: _note_death(project, task, alone=len(ids) == 1) for task in suspects}
    rows = project.task_rows(suspects)
    bad = {task for task in suspects if deaths[task] >= QUARANTINE_AFTER and task in rows}
    count("images_total", len(bad), project=project.key, outcome="bad")
    project.quarantine({task: (rows[task].uri, f"{why}, {LONELY_DEATHS} times while it was alone") for task in bad})
    again = {str(task): task + LAST * (task in deaths) for task in ids if task not in bad}
    if again:
        project.store.zadd(project.name("pending"), again)
    return len(again)


def _note_death(project: Project, task: int, *, alone: bool) -> int:
    """Count a worker that ended on an image, and return the count. Among others none counts beyond `LONELY_AFTER`."""
    deaths = project.name("deaths")
    if not alone and int(text(project.store.hget(deaths, str(task)) or b"0")) >= LONELY_AFTER:
        return LONELY_AFTER
    return int(project.store.hincrby(deaths, str(task), 1))
