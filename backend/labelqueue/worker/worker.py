"""The worker process: RQ jobs run in it one after another, without a fork, so that the model stays warm."""

from __future__ import annotations

import logging
import signal
from contextlib import suppress
from types import FrameType
from typing import Any

from redis.exceptions import RedisError
from rq import SimpleWorker
from rq.exceptions import StopRequested
from rq.serializers import JSONSerializer

from ..jobs import EMBEDDING, TENDING, bury, heartbeat, job_queues, name_worker, request_tend, say_leaving
from ..state import Project
from .housekeeping import Housekeeper
from .models import forget_cards
from .runtime import Runtime, install

__all__ = ["run_worker"]

log = logging.getLogger(__name__)

AGAIN = 2.0  # seconds after which a worker that lost its Redis asks it for jobs again


class Worker(SimpleWorker):
    """RQ's worker, which says at once that it was told to stop.

    Parameters
    ----------
    runtime : Runtime
        Its `leaving` is set by the first SIGTERM or Ctrl-C.
    """

    max_connection_wait_time = AGAIN

    def __init__(self, *arguments: Any, runtime: Runtime, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._leaving = runtime.leaving

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """Finish the job at hand, which comes to an end soon, and stop."""
        self._leaving.set()
        super().request_stop(signum, frame)  # type: ignore[no-untyped-call]


def run_worker(runtime: Runtime, kind: str) -> None:
    """Work on jobs until SIGTERM or Ctrl-C; the job at hand is finished first.

    Parameters
    ----------
    runtime : Runtime
    kind : str
        Which queues it serves, see `jobs.queues`.
    """
    install(runtime)
    for number in (signal.SIGTERM, signal.SIGINT):  # RQ's loop has its own
        signal.signal(number, _stop)
    try:
        if kind == TENDING:
            for project in Project.all(runtime.store):
                project.set(want_full="1")
                request_tend(project)
        elif kind == EMBEDDING:
            forget_cards(runtime.store, runtime.deployment)
        while not runtime.leaving.is_set():
            _work(runtime, kind)
            if not runtime.leaving.is_set():
                runtime.leaving.wait(AGAIN)
    except StopRequested:  # told to stop before a loop, or between two
        return


def _stop(number: int, frame: FrameType | None) -> None:
    raise StopRequested


def _work(runtime: Runtime, kind: str) -> None:
    """Work on jobs until told to stop, or until Redis breaks off amid RQ's bookkeeping, which ends its loop.

    Each loop has a name of its own: what the one before left behind is taken back as from a worker that is gone.
    """
    store, name = runtime.store, name_worker(kind)
    housekeeper = Housekeeper(runtime, name)
    try:
        heartbeat(store, name)
        housekeeper.start()
        queues = job_queues(store, kind)
        worker = Worker(queues, name=name, connection=store, serializer=JSONSerializer, runtime=runtime)
        worker.work(with_scheduler=False, logging_level="WARNING")
    except RedisError as error:
        log.warning("worker %s lost Redis: %s", name, error)
    finally:
        housekeeper.done.set()
        if housekeeper.is_alive():
            housekeeper.join(timeout=5)
        with suppress(RedisError):
            say_leaving(store, name)  # no image is to blame for this end
            bury(store, name)
