"""The door for everything that grows with a project: many items are sent to Redis, and read from it, in chunks.

One command takes about a million arguments, and while it runs the server does nothing else. So what is read or written
here is not of one moment: others may see, and change, the items between two chunks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TypeVar

from .redis_connection import Redis

__all__ = [
    "add_members",
    "drop_fields",
    "drop_members",
    "get_fields",
    "in_chunks",
    "list_items",
    "put_fields",
    "put_large_fields",
    "remove",
    "scan_fields",
    "scan_members",
]

WRITTEN, READ = 2_000, 5_000  # items in one command: a few milliseconds of the server's time
LARGE = 100  # items of 10 kB and more

Item = TypeVar("Item")


def in_chunks(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Yield the items in lists that fit into one command."""
    rest = iter(items)
    while part := list(islice(rest, WRITTEN)):
        yield part


# -- hashes


def put_fields(store: Redis, key: str, fields: Mapping[str, str | bytes]) -> None:
    """Set fields of a hash."""
    for part in in_chunks(fields.items()):
        store.hset(key, mapping=dict(part))


def put_large_fields(store: Redis, key: str, fields: Iterable[tuple[str, bytes]], *, lifetime: int) -> None:
    """Set fields of a new hash to large values, a hundred in one command; no more of them is held than that.

    Parameters
    ----------
    lifetime : int
        Seconds after which Redis removes the hash, unless somebody persists it.
    """
    rest = iter(fields)
    while part := dict(islice(rest, LARGE)):
        with store.pipeline(transaction=True) as pipe:
            pipe.hset(key, mapping=part)  # type: ignore[arg-type]
            pipe.expire(key, lifetime)
            pipe.execute()


def get_fields(store: Redis, key: str, names: Sequence[str]) -> list[bytes | None]:
    """Return the values of fields of a hash, None for one that is not there."""
    found: list[bytes | None] = []
    for part in in_chunks(names):
        found += store.hmget(key, part)  # type: ignore[arg-type,unused-ignore]
    return found


def drop_fields(store: Redis, key: str, names: Iterable[str]) -> None:
    """Remove fields of a hash."""
    for part in in_chunks(names):
        store.hdel(key, *part)


def scan_fields(store: Redis, key: str, *, large: bool = False) -> Iterator[dict[bytes, bytes]]:
    """Yield all fields of a hash, many at a time.

    Parameters
    ----------
    large : bool
        Whether the values are large, so that fewer of them come at a time.

    Notes
    -----
    A field that is there throughout comes at least once. While others write it may come twice, the later value last,
    and one that comes or goes meanwhile may be seen or not.
    """
    cursor, count = -1, LARGE if large else READ
    while cursor:
        cursor, part = store.hscan(key, max(cursor, 0), count=count)
        if part:
            yield part  # type: ignore[misc]


# -- sorted sets, lists, keys


def add_members(store: Redis, key: str, scores: Mapping[str, float], *, nx: bool = False) -> None:
    """Add members to a sorted set, or change their scores; with `nx` those of members that are there stay."""
    for part in in_chunks(scores.items()):
        store.zadd(key, dict(part), nx=nx)


def drop_members(store: Redis, key: str, members: Iterable[str]) -> None:
    """Remove members of a sorted set."""
    for part in in_chunks(members):
        store.zrem(key, *part)


def scan_members(store: Redis, key: str) -> Iterator[list[tuple[bytes, float]]]:
    """Yield the members of a sorted set with their scores, many at a time; see `scan_fields` for what others write."""
    cursor = -1
    while cursor:
        cursor, part = store.zscan(key, max(cursor, 0), count=READ)
        if part:
            yield part  # type: ignore[misc]


def list_items(store: Redis, key: str) -> Iterator[bytes]:
    """Yield the items of a list of large values that grows at its end only."""
    first = 0
    while part := store.lrange(key, first, first + LARGE - 1):
        yield from part  # type: ignore[misc]
        first += LARGE


def remove(store: Redis, *keys: str | bytes) -> int:
    """Remove keys, and return how many there were. Their memory is freed beside the server's other work."""
    return sum(int(store.unlink(*part)) for part in in_chunks(keys))
