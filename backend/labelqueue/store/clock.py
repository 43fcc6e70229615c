"""The one clock that several machines have in common: Redis' own."""

from __future__ import annotations

from .redis_connection import Redis

__all__ = ["shared_time"]


def shared_time(store: Redis) -> float:
    """Return the Unix time of the Redis server.

    What one machine writes and another one waits for goes by this time: their own clocks need not agree. A time that
    only tells people when something was, or that is compared over minutes, may be of the machine that wrote it.
    """
    seconds, microseconds = store.time()
    return int(seconds) + int(microseconds) / 1e6
