"""What version 0.1.0 left in Redis, with the Label Studio of that moment, and the jobs that wait there."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import redis_dump
from desk import Server
from labelqueue.jobs.queues import queue as job_queue
from labelqueue.settings import Deployment
from labelqueue.state.project import Project
from labelqueue.store.redis_connection import Redis
from labelqueue.worker.runtime import Runtime, install

PIXELS_THEN = 2  # `PREPROCESSING` of 0.1.0


def restore(store: Redis) -> dict[str, Any]:
    """Write what 0.1.0 left: 60 embedded tasks, 38 labels, BAL's first cycle live, a look and a shard of 3 images
    waiting.

    Written by that version's own code (`redis_dump.dump`), with what its Label Studio held at that moment.
    """
    document = json.loads(gzip.decompress((Path(__file__).parent / "data" / "state-0.1.0.json.gz").read_bytes()))
    redis_dump.load(store, document["keys"])
    return document


def its_server(document: dict[str, Any], store: Redis, deployment: Deployment) -> Server:
    """Return that Label Studio again; it keeps what it is told, and this process's jobs use it."""
    found = Server(Project.all(store)[0], 0)
    found.remote = document["label_studio"]["project"]
    found.rows = {row["id"]: row for row in document["label_studio"]["tasks"]}
    found.stored[document["was"]["version"]] = document["was"]["places"]
    runtime = Runtime(deployment)
    runtime.__dict__["client"] = found
    install(runtime)
    return found


def work(store: Redis, name: str) -> int:
    """Perform the jobs that wait in a queue, called by the names that they were enqueued with; return how many."""
    queue = job_queue(store, name)
    jobs = queue.get_jobs()
    queue.empty()
    for job in jobs:
        job.perform()
    return len(jobs)
