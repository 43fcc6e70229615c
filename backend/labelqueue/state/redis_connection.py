"""The connection to Redis, which keeps everything that we remember."""

from __future__ import annotations

import socket
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ..exceptions import StoreError
from ..settings import Deployment
from .redis_server import socket_path

__all__ = ["Redis", "connect", "text"]

Redis = redis.Redis

CONNECT_TIMEOUT = 5.0  # seconds
TIMEOUT = 30.0  # seconds; a command over everything of a large project takes a few
# Seconds of silence after which a peer is asked whether it still is there, between questions, and questions.
KEEPALIVE = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}


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
    options: dict[str, Any] = {
        "socket_connect_timeout": min(CONNECT_TIMEOUT, timeout or CONNECT_TIMEOUT),
        "socket_timeout": timeout,
        "health_check_interval": 30,
        "retry": Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
    }
    if deployment.redis_url:
        if not deployment.redis_url.startswith("unix"):
            keep = {getattr(socket, name): value for name, value in KEEPALIVE.items() if hasattr(socket, name)}
            options |= {"socket_keepalive": True, "socket_keepalive_options": keep}
        client = redis.Redis.from_url(deployment.redis_url, **options)
        where, way_out = _without_password(deployment.redis_url), "check REDIS_URL and that the server runs"
    else:
        path = socket_path(deployment.home)
        client = redis.Redis(unix_socket_path=str(path), **options)
        where, way_out = str(path), "start it with `labelqueue serve`, or set REDIS_URL"
    try:
        client.ping()
        memory = client.info("memory")
    except redis.RedisError as error:
        raise StoreError(f"Redis does not answer at {where}: {error}; {way_out}") from error
    if int(memory.get("maxmemory", 0)) and memory.get("maxmemory_policy") != "noeviction":
        raise StoreError(
            f"Redis at {where} has maxmemory-policy {memory.get('maxmemory_policy')!r} and would drop our data: "
            "set `maxmemory-policy noeviction`"
        )
    return client


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=""))
