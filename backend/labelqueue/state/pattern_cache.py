"""The pattern cache: every image's embedding and semantic patterns, per generation, in Redis and in a local spool."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..block import Block, Origin, find
from ..exceptions import CacheError
from ..store import KEPT, get_fields, in_chunks, packed, scan_fields, text
from ..vectors import Copy, Rows
from .project import FORGOTTEN, Project

__all__ = ["PatternCache"]

# One step: a number that was given and not stored yet would be missing in a mark, and stand there later.
_PUT = """
local name = string.format('%08d', redis.call('incr', KEYS[1]))
redis.call('hset', KEYS[2], name, ARGV[1])
redis.call('hset', KEYS[3], name, ARGV[2])
redis.call('hset', KEYS[4], unpack(ARGV, 8))
redis.call('incrby', KEYS[5], ARGV[3])
redis.call('xadd', KEYS[6], 'maxlen', '~', ARGV[4], '*', ARGV[5], ARGV[6], ARGV[7], name)
"""
AT_ONCE = 50  # blocks that are read with one command: a few MB
DEAD = 0.5  # share of rows that no task has any more, from which on the blocks are written anew without them


class PatternCache:
    """Blocks of embedded images of one project under one generation.

    A generation is one fingerprint of model, weights and parameters: another fingerprint is another cache, built
    beside the old one. Redis holds the blocks; `spool` keeps a copy of their rows on the worker's disk (`vectors`), so
    that an order reads only those over the wire that are new.

    Parameters
    ----------
    project : Project
        Whose images.
    generation : str
        Fingerprint (hex).
    spool : Path
        Folder for local copies, which several workers of a machine share; it can be deleted at any time.

    Attributes
    ----------
    generation : str
    rows_part, sums_part : str
        The parts of the project's change stream that tell of rows and of blocks' checksums.
    rows_key, sums_key : str
        Their hashes.
    """

    def __init__(self, project: Project, generation: str, spool: Path) -> None:
        self._store, self._changes = project.store, project.changes
        self._project = project
        self._name = f"{project.key}:{generation}"
        self.generation = generation
        self._blocks = project.name("cache", generation, "blocks")
        self._sums = project.name("cache", generation, "sums")
        self._rows = project.name("cache", generation, "rows")
        self._count = project.name("cache", generation, "count")
        self.rows_part, self.sums_part = f"rows:{generation}", f"sums:{generation}"
        self.rows_key, self.sums_key = self._rows, self._sums
        self._stored = project.name("cache", generation, "stored")
        self._copy = Copy(spool / project.key / generation)
        self._spool = spool / project.key / generation

    def put(self, block: Block) -> None:
        """Store a block; its rows replace older rows of the same tasks."""
        for rows in in_chunks(range(len(block))):
            self._put(block if len(rows) == len(block) else block.take(rows))

    def _put(self, block: Block) -> None:
        data = block.to_bytes()
        rows = [part for one in zip(block.ids, block.sources, strict=True) for part in (str(one[0]), f"{one[1]:016x}")]
        keys = (self._count, self._blocks, self._sums, self._rows, self._stored, self._changes.key)
        told = (KEPT, self.rows_part, packed(block.ids.tolist()), self.sums_part)
        facts = (data, hashlib.sha256(data).hexdigest(), len(block.ids), *told)
        self._store.eval(_PUT, len(keys), *keys, *facts, *rows)

    @staticmethod
    def block_name(number: int) -> str:
        """Return the name of the block that was given this number."""
        return f"{number:08d}"

    @staticmethod
    def generations(project: Project) -> set[str]:
        """Return the generations that there is anything of."""
        start = project.name("cache", "")
        keys = project.store.scan_iter(match=f"{start}*", count=1000)
        return {text(key).removeprefix(start).partition(":")[0] for key in keys}

    def rows(self) -> dict[int, int]:
        """Return which images are here: task id to the hash of its image's URI."""
        parts = scan_fields(self._store, self._rows)
        return {int(task): int(source, 16) for part in parts for task, source in part.items()}

    def sources_of(self, tasks: Sequence[int]) -> dict[int, int]:
        """Return those of these tasks whose images are here, each with the hash of its image's URI."""
        found = get_fields(self._store, self._rows, [str(task) for task in tasks])
        return {task: int(source, 16) for task, source in zip(tasks, found, strict=True) if source is not None}

    def blocks(self) -> dict[str, str]:
        """Return the blocks that are here: name to checksum."""
        return self._digests()

    def block_bytes(self, name: str, digest: str) -> bytes:
        """Return a block as it is stored; raises CacheError when that is not what its checksum says."""
        data = self._store.hget(self._blocks, name)
        if not isinstance(data, bytes) or hashlib.sha256(data).hexdigest() != digest:
            raise CacheError(f"block {name} of the embeddings {self.generation!r} is gone, or damaged")
        return data

    def put_back(self, name: str, data: bytes) -> None:
        """Store a block under the name that it had, so that marks of then stand; `admit` tells which rows count.

        Names that are given from here on are higher ones.
        """
        with self._store.pipeline(transaction=True) as pipe:
            pipe.hset(self._blocks, name, data)
            pipe.hset(self._sums, name, hashlib.sha256(data).hexdigest())
            pipe.incrby(self._stored, len(Block.from_bytes(data)))
            pipe.set(self._count, max(int(name), self.begun()))
            pipe.execute()

    def admit(self, ids: NDArray[np.int64], sources: NDArray[np.uint64]) -> None:
        """Let the rows of tasks count that are in a block which was put back."""
        rows = {str(task): f"{source:016x}" for task, source in zip(ids.tolist(), sources.tolist(), strict=True)}
        self._changes.renew(self.sums_part)
        self._changes.put(self.rows_part, self._rows, rows)

    def begun(self) -> int:
        """Return how many blocks were begun; each has its number before it is stored."""
        return int(self._store.get(self._count) or 0)

    def discard(self, tasks: Iterable[int]) -> None:
        """Forget the rows of deleted tasks; their bytes go when the cache is compacted."""
        self._changes.drop(self.rows_part, self._rows, map(str, tasks))

    def retain(self, ids: NDArray[np.int64]) -> None:
        """Forget the rows of all tasks but these."""
        here, _ = self.columns()
        self.discard(np.setdiff1d(here, ids).tolist())

    def columns(self) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """Return which images are here: task ids of shape (n,), ascending, and the hashes of their images' URIs."""
        found = self.rows()
        ids = np.fromiter(found, dtype=np.int64, count=len(found))
        sources = np.fromiter(found.values(), dtype=np.uint64, count=len(found))
        order = np.argsort(ids)
        return ids[order], sources[order]

    def mark(self) -> str:
        """Return how far the cache is filled, and with what: the number of the last block and a digest of all."""
        return self.mark_of(self._digests())

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
            Rows in ascending order of task id; tasks without a row are left out. Many vectors stay in the file that
            holds them: see `vectors.Rows`.

        Raises
        ------
        CacheError
            If a block is damaged, or what was stored until the mark is not what it was.
        StoreError
            If the copy on this machine's disk cannot be kept.
        """
        everything = self._rows_until(until)
        at = find(ids, everything.ids)
        wanted = at >= 0
        if sources is not None and ids.size:
            wanted &= sources[at] == everything.sources
        rows = np.flatnonzero(wanted)
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
        blocks = list(self._rows_until().blocks())
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
        self._changes.renew(self.sums_part)

    def _rows_until(self, until: str | None = None) -> Rows:
        """Return the rows of every block, oldest first; of those that a mark knows, if there is one."""
        living = self._digests()
        while True:
            wanted = living if until is None else self._marked(living, until)
            try:
                return self._copy.rows(wanted, self._fetched, living)
            except CacheError:
                now = self._digests()
                if now == living:  # else it was compacted while we read
                    raise
                living = now

    def newest_first(self) -> Iterator[Block]:
        """Yield the blocks, the newest first, whose vectors are read when they are looked at.

        Of a task's rows the last one of the first block that has any is the newest.

        Raises
        ------
        CacheError
            If one is damaged.
        StoreError
            If the copy on this machine's disk cannot be kept.
        """
        for _, block in self._rows_until().blocks(newest_first=True):
            yield block

    def stands(self, mark: str) -> bool:
        """Tell whether what was stored until a mark is still what it was."""
        try:
            self._digests(mark)
        except CacheError:
            return False
        return True

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

    def _digests(self, until: str | None = None) -> dict[str, str]:
        """Return the checksum of every block; of those that a mark knows, if there is one."""
        parts = scan_fields(self._store, self._sums)
        sums = {text(name): text(digest) for part in parts for name, digest in part.items()}
        return sums if until is None else self._marked(sums, until)

    def _marked(self, sums: Mapping[str, str], until: str) -> dict[str, str]:
        """Return those of the blocks that a mark knows."""
        known = {name: digest for name, digest in sums.items() if name <= until.partition(":")[0]}
        if self.mark_of(known) != until:
            raise CacheError(f"the embeddings {self.generation!r} are gone, or were stored anew")
        return known

    @staticmethod
    def mark_of(sums: Mapping[str, str]) -> str:
        """Return the mark of a cache whose blocks have these checksums."""
        everything = "".join(f"{name} {sums[name]}\n" for name in sorted(sums))
        return f"{max(sums, default='')}:{hashlib.sha256(everything.encode()).hexdigest()[:16]}"

    def _fetched(self, wanted: Mapping[str, str]) -> Iterator[tuple[str, Block]]:
        """Yield blocks from Redis, each compared with its checksum."""
        names = list(wanted)
        for start in range(0, len(names), AT_ONCE):
            some = names[start : start + AT_ONCE]
            for name, data in zip(some, self._store.hmget(self._blocks, some), strict=True):
                if not isinstance(data, bytes) or hashlib.sha256(data).hexdigest() != wanted[name]:
                    raise CacheError(
                        f"block {name} of generation {self.generation} does not match its checksum: its Redis lost or "
                        "changed data; the generation is dropped and its images are embedded again"
                    )
                yield name, Block.from_bytes(data)

    def delete(self) -> None:
        """Remove the whole generation, spool included; other machines remove their copies when they next tidy up."""
        self._store.zadd(FORGOTTEN, {self._name: time.time()})
        self._project.drop(f"cache:{self.generation}:*")
        self._changes.renew(self.rows_part)
        self._changes.renew(self.sums_part)
        shutil.rmtree(self._spool, ignore_errors=True)
