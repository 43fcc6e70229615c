"""What a line of the log is about: each piece of work its own, and nothing of the one before."""

import threading

import pytest

from labelqueue.telemetry import about, forget, note
from labelqueue.telemetry.topic import current


@pytest.fixture(autouse=True)
def afresh():
    forget()


def test_what_is_noted_inside_is_forgotten_at_the_end():
    with about(project=7, job="j"):
        note(order="r1")
        assert current() == {"project": 7, "job": "j", "order": "r1"}
        with about(project=8, job=None, order=""):
            assert current() == {"project": 8}
        assert current()["order"] == "r1"
    assert current() == {}


def test_threads_are_apart():
    seen = []
    with about(project=7):
        thread = threading.Thread(target=lambda: (note(project=8), seen.append(current())))
        thread.start()
        thread.join()
        assert (seen, current()) == ([{"project": 8}], {"project": 7})


def test_a_thread_that_is_used_again_knows_nothing():
    note(project=7)
    forget()
    assert current() == {}
