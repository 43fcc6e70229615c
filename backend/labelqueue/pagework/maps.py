"""The map of a project: brought up to date within a second or two, laid out properly when there is time."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..block import find
from ..exceptions import CacheError, ProjectError
from ..gallery import Layout, Map, Maps, keep_layout, layout_question, load_layout, state_of_project
from ..jobs import ask
from ..replica import Replica
from ..state import Orders, PatternCache, Project
from ..worker import Runtime
from .columns import make_columns
from .projection import (
    Floats,
    choose_landmarks,
    fit_plane,
    fit_tsne,
    has_neighborhoods,
    near_landmarks,
    on_plane,
    rounded,
)
from .scenes import read_scene
from .vectors import vectors_of

__all__ = ["embedded_tasks", "lay_out", "show_map"]

GROWTH = 2  # images are laid out anew when there are so many times as many
TRIES = 3  # to add images to a layout that others replace meanwhile


def show_map(runtime: Runtime, project: Project) -> dict[str, Any]:
    """Bring the map up to date with tasks, labels, predictions and the live order; return its facts.

    Raises
    ------
    ProjectError
        When no image is embedded yet.
    """
    begun, now, maps = time.time(), state_of_project(project), Maps(project)
    facts = maps.facts()
    if facts is not None and facts["of"] == now:
        if facts["laying_out"]:  # the worker that was to do it may be gone
            ask(project.store, layout_question(project, facts["generation"], facts["fitted_at"]))
        return facts
    replica, cache = runtime.replica(project), open_cache(runtime, project)
    ids, sources = embedded_tasks(project, replica, cache)
    layout = _with_all(runtime, project, cache, ids, sources)
    due = has_neighborhoods(ids.size) and (layout.projection == "pca" or ids.size >= GROWTH * layout.fitted)
    if due:
        ask(project.store, layout_question(project, cache.generation, layout.fitted_at))
    codes, about = make_columns(read_scene(project, replica, layout.ids))
    told = {
        "generation": cache.generation,
        "projection": layout.projection,
        "fitted_at": layout.fitted_at,
        "fitted": layout.fitted,
        "laying_out": due,
        "made_at": begun,
        "took": time.time() - begun,
        "of": now,
        "missing": len(replica.columns) - int(layout.ids.size),
        "columns": about,
    }
    return maps.put(Map(layout.ids, layout.points, codes, told), begun)


def lay_out(runtime: Runtime, project: Project, generation: str, before: float) -> dict[str, Any]:
    """Lay the images out with t-SNE, and put the map up; return its facts.

    Parameters
    ----------
    generation : str
        Of the embeddings that were to be laid out: when others serve by now, these are.
    before : float
        When they were laid out last (Unix time): it makes a question one of that layout.
    """
    replica, cache = runtime.replica(project), open_cache(runtime, project)
    ids, sources = embedded_tasks(project, replica, cache)
    old = load_layout(project, cache.generation)
    landmarks = choose_landmarks(ids, _standing_for_all(project))
    rows, anchors = _gathered(runtime, cache, ids, sources, landmarks)
    mean, axes = fit_plane(anchors)
    if old is not None and old.projection == "tsne":
        places = fit_tsne(anchors, near_landmarks(anchors, old.anchors.astype(np.float32), old.places), again=True)
    else:
        places = fit_tsne(anchors, on_plane(anchors, mean, axes))
    layout = Layout(
        projection="tsne",
        fitted_at=time.time(),
        fitted=int(ids.size),
        mean=mean,
        axes=axes,
        anchors=anchors.astype(np.float16),
        places=places,
        ids=ids[rows],
        sources=sources[rows],
        points=rounded(places),
    )
    keep_layout(project, cache.generation, _extended(runtime, cache, layout, ids, sources))
    Maps(project).note_layout(layout.fitted_at)
    return show_map(runtime, project)


def open_cache(runtime: Runtime, project: Project) -> PatternCache:
    """Return the embeddings that serve; raises ProjectError before there are any."""
    generation = project.get("generation")
    if not generation:
        raise ProjectError(f"no image of project {project.ref.id} is embedded yet: the map is there when some are")
    return runtime.cache(project, generation)


def embedded_tasks(
    project: Project, replica: Replica, cache: PatternCache
) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Return the tasks whose present images are embedded, ascending, with the hashes of their URIs."""
    columns, embedded = replica.columns, replica.embedded(cache)
    if not embedded.any():
        raise ProjectError(f"no image of project {project.ref.id} is embedded yet: the map is there when some are")
    return columns.ids[embedded], columns.sources[embedded]


