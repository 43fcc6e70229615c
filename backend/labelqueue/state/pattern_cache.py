"""The pattern cache: every image's embedding and semantic patterns, per generation, in Redis and in a local spool."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..block import Block, concatenate, find
from ..exceptions import CacheError
from ..files import write_atomically
from .project import FORGOTTEN, Project
from .redis_connection import text

__all__ = ["PatternCache"]

DEAD = 0.5  # share of rows that no task has any more, from which on the blocks are written anew without them


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
        self._project = project
        self._name = f"{project.key}:{generation}"
        self.generation = generation
        self._blocks = project.name("cache", generation, "blocks")
        self._sums = project.name("cache", generation, "sums")
        self._rows = project.name("cache", generation, "rows")
        self._count = project.name("cache", generation, "count")
        self._stored = project.name("cache", generation, "stored")
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
            pipe.incrby(self._stored, len(block.ids))
            pipe.execute()

    @staticmethod
    def generations(project: Project) -> set[str]:
        """Return the generations that there is anything of."""
        start = project.name("cache", "")
        keys = project.store.scan_iter(match=f"{start}*", count=1000)
        return {text(key).removeprefix(start).partition(":")[0] for key in keys}

    def rows(self) -> dict[int, int]:
        """Return which images are here: task id to the hash of its image's URI."""
        return {int(task): int(source, 16) for task, source in self._store.hgetall(self._rows).items()}

    def discard(self, tasks: Iterable[int]) -> None:
        """Forget the rows of deleted tasks; their bytes go when the cache is compacted."""
        fields = [str(task) for task in tasks]
        if fields:
            self._store.hdel(self._rows, *fields)

    def retain(self, ids: NDArray[np.int64]) -> None:
        """Forget the rows of all tasks but these."""
        here, _ = self.columns()
        self.discard(np.setdiff1d(here, ids).tolist())

    def columns(self) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """Return which images are here: task ids of shape (n,), ascending, and the hashes of their images' URIs."""
        here = self._store.hgetall(self._rows)
        ids = np.fromiter((int(task) for task in here), dtype=np.int64, count=len(here))
        sources = np.fromiter((int(source, 16) for source in here.values()), dtype=np.uint64, count=len(here))
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
        everything = concatenate([block for _, block in self._read_all()])
        at = find(ids, everything.ids)
        rows = np.flatnonzero((at >= 0) & (sources[at] == everything.sources)) if ids.size else np.empty(0, np.int64)
        newest = np.full(ids.shape, -1, dtype=np.int64)
        newest[at[rows]] = rows  # of rows of one task the last one stays
        return everything.take(newest[newest >= 0])

    def compact(self) -> int:
        """Write the blocks anew without dead rows, once these are the larger part; return how many rows went.

        Only for who holds the project's lock: two at a time would remove what the other one wrote. Blocks that are
        stored meanwhile are left alone.
        """
        known = self._store.get(self._stored)  # missing in what the version before wrote
        living = self._store.hlen(self._rows)
        if known is not None and int(known) * (1 - DEAD) <= living:
            return 0
        blocks = self._read_all()
        here = self.rows()
        newest: dict[int, tuple[int, int]] = {}
        for place, (_, block) in enumerate(blocks):
            for row, (task, source) in enumerate(zip(block.ids.tolist(), block.sources.tolist(), strict=True)):
                if here.get(task) == source:
                    newest[task] = (place, row)
        keep: list[list[int]] = [[] for _ in blocks]
        for place, row in newest.values():
            keep[place].append(row)
        dead = sum(len(block) for _, block in blocks) - len(newest)
        if dead <= DEAD * (dead + len(newest)):
            self._store.set(self._stored, dead + len(newest))
            return 0
        for (name, block), rows in zip(blocks, keep, strict=True):
            if len(rows) < len(block):
                # Under the old name: a newer row of a task stays newer.
                self._replace(name, block.take(sorted(rows)) if rows else None)
        self._store.set(self._stored, len(newest))
        return dead

    def _replace(self, name: str, block: Block | None) -> None:
        with self._store.pipeline(transaction=True) as pipe:
            if block is None:
                pipe.hdel(self._blocks, name)
                pipe.hdel(self._sums, name)
            else:
                data = block.to_bytes()
                pipe.hset(self._blocks, name, data)
                pipe.hset(self._sums, name, hashlib.sha256(data).hexdigest())
            pipe.execute()
        (self._spool / f"{name}.block").unlink(missing_ok=True)

    def _read_all(self) -> list[tuple[str, Block]]:
        """Return every block, oldest first, with its name."""
        sums = self._sums_now()
        while True:
            try:
                return [(name, self._read(name, sums[name])) for name in sorted(sums)]
            except CacheError:
                now = self._sums_now()
                if now == sums:  # else it was compacted while we read
                    raise
                sums = now

    def _sums_now(self) -> dict[str, str]:
        return {text(name): text(digest) for name, digest in self._store.hgetall(self._sums).items()}

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
        """Remove the whole generation, spool included; other machines remove their copies when they next tidy up."""
        self._store.zadd(FORGOTTEN, {self._name: time.time()})
        self._project.drop(f"cache:{self.generation}:*")
        shutil.rmtree(self._spool, ignore_errors=True)
