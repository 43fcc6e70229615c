"""What a shard costs Redis does not depend on how many tasks its project has."""

from __future__ import annotations

import base64
import contextlib
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from labelqueue import jobs
from labelqueue.block import source_hash
from labelqueue.labels.annotations import UNLABELED
from labelqueue.settings import Deployment
from labelqueue.state.project import Project
from labelqueue.state.task_row import TaskRow
from labelqueue.store import Redis, add_members
from labelqueue.worker import embedding
from labelqueue.worker.runtime import Runtime, install

SHARDS, IMAGES = 3, 32
GREETINGS = {"hello", "client|setinfo", "select", "info"}  # of new connections: as many as threads were at it at once


class Model:
    """Embeds an image as the mean of its colors."""

    name, dim, image_size, minibatch_size = "means", 3, 8, 16

    def fingerprint(self, parameters: dict[str, Any]) -> str:
        return "g1"

    def lanes(self) -> contextlib.AbstractContextManager[int]:
        return contextlib.nullcontext(1)

    def embed(self, pixels: np.ndarray, **options: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        means = pixels.astype(np.float32).mean(axis=(1, 2)).astype(np.float16)
        return means, means, np.arange(len(pixels) + 1)


def fill(project: Project, runtime: Runtime, tasks: int) -> None:
    """Know so many tasks, all but the last ones embedded, and let every other one wait behind these."""
    file = io.BytesIO()
    Image.new("RGB", (10, 6), (9, 8, 7)).save(file, "PNG")
    picture = base64.b64encode(file.getvalue()).decode()
    new = range(900_001, 900_001 + SHARDS * IMAGES)
    known = range(100_001, 100_001 + tasks - len(new))  # ids of as many digits: the bytes are counted
    project.put_tasks({task: TaskRow(f"/{task}.jpg", UNLABELED) for task in known})
    project.put_tasks({task: TaskRow(f"data:image/png;n={task};base64,{picture}", UNLABELED) for task in new})
    ids, sources = np.array(known), np.array([source_hash(f"/{task}.jpg") for task in known], np.uint64)
    runtime.cache(project, "g1").admit(ids, sources)
    project.quarantine(dict.fromkeys(known[::5], ("/another.jpg", "bad")))
    project.set(generation="g1", arrivals=str(10**6), arrivals_told=str(10**6))
    add_members(project.store, project.name("pending"), {str(task): 10.0**7 for task in known[::2]})
    add_members(project.store, project.name("pending"), {str(task): task for task in new})


def cost(store: Redis, project: Project, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, int], int, int]:
    """Hand out, embed and finish shards; return the commands that this took, and the bytes to and from Redis."""
    store.config_resetstat()
    assert jobs.enqueue_shards(project) == 4
    job = jobs.queue(store, "embed").fetch_job(store.lpop("rq:queue:embed").decode())
    job.worker_name = "embedding-host-1-abc"
    monkeypatch.setattr(embedding, "get_current_job", lambda: job)
    assert embedding.embed_job(*job.args) == SHARDS * IMAGES
    jobs.reclaim(project)
    told, moved = store.info("commandstats"), store.info("stats")
    calls = {name.removeprefix("cmdstat_"): row["calls"] for name, row in told.items()}
    calls = {name: n for name, n in calls.items() if name not in GREETINGS}
    return calls, moved["total_net_input_bytes"], moved["total_net_output_bytes"]


@pytest.fixture
def runtime(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    found = Runtime(deployment)
    monkeypatch.setattr(found, "embedder", lambda doubled, choice=None: Model())
    install(found)
    yield found


def test_a_shard_costs_the_same_whatever_its_project_holds(runtime, project, store, monkeypatch):
    jobs.heartbeat(store, "embedding-host-1-abc")
    found = []
    for tasks in (1_000, 100_000):
        project.drop("tasks", "pending", "inflight", "quarantine", "deaths", "cache*", "thumbs", "at_work*")
        store.delete("rq:queue:embed", *store.keys("rq:*"), "lq:delayed", "lq:thumbs", "lq:thumbs_sum")
        fill(project, runtime, tasks)
        found.append(cost(store, project, monkeypatch))
    (few, few_in, few_out), (many, many_in, many_out) = found
    assert many == few
    assert not {"hscan", "zscan", "sscan", "hkeys", "keys"} & many.keys(), "nothing is read as a whole"
    assert abs(many_in - few_in) < 20_000 and abs(many_out - few_out) < 20_000, "nothing but greetings"
    assert many_in + many_out < 250_000  # the rows of 100,000 tasks are millions
