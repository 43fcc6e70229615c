"""Shards of waiting images: a bounded number at a time, JSON, and nothing lost with a dead worker."""

import json
import time

import pytest

from conftest import ORIGIN
from labelqueue.jobs import shards
from labelqueue.jobs.living import bury, heartbeat, say_leaving
from labelqueue.jobs.queues import queue
from labelqueue.labels.annotations import UNLABELED
from labelqueue.state.project import Project, ProjectRef
from labelqueue.state.task_row import TaskRow


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


@pytest.mark.parametrize(
    ("minibatch", "images"), [("", 32), ("0", 32), ("16", 32), ("64", 128), ("10", 40), ("48", 96), ("1", 32)]
)
def test_a_shard_has_whole_minibatches_of_the_model_that_embeds_it(project, minibatch, images):
    if minibatch:
        project.set(minibatch=minibatch)
    wait_for(project, range(1, 1001))
    shards.enqueue_shards(project)
    assert {len(ids) for ids in entries(project).values()} == {images} and images % max(int(minibatch or 1), 1) == 0


def fleet(store, before, now):
    """Let embedding workers come or go: from so many to so many."""
    for number in range(before, now):
        heartbeat(store, f"embedding-host-{number}-abc")
    for number in range(now, before):
        bury(store, f"embedding-host-{number}-abc")


def test_the_window_grows_and_shrinks_with_the_workers_that_live(project, store):
    """Without anybody asking: a worker that comes finds work, also while the others are busy."""
    heartbeat(store, "tending-host-99-abc")  # embeds nothing
    wait_for(project, range(1, 20_001))
    assert shards.enqueue_shards(project) == 4
    for before, workers, out in ((0, 1, 4), (1, 2, 4), (2, 3, 6), (3, 8, 16)):
        fleet(store, before, workers)
        assert shards.reclaim(project) == 0
        assert store.hlen(project.name("inflight")) == queued(store, "embed") == out
    fleet(store, 8, 3)
    for job_id in list(entries(project))[:11]:
        assert shards.enqueue_shards(project) == 0, "more than enough is out"
        shards.finish(project, job_id)
    assert shards.enqueue_shards(project) == 1 and len(entries(project)) == 6
    fleet(store, 3, 200)
    shards.reclaim(project)
    assert len(entries(project)) == shards.WIDEST
    held = [task for ids in entries(project).values() for task in ids]
    assert len(held) == len(set(held)), "nothing is handed out twice"


def test_workers_that_come_while_the_model_cannot_be_had_get_nothing_to_fail_at(project, store):
    wait_for(project, range(1, 1001))
    shards.enqueue_shards(project)
    fleet(store, 0, 8)
    project.set(embedder_error="no weights")
    assert shards.reclaim(project) == 0 and len(entries(project)) == 4
    project.set(embedder_error="")
    assert shards.reclaim(project) == 0 and len(entries(project)) == 16


def test_many_workers_are_shared_between_projects(project, store):
    fleet(store, 0, 8)
    others = [Project(store, ProjectRef(ORIGIN, number, 1)) for number in (8, 9)]
    for one in (project, *others):
        one.register()
        wait_for(one, range(1, 5001))
        assert shards.enqueue_shards(one) == 16
    # Whoever is done takes the first in the queue, and the project whose shard it was hands out one more.
    begun = dict.fromkeys((one.key for one in (project, *others)), 0)
    for _ in range(96):
        job = queue(store, "embed").fetch_job(store.lpop("rq:queue:embed").decode())
        one = next(one for one in (project, *others) if one.key == job.args[0])
        begun[one.key] += 1
        shards.finish(one, job.id)
        shards.enqueue_shards(one)
    assert set(begun.values()) == {32}


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


def entries(project):
    """Return the shards in flight: job to its images."""
    return {
        raw.decode(): json.loads(row)["ids"] for raw, row in project.store.hgetall(project.name("inflight")).items()
    }


@pytest.fixture
def kill(project):
    """Let the worker die that has the shard of these images, or any shard, while it is at work on them."""

    def once(*suspects):
        job_id = next(job for job, ids in entries(project).items() if set(suspects) <= set(ids))
        shards.claim(project, job_id, "doomed")
        for task in suspects:
            project.store.sadd(shards.at_work(project, job_id), str(task))
        shards.reclaim(project)
        assert not project.store.exists(shards.at_work(project, job_id))

    return once


def deaths(project):
    return {int(task): int(n) for task, n in project.store.hgetall(project.name("deaths")).items()}


