"""What changed, for those who keep a copy: who writes what grows with a project says so in the same step.

A stream with one entry per write, the newest ones only. Its last entry is the version up to which a copy was kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..records import pack_ids, unpack_ids
from .chunks import in_chunks
from .redis_connection import Redis, text

__all__ = ["KEPT", "Changed", "Changes", "packed"]

KEPT = 2_000  # entries; who missed more reads everything again
READ = 200  # entries in one answer, the one that is known included
BEGUN = "begun"  # part of an entry that only marks a place

Lengths = Mapping[str, int]


@dataclass(frozen=True, eq=False)
class Changed:
    """What was written since a version.

    Attributes
    ----------
    version : str
        Up to which everything is told here.
    fields : dict of str to ndarray of shape (n,), int64
        Part to the fields of its hash that were written or dropped, ascending, each once.
    renewed : set of str
        Parts of which everything may be another.
    lengths : mapping of str to int
        Fields of each hash that was asked about, where nothing was written since; empty else.
    """

    version: str
    fields: dict[str, NDArray[np.int64]]
    renewed: set[str]
    lengths: Lengths = field(default_factory=dict)


class Changes:
    """The change stream of one project.

    Parameters
    ----------
    store : Redis
    key : str
        Of the stream.

    Notes
    -----
    An entry tells which fields were written, not what: a copy reads their present values, so that it may read them
    twice, or later. Only names that are numbers can be told.
    """

    def __init__(self, store: Redis, key: str) -> None:
        self._store, self.key = store, key

    def put(self, part: str, key: str, fields: Mapping[str, str | bytes]) -> None:
        """Set fields of a part's hash."""
        for some in in_chunks(fields.items()):
            with self._store.pipeline(transaction=True) as pipe:
                pipe.hset(key, mapping=dict(some))
                self._tell(pipe, part, packed(name for name, _ in some))
                pipe.execute()

    def drop(self, part: str, key: str, names: Iterable[str]) -> None:
        """Remove fields of a part's hash."""
        for some in in_chunks(names):
            with self._store.pipeline(transaction=True) as pipe:
                pipe.hdel(key, *some)
                self._tell(pipe, part, packed(some))
                pipe.execute()

    def renew(self, part: str, *keys: str) -> int:
        """Say that everything of a part is another now, or gone; return how many of these keys were removed with it."""
        with self._store.pipeline(transaction=True) as pipe:
            for key in keys:
                pipe.unlink(key)
            self._tell(pipe, part, b"")
            return sum(map(int, pipe.execute()[:-1]))

    def begin(self) -> str:
        """Return a version from which on everything is told: what is read from now on is no older."""
        return text(self._tell(self._store, BEGUN, b""))

    def since(self, version: str, hashes: Sequence[str] = ()) -> Changed | None:
        """Return what changed since a version, or None when that is not known any more.

        Parameters
        ----------
        version : str
        hashes : sequence of str
            Keys of hashes whose fields are counted in the same step.
        """
        with self._store.pipeline(transaction=True) as pipe:
            pipe.xrange(self.key, version, "+", count=READ)
            for key in hashes:
                pipe.hlen(key)
            part, *counts = pipe.execute()
        if not part or text(part[0][0]) != version:  # it was cut off, or Redis lost it
            return None
        found: dict[str, list[NDArray[np.int64]]] = {}
        renewed: set[str] = set()
        last, quiet = version, len(part) == 1
        while len(part) > 1:
            for entry, fields in part[1:]:
                last = text(entry)
                for name, payload in fields.items():
                    if payload:
                        found.setdefault(text(name), []).append(unpacked(payload))
                    else:
                        renewed.add(text(name))
            part = self._read(last) if len(part) == READ else []
            if part and text(part[0][0]) != last:
                return None
        fields_of = {name: np.unique(np.concatenate(ids)) for name, ids in found.items() if name not in renewed}
        return Changed(last, fields_of, renewed - {BEGUN}, dict(zip(hashes, counts, strict=True)) if quiet else {})

    def _read(self, version: str) -> Any:
        return self._store.xrange(self.key, version, "+", count=READ)

    def _tell(self, store: Redis, part: str, payload: bytes) -> Any:
        return store.xadd(self.key, {part: payload}, maxlen=KEPT, approximate=True)


def packed(names: Iterable[str]) -> bytes:
    """Return the names of fields as an entry holds them."""
    return pack_ids(np.sort(np.array([int(name) for name in names], dtype=np.int64)))


def unpacked(payload: bytes) -> NDArray[np.int64]:
    """Read `packed`'s form, or one number in plain digits, as a script writes it."""
    return np.array([int(payload)]) if payload.isdigit() else unpack_ids(payload)
