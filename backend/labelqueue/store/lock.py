"""A project's lock: one job at a time changes its order, and a job that lost the lock finds out before it writes."""

from __future__ import annotations

import logging
import threading
import uuid
from types import TracebackType
from typing import Protocol

from redis.exceptions import RedisError

from ..exceptions import PublishError
from .redis_connection import Redis, text

__all__ = ["ProjectLock"]

log = logging.getLogger(__name__)

TTL = 15_000  # milliseconds; a killed holder blocks the project no longer than this

_RENEW = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('pexpire', KEYS[1], ARGV[2]) end return 0"
_RELEASE = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"


class Owner(Protocol):
    """Whose lock it is: a connection, and names of its own there."""

    store: Redis

    def name(self, *parts: str) -> str:
        """Return the key of a part."""


class ProjectLock:
    """Exclusive right to change a project's order.

    The lock carries a fencing number that grows with each acquisition, and is renewed from a thread while it is held.

    Parameters
    ----------
    project : Project
        Whose order; its connection and its names are what is used of it.

    Attributes
    ----------
    acquired : bool
        Whether entering got the lock; it never waits.
    token : str
        What tells this holder from any other, since it was entered.
    """

    def __init__(self, project: Owner) -> None:
        self._store = project.store
        self._key = project.name("lock")
        self._fences = project.name("fence")
        self.token = ""
        self._done = threading.Event()
        self._thread: threading.Thread | None = None
        self.acquired = False

    def __enter__(self) -> ProjectLock:
        fence = self._store.incr(self._fences)
        self.token = f"{fence}-{uuid.uuid4().hex}"
        self.acquired = bool(self._store.set(self._key, self.token, nx=True, px=TTL))
        if self.acquired:
            self._thread = threading.Thread(target=self._renew, name="lock-renewal", daemon=True)
            self._thread.start()
        return self

    def _renew(self) -> None:
        while not self._done.wait(TTL / 3000):
            try:
                if not self._store.eval(_RENEW, 1, self._key, self.token, TTL):
                    return
            except RedisError as error:  # the next renewal may still come in time; if not, `check` tells
                log.warning("the lock of %s could not be renewed this time: %s", self._key, error)

    def check(self) -> None:
        """Raise PublishError unless we still hold the lock; call it right before a write that others would see."""
        holder = self._store.get(self._key)
        if holder is None or text(holder) != self.token:
            raise PublishError("this job lost its project's lock (it stalled for too long); another one takes over")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        if self._thread is not None:
            self._thread.join()
        if not self.acquired:
            return
        try:
            self._store.eval(_RELEASE, 1, self._key, self.token)
        except RedisError as failure:  # it expires by itself, and must not hide what went wrong inside
            log.warning("%s could not be released and expires within %d s: %s", self._key, TTL // 1000, failure)
