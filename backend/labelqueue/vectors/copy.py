"""A copy of a generation's blocks in files that only grow: whoever opens it adds the blocks that are new.

The rows of a block are written first, then the ledger says that they count: a process that dies on the way leaves bytes
that nobody looks at. Several processes of a machine share one copy; one at a time, under a lock, looks whether anything
is missing. What was mapped stays as it is: rows never move within a set of files, and another set is other files.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..block import Block
from ..exceptions import CacheError, StoreError
from .ledger import COLUMNS, Ledger, files_of
from .rows import Rows

__all__ = ["Copy", "sweep"]

DEAD = 0.5  # share of rows of blocks that are no more, from which on the files are written anew without them
SEALED_EVERY = 2000  # blocks: so many at most are brought again after a crash
LOCK = "lock"

Fetch = Callable[
    [Mapping[str, str]], Iterable[tuple[str, Block]]
]  # of names and checksums, the blocks in that sequence


class Copy:
    """The copy in a folder, which can be deleted at any time.

    Parameters
    ----------
    folder : Path
        Of one generation; it is made when it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def rows(self, wanted: Mapping[str, str], fetch: Fetch, living: Mapping[str, str] | None = None) -> Rows:
        """Return the rows of some blocks, of which those that are missing here are brought first.

        Parameters
        ----------
        wanted : mapping of str to str
            Name of each block to its checksum.
        fetch : callable
            Yields name and block for the names, with their checksums, that it gets; what it raises is passed on.
        living : mapping of str to str, optional
            All blocks that there are, by which dead ones are told. Default: those wanted.

        Returns
        -------
        Rows
            In the sequence of the blocks' names.

        Raises
        ------
        CacheError
            If the blocks' vectors are not equally long.
        StoreError
            If the files cannot be written or read.
        """
        living = wanted if living is None else living
        if not wanted:
            return Rows.none()
        try:
            with _alone(self._folder):
                ledger = self._checked(Ledger.read(self._folder))
                here = _places(ledger)
                missing = {name: wanted[name] for name in sorted(wanted) if (name, wanted[name]) not in here}
                if here and not any(living.get(name) == digest for name, digest in here):
                    # It is of a Redis that is no more, and its vectors may be of another length.
                    ledger = self._written_anew(replace(ledger, dimension=0), np.empty(0, np.int64), several=False)
                if missing:
                    ledger = self._grown(ledger, missing, fetch)
                elif not ledger.sealed:
                    ledger = ledger.seal(self._folder)
                ledger = self._thinned(ledger, {**living, **wanted})
                return Rows.open(self._folder, ledger, _chosen(ledger, wanted))
        except OSError as error:
            raise StoreError(
                f"the copy of the embeddings in {self._folder} cannot be kept ({error}): make room on that disk and "
                "let its owner write there, or name another data directory with LABELQUEUE_HOME"
            ) from error

    def _checked(self, ledger: Ledger) -> Ledger:
        """Return the ledger of blocks that are what they were; files that somebody wrote are read for that."""
        if ledger.intact(self._folder) or not len(ledger.entries):
            return ledger
        good = np.fromiter(_sums(self._folder, ledger), np.int64) == ledger.entries["crc"]
        if good.all():
            return ledger.seal(self._folder)
        return self._written_anew(ledger, np.flatnonzero(good), ledger.several)

    def _grown(self, ledger: Ledger, missing: Mapping[str, str], fetch: Fetch) -> Ledger:
        """Add blocks; those that came before one that cannot be had stay."""
        files: _Files | None = None
        try:
            for number, (name, block) in enumerate(fetch(missing)):
                width = block.embeddings.shape[1] if len(block) else ledger.dimension
                if ledger.dimension not in (0, width):
                    raise CacheError(
                        f"blocks: vectors of {ledger.dimension} and {width} numbers cannot be in one cache"
                    )
                several = ledger.several or not _plain(block)
                if files is not None and (several != ledger.several or not number % SEALED_EVERY):
                    ledger, files = files.close(), None
                if several != ledger.several and ledger.rows:
                    ledger = self._written_anew(ledger, np.arange(len(ledger.entries)), several)
                if files is None:
                    files = _Files(self._folder, replace(ledger, dimension=width, several=several))
                ledger = replace(ledger, dimension=width, several=several)
                files.add(name, missing[name], block)
        finally:
            if files is not None:
                ledger = files.close()
        return ledger

    def _thinned(self, ledger: Ledger, living: Mapping[str, str]) -> Ledger:
        """Return the ledger of files without dead rows, once these are the larger part."""
        newest = max(living, default="")
        kept = np.array(
            # What is newer than all of them came since somebody looked.
            [place for (name, digest), place in _places(ledger).items() if living.get(name) == digest or name > newest],
            dtype=np.int64,
        )
        if ledger.rows - int(ledger.entries["rows"][kept].sum()) <= DEAD * ledger.rows:
            return ledger
        return self._written_anew(ledger, kept, ledger.several)

    def _written_anew(self, ledger: Ledger, kept: NDArray[np.int64], several: bool) -> Ledger:
        """Write another set of files with some of the blocks, and remove the old one."""
        new = Ledger(serial=ledger.serial + 1, dimension=ledger.dimension, several=several)
        files, old = _Files(self._folder, new), Rows.open(self._folder, ledger, kept)
        for entry in ledger.entries[kept]:
            files.add(entry["name"].decode(), entry["digest"].decode(), old.block(entry))
        new = files.close()
        _remove_others(self._folder, new.serial)
        return new


