"""Everything that a Redis holds, as JSON: to keep what a version wrote, and to give it to a later one."""

from __future__ import annotations

import base64
from typing import Any

from labelqueue.store.redis_connection import Redis


def dump(store: Redis) -> dict[str, Any]:
    """Return every key with its type and value; bytes are written in base64, times to live are left out."""
    readers = {
        "string": lambda key: _text(store.get(key)),
        "hash": lambda key: [[_text(a), _text(b)] for a, b in sorted(store.hgetall(key).items())],
        "list": lambda key: [_text(a) for a in store.lrange(key, 0, -1)],
        "set": lambda key: sorted(_text(a) for a in store.smembers(key)),
        "zset": lambda key: [[_text(a), score] for a, score in store.zrange(key, 0, -1, withscores=True)],
        "stream": lambda key: [
            [i.decode(), [[_text(a), _text(b)] for a, b in row.items()]] for i, row in store.xrange(key)
        ],
    }
    kinds = {key: store.type(key).decode() for key in sorted(store.scan_iter("*"))}
    return {key.decode(): {"type": kind, "value": readers[kind](key)} for key, kind in kinds.items()}


def load(store: Redis, keys: dict[str, Any]) -> None:
    """Write what `dump` returned."""
    writers = {
        "string": lambda key, value: store.set(key, _bytes(value)),
        "hash": lambda key, value: store.hset(key, mapping={_bytes(a): _bytes(b) for a, b in value}),
        "list": lambda key, value: store.rpush(key, *map(_bytes, value)),
        "set": lambda key, value: store.sadd(key, *map(_bytes, value)),
        "zset": lambda key, value: store.zadd(key, {_bytes(a): score for a, score in value}),
        "stream": lambda key, value: [
            store.xadd(key, {_bytes(a): _bytes(b) for a, b in row}, id=i) for i, row in value
        ],
    }
    for key, entry in keys.items():
        writers[entry["type"]](key, entry["value"])


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _bytes(raw: str) -> bytes:
    return base64.b64decode(raw)
