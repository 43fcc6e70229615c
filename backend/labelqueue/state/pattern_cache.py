"""The pattern cache: every image's embedding and semantic patterns, per generation, in Redis and in a local spool."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..block import Block, Origin, concatenate, find
from ..exceptions import CacheError
from ..files import write_atomically
from .project import Project
from .redis_connection import text

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
        if not len(block.ids):
            return
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
        return {int(task): int(source, 16) for task, source in self._store.hgetall(self._rows).items()}

    def discard(self, tasks: Iterable[int]) -> None:
        """Forget the rows of deleted tasks; their bytes go with the generation."""
        fields = [str(task) for task in tasks]
        if fields:
            self._store.hdel(self._rows, *fields)

    def columns(self) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """Return which images are here: task ids of shape (n,), ascending, and the hashes of their images' URIs."""
        here = self._store.hgetall(self._rows)
        ids = np.fromiter((int(task) for task in here), dtype=np.int64, count=len(here))
        sources = np.fromiter((int(source, 16) for source in here.values()), dtype=np.uint64, count=len(here))
        order = np.argsort(ids)
        return ids[order], sources[order]

    def mark(self) -> str:
        """Return how far the cache is filled, and with what: the number of the last block and a digest of all."""
        return self._mark(self._digests())

    def load(
        self, ids: NDArray[np.int64], sources: NDArray[np.uint64] | None = None, *, until: str | None = None
    ) -> Block:
        """Return the newest row of each wanted task.

        Parameters
        ----------
        ids : ndarray of shape (k,), int64
            Wanted tasks, ascending.
        sources : ndarray of shape (k,), uint64, optional
            Hash of each one's image URI; a row of another image is left out.
        until : str, optional
            A mark: what was stored later does not count.

        Returns
        -------
        Block
            Rows in ascending order of task id; tasks without a row are left out.

        Raises
        ------
        CacheError
            If a block is damaged, or what was stored until the mark is not what it was.
        """
        sums = self._digests()
        if until is not None:
            sums = {name: digest for name, digest in sums.items() if name <= until.partition(":")[0]}
            if self._mark(sums) != until:
                raise CacheError(f"the embeddings {self.generation!r} are gone, or were stored anew")
        everything = concatenate([self._read(name, sums[name]) for name in sorted(sums)])
        at = find(ids, everything.ids)
        wanted = at >= 0
        if sources is not None and ids.size:
            wanted &= sources[at] == everything.sources
        rows = np.flatnonzero(wanted)
        newest = np.full(ids.shape, -1, dtype=np.int64)
        newest[at[rows]] = rows  # of rows of one task the last one stays
        return everything.take(newest[newest >= 0])

    def recall(self, ids: NDArray[np.int64], origin: Origin) -> Block:
        """Return the rows that an order was made of; see `load`.

        Raises
        ------
        CacheError
            If they cannot be had any more; the message says why, in a clause.
        """
        rows = self.load(ids, until=origin.mark)
        if len(rows) < ids.size:
            gone = np.setdiff1d(ids, rows.ids)
            raise CacheError(f"the embeddings of {gone.size} of its tasks are gone, such as task {gone[0]}")
        if Origin.of(rows, origin.generation, origin.mark) != origin:
            raise CacheError("the images of some of its tasks were replaced while it was made")
        return rows

    def _digests(self) -> dict[str, str]:
        """Return the checksum of every block."""
        return {text(name): text(digest) for name, digest in self._store.hgetall(self._sums).items()}

    @staticmethod
    def _mark(sums: Mapping[str, str]) -> str:
        everything = "".join(f"{name} {sums[name]}\n" for name in sorted(sums))
        return f"{max(sums, default='')}:{hashlib.sha256(everything.encode()).hexdigest()[:16]}"

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
        self._store.delete(self._blocks, self._sums, self._rows, self._count)
        shutil.rmtree(self._spool, ignore_errors=True)
