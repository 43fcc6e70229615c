"""Stored records: what another version wrote is read as far as it is known here."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .exceptions import CacheError

__all__ = ["known_fields", "pack", "pack_ids", "unpack", "unpack_ids"]

Arrays = dict[str, NDArray[Any]]


def known_fields(kind: type, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries of a record that a dataclass has fields for.

    Parameters
    ----------
    kind : type
        A dataclass. Fields that the record lacks are for its defaults to fill.
    row : mapping
        A record as it was stored; what a later version added is left out.
    """
    return {field.name: row[field.name] for field in fields(kind) if field.name in row}


def pack(arrays: Mapping[str, NDArray[Any]], tag: str, note: str) -> bytes:
    """Return arrays as a safetensors file, the same bytes for the same arrays.

    Parameters
    ----------
    arrays : mapping of str to ndarray
    tag, note : str
        What the file is, and what is to be known of it: its format at least. One key only, because safetensors writes
        several in no fixed order.
    """
    from safetensors.numpy import save

    return bytes(save({name: np.ascontiguousarray(array) for name, array in arrays.items()}, metadata={tag: note}))


def unpack(data: bytes, tag: str) -> tuple[Arrays, str | None]:
    """Return the arrays of `pack`'s file and its note, None where there is none under this tag.

    Raises
    ------
    CacheError
        If the bytes are damaged, or are no such file.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(data)
        # The numpy reader drops the metadata: the header is JSON behind its length in 8 bytes.
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    except (SafetensorError, ValueError, KeyError) as error:
        what = tag.removeprefix("labelqueue_")
        raise CacheError(f"{what}: these {len(data)} bytes are damaged or not a {what} ({error})") from error
    return arrays, (header.get("__metadata__") or {}).get(tag)


def pack_ids(ids: NDArray[np.int64]) -> bytes:
    """Return ids of shape (n,) in little room: neighbors are close in every project, so their differences are kept."""
    steps = np.diff(ids, prepend=0)
    width = next(w for w in (1, 2, 4, 8) if not steps.size or np.abs(steps).max() < 2 ** (8 * w - 1))
    return bytes([width]) + zlib.compress(steps.astype(f"<i{width}").tobytes())


def unpack_ids(data: bytes) -> NDArray[np.int64]:
    """Return the ids that `pack_ids` wrote."""
    return np.cumsum(np.frombuffer(zlib.decompress(data[1:]), dtype=f"<i{data[0]}").astype(np.int64))
