"""The embed job: whatever happens to it, its images wait again and its place in the window is free."""

import pytest

from labelqueue import jobs
from labelqueue.exceptions import EmbedderError
from labelqueue.jobs import shards
from labelqueue.labels.annotations import UNLABELED
from labelqueue.state.project import TaskRow
from labelqueue.worker import embedding
from labelqueue.worker.runtime import Runtime, install


@pytest.fixture
def shard(project, deployment, monkeypatch):
    """A shard of two images in the queue, as the worker gets it: (job, ids)."""
    install(Runtime(deployment))
    project.put_tasks({task: TaskRow(f"/{task}.jpg", UNLABELED) for task in (1, 2)})
    project.store.zadd(project.name("pending"), {"1": 1, "2": 2})
    jobs.enqueue_shards(project)
    (job_id,) = [raw.decode() for raw in project.store.hkeys(project.name("inflight"))]
    monkeypatch.setattr(
        embedding, "get_current_job", lambda: type("Job", (), {"id": job_id, "worker_name": "living-worker"})()
    )
    jobs.heartbeat(project.store, "living-worker")
    return [1, 2]


@pytest.mark.parametrize(("error", "blamed"), [(RuntimeError("out of memory"), True), (EmbedderError("none"), False)])
def test_a_failed_shard_waits_again(project, shard, monkeypatch, error, blamed):
    def fail(*arguments):
        raise error

    monkeypatch.setattr(embedding, "embed_shard", fail)
    if blamed:
        with pytest.raises(RuntimeError):
            embedding.embed_job(project.key, shard)
        assert sorted(project.store.zrange(project.name("pending"), 0, -1)) == [b"1", b"2"]
    else:  # tending puts them back, once the model is there
        embedding.embed_job(project.key, shard)
    assert project.store.hlen(project.name("inflight")) == 0
    assert project.store.hlen(project.name("deaths")) == (2 if blamed else 0)
    assert str(error) in project.get("error")
    assert project.store.zcard("lq:delayed") == 1


def test_an_image_that_fails_every_time_is_quarantined_and_forgiven_when_it_works(project, shard):
    for _ in range(shards.QUARANTINE_AFTER):
        jobs.give_back(project, [1], "embedding failed (boom)")
    assert project.quarantined() == {1: ("/1.jpg", "embedding failed (boom), 4 times")}
    project.release_quarantine()
    jobs.give_back(project, [1], "again")
    assert project.quarantined() == {}
    project.forgive([1])
    assert project.store.hlen(project.name("deaths")) == 0
