"""What a worker does beside its jobs: it says that it lives, and sees to it that nothing waits for ever."""

from __future__ import annotations

import logging
import threading
import time

from redis.exceptions import RedisError

from ..jobs import heartbeat, reclaim, release_due, request_tend
from ..state import Project, Redis, why_refused
from .runtime import Runtime

__all__ = ["Housekeeper", "look_at_all"]

log = logging.getLogger(__name__)

BEAT = 1.0  # seconds between the housekeeper's rounds
RECLAIM_EVERY = 5.0
TEND_EVERY = 60.0


class Housekeeper(threading.Thread):
    """Thread of a worker that says it lives, releases delayed requests, reclaims dead workers' images, and asks for
    every project to be tended each minute. Each of these may run in several workers at once.

    Parameters
    ----------
    runtime : Runtime
        Of this process; its connection is safe to share between threads.
    worker : str
        This worker's name.
    """

    def __init__(self, runtime: Runtime, worker: str) -> None:
        super().__init__(name="housekeeper", daemon=True)
        self._store = runtime.store
        self._worker = worker
        self.done = threading.Event()

    def run(self) -> None:
        """Work until `done` is set; a Redis that is away for a while is waited for."""
        last_reclaim, failed = 0.0, False
        while True:
            try:
                heartbeat(self._store, self._worker)
                if failed:  # what was asked for meanwhile is lost, and so may be what Label Studio told
                    look_at_all(self._store)
                    failed = False
                release_due(self._store)
                if time.monotonic() - last_reclaim > RECLAIM_EVERY:
                    last_reclaim = time.monotonic()
                    for project in Project.all(self._store):
                        reclaim(project)
                if self._store.set("lq:tended", self._worker, nx=True, px=int(1000 * TEND_EVERY)):
                    for project in Project.all(self._store):
                        request_tend(project)
            except RedisError as error:
                if not failed:
                    log.warning("housekeeping has to wait: %s (%s)", why_refused(error), error)
                failed = True
            except Exception:  # without housekeeping this worker would look dead, and delayed work would never start
                log.exception("housekeeping failed and goes on")
            if self.done.wait(BEAT):
                return


def look_at_all(store: Redis) -> None:
    """Ask for a look at every project, whatever was asked for before: a request may have been lost with its job."""
    for project in Project.all(store):
        store.delete(project.name("queued"))
        request_tend(project)
