"""A block: the rows of one shard of embedded images, and its bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .exceptions import CacheError
from .records import pack, unpack

__all__ = ["Block", "Origin", "concatenate", "draws", "find", "source_hash", "widened"]

TAG, FORMAT = "labelqueue_block", "1"
_DTYPES: dict[str, np.dtype[Any]] = {
    "ids": np.dtype(np.int64),
    "sources": np.dtype(np.uint64),
    "embeddings": np.dtype(np.float16),
    "patterns": np.dtype(np.float16),
    "offsets": np.dtype(np.int64),
    "hashes": np.dtype(np.uint64),
}


@dataclass(frozen=True, eq=False)
class Block:
    """Embedded images, one row each.

    Attributes
    ----------
    ids : ndarray of shape (n,), int64
        Whose image each row is. An id may come twice in a cache: a later block supersedes an earlier one.
    sources : ndarray of shape (n,), uint64
        `source_hash` of each image's URI, so that a row of a replaced image can be told from the current one.
    embeddings : ndarray of shape (n, d), float16
        Finite; one vector per image.
    patterns : ndarray of shape (m, d), float16
        Finite; semantic patterns of all images, one image's after the other's.
    offsets : ndarray of shape (n + 1,), int64
        Row `i` owns ``patterns[offsets[i]:offsets[i + 1]]``, at least one.
    hashes : ndarray of shape (n,), uint64, optional
        `poolselect.perceptual_hash` of each image; 0 where it is not known, as in all blocks of the version before.

    Raises
    ------
    CacheError
        If a dtype or shape is another one, a value is not finite, or the offsets do not fit the patterns.
    """

    ids: NDArray[np.int64]
    sources: NDArray[np.uint64]
    embeddings: NDArray[np.float16]
    patterns: NDArray[np.float16]
    offsets: NDArray[np.int64]
    hashes: NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64))

    def __post_init__(self) -> None:
        if not self.hashes.size:
            object.__setattr__(self, "hashes", np.zeros(self.ids.size, np.uint64))
        for name, dtype in _DTYPES.items():
            array = getattr(self, name)
            if not isinstance(array, np.ndarray) or array.dtype != dtype:
                raise CacheError(f"block: {name} is {getattr(array, 'dtype', type(array).__name__)}, must be {dtype}")
        n, dim = self.ids.size, self.embeddings.shape[-1] if self.embeddings.ndim else 0
        shapes = {
            "ids": (n,),
            "sources": (n,),
            "embeddings": (n, dim),
            "patterns": (len(self.patterns) if self.patterns.ndim else 0, dim),
            "offsets": (n + 1,),
            "hashes": (n,),
        }
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise CacheError(f"block: {name} has shape {getattr(self, name).shape}, must be {shape} for {n} ids")
        if self.offsets[0] != 0 or self.offsets[-1] != len(self.patterns) or (np.diff(self.offsets) < 1).any():
            raise CacheError(
                f"block: offsets must rise from 0 to {len(self.patterns)} (the number of patterns) with at least one "
                "pattern per row"
            )
        for name in ("embeddings", "patterns"):
            if not np.isfinite(getattr(self, name)).all():
                raise CacheError(f"block: {name} hold NaN or infinities; such an image must be reported, not stored")

    def __len__(self) -> int:
        return int(self.ids.size)

    @classmethod
    def trusted(
        cls,
        *,
        ids: NDArray[np.int64],
        sources: NDArray[np.uint64],
        embeddings: NDArray[np.float16],
        patterns: NDArray[np.float16],
        offsets: NDArray[np.int64],
        hashes: NDArray[np.uint64],
    ) -> Block:
        """Return a block of what was a valid one before, without looking at its numbers again.

        Parameters
        ----------
        ids, sources, offsets, hashes
            See `Block`.
        embeddings, patterns : ndarray or `poolselect.HalfRows`
            The latter where they stay in a file; the same object where each vector is its image's pattern.
        """
        block = object.__new__(cls)
        parts = {"ids": ids, "sources": sources, "embeddings": embeddings, "patterns": patterns}
        for name, array in (parts | {"offsets": offsets, "hashes": hashes}).items():
            object.__setattr__(block, name, array)
        return block

    def take(self, rows: ArrayLike) -> Block:
        """Return the block of some rows.

        Parameters
        ----------
        rows : array_like of shape (k,), integers
            Row numbers of this block, in the order wanted.
        """
        index = np.asarray(rows, dtype=np.int64)
        counts = np.diff(self.offsets)[index]
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        # Row numbers of the wanted patterns: each image's first pattern, plus 0, 1, ... within the image.
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], counts)
        embeddings = patterns = _rows(self.embeddings, index)
        if self.patterns is not self.embeddings:
            patterns = _rows(self.patterns, np.repeat(self.offsets[:-1][index], counts) + within)
        return Block.trusted(
            ids=self.ids[index],
            sources=self.sources[index],
            embeddings=embeddings,
            patterns=patterns,
            offsets=offsets,
            hashes=self.hashes[index],
        )

    def to_bytes(self) -> bytes:
        """Return the block as a safetensors file, the same bytes for the same rows."""
        known = bool(self.hashes.any())
        arrays = {name: _plain(getattr(self, name)) for name in _DTYPES if known or name != "hashes"}
        return pack(arrays, TAG, FORMAT)

    @classmethod
    def from_bytes(cls, data: bytes) -> Block:
        """Return the block that `to_bytes` wrote.

        Raises
        ------
        CacheError
            If the bytes are damaged, or are not a block of this format.
        """
        arrays, version = unpack(data, TAG)
        if version != FORMAT or {*arrays, "hashes"} != set(_DTYPES):
            raise CacheError(
                f"block: format {version!r} with {', '.join(sorted(arrays)) or 'nothing'} inside, this version reads "
                f"format {FORMAT!r}: delete the cache and its images are embedded again"
            )
        return cls(**arrays)


@dataclass(frozen=True)
class Origin:
    """Which embeddings some rows are, so that the very same ones can be had again.

    Attributes
    ----------
    generation : str
        Fingerprint of what made them: model, digest of its weights, parameters.
    mark : str
        How far the generation's cache was filled, and with what; empty where rows are in no cache.
    digest : str
        Of the rows' ids and sources, 16 hex digits.
    """

    generation: str
    mark: str
    digest: str

    @classmethod
    def of(cls, rows: Block, generation: str, mark: str) -> Origin:
        """Return the origin of all rows of a block."""
        seen = hashlib.sha256(rows.ids.tobytes() + rows.sources.tobytes())
        return cls(generation, mark, seen.hexdigest()[:16])


def concatenate(blocks: Sequence[Block]) -> Block:
    """Return one block with the rows of all, in order; without blocks, a block of no rows and no columns.

    Raises
    ------
    CacheError
        If the blocks' vectors are not equally long.
    """
    blocks = [block for block in blocks if len(block)] or list(blocks[:1])
    dims = sorted({block.embeddings.shape[1] for block in blocks})
    if len(dims) > 1:
        raise CacheError(f"blocks: vectors of {' and '.join(map(str, dims))} numbers cannot be in one cache")
    dim = dims[0] if dims else 0
    counts = [np.diff(block.offsets) for block in blocks]
    return Block(
        ids=np.concatenate([np.empty(0, np.int64), *(block.ids for block in blocks)]),
        sources=np.concatenate([np.empty(0, np.uint64), *(block.sources for block in blocks)]),
        embeddings=np.concatenate([np.empty((0, dim), np.float16), *(_plain(block.embeddings) for block in blocks)]),
        patterns=np.concatenate([np.empty((0, dim), np.float16), *(_plain(block.patterns) for block in blocks)]),
        offsets=np.concatenate([[0], np.cumsum(np.concatenate([np.empty(0, np.int64), *counts]))]).astype(np.int64),
        hashes=np.concatenate([np.empty(0, np.uint64), *(block.hashes for block in blocks)]),
    )


def widened(vectors: NDArray[np.float16]) -> NDArray[np.float32]:
    """Return vectors as float32: a copy, but of `poolselect.HalfRows`, which are float32 wherever they are read."""
    return vectors if hasattr(vectors, "picked") else vectors.astype(np.float32)  # type: ignore[return-value]


def _rows(vectors: NDArray[np.float16], index: NDArray[np.int64]) -> NDArray[np.float16]:
    """Return some rows; of those in a file none is read."""
    chosen: NDArray[np.float16] = vectors.picked(index) if hasattr(vectors, "picked") else vectors[index]
    return chosen


def _plain(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array in memory as it is stored."""
    stored: NDArray[Any] = array.half() if hasattr(array, "half") else array
    return stored


