"""Counts in Redis: many processes add to them, and a Redis that is away loses none and holds nobody up."""

import os
import subprocess
import sys
import time

import pytest
import redis

from conftest import CONFIG, ORIGIN
from labelqueue.metrics import Keeper, flush, kept, ledger
from labelqueue.metrics.ledger import kept_key
from labelqueue.state.project import Project, ProjectRef
from labelqueue.telemetry import COUNTED, COUNTERS, SUM, Counted, count, observe
from processes import redis_server, until


@pytest.fixture(autouse=True)
def afresh():
    COUNTERS.take()
    yield
    COUNTERS.take()


def looks(project, outcome="done"):
    return kept(project.store, [project]).get(Counted(project.key, "looks_total", COUNTED, (outcome,)), 0)


def test_what_is_kept_grows_and_is_told_by_project(project):
    other = Project(project.store, ProjectRef(ORIGIN, 8, 1_800_000_000))
    other.register(label_config=CONFIG)
    for _ in range(2):
        count("looks_total", project=project.key, outcome="done")
        count("looks_total", project=other.key, outcome="failed")
        observe("look_seconds", 0.2)
        flush(project.store)
    assert (looks(project), looks(other), looks(other, "failed")) == (2, 0, 2)
    found = kept(project.store, [])
    assert found == {Counted("", "look_seconds", "0.25", ()): 2, Counted("", "look_seconds", SUM, ()): 0.4}


def test_nothing_to_keep_asks_nothing_of_redis():
    flush(None)


def test_what_was_counted_goes_with_the_project_and_does_not_come_back(project):
    count("looks_total", project=project.key, outcome="done")
    flush(project.store)
    project.forget()
    count("looks_total", project=project.key, outcome="done")  # of a look that ended meanwhile
    flush(project.store)
    assert not project.store.exists(kept_key(project.key)) and COUNTERS.take() == {}


def test_what_another_version_counted_is_passed_over(project):
    project.store.hset("lq:metrics", mapping={"miracles_total|count|": "3", "queue_jobs|count": "1", "odd": "1"})
    assert kept(project.store, [project]) == {}


def test_a_redis_that_takes_nothing_loses_nothing(project):
    count("looks_total", project=project.key, outcome="done")
    observe("look_seconds", 0.2)
    project.store.config_set("min-replicas-to-write", 1)
    try:
        with pytest.raises(redis.RedisError):
            flush(project.store)
        count("looks_total", project=project.key, outcome="done")
    finally:
        project.store.config_set("min-replicas-to-write", 0)
    flush(project.store)
    assert looks(project) == 2


def test_the_keeper_waits_for_a_redis_that_is_away_and_keeps_the_last_counts(monkeypatch, tmp_path):
    monkeypatch.setattr(ledger, "EVERY", 0.05)
    with redis_server() as server:
        client = redis.Redis.from_url(server.url)
        project = Project(client, ProjectRef(ORIGIN, 7, 1_800_000_000))
        project.register(label_config=CONFIG)
        away = [True, True, True]

        def store():
            if away:
                away.pop()
                raise redis.ConnectionError("away")
            return client

        keeper = Keeper(store)
        keeper.ensure()
        keeper.ensure()
        count("looks_total", project=project.key, outcome="done")
        until(lambda: looks(project) == 1, 60)
        assert not away
        count("looks_total", project=project.key, outcome="done")
        keeper.stop()
        assert looks(project) == 2
        keeper.ensure()  # a request that ends after the stop starts nothing
        assert not keeper._thread.is_alive()
        client.close()


def test_a_silent_redis_holds_no_work_up(tmp_path):
    with redis_server() as server:
        client = redis.Redis.from_url(server.url)
        keeper = Keeper(lambda: client)
        with server.stalled():
            keeper.ensure()
            began = time.monotonic()
            for _ in range(10_000):
                count("looks_total", project="p", outcome="done")
            assert time.monotonic() - began < 20
            keeper._done.set()
            keeper.stop()
            assert time.monotonic() - began < 20 + 2 * ledger.FAREWELL
        client.close()


def test_a_fork_keeps_on_counting(redis_home, project):
    """As gunicorn's workers do, made after the app: the parent's thread does not run in them."""
    code = """
import os, sys
from labelqueue.metrics import Keeper
from labelqueue.settings import Deployment
from labelqueue.state import connect
from labelqueue.telemetry import count
keeper = Keeper(lambda: connect(Deployment.from_environment()))
keeper.ensure()
child = os.fork()
if child == 0:
    keeper.ensure()
count("looks_total", project=sys.argv[1], outcome="done")
keeper.stop()
if child:
    os.waitpid(child, 0)
else:
    os._exit(0)
"""
    environ = {**os.environ, "PYTHONPATH": ":".join(sys.path), "LABELQUEUE_HOME": str(redis_home)}
    subprocess.run([sys.executable, "-W", "ignore", "-c", code, project.key], env=environ, timeout=60, check=True)
    assert looks(project) == 2