class _Files:
    """A set of files that blocks are added to; they count once it is closed."""

    def __init__(self, folder: Path, ledger: Ledger) -> None:
        self._folder, self._ledger, self._entries = folder, ledger, list[tuple[Any, ...]]()
        self._rows, self._patterns = ledger.rows, ledger.patterns
        self._parts = ("columns", "embeddings", *(["patterns"] if ledger.several else []))
        self._files: dict[str, BinaryIO] = {}
        sizes = ledger.sizes()
        for part, path in files_of(folder, ledger.serial).items():
            if part in self._parts:
                # Not for appending: what a process that died left behind the end is written over.
                handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
                self._files[part] = file = os.fdopen(handle, "r+b", buffering=1 << 20)
                file.seek(sizes[part])

    def add(self, name: str, digest: str, block: Block) -> None:
        """Write a block's rows."""
        counts = np.diff(block.offsets)
        several = self._ledger.several
        columns = np.empty(len(block), COLUMNS)
        columns["id"], columns["source"], columns["hash"] = block.ids, block.sources, block.hashes
        columns["count"] = counts
        columns["first"] = (self._patterns if several else self._rows) + block.offsets[:-1]
        parts = {"columns": columns, "embeddings": block.embeddings, "patterns": block.patterns}
        crc = 0
        for part in self._parts:
            array = parts[part]
            data = np.ascontiguousarray(array).data.cast("B") if array.size else b""
            self._files[part].write(data)
            crc = zlib.crc32(data, crc)
        size = len(block.patterns) if several else 0
        self._entries.append((name, digest, self._rows, len(block), self._patterns, size, crc))
        self._rows, self._patterns = self._rows + len(block), self._patterns + size

    def close(self) -> Ledger:
        """Let the blocks count; return the ledger."""
        with contextlib.ExitStack() as closing:
            for file in self._files.values():
                closing.enter_context(file)
            for file in self._files.values():
                file.flush()
                os.fsync(file.fileno())
        return self._ledger.added(self._entries).seal(self._folder)


def _plain(block: Block) -> bool:
    """Tell whether each vector of a block is its image's only pattern, to the bit."""
    if block.patterns is block.embeddings:
        return True
    same = block.patterns.shape == block.embeddings.shape
    return same and bool((block.patterns.view(np.uint16) == block.embeddings.view(np.uint16)).all())


def _places(ledger: Ledger) -> dict[tuple[str, str], int]:
    """Return where each block stands in the ledger, by name and checksum."""
    names, digests = (np.char.decode(ledger.entries[column], "ascii").tolist() for column in ("name", "digest"))
    return {key: place for place, key in enumerate(zip(names, digests, strict=True))}


def _chosen(ledger: Ledger, wanted: Mapping[str, str]) -> NDArray[np.int64]:
    """Return the places of those of some blocks that are here, by name."""
    here = _places(ledger)
    found = [here[name, digest] for name, digest in sorted(wanted.items()) if (name, digest) in here]
    return np.array(found, dtype=np.int64)


def _sums(folder: Path, ledger: Ledger) -> Iterator[int]:
    """Yield the checksum of each block's rows as they are now; -1 where there is nothing any more."""
    parts: dict[str, NDArray[np.uint8]] = {}
    files = files_of(folder, ledger.serial)
    for part in ("columns", "embeddings", *(["patterns"] if ledger.several else [])):
        with contextlib.suppress(FileNotFoundError, ValueError):  # of an empty file nothing can be mapped
            parts[part] = np.memmap(files[part], np.uint8, "r")
    nothing = np.empty(0, np.uint8)
    vector = 2 * ledger.dimension
    for entry in ledger.entries:
        start, rows, first, patterns = (int(entry[name]) for name in ("start", "rows", "first", "patterns"))
        bounds = {"columns": (start, rows, COLUMNS.itemsize), "embeddings": (start, rows, vector)}
        bounds |= {"patterns": (first, patterns, vector)}
        crc, whole = 0, True
        for part in ("columns", "embeddings", *(["patterns"] if ledger.several else [])):
            at, count, width = bounds[part]
            data = parts.get(part, nothing)[at * width : (at + count) * width]
            whole &= data.size == count * width
            crc = zlib.crc32(data.data, crc)
        yield crc if whole else -1


def _remove_others(folder: Path, serial: int) -> None:
    """Remove all files of a folder but the lock, the seal and one set."""
    kept = {LOCK, "seal.json", *(path.name for path in files_of(folder, serial).values())}
    for path in folder.iterdir():
        if path.is_file() and path.name not in kept and not path.name.endswith(".part"):
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def _alone(folder: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold a folder's lock; without waiting, raise BlockingIOError when somebody has it."""
    while (handle := _locked(folder, wait)) is None:
        pass
    try:
        yield
    finally:
        fcntl.flock(handle, fcntl.LOCK_UN)  # a child of this process may have the same handle
        os.close(handle)


def _locked(folder: Path, wait: bool) -> int | None:
    """Return a handle that has the lock; None when the folder was removed meanwhile."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        if path.exists() and os.fstat(handle).st_ino == path.stat().st_ino:
            return handle
    except FileNotFoundError:
        pass
    except BaseException:
        os.close(handle)
        raise
    os.close(handle)
    return None


def sweep(folder: Path) -> None:
    """Remove what is no part of the copy in a folder, unless somebody is at work there."""
    with contextlib.suppress(BlockingIOError), _alone(folder, wait=False):
        _remove_others(folder, Ledger.read(folder).serial)
