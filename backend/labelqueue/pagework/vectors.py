"""The embeddings of a project, some thousands at a time: a page's job never holds all of a large pool."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..block import find
from ..exceptions import CacheError
from ..state import PatternCache
from ..worker import Runtime
from .projection import ROWS, Floats, unit

__all__ = ["vectors_of"]


def vectors_of(
    runtime: Runtime,
    cache: PatternCache,
    ids: NDArray[np.int64],
    sources: NDArray[np.uint64],
    wanted: NDArray[np.bool_] | None = None,
) -> Iterator[tuple[NDArray[np.int64], Floats]]:
    """Yield the unit vectors of images, each once, the newest first; it ends when all are found.

    Parameters
    ----------
    runtime : Runtime
    cache : PatternCache
    ids : ndarray of shape (n,), int64
        Tasks, ascending.
    sources : ndarray of shape (n,), uint64
        Hash of each one's image URI: rows of other images do not count.
    wanted : ndarray of shape (n,), bool, optional
        Which of them. Default: all.

    Yields
    ------
    ndarray of shape (k,), int64
        Rows of `ids`.
    ndarray of shape (k, d), float32

    Raises
    ------
    CacheError
        When a block is damaged, or the process was told to stop.
    """
    left = np.ones(ids.size, dtype=np.bool_) if wanted is None else wanted.copy()
    count = int(left.sum())
    rows: list[NDArray[np.int64]] = []
    found: list[NDArray[np.float16]] = []
    held = 0
    for block in cache.newest_first() if count else ():
        if runtime.leaving.is_set():
            raise CacheError("the worker was told to stop while it read the embeddings: ask again")
        at = find(ids, block.ids)
        mine = np.flatnonzero((at >= 0) & left[at] & (sources[at] == block.sources))
        here, last = np.unique(at[mine][::-1], return_index=True)
        rows.append(here)
        found.append(block.embeddings[mine[::-1][last]])
        left[here] = False
        held, count = held + here.size, count - here.size
        if held >= ROWS or (held and not count):
            yield np.concatenate(rows), unit(np.concatenate(found))
            rows, found, held = [], [], 0
        if not count:
            return
    if held:
        yield np.concatenate(rows), unit(np.concatenate(found))
