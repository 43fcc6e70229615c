"""The connection to Redis, which keeps everything that we remember, and what its server says of itself."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ..exceptions import StoreError
from ..settings import Deployment
from .redis_server import socket_path

__all__ = ["PROBE", "Redis", "StoreFacts", "connect", "plain", "store_facts", "text", "why_refused"]

Redis = redis.Redis

CONNECT_TIMEOUT = 5.0  # seconds
TIMEOUT = 30.0  # seconds; a command over everything of a large project takes a few
# Seconds of silence after which a peer is asked whether it still is there, between questions, and questions.
# Besides, milliseconds that what was sent may stay unacknowledged, on Linux: else a line that was cut is tried ever
# more rarely, for a quarter of an hour, also once it is whole again.
KEEPALIVE = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 20_000}
AWAY = (redis.ConnectionError, redis.TimeoutError)
PROBE = "lq:probe"  # written to see whether anything can be; it vanishes by itself
NEARLY_FULL = 0.9  # share of maxmemory

# What an answer begins with, or redis-py's name for it -> what is wrong, and the way out.
REFUSALS = {
    "MISCONF": ("Redis cannot write to its disk", "make room there; it tries again by itself every few seconds"),
    "OutOfMemoryError": ("Redis is full", "raise `maxmemory`, or free memory in it"),
    "ReadOnlyError": ("this Redis is a read-only replica", "point REDIS_URL at its master"),
    "NOREPLICAS": ("Redis has too few replicas to write", "bring them back, or lower `min-replicas-to-write`"),
    "MasterDownError": ("this Redis is a replica that lost its master", "point REDIS_URL at a master"),
    "BusyLoadingError": ("Redis still reads its data from disk", "wait; it goes on by itself"),
    "NoPermissionError": (
        "the user of REDIS_URL lacks rights",
        "give it all commands on the keys `lq:*` and `rq:*`",
    ),
}


def text(raw: bytes | str) -> str:
    """Return a value or key of Redis as text."""
    return raw if isinstance(raw, str) else raw.decode()


def connect(deployment: Deployment, *, timeout: float | None = TIMEOUT) -> Redis:
    """Return a checked connection to the deployment's Redis.

    Parameters
    ----------
    deployment : Deployment
        `redis_url` names an external server; without it the embedded server in `home` is meant.
    timeout : float or None, default 30
        Seconds to wait for each answer. None waits as long as it takes, which workers do: they ask for their next job
        and are told when there is one. A peer that vanished is noticed by its keep-alive all the same.

    Raises
    ------
    StoreError
        When nothing answers, or the server may evict keys (our state is not a cache of something cheaper).

    Notes
    -----
    A connection that broke while it was idle is opened again once. An answer that does not come in time is not asked
    for again: whoever waits shall know after `timeout`, not after a multiple of it.
    """
    # No health checks: they PING, and a server that cannot write refuses that, though it may be read.
    options: dict[str, Any] = {
        "socket_connect_timeout": min(CONNECT_TIMEOUT, timeout or CONNECT_TIMEOUT),
        "socket_timeout": timeout,
        "retry": Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
    }
    if deployment.redis_url:
        where, way_out = _without_password(deployment.redis_url), "check REDIS_URL and that the server runs"
    else:
        where, way_out = str(socket_path(deployment.home)), "start it with `labelqueue serve`, or set REDIS_URL"
    try:
        if not deployment.redis_url:
            client = redis.Redis(unix_socket_path=where, **options)
        else:
            if not deployment.redis_url.startswith("unix"):
                keep = {getattr(socket, name): value for name, value in KEEPALIVE.items() if hasattr(socket, name)}
                options |= {"socket_keepalive": True, "socket_keepalive_options": keep}
            client = redis.Redis.from_url(deployment.redis_url, **options)
        memory = client.info("memory")
    except redis.RedisError as error:
        raise StoreError(f"Redis does not answer at {where}: {error}; {way_out}") from error
    except (ValueError, TypeError):  # whose words repeat what stands in the address
        raise StoreError(f"REDIS_URL names {where} with options that Redis' client does not know") from None
    if int(memory.get("maxmemory", 0)) and memory.get("maxmemory_policy") != "noeviction":
        raise StoreError(
            f"Redis at {where} has maxmemory-policy {memory.get('maxmemory_policy')!r} and would drop our data: "
            "set `maxmemory-policy noeviction`"
        )
    return client


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment=""))


def plain(error: redis.RedisError) -> str:
    """Return what the server said, without the command of a pipeline that it said it of: that may hold a secret."""
    return re.sub(r"(?s)^Command # \d+ \(.*\) of pipeline caused error: ", "", str(error))


def why_refused(error: redis.RedisError) -> str:
    """Return what is wrong with Redis and the way out, for people; never an address or a password."""
    told = plain(error)
    for sign, (what, way_out) in REFUSALS.items():
        if type(error).__name__ == sign or told.startswith(sign):
            return f"{what}: {way_out}"
    return "Redis does not answer: see that it runs" if isinstance(error, AWAY) else "Redis failed: see its log"


@dataclass(frozen=True)
class StoreFacts:
    """What a Redis server says of itself.

    Attributes
    ----------
    version : str
        Its version.
    persistence : {'append-only file', 'snapshots', 'none', 'unknown'}
        How it keeps data over a restart; unknown when it does not tell, as some managed servers do.
    failed_write : str
        What it could not write to its disk lately; empty when all is well.
    used, limit : int
        Bytes of memory, and how many it may use; 0 is no limit.
    policy : str
        `maxmemory-policy`.
    refuses : str
        Why it takes no writes right now, and the way out; empty when it takes them.
    """

    version: str
    persistence: str
    failed_write: str
    used: int
    limit: int
    policy: str
    refuses: str

    @property
    def nearly_full(self) -> bool:
        """Whether little of the memory is left that it may use."""
        return bool(self.limit) and self.used >= NEARLY_FULL * self.limit

    @property
    def unsafe(self) -> str:
        """What a crash of the server costs, and the way out; empty when it is a second at most, or not known."""
        way_out = "set `appendonly yes` (CONFIG SET and CONFIG REWRITE, or redis.conf)"
        if self.persistence == "snapshots":
            return f"Redis keeps snapshots only, and loses what came after the last one when it ends badly: {way_out}"
        if self.persistence == "none":
            return f"Redis writes nothing to disk, and loses everything when it ends: {way_out}"
        return ""


def store_facts(store: Redis) -> StoreFacts:
    """Ask a Redis server how it is; also tries a write.

    Raises
    ------
    redis.RedisError
        When it does not answer.
    """
    info: dict[str, Any] = {}
    for section in ("server", "memory", "persistence"):
        info |= store.info(section)
    try:
        store.set(PROBE, "", px=1000)
        refuses = ""
    except redis.ResponseError as error:
        refuses = why_refused(error)
    except redis.ConnectionError as error:  # redis-py counts a server that loads its data among these
        if not isinstance(error, redis.BusyLoadingError):
            raise
        refuses = why_refused(error)
    # A server that writes no snapshots has the status of its last one for ever.
    persistence = _persistence(store, info)
    names = {"aof_last_write_status": "append-only file", "aof_last_bgrewrite_status": "rewrite of it"}
    if persistence != "append-only file":
        names = {"rdb_last_bgsave_status": "snapshot"}
    failed = [name for field, name in names.items() if info.get(field, "ok") != "ok"]
    return StoreFacts(
        version=str(info.get("redis_version", "")),
        persistence=persistence,
        failed_write=", ".join(failed),
        used=int(info.get("used_memory", 0)),
        limit=int(info.get("maxmemory", 0)),
        policy=str(info.get("maxmemory_policy", "")),
        refuses=refuses,
    )


def _persistence(store: Redis, info: dict[str, Any]) -> str:
    if info.get("aof_enabled"):
        return "append-only file"
    try:
        found = store.config_get("save")
    except redis.ResponseError:  # managed servers and users with few rights
        return "unknown"
    if "save" not in found:
        return "unknown"
    return "snapshots" if found["save"] else "none"