def test_only_images_that_were_at_work_are_suspects_and_come_last(project, kill):
    wait_for(project, range(1, 65))
    assert shards.enqueue_shards(project) == 2
    kill(3, 5)
    assert deaths(project) == {3: 1, 5: 1} and project.quarantined() == {}
    assert shards.in_flight(project) == set(range(1, 65))
    again = entries(project).values()
    assert any(ids[-2:] == [3, 5] for ids in again), "handed out after the others"


def test_a_death_while_nothing_was_at_work_blames_no_image(project, kill):
    """Such as while the model was loaded, or while a server was waited for."""
    wait_for(project, [1, 2])
    for _ in range(20):
        shards.enqueue_shards(project)
        kill()
    assert deaths(project) == {} and shards.in_flight(project) == {1, 2}


def test_a_worker_that_was_told_to_stop_blames_no_image_however_it_ended(project, store, kill):
    wait_for(project, [1])
    shards.enqueue_shards(project)
    say_leaving(store, "doomed")
    for _ in range(20):
        kill(1)
    assert deaths(project) == {} and shards.in_flight(project) == {1}


def test_an_image_that_kills_workers_goes_alone_and_then_goes(project, store):
    wait_for(project, range(1, 33))
    deadly, died = 1, []
    for _ in range(100):
        shards.enqueue_shards(project)
        if not (waiting := entries(project)):
            break
        for job_id, ids in waiting.items():
            if deadly in ids:
                died.append(len(ids))
                shards.claim(project, job_id, "doomed")
                store.sadd(shards.at_work(project, job_id), *map(str, ids))
            else:
                shards.finish(project, job_id)
                project.forgive(ids)
        shards.reclaim(project)
    assert list(project.quarantined()) == [deadly]
    assert project.quarantined()[deadly][1] == "its worker died, 3 times while it was alone"
    assert died == [32, 32, 1, 1, 1]


def test_an_image_that_did_not_come_twice_goes_alone(project):
    wait_for(project, [1, 2, 3])
    project.store.hset(project.name("tries"), mapping={"2": "2", "3": "1"})
    shards.enqueue_shards(project)
    assert sorted(entries(project).values()) == [[1, 3], [2]]


def test_deaths_among_others_never_quarantine(project, kill):
    wait_for(project, [1, 2])
    for _ in range(20):
        project.store.hset(project.name("deaths"), mapping={"1": "1", "2": "1"})  # so that they go together
        shards.enqueue_shards(project)
        kill(1, 2)
        assert deaths(project) == {1: 2, 2: 2} and project.quarantined() == {}
        for job_id in entries(project):
            shards.finish(project, job_id)
        wait_for(project, [1, 2])


def test_a_shard_taken_by_a_worker_that_died_before_it_began_waits_again(project, store):
    wait_for(project, [1])
    shards.enqueue_shards(project)
    store.lpop("rq:queue:embed")
    assert shards.reclaim(project) == 1 and deaths(project) == {}
    assert queued(store, "embed") == 1


def test_a_shard_taken_by_a_worker_that_lives_is_left_to_it(project, store):
    wait_for(project, [1])
    shards.enqueue_shards(project)
    job_id = store.lpop("rq:queue:embed").decode()
    store.hset(f"rq:job:{job_id}", mapping={"status": "started", "worker_name": "worker-a"})
    heartbeat(store, "worker-a")
    assert shards.reclaim(project) == 0
    store.delete("lq:worker:worker-a")
    assert shards.reclaim(project) == 1


@pytest.mark.parametrize("status", ["failed", "finished", None])
def test_a_shard_that_its_worker_could_not_strike_off_waits_again_and_blames_nobody(project, store, status):
    """Such as when Redis broke off at the very end: the worker lives, and its job is over."""
    wait_for(project, [1])
    shards.enqueue_shards(project)
    job_id = store.lpop("rq:queue:embed").decode()
    shards.claim(project, job_id, "worker-a")
    store.sadd(shards.at_work(project, job_id), "1")
    store.hset(f"rq:job:{job_id}", "status", "started")
    heartbeat(store, "worker-a")
    assert shards.reclaim(project) == 0
    store.delete(f"rq:job:{job_id}") if status is None else store.hset(f"rq:job:{job_id}", "status", status)
    assert shards.reclaim(project) == 1 and deaths(project) == {}


def test_images_of_a_slow_server_wait_for_their_time_and_a_look_then(project, store):
    shards.wait_until(project, [1, 2], time.time() + 50)
    assert 45 < store.zscore("lq:delayed", project.key) - time.time() < 52
    shards.wait_until(project, [3], time.time() - 1)
    assert shards.held_back(project) == {1, 2}
    shards.wait_until(project, [], time.time())
    project.drop_tasks([1])
    assert shards.held_back(project) == {2}
    project.release_quarantine()
    assert shards.held_back(project) == set()
