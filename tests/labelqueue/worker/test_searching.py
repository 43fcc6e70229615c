"""The search for lost projects: one worker a minute, at once when Redis lost everything, whatever else fails."""

import time

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from labelqueue.exceptions import LabelStudioError
from labelqueue.worker import searching
from labelqueue.worker.runtime import Runtime
from labelqueue.worker.searching import TURN, Searcher


def until(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"nothing within {seconds} s"
        time.sleep(0.01)


@pytest.fixture
def running(deployment, store, monkeypatch):
    """Start searchers whose rounds are short."""
    started = []
    monkeypatch.setattr(searching, "BEAT", 0.01)

    def start(name):
        started.append(Searcher(Runtime(deployment), name))
        started[-1].start()

    yield start
    for one in started:
        one.done.set()
        one.join(timeout=60)
        assert not one.is_alive()


def test_one_worker_searches_each_minute_and_at_once_after_a_loss(running, store, monkeypatch):
    searches = []
    monkeypatch.setattr(searching, "find_lost", lambda store, client: searches.append(1))
    running("w1")
    running("w2")
    until(lambda: len(searches) == 1)
    time.sleep(0.2)
    assert len(searches) == 1 and 0 < store.pttl(TURN) <= 60_000
    store.flushall()
    until(lambda: len(searches) == 2)


@pytest.mark.parametrize("error", [RedisConnectionError("away"), LabelStudioError("away"), RuntimeError("a bug")])
def test_it_goes_on_whatever_happens(running, store, monkeypatch, error):
    searches, fails = [], [error]

    def find_lost(store, client):
        if fails:
            raise fails.pop()
        searches.append(1)

    monkeypatch.setattr(searching, "find_lost", find_lost)
    running("w1")
    until(lambda: not fails)
    store.delete(TURN)  # as when the minute is over
    until(lambda: searches)


def test_a_label_studio_that_is_away_for_a_moment_is_read_as_a_whole_afterwards(running, store, project, monkeypatch):
    monkeypatch.setattr(searching, "find_lost", lambda store, client: None)
    monkeypatch.setattr(searching, "WATCH_EVERY", 0.01)
    asked, error = [], []

    def about(self, *, again=True):
        asked.append(again)
        if error:
            raise error[0]

    def some_more():
        count = len(asked)
        until(lambda: len(asked) > count + 5)

    monkeypatch.setattr(searching.LabelStudio, "about", about)
    project.register()
    running("w1")
    running("w2")
    for _ in range(3):  # each absence counts, whoever's turn it is
        error[:] = [LabelStudioError("refused", unanswered=True)]
        until(lambda: project.get("want_full") == "1")
        error.clear()
        some_more()
        project.set(want_full="")
        some_more()
        assert not project.get("want_full"), "it is there again"
    error[:] = [LabelStudioError("no rights", status=403)]
    some_more()
    assert not project.get("want_full"), "a refusal is no absence"
    assert not any(asked), "asked once each time: tried again, a short absence would not be noticed"
