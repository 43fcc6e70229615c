"""Requests for a look at a project: one job for a burst of events, delayed ones when their time has come."""

import time

from conftest import ORIGIN
from labelqueue.jobs import queues as jobs
from labelqueue.state.project import Project, ProjectRef


def queued(store, name):
    return store.llen(f"rq:queue:{name}")


def test_a_burst_of_requests_is_one_job(project, store):
    for _ in range(50):
        jobs.request_tend(project)
        jobs.request_tend(project, delay=5)
    assert queued(store, "tend") == 1
    assert store.zcard("lq:delayed") == 1


def test_delayed_requests_become_jobs_when_due(project, store):
    jobs.request_tend(project, delay=0.05)
    jobs.request_tend(project, delay=60)  # the earlier one counts
    jobs.release_due(store)
    assert queued(store, "tend") == 0
    time.sleep(0.06)
    jobs.release_due(store)
    jobs.release_due(store)
    assert queued(store, "tend") == 1


def test_an_earlier_request_brings_a_delayed_one_forward(project, store):
    for delay in (60, 5, 30):
        jobs.request_tend(project, delay=delay)
    assert 0 < store.zscore("lq:delayed", project.key) - time.time() <= 5


def test_looks_come_before_images(store):
    assert [queue.name for queue in jobs.job_queues(store)] == ["tend", "embed"]


def test_a_look_names_its_project_and_is_tried_again_when_its_worker_dies(project, store):
    jobs.request_tend(project)
    (job,) = jobs.queue(store, "tend").get_jobs()
    assert (job.func_name, job.args) == ("labelqueue.tending.tend_job", [project.key])
    assert job.retries_left == 2


def test_a_job_that_got_lost_blocks_the_next_one_for_ten_minutes_at_most(project, store):
    jobs.request_tend(project)
    store.delete("rq:queue:tend")
    jobs.request_tend(project)
    assert queued(store, "tend") == 0 and 0 < store.ttl(project.name("queued")) <= 600
    store.delete(project.name("queued"))  # as when they are over
    jobs.request_tend(project)
    assert queued(store, "tend") == 1


def test_each_project_has_a_request_of_its_own(project, store):
    other = Project(store, ProjectRef(ORIGIN, 8, 1))
    other.register()
    for one in (project, other):
        jobs.request_tend(one)
        jobs.request_tend(one, delay=5)
    assert queued(store, "tend") == 2 and store.zcard("lq:delayed") == 2


def test_a_project_that_was_forgotten_meanwhile_needs_nothing(project, store):
    store.zadd("lq:delayed", {project.key: time.time() - 1})
    project.forget()
    jobs.release_due(store)
    assert queued(store, "tend") == 0 and store.zcard("lq:delayed") == 0


def test_a_silent_worker_counts_as_dead_after_a_while(store):
    jobs.heartbeat(store, "host-1-ab")
    jobs.heartbeat(store, "host-2-cd")
    assert jobs.alive(store) == {"host-1-ab", "host-2-cd"}
    assert 0 < store.ttl("lq:worker:host-1-ab") <= 15
    store.delete("lq:worker:host-1-ab")
    assert jobs.alive(store) == {"host-2-cd"}
