"""What a worker does beside its jobs: it says that it lives, and sees to it that nothing waits for ever."""

from __future__ import annotations

import logging
import threading
import time

from redis.exceptions import RedisError

from ..jobs import heartbeat, reclaim, release_due, request_tend
from ..state import Project
from .runtime import Runtime
from .upkeep import TIDY_EVERY, sweep_files, sweep_keys

__all__ = ["Housekeeper"]

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
        self._home = runtime.deployment.home
        self._worker = worker
        self.done = threading.Event()

    def run(self) -> None:
        """Work until `done` is set; a Redis that is away for a while is waited for."""
        last_reclaim = 0.0
        last_sweep = -TIDY_EVERY
        while True:
            try:
                heartbeat(self._store, self._worker)
                release_due(self._store)
                if time.monotonic() - last_reclaim > RECLAIM_EVERY:
                    last_reclaim = time.monotonic()
                    for project in Project.all(self._store):
                        reclaim(project)
                if self._store.set("lq:tended", self._worker, nx=True, px=int(1000 * TEND_EVERY)):
                    for project in Project.all(self._store):
                        request_tend(project)
                if time.monotonic() - last_sweep > TIDY_EVERY:  # each machine has files of its own
                    last_sweep = time.monotonic()
                    if self._store.set("lq:tidied", self._worker, nx=True, px=int(1000 * TIDY_EVERY)):
                        sweep_keys(self._store)
                    sweep_files(self._store, self._home)
            except RedisError as error:
                log.warning("housekeeping has to wait: %s", error)
            except Exception:  # without housekeeping this worker would look dead, and delayed work would never start
                log.exception("housekeeping failed and goes on")
            if self.done.wait(BEAT):
                return
