"""The job that embeds one shard of a project's images."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from redis.exceptions import RedisError
from rq import get_current_job

from ..block import source_hash
from ..exceptions import EmbedderError, LabelQueueError, LabelStudioError, ProjectError, StoreError
from ..gallery import MEGABYTE, Thumbnails
from ..images import Item, embed_stream
from ..jobs import (
    EMBEDDING,
    EmbedderChoice,
    alive,
    claim,
    cool_down,
    enqueue_shards,
    finish,
    give_back,
    holds,
    mark,
    request_tend,
    slow_servers,
    unmark,
    wait_until,
    warm_up,
)
from ..labels import Target
from ..state import Project, shared_time
from ..telemetry import count, timed
from .gathering import Gathering, Wanted, server_of
from .models import AGAIN, asked_for, chosen, parameters_of, refuse_other
from .runtime import Runtime, current
from .upkeep import leaving_nothing

__all__ = ["embed_job", "embed_shard", "gathered", "generation_of", "model_job"]

log = logging.getLogger(__name__)

TRIES = 5  # times an image's server may fail before the image is quarantined
RETRY_DELAY = 10.0  # seconds
STEP_BACK = 15.0  # seconds that a worker leaves work to others; more than `AGAIN`, so that they are asked for the model
FETCH_DEADLINE = 20.0  # seconds for reading the images of one shard
ALONE_DEADLINE = 60.0  # and for an image that goes alone: it may be large


def generation_of(runtime: Runtime, target: Target, settings: dict[str, Any]) -> str:
    """Return the fingerprint under which a new project's images are embedded now; it loads the model."""
    return runtime.embedder(doubled=target.kind == "segmentation").fingerprint(parameters_of(target, settings))


def model_job(doubled: bool, asked: str = "") -> str:
    """Load the model, so that its card is known, and have every project looked at; called by an embedding worker.

    Parameters
    ----------
    doubled : bool
        Whether it is the one for twice the image size.
    asked : str
        Which model is waited for, see `models.name_of`.
    """
    runtime = current()
    outcome, failed = "another model", False
    if not refuse_other(runtime.store, runtime.deployment, asked):
        try:
            outcome = runtime.embedder(doubled=doubled, choice=asked_for(runtime.deployment, asked)).name
        except EmbedderError as error:
            log.error("%s", error)
            outcome, failed = str(error), True
    for project in Project.all(runtime.store):
        request_tend(project)
        if failed and _others(runtime):
            request_tend(project, delay=AGAIN + 1.0)
    if failed:
        _step_back(runtime, outcome)
    return outcome


@leaving_nothing
def embed_job(key: str, ids: list[int]) -> int:
    """Embed a shard; called by an embedding worker."""
    runtime, job = current(), get_current_job()
    job_id = job.id if job else ""
    try:
        project = Project.open(runtime.store, key)
    except ProjectError:  # forgotten between the request and this run
        return 0
    claim(project, job_id, (job.worker_name if job else "") or "")
    try:
        with timed("shard_seconds"):
            done = embed_shard(runtime, project, ids, job_id)
    except Exception as error:
        # Nothing is lost: the images wait again, and tending asks for them after a while.
        why = str(error) or type(error).__name__
        log.error("embedding %d images of project %d failed: %s", len(ids), project.ref.id, why)
        project.set(error=why)
        suspects = finish(project, job_id)
        if isinstance(error, EmbedderError | LabelStudioError) and _others(runtime):
            give_back(project, ids, why)
            enqueue_shards(project)
            _step_back(runtime, why)
            return 0
        request_tend(project, delay=RETRY_DELAY)
        if isinstance(error, LabelQueueError):  # the model or Label Studio is away: no image is to blame
            return 0
        give_back(project, ids, f"embedding failed ({why})", suspects)
        raise
    finish(project, job_id)
    enqueue_shards(project)
    if _tell(project):
        request_tend(project)
    return done


def _others(runtime: Runtime) -> set[str]:
    """Return the other embedding workers that live."""
    job = get_current_job()
    return alive(runtime.store, EMBEDDING) - {(job.worker_name if job else "") or ""}


def _step_back(runtime: Runtime, why: str) -> None:
    """Leave work to the others for a while, if there are any.

    A machine that lacks the model, or cannot reach Label Studio, is done with a shard at once: it would be the first to
    ask for the next one, and the others got none.
    """
    if _others(runtime):
        runtime.trouble = why
        runtime.leaving.wait(STEP_BACK)
        runtime.trouble = ""


def _tell(project: Project) -> bool:
    """Tell whether an order may have become due: the first rows are in, the last ones, or twice as many as before."""
    waiting = project.store.zcard(project.name("pending")) + project.store.hlen(project.name("inflight"))
    arrivals = int(project.get("arrivals", "0"))
    told = int(project.get("arrivals_told", "0"))
    if waiting and arrivals < 2 * max(told, 1):
        return False
    project.set(arrivals_told=str(arrivals))
    return True


