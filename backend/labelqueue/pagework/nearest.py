"""More like this: the images that are nearest in embedding to one image, or to the middle of several."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..block import find
from ..exceptions import ProjectError
from ..gallery import unpack_tasks
from ..state import PatternCache, Project
from ..worker import Runtime
from .details import describe
from .maps import open_cache
from .projection import Floats, unit
from .vectors import vectors_of

__all__ = ["find_nearest", "nearest"]


def find_nearest(runtime: Runtime, project: Project, packed: str, count: int) -> dict[str, Any]:
    """Return the images most like others; see `gallery.nearest_question`.

    Parameters
    ----------
    packed : str
        The tasks that are asked for, as `unpack_tasks` reads them.
    count : int

    Raises
    ------
    ProjectError
        When none of them is embedded.
    """
    asked, cache = unpack_tasks(packed), open_cache(runtime, project)
    ids, sources = cache.columns()
    at = find(ids, asked)
    mine = np.zeros(ids.size, dtype=np.bool_)
    mine[at[at >= 0]] = True
    middle, missing = _middle(runtime, cache, ids, sources, mine)
    missing += int((at < 0).sum())
    if middle is None:
        raise ProjectError(
            f"task {asked[0]} of project {project.ref.id} is not embedded"
            + (f", nor are the {asked.size - 1} others" if asked.size > 1 else "")
            + ": it is not known yet what it looks like; its page in Health says whether it waits or its image is bad"
        )
    found, closeness = nearest(runtime, cache, ids, sources, ~mine, middle, count)
    likeness = dict(zip(found.tolist(), closeness.tolist(), strict=True))
    rows = [{**row, "similarity": likeness[row["task"]]} for row in describe(project, found.tolist())]
    return {"tasks": rows, "missing": missing}


def nearest(
    runtime: Runtime,
    cache: PatternCache,
    ids: NDArray[np.int64],
    sources: NDArray[np.uint64],
    among: NDArray[np.bool_],
    middle: Floats,
    count: int,
) -> tuple[NDArray[np.int64], Floats]:
    """Return the tasks nearest to a unit vector, shape (k,), the nearest first, and the cosine of each.

    Parameters
    ----------
    runtime, cache, ids, sources, among
        See `vectors_of`.
    middle : ndarray of shape (d,), float32
    count : int
        How many, at most.
    """
    best, closeness = np.empty(0, np.int64), np.empty(0, np.float32)
    for rows, vectors in vectors_of(runtime, cache, ids, sources, among):
        best = np.concatenate([best, rows])
        closeness = np.concatenate([closeness, vectors @ middle])
        turn = np.lexsort((best, -closeness))[:count]
        best, closeness = best[turn], closeness[turn]
    return ids[best], closeness


def _middle(
    runtime: Runtime,
    cache: PatternCache,
    ids: NDArray[np.int64],
    sources: NDArray[np.uint64],
    mine: NDArray[np.bool_],
) -> tuple[Floats | None, int]:
    """Return the unit vector in the middle of some images, None where none is there, and how many are not there."""
    total, count = 0.0, 0
    for rows, vectors in vectors_of(runtime, cache, ids, sources, mine):
        total, count = total + vectors.sum(axis=0, dtype=np.float64), count + rows.size
    if not count:
        return None, int(mine.sum())
    return unit(np.asarray(total)[None])[0], int(mine.sum()) - count
