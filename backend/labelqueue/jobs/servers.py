"""Servers of images that are slow: each is left alone for a while, longer each time, and only its own images wait."""

from __future__ import annotations

import json
from collections.abc import Iterable

from ..state import Redis, shared_time, text

__all__ = ["cool_down", "slow_servers", "warm_up"]

FIRST, MOST = 30.0, 3600.0  # seconds that a server is left alone: the first time, and at most
REMEMBERED = 600.0  # seconds after which, left alone no more, it begins anew
_SLOW = "lq:slow:"


def cool_down(store: Redis, server: str, why: str) -> float:
    """Leave a server alone: for half a minute, twice as long each time it is found slow again, at most an hour.

    Returns
    -------
    float
        Unix time of Redis' clock until when. A server that is left alone already is not left alone for longer: several
        shards may find out at once.
    """
    raw, now = store.get(_SLOW + server), shared_time(store)
    before = json.loads(raw) if raw else {"times": 0, "until": 0.0}
    if before["until"] > now:
        return float(before["until"])
    seconds = min(FIRST * 2.0 ** min(int(before["times"]), 20), MOST)
    row = {"times": before["times"] + 1, "until": now + seconds, "why": why}
    store.set(_SLOW + server, json.dumps(row), ex=int(seconds + max(seconds, REMEMBERED)))
    return now + seconds


def warm_up(store: Redis, servers: Iterable[str]) -> None:
    """Forget that servers were slow: they gave an image."""
    if names := [_SLOW + server for server in servers]:
        store.delete(*names)


def slow_servers(store: Redis) -> dict[str, tuple[float, str]]:
    """Return the servers that were found slow lately: each with the Unix time of Redis' clock until which it is left
    alone, which may have passed, and why."""
    names = [text(raw) for raw in store.scan_iter(match=f"{_SLOW}*", count=1000)]
    rows = store.mget(names) if names else []
    found = {name.removeprefix(_SLOW): json.loads(raw) for name, raw in zip(names, rows, strict=True) if raw}
    return {server: (float(row["until"]), str(row["why"])) for server, row in sorted(found.items())}
