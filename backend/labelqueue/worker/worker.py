"""The worker process: RQ jobs run in it one after another, without a fork, so that the model stays warm."""

from __future__ import annotations

import logging
import os
import time
import uuid

from redis.exceptions import BusyLoadingError, ResponseError
from rq import SimpleWorker
from rq.serializers import JSONSerializer

from ..jobs import heartbeat, job_queues
from ..state import Project, Redis, store_facts, why_refused
from .housekeeping import Housekeeper, look_at_all
from .runtime import Runtime, install
from .searching import Searcher

__all__ = ["run_worker"]

log = logging.getLogger(__name__)

ASK_AGAIN = 1.0  # seconds between two tries to write to a Redis that refuses it


def run_worker(runtime: Runtime) -> None:
    """Work on jobs until SIGTERM or Ctrl-C; the job at hand is finished first."""
    install(runtime)
    name = f"{os.uname().nodename}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
    _first_beat(runtime.store, name)
    if unsafe := store_facts(runtime.store).unsafe:
        log.warning("%s", unsafe)
    for project in Project.all(runtime.store):
        project.set(want_full="1")
    look_at_all(runtime.store)
    housekeeper, searcher = Housekeeper(runtime, name), Searcher(runtime, name)
    housekeeper.start()
    searcher.start()
    worker = SimpleWorker(job_queues(runtime.store), name=name, connection=runtime.store, serializer=JSONSerializer)
    try:
        worker.work(with_scheduler=False, logging_level="WARNING")
    finally:
        searcher.done.set()  # Label Studio may take its time: nobody waits for it
        housekeeper.done.set()
        housekeeper.join(timeout=5)
        runtime.store.delete(f"lq:worker:{name}")


def _first_beat(store: Redis, name: str) -> None:
    """Say that the worker lives, as soon as Redis takes it: a process that waits goes on sooner than one that ended."""
    told = ""
    while True:
        try:
            heartbeat(store, name)
            return
        except (ResponseError, BusyLoadingError) as error:
            if told != (why := why_refused(error)):
                log.error("waiting: %s", told := why)
            time.sleep(ASK_AGAIN)
