"""Signs of life: they end by themselves, tell kinds and machines apart, and a worker says that it leaves."""

import os
import time

import pytest

from labelqueue.jobs import living


def test_a_silent_worker_counts_as_dead_after_a_while(store):
    for name in ("host-1-ab", "host-2-cd"):
        living.heartbeat(store, name)
    assert living.alive(store) == {"host-1-ab", "host-2-cd"}
    assert 0 < store.ttl("lq:worker:host-1-ab") <= 15
    living.bury(store, "host-1-ab")
    assert living.alive(store) == {"host-2-cd"}


def test_a_name_tells_the_kind_the_machine_and_the_process(store):
    mine = living.name_worker("tending")
    for name in (mine, "embedding-another-machine-4711-ab", "of-an-earlier-version-12-ab", "odd"):
        living.heartbeat(store, name)
    assert mine != living.name_worker("tending")
    assert living.alive(store, "tending") == {mine}
    assert living.alive(store, "embedding") == {"embedding-another-machine-4711-ab"}
    assert living.living_here(store) == {os.getpid()}


def test_what_a_worker_says_of_itself_is_known_by_machine(store, monkeypatch):
    real = time.time
    living.heartbeat(store, "embedding-b-9-ab", trouble="no file")
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: real() + 30.0)
        living.heartbeat(store, "tending-a-host-12-cd", label_studio="http://label-studio:8080")
    store.set("lq:worker:embedding-b-8-ef", str(real()), ex=15)  # as the version before writes it
    found = living.signs(store)
    told = [(one.machine, one.kind, one.number, one.label_studio, one.trouble) for one in found]
    assert told == [
        ("a-host", "tending", 12, "http://label-studio:8080", ""),
        ("b", "embedding", 8, "", ""),
        ("b", "embedding", 9, "", "no file"),
    ]
    assert [one.ahead for one in found] == [pytest.approx(30, abs=3), 0, pytest.approx(0, abs=3)]
    assert living.by_machine(found) == {"a-host": {"tending": 1}, "b": {"embedding": 2}}


def test_a_worker_says_that_it_leaves(store):
    assert not living.is_leaving(store, "w1")
    living.say_leaving(store, "w1")
    assert living.is_leaving(store, "w1") and not living.is_leaving(store, "w2")
    assert 0 < store.ttl("lq:leaving:w1") <= 3600
