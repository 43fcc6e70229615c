"""The worker process: RQ jobs run in it one after another, without a fork, so that the model stays warm."""

from __future__ import annotations

import os
import uuid

from rq import SimpleWorker
from rq.serializers import JSONSerializer

from ..jobs import heartbeat, job_queues, request_tend
from ..state import Project
from .housekeeping import Housekeeper
from .runtime import Runtime, install

__all__ = ["run_worker"]


def run_worker(runtime: Runtime) -> None:
    """Work on jobs until SIGTERM or Ctrl-C; the job at hand is finished first."""
    install(runtime)
    name = f"{os.uname().nodename}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
    heartbeat(runtime.store, name)
    for project in Project.all(runtime.store):
        if not project.get("reading"):  # one that was stopped goes on
            project.set(want_full="1")
        request_tend(project)
    housekeeper = Housekeeper(runtime, name)
    housekeeper.start()
    worker = SimpleWorker(job_queues(runtime.store), name=name, connection=runtime.store, serializer=JSONSerializer)
    try:
        worker.work(with_scheduler=False, logging_level="WARNING")
    finally:
        housekeeper.done.set()
        housekeeper.join(timeout=5)
        runtime.store.delete(f"lq:worker:{name}")
