"""Requests for a look at a project: one job for a burst of events, delayed ones when their time has come."""

import time

from labelqueue.jobs import queues as jobs


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
