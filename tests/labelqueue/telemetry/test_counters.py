"""Counting in memory: nothing is lost between threads, and memory is bounded."""

import threading

import pytest

from labelqueue.telemetry import COUNTED, COUNTERS, SUM, Counted, count, counters, observe, timed
from labelqueue.telemetry.counters import Counters


@pytest.fixture(autouse=True)
def afresh():
    COUNTERS.take()
    yield
    COUNTERS.take()


def test_what_is_counted_is_taken_once():
    count("looks_total", project="p", outcome="done")
    count("looks_total", 2, project="p", outcome="done")
    count("looks_total", 0, project="p", outcome="failed")
    assert COUNTERS.take() == {Counted("p", "looks_total", COUNTED, ("done",)): 3}
    assert COUNTERS.take() == {}


def test_what_is_given_back_is_counted_on():
    count("looks_total", project="p", outcome="done")
    taken = COUNTERS.take()
    count("looks_total", project="p", outcome="done")
    COUNTERS.give_back(taken)
    assert list(COUNTERS.take().values()) == [2]


@pytest.mark.parametrize(
    ("seconds", "bound"), [(0, "0.002"), (0.002, "0.002"), (0.0021, "0.005"), (1, "1.0"), (2.6, "+Inf")]
)
def test_a_duration_falls_into_the_bucket_that_ends_with_it_or_after(seconds, bound):
    observe("acknowledgement_seconds", seconds)
    name = "acknowledgement_seconds"
    assert COUNTERS.take() == {Counted("", name, bound, ()): 1, Counted("", name, SUM, ()): seconds}


def test_what_fails_is_timed_too():
    with pytest.raises(ValueError), timed("look_seconds"):
        raise ValueError
    assert sum(n for what, n in COUNTERS.take().items() if what.part != SUM) == 1


def test_threads_lose_nothing():
    def work():
        for _ in range(2000):
            count("looks_total", project="p", outcome="done")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    taken = 0.0
    while any(thread.is_alive() for thread in threads):
        taken += sum(COUNTERS.take().values())
    assert taken + sum(COUNTERS.take().values()) == 16_000


def test_memory_is_bounded_while_nobody_takes(monkeypatch):
    monkeypatch.setattr(counters, "MOST", 10)
    here = Counters()
    for number in range(20):
        here.add(Counted(str(number), "looks_total", COUNTED, ("done",)), 1)
        here.add(Counted("0", "looks_total", COUNTED, ("done",)), 1)
    taken = here.take()
    assert len(taken) == 10 and taken[Counted("0", "looks_total", COUNTED, ("done",))] == 21
