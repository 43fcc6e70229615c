"""Reading a stored generation block by block, so that a large one never has to be in memory as a whole."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..block import Block, source_hash
from ..state import PatternCache, Project

__all__ = ["blocks", "digest_of", "newest", "sources_now"]


def sources_now(project: Project) -> dict[int, int]:
    """Return every task with the hash of the address that its image has now."""
    return {task: source_hash(row.uri) for task, row in project.tasks().items()}


def blocks(cache: PatternCache) -> Iterator[tuple[str, Block]]:
    """Yield the blocks of a generation, oldest first, each with its name.

    Raises
    ------
    CacheError
        If one is damaged, or goes meanwhile.
    """
    stored = cache.blocks()
    for name in sorted(stored):
        yield name, Block.from_bytes(cache.block_bytes(name, stored[name]))


def newest(cache: PatternCache, sources: dict[int, int]) -> dict[int, tuple[str, int]]:
    """Return where the row of each task stands that counts: block and row in it, of the image that it has now."""
    found = {}
    for name, block in blocks(cache):
        for row, (task, source) in enumerate(zip(block.ids.tolist(), block.sources.tolist(), strict=True)):
            if sources.get(task) == source:
                found[task] = (name, row)
    return found


def digest_of(vector: NDArray[np.float16], patterns: NDArray[np.float16]) -> bytes:
    """Return what tells one image's vectors, (d,) and (k, d), from others."""
    return hashlib.blake2b(vector.tobytes() + b"/" + patterns.tobytes(), digest_size=12).digest()
