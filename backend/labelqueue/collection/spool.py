"""A collection as arrays in files, made once from its shards, so that a selection need not hold it in memory.

Parquet cannot be memory-mapped: its lists are encoded in pages. So the vectors are written once more, as one ``.npy``
of float16 in the order of the addresses. That order does not depend on parts, engines and interruptions, and neither
does a selection.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..exceptions import CollectionError
from ..progress import Progress
from .directory import Collection
from .shards import address_order, left_out, read_addresses, read_vectors

if TYPE_CHECKING:
    from poolselect import HalfRows

__all__ = ["Rows", "open_rows"]

FORMAT = 1
FOLDER = "spool"
_ABANDONED = 86_400.0  # seconds after which nobody makes arrays any more


class _Addresses:
    """The addresses of all rows, in a file."""

    def __init__(self, folder: Path) -> None:
        self._ends = np.load(folder / "address_ends.npy", mmap_mode="r")
        self._text = np.load(folder / "addresses.npy", mmap_mode="r")

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, row: int) -> str:
        return bytes(self._text[self._ends[row] : self._ends[row + 1]]).decode()


@dataclass(frozen=True, eq=False)
class Rows:
    """The images of a collection, in the order of their addresses.

    Attributes
    ----------
    ids : ndarray of shape (n,), int64
        0 to n - 1.
    embeddings : HalfRows of shape (n, d)
    patterns : HalfRows of shape (m, d), or None
        None: each vector is its image's pattern.
    offsets : ndarray of shape (n + 1,), int64, or None
        Row `i` owns ``patterns[offsets[i]:offsets[i + 1]]``.
    hashes : ndarray of shape (n,), uint64
    addresses : sequence of str of length n
    """

    ids: NDArray[np.int64]
    embeddings: HalfRows
    patterns: HalfRows | None
    offsets: NDArray[np.int64] | None
    hashes: NDArray[np.uint64]
    addresses: _Addresses

    def __len__(self) -> int:
        return len(self.ids)


def open_rows(
    collection: Collection, cache: Path | None = None, *, progress: bool = True, say: Callable[[str], None]
) -> Rows:
    """Open a collection's vectors as arrays; what is not up to date is made anew from the shards.

    Parameters
    ----------
    collection : Collection
    cache : Path, optional
        Where the arrays are kept; default: beside the shards. They take as much room as those.
    progress : bool
        Whether to show progress on standard error.
    say : callable
        Gets one line when arrays are made.

    Raises
    ------
    CollectionError
        If there is no vector, a shard is damaged, or the arrays cannot be written.
    """
    from poolselect import HalfRows

    shards = collection.shards()
    if not shards:
        raise CollectionError(f"{collection.path} has no vectors yet: `labelqueue embed SOURCE -o {collection.path}`")
    root = (collection.path if cache is None else cache / collection.fingerprint[:16]) / FOLDER
    failures = sorted(collection.path.glob("failures-*.jsonl"))
    names = [f"{path.name} {path.stat().st_size}" for path in [*shards, *failures]]
    state = hashlib.sha256("\n".join([str(FORMAT), collection.fingerprint, *names]).encode()).hexdigest()[:32]
    folder = root / state
    if not (folder / "done.json").is_file():
        try:
            _make(collection, shards, root, folder, progress=progress, say=say)
        except OSError as error:
            raise CollectionError(
                f"{root} cannot be written ({error}): it needs as much room as the shards; name another place with "
                "--cache DIR"
            ) from error
    several = collection.n_patterns > 1
    hashes = np.load(folder / "hashes.npy")
    return Rows(
        ids=np.arange(len(hashes), dtype=np.int64),
        embeddings=HalfRows.open(folder / "vectors.npy"),
        patterns=HalfRows.open(folder / "patterns.npy") if several else None,
        offsets=np.load(folder / "offsets.npy") if several else None,
        hashes=hashes,
        addresses=_Addresses(folder),
    )


def _make(
    collection: Collection, shards: list[Path], root: Path, folder: Path, *, progress: bool, say: Callable[[str], None]
) -> None:
    root.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(dir=root, prefix=".part-"))
    building.chmod(0o755)
    try:
        columns = [read_addresses(collection, path) for path in shards]
        starts = np.cumsum([0, *map(len, columns)])
        rows, addresses = address_order(columns)
        kept = ~left_out(collection, shards, starts, rows, addresses)
        rows, addresses = rows[kept], addresses.filter(kept)
        if not len(rows):
            raise CollectionError(f"every image in {collection.path} became bad since it was embedded")
        say(f"making arrays of {len(rows):,} vectors, once: the next selection starts at once")
        _write_addresses(building, addresses)
        del columns, addresses
        place = np.full(starts[-1], -1, np.int64)  # of each row of the shards, among the kept
        place[rows] = np.arange(len(rows))
        _write_vectors(collection, shards, starts, place, building, len(rows), progress=progress)
        (building / "done.json").write_text(json.dumps({"rows": len(rows), "format": FORMAT}), encoding="utf-8")
        try:
            building.rename(folder)
        except OSError:
            if not (folder / "done.json").is_file():  # else somebody was faster
                raise
    finally:
        shutil.rmtree(building, ignore_errors=True)
    for other in root.iterdir():  # of fewer shards, or broken off
        if other != folder and (other.name[0] != "." or other.stat().st_mtime < time.time() - _ABANDONED):
            shutil.rmtree(other, ignore_errors=True)


def _write_addresses(folder: Path, addresses: Any) -> None:
    ends = np.zeros(len(addresses) + 1, np.int64)
    lengths = addresses.cast("large_binary")
    from_arrow = np.frombuffer(lengths.buffers()[1], np.int64)[lengths.offset : lengths.offset + len(addresses) + 1]
    ends[:] = from_arrow - from_arrow[0]
    np.save(folder / "address_ends.npy", ends)
    text = np.frombuffer(lengths.buffers()[2], np.uint8)[int(from_arrow[0]) : int(from_arrow[-1])]
    np.save(folder / "addresses.npy", text)


def _write_vectors(
    collection: Collection,
    shards: list[Path],
    starts: NDArray[np.int64],
    place: NDArray[np.int64],
    folder: Path,
    n: int,
    *,
    progress: bool,
) -> None:
    """Write the numbers shard by shard, each row at its place; only one shard is in memory."""
    from poolselect.pool import ragged_rows

    several = collection.n_patterns > 1
    hashes, counts = np.zeros(n, np.uint64), np.ones(n, np.int64)
    if several:
        for start, path in zip(starts, shards, strict=False):
            *_, lengths = read_vectors(collection, path)
            where = place[start : start + len(lengths)]
            counts[where[where >= 0]] = lengths[where >= 0]
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    _new(folder / "vectors.npy", n, collection.dimension)
    if several:
        np.save(folder / "offsets.npy", offsets)
        _new(folder / "patterns.npy", int(offsets[-1]), collection.dimension)
    # Parts took turns in the addresses: in the order of these, each page of the file is written at one time.
    sweep = np.argsort(place[starts[:-1]], kind="stable").tolist()
    with Progress(n, "vectors", enabled=progress, leave=False) as bar:
        for start, path in ((starts[number], shards[number]) for number in sweep):
            vectors, marks, patterns, lengths = read_vectors(collection, path)
            where = place[start : start + len(vectors)]
            here = np.flatnonzero(where >= 0)
            hashes[where[here]] = marks[here]
            # Opened for each shard: pages of a map that is closed do not count as memory of this process.
            _fill(folder / "vectors.npy", where[here], vectors[here])
            if several:
                mine, _ = ragged_rows(np.concatenate([[0], np.cumsum(lengths)]), here)
                theirs, _ = ragged_rows(offsets, where[here])
                _fill(folder / "patterns.npy", theirs, patterns[mine])
            bar.add(len(here))
    np.save(folder / "hashes.npy", hashes)


def _new(path: Path, n: int, dimension: int) -> None:
    np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=(n, dimension))


def _fill(path: Path, where: NDArray[np.int64], rows: NDArray[np.float16]) -> None:
    if len(where):
        np.lib.format.open_memmap(path, mode="r+")[where] = rows
