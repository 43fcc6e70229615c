"""Shards of waiting images: a bounded number at a time, JSON, and nothing lost with a dead worker."""

import json

import pytest

from conftest import ORIGIN
from labelqueue.jobs import shards
from labelqueue.jobs.queues import heartbeat
from labelqueue.labels.annotations import UNLABELED
from labelqueue.state.project import Project, ProjectRef, TaskRow


def queued(store, name):
    return store.llen(f"rq:queue:{name}")


def wait_for(project, ids):
    project.put_tasks({task: TaskRow(f"/{task}.jpg", UNLABELED) for task in ids})
    project.store.zadd(project.name("pending"), {str(task): task for task in ids})


def test_a_large_project_cannot_starve_a_small_one(project, store):
    wait_for(project, range(1, 1001))
    assert shards.enqueue_shards(project) == shards.WINDOW
    small = Project(store, ProjectRef(ORIGIN, 8, 1))
    small.register()
    wait_for(small, [1])
    shards.enqueue_shards(small)
    assert queued(store, "embed") == shards.WINDOW + 1
    assert len(shards.in_flight(project)) == shards.WINDOW * shards.SHARD
    assert shards.enqueue_shards(project) == 0


def test_jobs_are_json_not_pickle(project, store):
    wait_for(project, [1])
    shards.enqueue_shards(project)
    (job_id,) = store.lrange("rq:queue:embed", 0, -1)
    data = store.hget(f"rq:job:{job_id.decode()}", "data")
    import zlib

    assert json.loads(zlib.decompress(data))[0] == "labelqueue.embedding.embed_job"


def test_the_images_of_a_dead_worker_wait_again(project, store):
    wait_for(project, [1, 2])
    shards.enqueue_shards(project)
    (job_id,) = [raw.decode() for raw in store.hkeys(project.name("inflight"))]
    shards.claim(project, job_id, "worker-a")
    heartbeat(store, "worker-a")
    assert shards.reclaim(project) == 0
    store.delete("lq:worker:worker-a")
    assert shards.reclaim(project) == 2
    assert shards.in_flight(project) == {1, 2}, "they were handed out anew"


def test_a_lost_job_is_noticed(project, store):
    wait_for(project, [1])
    shards.enqueue_shards(project)
    assert shards.reclaim(project) == 0
    store.delete("rq:queue:embed", *store.keys("rq:job:*"))
    assert shards.reclaim(project) == 1


def test_an_image_that_kills_workers_goes_alone_and_then_goes(project, store):
    wait_for(project, [1, 2])
    deadly = 1
    for _ in range(20):
        shards.enqueue_shards(project)
        entries = {raw.decode(): json.loads(row) for raw, row in store.hgetall(project.name("inflight")).items()}
        if not entries:
            break
        for job_id, entry in entries.items():
            if deadly in entry["ids"]:
                shards.claim(project, job_id, "doomed")
            else:
                store.hdel(project.name("inflight"), job_id)
        shards.reclaim(project)
    assert list(project.quarantined()) == [deadly]
    assert project.quarantined()[deadly][1] == "its worker died, 4 times"


def test_a_run_that_died_is_asked_for_again(project, store):
    store.set(project.name("tending"), "dead-worker")
    shards.reclaim(project)
    assert queued(store, "tend") == 1


@pytest.mark.parametrize("living", [True, False])
def test_a_run_of_a_living_worker_is_left_alone(project, store, living):
    store.set(project.name("tending"), "worker-a")
    if living:
        heartbeat(store, "worker-a")
    shards.reclaim(project)
    assert queued(store, "tend") == (0 if living else 1)