def find(ascending: NDArray[np.int64], ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where each id stands.

    Parameters
    ----------
    ascending : ndarray of shape (n,), int64
        Ids in ascending order, each once.
    ids : ndarray of shape (k,), int64
        Ids to look for, in any order.

    Returns
    -------
    ndarray of shape (k,), int64
        Place of each in `ascending`, -1 for one that is not there.
    """
    if not ascending.size:
        return np.full(ids.shape, -1, dtype=np.int64)
    if (ids[1:] >= ids[:-1]).all():
        at = np.searchsorted(ascending, ids)
    else:  # in turn, neighbors come one after the other: jumping about in a million ids takes several times as long
        turn, at = np.argsort(ids), np.empty(ids.shape, dtype=np.int64)
        at[turn] = np.searchsorted(ascending, ids[turn])
    at = np.minimum(at, ascending.size - 1)
    return np.where(ascending[at] == ids, at, -1)


def source_hash(uri: str) -> int:
    """Return a 64-bit hash of an image's URI: the same on every machine and in every run."""
    return int.from_bytes(hashlib.sha256(uri.encode("utf-8", "surrogatepass")).digest()[:8], "big")


def draws(key: str, numbers: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return a random 64-bit number for each integer, different ones for different integers.

    It is the output of SplitMix64 (Steele, Lea, Flood 2014) at that step, started from a hash of the key.
    """
    start = np.uint64(int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big"))
    x = start + numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)  # 64-bit arithmetic wraps around
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
