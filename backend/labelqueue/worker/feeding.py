"""Feeding the embedding workers: which images wait, and which generation of embeddings serves meanwhile."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..exceptions import EmbedderError
from ..jobs import EmbedderChoice, enqueue_shards, held_back, imported_vectors, in_flight, reclaim
from ..labels import Target
from ..replica import Replica
from ..state import PatternCache, Project, add_members, scan_members
from .models import card_of, chosen, has_rows, identity_of, parameters_of
from .runtime import Runtime

__all__ = ["Feed", "feed", "missing_images", "wanted_generation"]


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
    it is that of the generation that serves, empty when there is none: what is embedded can still be ordered. The facts
    ``embedder``, ``embedder_wanted`` and ``embedder_offered`` say which embedder serves, which one is to, and which one
    a new project would get; ``minibatch`` how many images it takes at a time, which sizes the shards.
    """
    serving, why, found = project.get("generation"), "", None
    choice = chosen(project, runtime.deployment, target)
    try:
        found = _generation(runtime, project, target, choice)
    except EmbedderError as error:
        why = str(error)
    generation, choice = found or (serving, choice)
    offered = EmbedderChoice.offered(runtime.deployment)
    project.set(embedder_error=why, embedder_wanted=choice.dump(), embedder_offered=offered.dump())
    if found is None:
        return serving, False
    if generation == serving or not serving or not has_rows(project, serving):
        project.set(generation=generation, embedder=choice.dump())
    return generation, True


def _generation(
    runtime: Runtime, project: Project, target: Target, choice: EmbedderChoice
) -> tuple[str, EmbedderChoice] | None:
    """Return the generation that an embedder makes, and the embedder as it turned out; None while neither is known."""
    if choice.imported:
        imported = imported_vectors(project)
        if imported.get("model") != choice.model or not has_rows(project, imported["generation"]):
            raise EmbedderError(
                f"no vectors {choice.model!r} are here: bring them with `labelqueue embeddings import {project.ref.id} "
                f"FILE --name {choice.imported}`, or take a model with `labelqueue set {project.ref.id} embedder=MODEL`"
            )
        return imported["generation"], replace(choice, image_size=None, weights=imported["file"])
    doubled = target.kind == "segmentation"
    card = card_of(runtime.store, runtime.deployment, doubled, choice)
    if card is None:
        return None
    project.set(minibatch=str(card.minibatch_size))
    generation = card.fingerprint(parameters_of(target, project.settings()))
    return generation, identity_of(card, doubled=doubled, asked=choice.asked)


def feed(runtime: Runtime, project: Project, replica: Replica, building: PatternCache) -> Feed:
    """Let every image without an embedding wait for a worker, and choose the generation that serves.

    Parameters
    ----------
    replica : Replica
        The project's tasks.
    building : PatternCache
        Of the generation that is wanted. Until it is complete, the one before it serves. Vectors that were imported
        serve at once: those that are missing are no worker's to make.
    """
    serving, wanted = project.get("generation"), EmbedderChoice.load(project.get("embedder_wanted"))
    if wanted is not None and wanted.imported:
        reclaim(project)
        project.drop("pending", "late")
        if serving != building.generation and not project.get("embedder_error"):
            _switch(runtime, project, serving, building)
        return Feed(runtime.cache(project, project.get("generation")), 0)
    missing = missing_images(replica, building)
    reclaim(project)
    late = _ids(held_back(project))
    arriving = int(np.setdiff1d(missing, late, assume_unique=True).size) if late.size else int(missing.size)
    _hand_out(project, replica, missing, late)
    if not project.get("embedder_error"):
        enqueue_shards(project)
    if serving == building.generation:
        return Feed(building, arriving)
    if missing.size:
        return Feed(runtime.cache(project, serving), arriving)
    _switch(runtime, project, serving, building)
    return Feed(building, 0)


def missing_images(replica: Replica, cache: PatternCache) -> NDArray[np.int64]:
    """Return the tasks whose present images are neither embedded there nor known to be bad, ascending."""
    absent = replica.columns.ids[~replica.embedded(cache)]
    return np.setdiff1d(absent, _ids(replica.bad()), assume_unique=True) if absent.size else absent


def _hand_out(project: Project, replica: Replica, missing: NDArray[np.int64], late: NDArray[np.int64]) -> None:
    """Let the images wait that neither wait already nor are held: those that this process has not handed out before,
    and all of them where fewer or more wait than should."""
    store, pending = project.store, project.name("pending")
    held = np.union1d(_ids(in_flight(project)), late)
    waiting = np.setdiff1d(missing, held, assume_unique=True)
    fresh = np.setdiff1d(waiting, replica.handed, assume_unique=True)
    replica.handed = missing
    add_members(store, pending, {str(task): task for task in fresh.tolist()}, nx=True)
    if store.zcard(pending) == waiting.size:
        return
    there = [int(task) for part in scan_members(store, pending) for task, _ in part]
    # Read after those that wait: whatever left them by then is held, or embedded.
    lost = np.setdiff1d(waiting, np.union1d(_ids(there), _ids(in_flight(project))), assume_unique=True)
    add_members(store, pending, {str(task): task for task in lost.tolist()}, nx=True)


def _ids(tasks: Collection[int]) -> NDArray[np.int64]:
    return np.unique(np.fromiter(tasks, dtype=np.int64, count=len(tasks)))


def _switch(runtime: Runtime, project: Project, serving: str, building: PatternCache) -> None:
    """Let another generation serve; the one before it goes, imported vectors too."""
    project.set(generation=building.generation, embedder=project.get("embedder_wanted"))
    runtime.cache(project, serving).delete()
    if imported_vectors(project).get("generation") == serving:
        project.set(imported="")
