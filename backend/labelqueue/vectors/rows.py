"""Rows of a copy: columns and vectors of some blocks, mapped from the files, nothing of them in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..block import Block
from .ledger import COLUMNS, ENTRY, Ledger, files_of

__all__ = ["Rows"]

# Bytes of vectors that are taken into memory, where they are read fastest; of more, a block's vectors stay in the file.
IN_MEMORY = 64 * 2**20


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of blocks, in the sequence of the blocks' names: of a task's rows, the last one is the newest.

    Attributes
    ----------
    at : ndarray of shape (n,), int64
        Where each row stands in the files.
    ids : ndarray of shape (n,), int64
    sources : ndarray of shape (n,), uint64
    entries : ndarray of shape (b,), `ledger.ENTRY`
        The blocks.
    columns, embeddings, patterns
        The files; without patterns, each vector is its image's pattern.
    """

    at: NDArray[np.int64]
    ids: NDArray[np.int64]
    sources: NDArray[np.uint64]
    entries: NDArray[Any]
    columns: NDArray[Any]
    embeddings: NDArray[np.float16]
    patterns: NDArray[np.float16] | None

    @classmethod
    def open(cls, folder: Path, ledger: Ledger, blocks: NDArray[np.int64]) -> Rows:
        """Map the rows of some blocks, by their places in the ledger."""
        files, entries = files_of(folder, ledger.serial), ledger.entries[blocks]
        used = replace(ledger, entries=entries)
        half, n = np.dtype(np.float16), used.rows
        columns = _mapped(files["columns"], COLUMNS, (n,))
        vectors = _mapped(files["embeddings"], half, (n, ledger.dimension))
        patterns = None
        if ledger.several:
            patterns = _mapped(files["patterns"], half, (used.patterns, ledger.dimension))
        counts = entries["rows"]
        ends = np.cumsum(counts)
        at = np.arange(int(counts.sum())) + np.repeat(entries["start"] - (ends - counts), counts)
        return cls(at, columns["id"][at], columns["source"][at], entries, columns, vectors, patterns)

    @classmethod
    def none(cls) -> Rows:
        """Return no rows."""
        nothing = np.empty(0, np.int64)
        columns, vectors = np.empty(0, COLUMNS), np.empty((0, 0), np.float16)
        return cls(nothing, nothing, np.empty(0, np.uint64), np.empty(0, ENTRY), columns, vectors, None)

    def __len__(self) -> int:
        return int(self.at.size)

    def take(self, rows: NDArray[np.int64]) -> Block:
        """Return the block of some of the rows.

        Parameters
        ----------
        rows : ndarray of shape (k,), int64

        Returns
        -------
        Block
            Its vectors are in memory, or, where they are many, `HalfRows` of the file.
        """
        at = self.at[rows]
        columns = self.columns[at]
        counts = columns["count"]
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        embeddings = patterns = _vectors(self.embeddings, at)
        if self.patterns is not None:
            within = np.arange(offsets[-1]) - np.repeat(offsets[:-1] - columns["first"], counts)
            patterns = _vectors(self.patterns, within)
        plain = {"ids": columns["id"].copy(), "sources": columns["source"].copy(), "hashes": columns["hash"].copy()}
        return Block.trusted(embeddings=embeddings, patterns=patterns, offsets=offsets, **plain)

    def blocks(self, *, newest_first: bool = False) -> Iterator[tuple[str, Block]]:
        """Yield the blocks with their names."""
        for entry in self.entries[::-1] if newest_first else self.entries:
            yield entry["name"].decode(), self.block(entry)

    def block(self, entry: Any) -> Block:
        """Return one of the blocks; its vectors are read when they are looked at."""
        rows = slice(int(entry["start"]), int(entry["start"] + entry["rows"]))
        columns, embeddings = self.columns[rows], np.asarray(self.embeddings[rows])
        patterns = embeddings
        if self.patterns is not None:
            patterns = np.asarray(self.patterns[int(entry["first"]) : int(entry["first"] + entry["patterns"])])
        return Block.trusted(
            ids=columns["id"].copy(),
            sources=columns["source"].copy(),
            embeddings=embeddings,
            patterns=patterns,
            offsets=np.concatenate([[0], np.cumsum(columns["count"])]).astype(np.int64),
            hashes=columns["hash"].copy(),
        )


def _mapped(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    # Of an empty file nothing can be mapped.
    return np.memmap(path, dtype, "r", shape=shape) if min(shape) else np.empty(shape, dtype)


def _vectors(file: NDArray[np.float16], at: NDArray[np.int64]) -> NDArray[np.float16]:
    from poolselect import HalfRows

    if at.size * file.shape[1] * file.itemsize <= IN_MEMORY:
        return np.asarray(file[at])
    if (np.diff(at) == 1).all():
        return HalfRows.of(file[at[0] : at[-1] + 1])
    return HalfRows.of(file).picked(at)
