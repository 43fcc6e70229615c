"""The pattern cache: every image's embedding and semantic patterns, per generation, in Redis and in a local spool."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..block import Block, concatenate, find
from ..exceptions import CacheError
from ..files import write_atomically
from ..store import drop_fields, get_fields, in_chunks, remove, scan_fields, text
from .project import Project

__all__ = ["PatternCache"]


class PatternCache:
    """Blocks of embedded images of one project under one generation.

    A generation is one fingerprint of model, weights and parameters: another fingerprint is another cache, built
    beside the old one. Redis holds the blocks; `spool` keeps checksummed copies of them on the worker's disk, so an
    order does not read a large pool over the wire again.

    Parameters
    ----------
    project : Project
        Whose images.
    generation : str
        Fingerprint (hex).
    spool : Path
        Folder for local copies; it can be deleted at any time.
    """

    def __init__(self, project: Project, generation: str, spool: Path) -> None:
        self._store = project.store
        self.generation = generation
        self._blocks = project.name("cache", generation, "blocks")
        self._sums = project.name("cache", generation, "sums")
        self._rows = project.name("cache", generation, "rows")
        self._count = project.name("cache", generation, "count")
        self._spool = spool / project.key / generation

    def put(self, block: Block) -> None:
        """Store a block; its rows replace older rows of the same tasks."""
        for rows in in_chunks(range(len(block))):
            self._put(block if len(rows) == len(block) else block.take(rows))

    def _put(self, block: Block) -> None:
        data = block.to_bytes()
        name = f"{self._store.incr(self._count):08d}"
        rows = {str(task): f"{source:016x}" for task, source in zip(block.ids, block.sources, strict=True)}
        with self._store.pipeline(transaction=True) as pipe:
            pipe.hset(self._blocks, name, data)
            pipe.hset(self._sums, name, hashlib.sha256(data).hexdigest())
            pipe.hset(self._rows, mapping=rows)  # type: ignore[arg-type]
            pipe.execute()

    def rows(self) -> dict[int, int]:
        """Return which images are here: task id to the hash of its image's URI."""
        parts = scan_fields(self._store, self._rows)
        return {int(task): int(source, 16) for part in parts for task, source in part.items()}

    def sources_of(self, tasks: Sequence[int]) -> dict[int, int]:
        """Return those of these tasks whose images are here, each with the hash of its image's URI."""
        found = get_fields(self._store, self._rows, [str(task) for task in tasks])
        return {task: int(source, 16) for task, source in zip(tasks, found, strict=True) if source is not None}

    def discard(self, tasks: Iterable[int]) -> None:
        """Forget the rows of deleted tasks; their bytes go with the generation."""
        drop_fields(self._store, self._rows, [str(task) for task in tasks])

    def columns(self) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """Return which images are here: task ids of shape (n,), ascending, and the hashes of their images' URIs."""
        found = self.rows()
        ids = np.fromiter(found, dtype=np.int64, count=len(found))
        sources = np.fromiter(found.values(), dtype=np.uint64, count=len(found))
        order = np.argsort(ids)
        return ids[order], sources[order]

    def load(self, ids: NDArray[np.int64], sources: NDArray[np.uint64]) -> Block:
        """Return the newest row of each wanted task.

        Parameters
        ----------
        ids : ndarray of shape (k,), int64
            Wanted tasks, ascending.
        sources : ndarray of shape (k,), uint64
            Hash of each one's image URI; a row of another image is left out.

        Returns
        -------
        Block
            Rows in ascending order of task id; tasks without a row are left out.
        """
        parts = scan_fields(self._store, self._sums)
        sums = {text(name): text(digest) for part in parts for name, digest in part.items()}
        everything = concatenate([self._read(name, sums[name]) for name in sorted(sums)])
        at = find(ids, everything.ids)
        rows = np.flatnonzero((at >= 0) & (sources[at] == everything.sources)) if ids.size else np.empty(0, np.int64)
        newest = np.full(ids.shape, -1, dtype=np.int64)
        newest[at[rows]] = rows  # of rows of one task the last one stays
        return everything.take(newest[newest >= 0])

    def _read(self, name: str, digest: str) -> Block:
        path = self._spool / f"{name}.block"
        with contextlib.suppress(FileNotFoundError):
            data = path.read_bytes()
            if hashlib.sha256(data).hexdigest() == digest:
                return Block.from_bytes(data)
        stored = self._store.hget(self._blocks, name)
        data = stored if isinstance(stored, bytes) else b""
        if hashlib.sha256(data).hexdigest() != digest:
            raise CacheError(
                f"block {name} of generation {self.generation} does not match its checksum: its Redis lost or changed "
                "data; the generation is dropped and its images are embedded again"
            )
        write_atomically(path, data)  # other workers read the same spool
        return Block.from_bytes(data)

    def delete(self) -> None:
        """Remove the whole generation, spool included."""
        remove(self._store, self._blocks, self._sums, self._rows, self._count)
        shutil.rmtree(self._spool, ignore_errors=True)
