"""Housekeeping: a worker lives, delayed work starts, dead workers' work is taken back, and each minute has its look."""

import time

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from conftest import ORIGIN
from labelqueue.jobs import living, queues, shards
from labelqueue.labels.annotations import UNLABELED
from labelqueue.state.project import Project, ProjectRef
from labelqueue.state.task_row import TaskRow
from labelqueue.worker import housekeeping
from labelqueue.worker.housekeeping import Housekeeper
from labelqueue.worker.runtime import Runtime


@pytest.fixture
def round_of(deployment, project):
    """Let a worker of this name do one round of housekeeping."""

    def once(name):
        housekeeper = Housekeeper(Runtime(deployment), name)
        housekeeper.done.set()
        housekeeper.run()

    return once


def queued(store):
    """Return the keys of the projects that a look is asked for."""
    return [queues.queue(store, "tend").fetch_job(job.decode()).args[0] for job in store.lrange("rq:queue:tend", 0, -1)]


def looked_at(store, *projects):
    """As if workers had begun the looks that wait."""
    store.delete("rq:queue:tend", *(project.name("queued") for project in projects))


def until(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"nothing within {seconds} s"
        time.sleep(0.01)


def test_a_worker_says_that_it_lives(round_of, store):
    assert living.alive(store) == set()
    round_of("w1")
    assert living.alive(store) == {"w1"} and 0 < store.ttl("lq:worker:w1") <= living.HEARTBEAT_TTL


def test_each_project_is_looked_at_each_minute_whoever_asks(round_of, store, project):
    other = Project(store, ProjectRef(ORIGIN, 8, 1))
    other.register()
    round_of("w1")
    assert sorted(queued(store)) == sorted([project.key, other.key])
    looked_at(store, project, other)
    round_of("w1")
    round_of("w2")
    assert queued(store) == [], "not again within the minute"
    assert 0 < store.pttl("lq:tended") <= 60_000
    store.delete("lq:tended")  # as when the minute is over
    round_of("w2")
    assert sorted(queued(store)) == sorted([project.key, other.key])


def test_a_delayed_request_whose_time_has_come_becomes_a_job(round_of, store, project):
    round_of("w1")
    looked_at(store, project)
    store.zadd("lq:delayed", {project.key: time.time() - 1})
    round_of("w1")
    assert queued(store) == [project.key] and store.zcard("lq:delayed") == 0


def test_delayed_requests_start_between_two_rounds_too(deployment, store, project, monkeypatch):
    monkeypatch.setattr(housekeeping, "BEAT", 60.0)
    housekeeper = Housekeeper(Runtime(deployment), "w1")
    housekeeper.start()
    until(lambda: queued(store) == [project.key])
    looked_at(store, project)
    store.zadd("lq:delayed", {project.key: time.time() + 0.2})
    until(lambda: queued(store) == [project.key])
    housekeeper.done.set()
    housekeeper.join(timeout=10)
    assert not housekeeper.is_alive() and store.zcard("lq:delayed") == 0


def test_the_images_of_a_dead_worker_are_taken_back(round_of, store, project):
    project.put_tasks({task: TaskRow(f"/{task}.jpg", UNLABELED) for task in (1, 2)})
    store.zadd(project.name("pending"), {"1": 1, "2": 2})
    shards.enqueue_shards(project)
    (job,) = [raw.decode() for raw in store.hkeys(project.name("inflight"))]
    shards.claim(project, job, "dead-worker")
    store.sadd(shards.at_work(project, job), "2")
    round_of("w1")
    assert store.hget(project.name("inflight"), job) is None and shards.in_flight(project) == {1, 2}
    assert store.hgetall(project.name("deaths")) == {b"2": b"1"}


def test_a_request_whose_job_is_lost_is_made_anew(round_of, store, project):
    round_of("w1")
    store.delete("rq:queue:tend")
    assert store.exists(project.name("queued"))
    round_of("w1")
    assert queued(store) == [project.key]


def test_a_worker_that_was_told_to_stop_says_so(deployment, store):
    runtime = Runtime(deployment)
    runtime.leaving.set()
    housekeeper = Housekeeper(runtime, "w1")
    housekeeper.done.set()
    housekeeper.run()
    assert living.is_leaving(store, "w1")


def test_images_of_the_worker_itself_are_left_alone(round_of, store, project):
    store.zadd(project.name("pending"), {"1": 1})
    shards.enqueue_shards(project)
    (job,) = [raw.decode() for raw in store.hkeys(project.name("inflight"))]
    shards.claim(project, job, "w1")
    round_of("w1")
    assert store.hexists(project.name("inflight"), job)


@pytest.mark.parametrize("error", [RedisConnectionError("away"), RuntimeError("a bug")])
def test_it_goes_on_whatever_happens(deployment, store, project, monkeypatch, error):
    """Without housekeeping this worker would look dead, and delayed work would never start."""
    fails, heartbeat = [error, error], living.heartbeat

    def beat(*arguments, **options):
        if fails:
            raise fails.pop()
        heartbeat(*arguments, **options)

    monkeypatch.setattr(housekeeping, "heartbeat", beat)
    monkeypatch.setattr(housekeeping, "BEAT", 0.01)
    housekeeper = Housekeeper(Runtime(deployment), "w1")
    housekeeper.start()
    until(lambda: living.alive(store) == {"w1"})
    housekeeper.done.set()
    housekeeper.join(timeout=60)
    assert not housekeeper.is_alive() and not fails


def test_it_reclaims_again_and_again_but_not_every_second(deployment, store, project, monkeypatch):
    rounds, reclaims = [], []
    monkeypatch.setattr(housekeeping, "BEAT", 0.001)
    monkeypatch.setattr(housekeeping, "heartbeat", lambda *_, **__: rounds.append(1))
    monkeypatch.setattr(housekeeping, "reclaim", lambda project, living: reclaims.append(project.key))
    for every, enough in ((1e9, lambda: len(rounds) > 20), (0.0, lambda: len(reclaims) > 3)):
        monkeypatch.setattr(housekeeping, "RECLAIM_EVERY", every)
        housekeeper = Housekeeper(Runtime(deployment), "w1")
        housekeeper.start()
        until(enough)
        housekeeper.done.set()
        housekeeper.join(timeout=60)
        if every:
            assert reclaims == []
    assert set(reclaims) == {project.key}


def test_after_a_redis_that_was_away_the_others_have_time_to_say_that_they_live(
    deployment, store, project, monkeypatch
):
    """Their signs ran out as well: nothing that they hold is taken back at once, and no image is blamed."""
    monkeypatch.setattr(housekeeping, "BEAT", 0.01)
    monkeypatch.setattr(housekeeping, "RECLAIM_EVERY", 0.3)
    monkeypatch.setattr(housekeeping, "GAP", 0.3)
    compared, beats, stall = [], [], []

    def beat(*arguments, **options):
        if stall:
            time.sleep(stall.pop())
            beats.append(time.monotonic())

    monkeypatch.setattr(housekeeping, "heartbeat", beat)
    monkeypatch.setattr(housekeeping, "reclaim", lambda *_: compared.append(time.monotonic()))
    housekeeper = Housekeeper(Runtime(deployment), "w1")
    housekeeper.start()
    until(lambda: compared)
    stall.append(1.0)
    until(lambda: beats and compared[-1] > beats[0])
    housekeeper.done.set()
    housekeeper.join(timeout=60)
    after = next(at for at in compared if at > beats[0])
    assert after - beats[0] >= 0.3


def test_once_redis_takes_writes_again_everything_is_looked_at(deployment, store, project, monkeypatch, caplog):
    """What was asked for meanwhile is lost, with its job or without it, and so is what Label Studio told."""
    monkeypatch.setattr(housekeeping, "BEAT", 0.01)
    housekeeper = Housekeeper(Runtime(deployment), "w1")
    housekeeper.start()
    until(lambda: queued(store) == [project.key])
    store.delete("rq:queue:tend")  # the flag stays, its job is lost
    store.config_set("maxmemory", "1")
    until(lambda: "Redis is full" in caplog.text)
    time.sleep(0.1)
    store.config_set("maxmemory", "0")
    until(lambda: queued(store) == [project.key])
    housekeeper.done.set()
    housekeeper.join(timeout=60)
    assert caplog.text.count("Redis is full") == 1, "it is said once"
