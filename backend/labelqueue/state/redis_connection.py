"""The connection to Redis, which keeps everything that we remember."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

import redis

from ..exceptions import StoreError
from ..settings import Deployment
from .redis_server import socket_path

__all__ = ["Redis", "connect", "text"]

Redis = redis.Redis


def text(raw: bytes | str) -> str:
    """Return a value or key of Redis as text."""
    return raw if isinstance(raw, str) else raw.decode()


def connect(deployment: Deployment) -> Redis:
    """Return a checked connection to the deployment's Redis.

    Parameters
    ----------
    deployment : Deployment
        `redis_url` names an external server; without it the embedded server in `home` is meant.

    Raises
    ------
    StoreError
        When nothing answers, or the server may evict keys (our state is not a cache of something cheaper).
    """
    if deployment.redis_url:
        where, way_out = _without_password(deployment.redis_url), "check REDIS_URL and that the server runs"
    else:
        where, way_out = str(socket_path(deployment.home)), "start it with `labelqueue serve`, or set REDIS_URL"
    try:
        if deployment.redis_url:
            client = redis.Redis.from_url(deployment.redis_url, socket_connect_timeout=5, health_check_interval=30)
        else:
            client = redis.Redis(unix_socket_path=where, socket_connect_timeout=5, health_check_interval=30)
        client.ping()
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