def _with_all(
    runtime: Runtime, project: Project, cache: PatternCache, ids: NDArray[np.int64], sources: NDArray[np.uint64]
) -> Layout:
    """Return the layout with a place for each image, and keep it."""
    for _ in range(TRIES):
        layout = old = load_layout(project, cache.generation)
        few = not has_neighborhoods(ids.size)
        if layout is None or (few and not np.array_equal(layout.ids, ids)):
            layout = _plane(runtime, cache, ids, sources)
        layout = _extended(runtime, cache, layout, ids, sources)
        if layout is old or keep_layout(project, cache.generation, layout):
            return layout
    raise CacheError("the images were laid out anew while they were put on the map: ask again")


def _plane(runtime: Runtime, cache: PatternCache, ids: NDArray[np.int64], sources: NDArray[np.uint64]) -> Layout:
    """Return a layout by PCA in which no image has a place yet."""
    _, sample = _gathered(runtime, cache, ids, sources, choose_landmarks(ids))
    mean, axes = fit_plane(sample)
    return Layout(
        projection="pca",
        fitted_at=time.time(),
        fitted=int(ids.size),
        mean=mean,
        axes=axes,
        anchors=np.empty((0, mean.size), np.float16),
        places=np.empty((0, 2), np.float32),
        ids=np.empty(0, np.int64),
        sources=np.empty(0, np.uint64),
        points=np.empty((0, 2), np.uint16),
    )


def _gathered(
    runtime: Runtime,
    cache: PatternCache,
    ids: NDArray[np.int64],
    sources: NDArray[np.uint64],
    chosen: NDArray[np.int64],
) -> tuple[NDArray[np.int64], Floats]:
    """Return the unit vectors of chosen rows, and which rows they are, ascending: one that has none is left out."""
    wanted = np.zeros(ids.size, dtype=np.bool_)
    wanted[chosen] = True
    parts = list(vectors_of(runtime, cache, ids, sources, wanted))
    if not parts:
        raise CacheError("the embeddings are gone, or were replaced meanwhile: ask again")
    rows, vectors = (np.concatenate(part) for part in zip(*parts, strict=True))
    turn = np.argsort(rows)
    return rows[turn], vectors[turn]


def _extended(
    runtime: Runtime, cache: PatternCache, layout: Layout, ids: NDArray[np.int64], sources: NDArray[np.uint64]
) -> Layout:
    """Return a layout in which these images have a place, and no others; those that have one keep it."""
    at = find(layout.ids, ids)
    known = at >= 0
    if layout.ids.size:
        known &= layout.sources[at] == sources
    if known.all() and layout.ids.size == ids.size:
        return layout
    points = np.zeros((ids.size, 2), np.uint16)
    points[known] = layout.points[at[known]]
    anchors = layout.anchors.astype(np.float32)
    for rows, vectors in vectors_of(runtime, cache, ids, sources, ~known):
        if layout.projection == "pca":
            points[rows] = on_plane(vectors, layout.mean, layout.axes)
        else:
            points[rows] = near_landmarks(vectors, anchors, layout.places)
        known[rows] = True
    return replace(layout, ids=ids[known], sources=sources[known], points=points[known])


def _standing_for_all(project: Project) -> NDArray[np.int64]:
    """Return the tasks of the newest order that covers the images, best first; none when there is no such order."""
    orders = (order for order in reversed(Orders(project).all()) if order.phase == "cold" and order.places)
    order = next(orders, None)
    return np.array([place.task for place in order.places] if order is not None else [], dtype=np.int64)
