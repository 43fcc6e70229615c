"""The job that embeds one shard of a project's images."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from rq import get_current_job

from ..block import source_hash
from ..exceptions import LabelQueueError
from ..images import Item, embed_stream
from ..jobs import claim, enqueue_shards, give_back, request_tend
from ..labels import Target
from ..state import Project
from .runtime import Runtime, current
from .upkeep import leaving_nothing

__all__ = ["embed_job", "embed_shard", "generation_of", "parameters_of"]

log = logging.getLogger(__name__)

TRIES = 5  # times an image's server may fail before the image is quarantined
RETRY_DELAY = 10.0  # seconds


def parameters_of(target: Target, settings: dict[str, Any]) -> dict[str, Any]:
    """Return what besides the model shapes the embeddings of a project."""
    n_patterns = settings["n_patterns"] or target.n_patterns
    if n_patterns == 1:  # the patterns are the CLS embedding: attention plays no part
        return {"n_patterns": 1}
    return {
        "n_patterns": n_patterns,
        "attention_ratio": settings["attention_ratio"],
        "neighborhood": settings["neighbourhood"],
    }


def generation_of(runtime: Runtime, target: Target, settings: dict[str, Any]) -> str:
    """Return the fingerprint under which a project's images are embedded now."""
    return runtime.embedder(doubled=target.kind == "segmentation").fingerprint(parameters_of(target, settings))


@leaving_nothing
def embed_job(key: str, ids: list[int]) -> int:
    """Embed a shard; called by the worker."""
    runtime, job = current(), get_current_job()
    job_id = job.id if job else ""
    project = Project.open(runtime.store, key)
    claim(project, job_id, (job.worker_name if job else "") or "")
    try:
        done = embed_shard(runtime, project, ids)
    except Exception as error:
        # Nothing is lost: the images wait again, and tending asks for them after a while.
        why = str(error) or type(error).__name__
        log.error("embedding %d images of project %d failed: %s", len(ids), project.ref.id, why)
        project.set(error=why)
        project.store.hdel(project.name("inflight"), job_id)
        request_tend(project, delay=RETRY_DELAY)
        if isinstance(error, LabelQueueError):  # the model or Label Studio is away: no image is to blame
            return 0
        give_back(project, ids, f"embedding failed ({why})")
        raise
    project.store.hdel(project.name("inflight"), job_id)
    enqueue_shards(project)
    if _tell(project):
        request_tend(project)
    return done


def _tell(project: Project) -> bool:
    """Tell whether an order may have become due: the first rows are in, the last ones, or twice as many as before."""
    waiting = project.store.zcard(project.name("pending")) + project.store.hlen(project.name("inflight"))
    arrivals = int(project.get("arrivals", "0"))
    told = int(project.get("arrivals_told", "0"))
    if waiting and arrivals < 2 * max(told, 1):
        return False
    project.set(arrivals_told=str(arrivals))
    return True


def embed_shard(runtime: Runtime, project: Project, ids: list[int]) -> int:
    """Embed the images of these tasks and store them in the pattern cache.

    Returns
    -------
    int
        Images embedded. A bad image is quarantined with its reason; one whose server fails is tried again later.
    """
    target, settings = project.target(), project.settings()
    model = runtime.embedder(doubled=target.kind == "segmentation")
    parameters = parameters_of(target, settings)
    cache = runtime.cache(project, model.fingerprint(parameters))
    here = cache.rows()
    rows = {t: row for t, row in project.task_rows(ids).items() if here.get(t) != source_hash(row.uri)}
    missing_uri = {task: ("", "the task's data has no image") for task, row in rows.items() if not row.uri}
    project.quarantine(missing_uri)
    items = [
        Item(task, row.uri, partial(runtime.fetcher.read, row.uri, task))
        for task, row in sorted(rows.items())
        if row.uri
    ]
    done = 0
    for result in embed_stream(model, items, **parameters):
        cache.put(result.block)
        project.forgive(result.block.ids.tolist())
        done += len(result.block.ids)
        project.count("arrivals", len(result.block.ids))
        project.quarantine({task: (rows[task].uri, reason) for task, reason in result.failed})
        _try_again(project, {task: (rows[task].uri, reason) for task, reason in result.transient})
    return done


def _try_again(project: Project, failed: dict[int, tuple[str, str]]) -> None:
    """Let images whose server failed wait again, or quarantine them after `TRIES` times."""
    for task, (uri, reason) in failed.items():
        tries = project.store.hincrby(project.name("tries"), str(task), 1)
        if tries >= TRIES:
            project.store.hdel(project.name("tries"), str(task))
            project.quarantine({task: (uri, f"{reason} ({tries} tries)")})
    if failed:
        # They are missing from the cache, so tending puts them back among the waiting ones.
        request_tend(project, delay=RETRY_DELAY)
