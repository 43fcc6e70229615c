"""Parquet files of a collection: shards of vectors, and manifests that name images. The one door for pyarrow here.

A shard has the columns ``file`` (address), ``version``, ``source`` (hash of both), ``hash`` (perceptual hash),
``vector`` (float16) and, with several patterns, ``patterns``. `labelqueue embeddings import` takes such a file as is.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..block import Block
from ..exceptions import CollectionError
from .directory import Collection
from .places import open_file

__all__ = [
    "address_order",
    "left_out",
    "manifest_uris",
    "read_addresses",
    "read_sources",
    "read_vectors",
    "write_shard",
]

_BATCH = 1 << 16  # addresses of a manifest that are held at a time


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise CollectionError(
            f'collections need pyarrow ({error}), the extra `parquet`: pip install -c constraints.txt ".[parquet]"'
        ) from error
    return pyarrow, pyarrow.parquet


def write_shard(collection: Collection, uris: Sequence[str], versions: Sequence[str], block: Block) -> Path:
    """Write a shard; it appears whole or not at all.

    Parameters
    ----------
    collection : Collection
    uris, versions : sequence of str of length n
        Of the images.
    block : Block
        Their n rows; sources are hashes of address and version.
    """
    pa, parquet = _arrow()
    vectors = _lists(pa, block.embeddings)
    columns = {
        "file": pa.array(uris, pa.string()),
        "version": pa.array(versions, pa.string()),
        "source": pa.array(block.sources),
        "hash": pa.array(block.hashes),
        "vector": vectors,
    }
    if collection.n_patterns > 1:
        offsets = pa.array(block.offsets.astype(np.int32))
        columns["patterns"] = pa.ListArray.from_arrays(offsets, _lists(pa, block.patterns))
    note = {"labelqueue": json.dumps({"fingerprint": collection.fingerprint})}
    table = pa.table(columns).replace_schema_metadata(note)
    plain = {"file": "zstd", "version": "zstd"}  # vectors do not get smaller
    data = io.BytesIO()
    compression = {name: plain.get(name.split(".")[0], "none") for name in _leaves(columns)}
    parquet.write_table(table, data, compression=compression, use_dictionary=False)
    path = collection.new_shard()
    collection.write(path, data.getvalue())
    return path


def _leaves(columns: dict[str, Any]) -> list[str]:
    """Return the names of the columns as Parquet stores them: of lists, the numbers inside."""
    inside = {"vector": "vector.list.element", "patterns": "patterns.list.element.list.element"}
    return [inside.get(name, name) for name in columns]


def _lists(pa: Any, rows: NDArray[np.float16]) -> Any:
    ends = np.arange(len(rows) + 1, dtype=np.int32) * rows.shape[1]
    return pa.ListArray.from_arrays(pa.array(ends), pa.array(rows.ravel()))


def _read(collection: Collection, path: Path, columns: list[str]) -> Any:
    pa, parquet = _arrow()
    try:
        table = parquet.read_table(path, columns=columns, partitioning=None, use_threads=False)
        note = json.loads((table.schema.metadata or {}).get(b"labelqueue", b"{}"))
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        brief = " ".join(str(error).split())[:200]
        raise CollectionError(
            f"{path} is damaged ({brief}): remove it, and the next `labelqueue embed` embeds its images again"
        ) from error
    if note.get("fingerprint") != collection.fingerprint:
        raise CollectionError(
            f"{path} has vectors of another model than {collection.path} ({collection.told}): move it elsewhere"
        )
    return table


def read_sources(collection: Collection) -> NDArray[np.uint64]:
    """Return the hashes of everything that is embedded, ascending, shape (n,).

    Raises
    ------
    CollectionError
        If a shard is damaged, or of another model.
    """
    found = [_read(collection, path, ["source"])["source"].to_numpy() for path in collection.shards()]
    return np.unique(np.concatenate([np.empty(0, np.uint64), *found]))


def read_addresses(collection: Collection, path: Path) -> Any:
    """Return the addresses of a shard's rows, as an Arrow array."""
    return _read(collection, path, ["file"])["file"].combine_chunks()


