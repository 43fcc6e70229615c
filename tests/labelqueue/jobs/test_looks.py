"""Requests for a look: one job for a burst of events, none that is lost, wherever its worker or its job went."""

import threading
import time

import pytest

from conftest import ORIGIN
from labelqueue.jobs import looks as jobs
from labelqueue.jobs.queues import queue
from labelqueue.state.project import Project, ProjectRef


def queued(store):
    return store.llen("rq:queue:tend")


def take(store):
    """Take the next job as a worker does, which may die right after; return it."""
    tend = queue(store, "tend")
    job = tend.fetch_job(store.lpop(tend.key).decode())
    store.hset(job.key, mapping={"status": "started", "worker_name": "w1"})
    return job


def test_a_burst_of_requests_is_one_job(project, store):
    for _ in range(50):
        jobs.request_tend(project)
        jobs.request_tend(project, delay=5)
    assert queued(store) == 1
    assert store.zcard("lq:delayed") == 1


def test_requests_made_at_the_same_time_are_one_job(project, store):
    threads = [threading.Thread(target=jobs.request_tend, args=(project,)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert queued(store) == 1 and len(store.keys("rq:job:*")) == 1


def test_delayed_requests_become_jobs_when_due(project, store):
    jobs.request_tend(project, delay=30)
    jobs.request_tend(project, delay=60)  # the earlier one counts
    jobs.release_due(store)
    assert queued(store) == 0 and store.zscore("lq:delayed", project.key) <= time.time() + 30
    store.zincrby("lq:delayed", -30, project.key)  # half a minute later
    jobs.release_due(store)
    jobs.release_due(store)
    assert queued(store) == 1 and store.zcard("lq:delayed") == 0


@pytest.mark.parametrize("ahead", [30.0, -30.0])
def test_machines_whose_clocks_differ_agree_when_it_is_due(project, store, monkeypatch, ahead):
    real = time.time
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: real() + ahead)
        jobs.request_tend(project, delay=0.5)
    jobs.release_due(store)
    assert queued(store) == 0
    time.sleep(0.6)
    jobs.release_due(store)
    assert queued(store) == 1


def test_an_earlier_request_brings_a_delayed_one_forward(project, store):
    for delay in (60, 5, 30):
        jobs.request_tend(project, delay=delay)
    assert 0 < store.zscore("lq:delayed", project.key) - time.time() <= 5


class TestRequestSoon:
    """What asks for a look when a label comes in."""

    def test_a_quiet_project_is_looked_at_at_once(self, project, store):
        jobs.request_soon(project, apart=5)
        jobs.request_soon(project, apart=5)
        assert queued(store) == 1 and store.zcard("lq:delayed") == 0

    def test_while_a_look_runs_the_next_one_waits(self, project, store):
        jobs.begin_look(project, "j", "w1")
        for _ in range(20):
            jobs.request_soon(project, apart=5)
        assert queued(store) == 0 and 4 < store.zscore("lq:delayed", project.key) - time.time() <= 5

    def test_after_a_look_the_next_one_waits_for_what_is_left(self, project, store):
        jobs.begin_look(project, "j", "w1")
        jobs.end_look(project, "w1")
        time.sleep(0.2)
        jobs.request_soon(project, apart=5)
        assert queued(store) == 0 and 4 < store.zscore("lq:delayed", project.key) - time.time() <= 4.8
        store.zrem("lq:delayed", project.key)
        jobs.request_soon(project, apart=0.1)
        assert queued(store) == 1, "long enough after it"

    def test_the_clock_of_another_machine_makes_nobody_wait_longer(self, project, store):
        store.set(project.name("looked"), repr(time.time() + 1000))
        jobs.request_soon(project, apart=5)
        assert store.zscore("lq:delayed", project.key) - time.time() <= 5

    def test_a_look_that_another_worker_took_over_has_not_ended(self, project, store):
        jobs.begin_look(project, "j", "w2")
        jobs.end_look(project, "w1")
        assert not store.exists(project.name("looked"))


def test_a_look_names_its_project_and_is_tried_again_when_it_fails(project, store):
    jobs.request_tend(project)
    (job,) = queue(store, "tend").get_jobs()
    assert (job.func_name, job.args) == ("labelqueue.tending.tend_job", [project.key])
    assert job.retries_left == 2 and job.timeout == 600 and job.get_status() == "queued"
    assert store.smembers("rq:queues") == {b"rq:queue:tend"}


def test_while_a_look_runs_the_next_one_is_asked_for(project, store):
    jobs.request_tend(project)
    job = take(store)
    jobs.begin_look(project, job.id, "w1")
    jobs.request_tend(project)
    jobs.request_tend(project)
    assert queued(store) == 1
    jobs.end_look(project, "w1")
    assert queued(store) == 1 and not store.exists(project.name("tending"))


def test_a_request_made_between_taking_and_beginning_is_not_dropped_with_the_one_before(project, store):
    jobs.request_tend(project)
    job = take(store)
    jobs.request_tend(project)
    jobs.begin_look(project, job.id, "w1")
    (waiting,) = queue(store, "tend").get_job_ids()
    assert store.get(project.name("queued")) == waiting.encode()


@pytest.mark.parametrize("lost", ["job", "place", "both"])
def test_a_request_without_its_job_is_made_anew_by_the_next_one(project, store, lost):
    jobs.request_tend(project)
    if lost in ("place", "both"):
        store.delete("rq:queue:tend")
    if lost in ("job", "both"):
        store.delete(*store.keys("rq:job:*"))
    if lost == "job":  # a worker passes over it
        store.lpop("rq:queue:tend")
    jobs.request_tend(project)
    assert [job.args for job in queue(store, "tend").get_jobs()] == [[project.key]]


class TestLookAgain:
    """What housekeeping compares every few seconds."""

    def test_nothing_was_asked_for(self, project, store):
        assert not jobs.look_again(project, {"w1"}) and queued(store) == 0

    def test_it_waits(self, project, store):
        jobs.request_tend(project)
        assert not jobs.look_again(project, {"w1"}) and queued(store) == 1

    def test_the_flag_alone_is_left(self, project, store):
        store.set(project.name("queued"), "1")
        assert jobs.look_again(project, {"w1"}) and queued(store) == 1
        assert not jobs.look_again(project, {"w1"}) and queued(store) == 1

    def test_its_worker_lives(self, project, store):
        jobs.request_tend(project)
        take(store)
        assert not jobs.look_again(project, {"w1"}) and queued(store) == 0

    def test_its_worker_died_before_it_began(self, project, store):
        jobs.request_tend(project)
        take(store)
        assert jobs.look_again(project, {"w2"}) and queued(store) == 1

    def test_its_worker_died_before_rq_wrote_down_that_it_took_it(self, project, store):
        jobs.request_tend(project)
        store.lpop("rq:queue:tend")
        assert jobs.look_again(project, {"w1", "w2"}) and queued(store) == 1

    def test_its_worker_died_while_it_looked(self, project, store):
        jobs.request_tend(project)
        jobs.begin_look(project, take(store).id, "w1")
        assert not jobs.look_again(project, {"w1"}) and queued(store) == 0
        assert jobs.look_again(project, {"w2"}) and queued(store) == 1
        assert not store.exists(project.name("tending"))


def test_the_end_of_a_look_that_stalled_is_not_the_end_of_the_one_that_took_over(project, store):
    jobs.begin_look(project, "a", "w1")
    jobs.begin_look(project, "b", "w2")
    jobs.end_look(project, "w1")
    assert store.get(project.name("tending")) == b"w2"


def test_each_project_has_a_request_of_its_own(project, store):
    other = Project(store, ProjectRef(ORIGIN, 8, 1))
    other.register()
    for one in (project, other):
        jobs.request_tend(one)
        jobs.request_tend(one, delay=5)
    assert queued(store) == 2 and store.zcard("lq:delayed") == 2


def test_a_project_that_was_forgotten_meanwhile_needs_nothing(project, store):
    store.zadd("lq:delayed", {project.key: time.time() - 1})
    project.forget()
    jobs.release_due(store)
    assert queued(store) == 0 and store.zcard("lq:delayed") == 0
