"""Feeding the embedding workers: which images wait, and which generation of embeddings serves meanwhile."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..exceptions import EmbedderError
from ..jobs import enqueue_shards, held_back, in_flight, reclaim
from ..labels import Target
from ..state import PatternCache, Project, TaskColumns, add_members
from .embedding import parameters_of
from .models import card_of
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
        Images that are not embedded yet in the generation that is wanted, without those of slow servers.
    """

    cache: PatternCache
    arriving: int


def wanted_generation(runtime: Runtime, project: Project, target: Target) -> tuple[str, bool]:
    """Return the fingerprint under which the project's images are to be embedded, and whether that is known.

    The model is an embedding worker's. While it is not known, or cannot be had (the fact ``embedder_error`` says why),
    it is that of the generation that serves, empty when there is none: what is embedded can still be ordered.
    """
    serving, why, card = project.get("generation"), "", None
    try:
        card = card_of(runtime.store, runtime.deployment, target.kind == "segmentation")
    except EmbedderError as error:
        why = str(error)
    project.set(embedder_error=why)
    if card is None:
        return serving, False
    wanted = card.fingerprint(parameters_of(target, project.settings()))
    project.set(generation=serving or wanted)
    return wanted, True


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
    late = held_back(project)
    arriving = len(set(missing) - late)
    held = in_flight(project) | late
    if waiting := {str(task): task for task in missing if task not in held}:
        add_members(project.store, project.name("pending"), waiting, nx=True)
    if not project.get("embedder_error"):
        enqueue_shards(project)
    serving = project.get("generation")
    if serving == building.generation:
        return Feed(building, arriving)
    old = runtime.cache(project, serving)
    if missing:
        return Feed(old, arriving)
    old.delete()
    project.set(generation=building.generation)
    return Feed(building, 0)