def embed_shard(runtime: Runtime, project: Project, ids: list[int], job_id: str = "") -> int:
    """Embed the images of these tasks and store them in the pattern cache.

    Parameters
    ----------
    job_id : str
        Of the shard, under which the images that are being decoded and embedded are marked: if this process ends
        meanwhile, only they can be why.

    Returns
    -------
    int
        Images embedded. A bad image is quarantined with its reason; one whose server fails is tried again later; those
        of a server that is silent or slow wait until it is asked again; those there was no time for wait again.
    """
    target, settings = project.target(), project.settings()
    choice = EmbedderChoice.load(project.get("embedder_wanted")) or chosen(project, runtime.deployment, target)
    if choice.imported:  # since the images were handed out
        return 0
    model = runtime.embedder(doubled=target.kind == "segmentation", choice=choice)
    parameters = parameters_of(target, settings)
    cache = runtime.cache(project, model.fingerprint(parameters))
    here = cache.sources_of(ids)
    rows = {t: row for t, row in project.task_rows(ids).items() if here.get(t) != source_hash(row.uri)}
    missing_uri = {task: ("", "the task's data has no image") for task, row in rows.items() if not row.uri}
    project.quarantine(missing_uri)
    count("images_total", len(missing_uri), project=project.key, outcome="bad")
    servers = slow_servers(project.store)
    uris = {task: row.uri for task, row in rows.items() if row.uri}
    gathering = gathered(runtime, uris, servers, FETCH_DEADLINE if len(ids) > 1 else ALONE_DEADLINE)
    thumbnails, room = Thumbnails(project), runtime.deployment.thumbnails * MEGABYTE
    done = 0
    items = (replace(item, load=partial(_marked, project, job_id, item)) for item in gathering)
    for result in embed_stream(model, items, thumbnails=room > 0, **parameters):
        if job_id and not holds(project, job_id):  # nothing twice, and what failed here may be this machine's line
            log.warning("%d images of %s are another worker's by now: Redis heard nothing of us", len(ids), project.key)
            return done
        cache.put(result.block)
        thumbnails.put({task: (source_hash(uris[task]), file) for task, file in result.thumbnails.items()}, room)
        embedded = result.block.ids.tolist()
        project.forgive(embedded)
        unmark(project, job_id, embedded)
        done += len(result.block.ids)
        count("images_total", len(result.block.ids), project=project.key, outcome="embedded")
        count("images_total", len(result.failed), project=project.key, outcome="bad")
        project.count("arrivals", len(result.block.ids))
        project.quarantine({task: (rows[task].uri, reason) for task, reason in result.failed})
        _try_again(project, {task: (rows[task].uri, reason) for task, reason in result.transient})
    warm_up(project.store, gathering.answered & servers.keys())
    for server, late in gathering.late.items():
        if server in gathering.reasons:
            _leave_alone(project, server, late, gathering.reasons[server])
        else:
            wait_until(project, late, servers[server][0])
    give_back(project, gathering.unread, "")
    return done


def gathered(
    runtime: Runtime, uris: Mapping[int, str], servers: Mapping[str, tuple[float, str]], deadline: float
) -> Gathering:
    """Return what reads images: task to URI, from servers that were not slow lately (see `jobs.slow_servers`), for so
    many seconds."""
    now = shared_time(runtime.store)
    return Gathering(
        [Wanted(task, uri, server_of(uri), partial(_read, runtime, uri, task)) for task, uri in sorted(uris.items())],
        deadline=deadline,
        slow={server: why for server, (until, why) in servers.items() if until > now},
        suspicious=lambda server: server in servers,
        stop=runtime.leaving.is_set,
    )


def _read(runtime: Runtime, uri: str, task: int, until: float) -> bytes:
    return runtime.fetcher.read(uri, task, until=until)


def _marked(project: Project, job_id: str, item: Item) -> bytes:
    """Return an image's bytes, and mark that it is at work from here on."""
    data = item.load()
    try:
        mark(project, job_id, item.id)
    except RedisError as error:  # else the image would be taken for a bad one
        raise StoreError(f"Redis failed: {error}") from error
    return data


def _leave_alone(project: Project, server: str, late: list[int], why: str) -> None:
    """Ask nothing of a slow server for a while; its images wait for it."""
    until = cool_down(project.store, server, why)
    wait = until - shared_time(project.store)
    log.warning("%s is slow and left alone for %.0f s; %d images wait for it: %s", server, wait, len(late), why)
    wait_until(project, late, until)


def _try_again(project: Project, failed: dict[int, tuple[str, str]]) -> None:
    """Let images whose server failed wait again, or quarantine them after `TRIES` times."""
    for task, (uri, reason) in failed.items():
        tries = project.store.hincrby(project.name("tries"), str(task), 1)
        if tries >= TRIES:
            project.store.hdel(project.name("tries"), str(task))
            project.quarantine({task: (uri, f"{reason} ({tries} tries)")})
        count("images_total", project=project.key, outcome="bad" if tries >= TRIES else "again")
    if failed:
        # They are missing from the cache, so tending puts them back among the waiting ones.
        request_tend(project, delay=RETRY_DELAY)
