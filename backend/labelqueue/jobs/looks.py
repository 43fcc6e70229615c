"""How a look at a project is asked for, begun and ended, so that none that was asked for is lost."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Collection

from rq import Retry
from rq.job import JobStatus

from ..state import Project, Redis, shared_time, text
from ..telemetry import count
from .queues import TEND, is_on_its_way, queue

__all__ = ["begin_look", "end_look", "look_again", "release_due", "request_soon", "request_tend"]

log = logging.getLogger(__name__)

TIMEOUT = 600  # seconds
LOOKED = 60_000  # milliseconds that the end of a look is remembered
DELAYED = "lq:delayed"

# One step: a request without its job, or a job without its request, is seen by nobody. A request stands while its job
# is in the queue; once that was taken, or is lost, the next request makes another one.
_ASK = """
if ARGV[2] ~= '' then redis.call('zrem', KEYS[4], ARGV[2]) end
local asked = redis.call('get', KEYS[1])
if asked and redis.call('lpos', KEYS[2], asked) then return 0 end
redis.call('set', KEYS[1], ARGV[1])
redis.call('hset', KEYS[3], unpack(ARGV, 3))
redis.call('sadd', KEYS[5], KEYS[2])
redis.call('rpush', KEYS[2], ARGV[1])
return 1
"""
_DROP = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"


def request_tend(project: Project, *, delay: float = 0.0) -> None:
    """Ask for the project to be tended; requests made while one waits are one request.

    Parameters
    ----------
    delay : float
        Seconds to wait, so that a burst of events becomes one job.
    """
    if delay > 0:
        project.store.zadd(DELAYED, {project.key: shared_time(project.store) + delay}, lt=True)
    else:
        _ask(project)


def request_soon(project: Project, *, apart: float) -> None:
    """Ask for the project to be tended: at once, or some time after a look that runs or has just ended.

    So what happens in a quiet project is acted on without a wait, and a burst is a look now and then.

    Parameters
    ----------
    apart : float
        Seconds between the end of a look and the next one; while one runs, the next is asked for in as many.
    """
    with project.store.pipeline() as pipe:
        pipe.exists(project.name("tending"))
        pipe.get(project.name("looked"))
        tending, looked = pipe.execute()
    ended = float(looked or 0)
    delay = apart if tending else min(ended + apart - shared_time(project.store), apart)
    request_tend(project, delay=delay)


def release_due(store: Redis) -> None:
    """Turn delayed requests whose time has come into jobs."""
    ready: list[bytes] = store.zrangebyscore(DELAYED, 0, shared_time(store))  # type: ignore[assignment]
    for raw in ready:
        if store.hexists("lq:projects", raw):
            _ask(Project.open(store, text(raw)), due=text(raw))
        else:  # a project that was forgotten meanwhile needs nothing
            store.zrem(DELAYED, raw)


def begin_look(project: Project, job_id: str, worker: str) -> None:
    """Say that this worker looks at the project now: from here on a new event asks for another look."""
    project.store.set(project.name("tending"), worker)
    drop_request(project, job_id)


def drop_request(project: Project, job_id: str) -> None:
    """Drop a request that its job has answered, unless it was made anew meanwhile."""
    project.store.eval(_DROP, 1, project.name("queued"), job_id)


def end_look(project: Project, worker: str) -> None:
    """Say that this worker's look is over; that of another one, which took over meanwhile, is not."""
    if project.store.eval(_DROP, 1, project.name("tending"), worker):
        project.store.set(project.name("looked"), repr(shared_time(project.store)), px=LOOKED)


def look_again(project: Project, living: Collection[str]) -> bool:
    """Ask anew for a look that was asked for and that nobody is on the way to; return whether there was one.

    Its job may be lost with a worker that died between taking it and looking, or while it looked, or with the last
    second of a Redis.

    Parameters
    ----------
    living : collection of str
        The workers that live.
    """
    store = project.store
    asked, tending = store.mget(project.name("queued"), project.name("tending"))
    died = tending is not None and text(tending) not in living
    if died:
        log.warning("worker %s died while it tended %s", text(tending or b""), project.key)
        end_look(project, text(tending or b""))
    if died or (asked is not None and not is_on_its_way(store, TEND, text(asked), living)):
        count("repairs_total", project=project.key, kind="look")
        request_tend(project)
        return True
    return False


def _ask(project: Project, *, due: str = "") -> None:
    """Ask for a look now; `due` is the delayed request that this one answers."""
    store, tend = project.store, queue(project.store, TEND)
    job = tend.create_job(
        "labelqueue.tending.tend_job",  # the name that a worker of the version before can import too
        args=(project.key,),
        job_id=uuid.uuid4().hex,
        timeout=TIMEOUT,
        result_ttl=60,
        failure_ttl=86_400,
        retry=Retry(max=2),
        status=JobStatus.QUEUED,
    )
    job.enqueued_at = job.created_at
    fields = [part for pair in job.to_dict().items() for part in pair]
    keys = [project.name("queued"), tend.key, job.key, DELAYED, tend.redis_queues_keys]
    store.eval(_ASK, len(keys), *keys, job.id, due, *fields)
