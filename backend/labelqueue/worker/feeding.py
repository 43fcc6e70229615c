"""Feeding the embedding workers: which images wait, and which generation of embeddings serves meanwhile."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..exceptions import EmbedderError
from ..jobs import enqueue_shards, in_flight, reclaim
from ..labels import Target
from ..state import PatternCache, Project, TaskColumns, add_members
from .embedding import generation_of
from .runtime import Runtime

__all__ = ["Feed", "feed", "wanted_generation"]


@dataclass(frozen=True)
class Feed:
    """What serves now.

    Attributes
    ----------
    cache : PatternCache
        Of the generation that serves.
    arriving : int
        Images that are not embedded yet in the generation that is wanted.
    """

    cache: PatternCache
    arriving: int


def wanted_generation(runtime: Runtime, project: Project, target: Target) -> str:
    """Return the fingerprint under which the project's images are to be embedded.

    Raises
    ------
    EmbedderError
        If the model cannot be had and nothing is embedded yet; what is embedded can still be ordered.
    """
    serving = project.get("generation")
    try:
        wanted = generation_of(runtime, target, project.settings())
    except EmbedderError as error:
        if not serving:
            raise
        project.set(embedder_error=str(error))
        return serving
    project.set(embedder_error="", generation=serving or wanted)
    return wanted


def feed(runtime: Runtime, project: Project, columns: TaskColumns, building: PatternCache) -> Feed:
    """Let every image without an embedding wait for a worker, and choose the generation that serves.

    Parameters
    ----------
    columns : TaskColumns
        The project's tasks.
    building : PatternCache
        Of the generation that is wanted. Until it is complete, the one before it serves.
    """
    absent = columns.ids[~columns.embedded_in(building)]
    missing = np.setdiff1d(absent, np.array(list(columns.bad(project)), dtype=np.int64), assume_unique=True).tolist()
    reclaim(project)
    held = in_flight(project)
    if waiting := {str(task): task for task in missing if task not in held}:
        add_members(project.store, project.name("pending"), waiting)
    enqueue_shards(project)
    serving = project.get("generation")
    if serving == building.generation:
        return Feed(building, len(missing))
    old = runtime.cache(project, serving)
    if missing:
        return Feed(old, len(missing))
    old.delete()
    project.set(generation=building.generation)
    return Feed(building, 0)