def read_vectors(
    collection: Collection, path: Path
) -> tuple[NDArray[np.float16], NDArray[np.uint64], NDArray[np.float16], NDArray[np.int64]]:
    """Return a shard's numbers.

    Returns
    -------
    vectors : ndarray of shape (n, d), float16
    hashes : ndarray of shape (n,), uint64
    patterns : ndarray of shape (m, d), float16
        Of all rows, one after the other; the vectors where there are no others.
    counts : ndarray of shape (n,), int64
        Patterns of each row.
    """
    several = collection.n_patterns > 1
    table = _read(collection, path, ["hash", "vector", *(["patterns"] if several else [])])
    n, dimension = table.num_rows, collection.dimension
    vectors = table["vector"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    if vectors.dtype != np.float16 or vectors.size != n * dimension:
        raise CollectionError(f"{path} is damaged: its {n} vectors are not of {dimension} float16 numbers; remove it")
    vectors = vectors.reshape(n, dimension)
    hashes = table["hash"].to_numpy().astype(np.uint64)
    if not several:
        return vectors, hashes, vectors, np.ones(n, np.int64)
    lists = table["patterns"].combine_chunks()
    counts = np.asarray(lists.value_lengths(), dtype=np.int64)
    patterns = lists.flatten().flatten().to_numpy(zero_copy_only=False).reshape(-1, dimension)
    return vectors, hashes, patterns, counts


def address_order(shards: Sequence[Any]) -> tuple[NDArray[np.int64], Any]:
    """Sort the addresses of all shards.

    Parameters
    ----------
    shards : sequence of Arrow arrays
        Of `read_addresses`, oldest shard first.

    Returns
    -------
    rows : ndarray of shape (n,), int64
        Row of all shards together, in the order of the addresses; of several with one address the youngest.
    addresses : Arrow array of n addresses
    """
    pa, _ = _arrow()
    from pyarrow import compute

    everything = pa.chunked_array(shards, pa.string()).cast(pa.large_string()).combine_chunks()
    if isinstance(everything, pa.ChunkedArray):
        everything = pa.concat_arrays(everything.chunks)
    table = pa.table({"address": everything, "row": np.arange(len(everything))})
    order = compute.sort_indices(table, sort_keys=[("address", "ascending"), ("row", "ascending")])
    ordered = everything.take(order)
    rows = order.to_numpy().astype(np.int64)
    if len(rows) > 1:
        last = np.append(np.asarray(compute.not_equal(ordered.slice(0, len(rows) - 1), ordered.slice(1))), True)
        if not last.all():
            rows, ordered = rows[last], ordered.filter(pa.array(last))
    return rows, ordered


def left_out(
    collection: Collection, shards: Sequence[Path], starts: NDArray[np.int64], rows: NDArray[np.int64], addresses: Any
) -> NDArray[np.bool_]:
    """Tell which addresses hold an image that became bad after it was embedded: what was seen is no longer there.

    Parameters
    ----------
    shards : sequence of Path
    starts : ndarray of shape (len(shards) + 1,), int64
        Row of all shards together at which each begins.
    rows, addresses
        Of `address_order`.

    Returns
    -------
    ndarray of shape (n,), bool
    """
    pa, _ = _arrow()
    from pyarrow import compute

    newest = {failure.uri: stamp for stamp, failure in collection.stamped_failures() if not failure.again}
    gone = np.zeros(len(rows), np.bool_)
    if newest:
        uris = pa.array([uri for uri in newest if uri.isascii() or _is_text(uri)], pa.large_string())
        for at in np.flatnonzero(np.asarray(compute.is_in(addresses, value_set=uris))).tolist():
            shard = shards[int(np.searchsorted(starts, rows[at], side="right")) - 1]
            gone[at] = newest[addresses[at].as_py()] > shard.stem.partition("-")[2]
    return gone


def _is_text(uri: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in uri)


def manifest_uris(manifest: str, column: str) -> Iterator[str]:
    """Yield the addresses in a column of a Parquet file, wherever it lies.

    Raises
    ------
    CollectionError
        If it cannot be read, has no such column, or a row of it has no address.
    """
    pa, parquet = _arrow()
    row = 0
    with open_file(manifest) as stream:
        try:
            file = parquet.ParquetFile(stream, pre_buffer=False)
            schema = file.schema_arrow
            if column not in schema.names:
                raise CollectionError(
                    f"the manifest {manifest} has the columns {', '.join(schema.names)} and no {column!r}: name the "
                    "one with the images' addresses with --column"
                )
            kind = schema.field(column).type
            if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
                raise CollectionError(f"the column {column!r} of {manifest} holds {kind}, it must hold text")
            for batch in file.iter_batches(batch_size=_BATCH, columns=[column]):
                for uri in batch.column(0).to_pylist():
                    row += 1
                    if not uri or not uri.strip():
                        raise CollectionError(f"row {row:,} of {manifest} has no address in its column {column!r}")
                    yield uri.strip()
        except (OSError, pa.ArrowException) as error:
            brief = " ".join(str(error).split())[:200]
            raise CollectionError(f"{manifest} cannot be read as a Parquet file: {brief}") from error
