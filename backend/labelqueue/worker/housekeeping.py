"""What a worker does beside its jobs: it says that it lives, and sees to it that nothing waits for ever."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress

from redis.exceptions import RedisError

from ..gallery import MEGABYTE, tidy
from ..jobs import alive, heartbeat, look_again, reclaim, release_due, request_tend, say_leaving
from ..state import Project, Redis, plain, why_refused
from ..telemetry import about
from .runtime import Runtime
from .upkeep import TIDY_EVERY, sweep_files, sweep_keys

__all__ = ["Housekeeper", "look_at_all"]

log = logging.getLogger(__name__)

BEAT = 1.0  # seconds between the housekeeper's rounds
TICK = 0.1  # seconds that delayed work starts late at most
RECLAIM_EVERY = 5.0
GAP = 5.0  # between two signs of life of our own, after which those of others may have run out as well
TEND_EVERY = 60.0


class Housekeeper(threading.Thread):
    """Thread of a worker that says it lives, releases delayed requests, compares what should be on its way with what
    is, and asks for every project to be tended each minute. Each of these may run in several workers at once.

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
        self._runtime, self._leaving = runtime, runtime.leaving
        self._home = runtime.deployment.home
        self._room = runtime.deployment.thumbnails * MEGABYTE
        self._worker = worker
        self.done = threading.Event()

    def run(self) -> None:
        """Work until `done` is set; a Redis that is away for a while is waited for."""
        last_reclaim, last_beat, failed = 0.0, time.monotonic(), False
        last_sweep = -TIDY_EVERY
        while True:
            try:
                url = self._runtime.deployment.label_studio_url
                heartbeat(self._store, self._worker, label_studio=url, trouble=self._runtime.trouble)
                if time.monotonic() - last_beat > GAP:
                    last_reclaim = time.monotonic()  # Redis was away: the others, too, have to say first that they live
                last_beat = time.monotonic()
                if self._leaving.is_set():
                    say_leaving(self._store, self._worker)
                if failed:  # what was asked for meanwhile is lost, and so may be what Label Studio told
                    look_at_all(self._store)
                    failed = False
                release_due(self._store)
                if time.monotonic() - last_reclaim > RECLAIM_EVERY:
                    last_reclaim = time.monotonic()
                    self._compare()
                if self._store.set("lq:tended", self._worker, nx=True, px=int(1000 * TEND_EVERY)):
                    for project in Project.all(self._store):
                        request_tend(project)
                if time.monotonic() - last_sweep > TIDY_EVERY:  # each machine has files of its own
                    last_sweep = time.monotonic()
                    if self._store.set("lq:tidied", self._worker, nx=True, px=int(1000 * TIDY_EVERY)):
                        sweep_keys(self._store)
                        tidy(self._store, self._room)
                    sweep_files(self._store, self._home)
            except RedisError as error:
                if not failed:
                    log.warning("housekeeping has to wait: %s (%s)", why_refused(error), plain(error))
                failed = True
            except Exception:  # without housekeeping this worker would look dead, and delayed work would never start
                log.exception("housekeeping failed and goes on")
            if self._rest():
                return

    def _rest(self) -> bool:
        """Wait for the next round, and release meanwhile what becomes due; return whether there is none."""
        until = time.monotonic() + BEAT
        while (left := until - time.monotonic()) > 0:
            if self.done.wait(min(left, TICK)):
                return True
            with suppress(RedisError):  # the next round says so
                release_due(self._store)
        return self.done.is_set()

    def _compare(self) -> None:
        """Take back what was lost with its worker or its job, of every project."""
        living = alive(self._store)
        for project in Project.all(self._store):
            with about(project=project.ref.id):
                reclaim(project, living)
                look_again(project, living)


def look_at_all(store: Redis) -> None:
    """Ask for a look at every project: Label Studio may have told what nobody could write down."""
    for project in Project.all(store):
        request_tend(project)
