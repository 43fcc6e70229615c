"""Tidying: what goes, what stays, and when nothing is touched."""

from __future__ import annotations

import itertools
import json
import logging
import time
from collections import Counter
from dataclasses import replace

import pytest

from labelqueue.exceptions import LabelStudioError, NotFoundError, PublishError
from labelqueue.jobs.queues import queue
from labelqueue.ordering.order import Order, Place
from labelqueue.publishing import tidying
from labelqueue.publishing.publishing import PLAIN_SAMPLING, SAMPLING
from labelqueue.publishing.tidying import LATER, QUIET, STEP, tidy
from labelqueue.state.journal import Event, Journal
from labelqueue.state.orders import Orders
from labelqueue.state.people import People

LATE = 3600.0  # seconds after everything
SIZE = STEP + 7  # tasks of an order


class Remote:
    """A Label Studio with predictions: id to version."""

    def __init__(self):
        self.values = {"model_version": "", "sampling": SAMPLING}
        self.predictions = {}
        self.calls, self.ids = [], itertools.count(1)
        self.before = lambda: None  # each deletion
        self.error = None

    def add(self, version, count):
        self.predictions |= {next(self.ids): version for _ in range(count)}

    def counts(self):
        return dict(Counter(self.predictions.values()))

    def project(self, project):
        self.calls.append("project")
        return self.values

    def prediction_counts(self, project):
        return self.counts() | {self.values["model_version"]: self.counts().get(self.values["model_version"], 0)}

    def predictions_of(self, project, version, limit):
        return [number for number, one in self.predictions.items() if one == version][:limit]

    def delete_prediction(self, number):
        self.calls.append("delete")
        self.before()
        if self.error:
            raise self.error
        del self.predictions[number]


@pytest.fixture
def remote(project, monkeypatch):
    """Label Studio after five orders."""
    monkeypatch.setattr(tidying, "PACE", 0.0)
    found = Remote()
    for number in range(1, 6):
        publish(project, found, f"r{number}·k7f FreeSel", number)
    return found


def publish(project, remote, version, number):
    order = Order(
        number, version, created_at=time.time(), places=tuple(Place(task, "why") for task in range(1, SIZE + 1))
    )
    Orders(project).save(order)
    Orders(project).go_live(order)
    project.set(order_number=str(number))
    remote.add(version, SIZE)
    remote.values["model_version"] = version
    return order


@pytest.fixture
def look(project, remote):
    """Tidy as one look does, an hour after everything by default."""
    return lambda after=LATE, check=lambda: None: tidy(project, remote, check, now=time.time() + after)


def kept(*numbers):
    return {f"r{number}·k7f FreeSel": SIZE for number in numbers}


def asked_again(project):
    at = project.store.zscore("lq:delayed", project.key)
    project.store.zrem("lq:delayed", project.key)
    return None if at is None else at - time.time()


def test_the_live_order_and_the_two_before_it_stay(project, remote, look):
    assert look() == STEP and asked_again(project) == pytest.approx(tidying.NEXT, abs=1)
    assert remote.counts() == kept(2, 3, 4, 5) | {"r1·k7f FreeSel": SIZE - STEP}, "the oldest goes first"
    while look():
        pass
    assert remote.counts() == kept(3, 4, 5) and project.get("tidied") == "r5·k7f FreeSel"
    del remote.calls[:]
    assert look() == 0
    assert remote.calls == [], "what is tidy is not looked at again"


def test_it_goes_by_when_they_went_live(project, remote, look):
    Orders(project).go_live(Orders(project).get(1))
    remote.values["model_version"] = "r1·k7f FreeSel"
    while look():
        pass
    assert remote.counts() == kept(1, 5, 4)


def test_only_what_is_ours_goes_and_all_of_that(project, remote, look):
    theirs = {"resnet": 3, "r12 mine": 2, "r1": 1, "labelqueue live": 4}
    ours = {"r1 FreeSel": 3, "r4 BAL cycle 2": 2, "r9·abc FreeSel": 3, "r6·k7f FreeSel": 2}  # 0.1.0's, lost, failed
    for version, count in (theirs | ours).items():
        remote.add(version, count)
    while look():
        pass
    assert remote.counts() == kept(3, 4, 5) | theirs


def test_a_new_order_asks_for_it_again(project, remote, look):
    while look():
        pass
    publish(project, remote, "r6·k7f FreeSel", 6)
    while look():
        pass
    assert remote.counts() == kept(4, 5, 6)


def test_records_of_0_1_0_say_no_more_than_which_order_is_live(project, remote, look):
    project.set(served="", live="4")
    remote.values["model_version"] = "r4·k7f FreeSel"
    while look():
        pass
    assert remote.counts() == kept(3, 4, 5)


class TestNothingIsTouched:
    @pytest.fixture(autouse=True)
    def _untouched(self, remote):
        yield
        assert remote.counts() == kept(1, 2, 3, 4, 5) and "delete" not in remote.calls

    def test_while_somebody_labels(self, project, look):
        now = time.time()
        People(project).note_labeled({1: now - 1})
        assert look(after=QUIET - 10) == 0
        project.store.delete(project.name("pace"))
        People(project).note([5])
        assert look(after=QUIET - 10) == 0

    def test_soon_after_an_order(self, look):
        assert look(after=QUIET - 10) == 0

    def test_while_the_project_is_paused_or_has_no_order(self, project, look):
        project.set(paused="by somebody")
        assert look() == 0
        project.set(paused="", live="")
        assert look() == 0

    @pytest.mark.parametrize(
        "change", [{"model_version": "r1·k7f FreeSel"}, {"model_version": None}, {"sampling": PLAIN_SAMPLING}]
    )
    def test_when_a_person_just_changed_the_queue(self, project, remote, look, change):
        before = dict(remote.values)
        remote.values |= change
        assert look() == 0 and project.get("tidied") == ""
        remote.values = before

    def test_while_there_is_other_work(self, project, look):
        Journal(project).append(Event("ANNOTATION_CREATED", (1,)))
        assert look() == 0
        Journal(project).clear(Journal(project).read()[1])
        queue(project.store, "tend").enqueue("labelqueue.tending.tend_job", "x")
        assert look() == 0 and asked_again(project) == pytest.approx(tidying.AFTER, abs=1), "but later"

    def test_without_the_lock(self, look):
        def lost():
            raise PublishError("this job lost its project's lock")

        with pytest.raises(PublishError):
            look(check=lost)


class TestOpenForms:
    """Label Studio refuses an answer whose form was filled in from a prediction that was deleted meanwhile."""

    @pytest.fixture
    def left(self, project, remote):
        """Somebody labeled last twenty minutes ago, under r1; r2 went live a quarter of an hour ago, and so on."""
        now = time.time()
        since = [(number, now - 60 * minutes) for number, minutes in ((5, 4), (4, 6), (3, 9), (2, 15), (1, 30))]
        project.set(served=json.dumps(since))
        for number in range(1, 6):
            order = Orders(project).get(number)
            Orders(project).save(replace(order, created_at=dict(since)[number]))
        project.store.zadd(project.name("annotators"), {"5": now - 1200})

    def test_keep_their_order_until_the_next_answer(self, project, remote, look, left):
        while look(after=0):
            pass
        assert remote.counts() == kept(1, 3, 4, 5) and project.get("tidied") == ""
        project.store.zadd(project.name("annotators"), {"5": time.time() - QUIET - 1})
        while look(after=0):
            pass
        assert remote.counts() == kept(3, 4, 5) and project.get("tidied")

    def test_that_open_just_after_a_switch_count_too(self, project, remote, look, left):
        project.store.zadd(project.name("annotators"), {"5": time.time() - 15 * 60 - 2})
        while look(after=0):
            pass
        assert remote.counts() == kept(1, 2, 3, 4, 5)

    def test_are_waited_for_an_hour(self, project, remote, look, left):
        project.store.zadd(project.name("annotators"), {"5": time.time() - 3700})
        while look(after=0):
            pass
        assert remote.counts() == kept(3, 4, 5)


def test_it_stops_when_somebody_labels(project, remote, look):
    remote.before = lambda: Journal(project).append(Event("ANNOTATION_CREATED", (1,)))
    assert look() == 1 and asked_again(project) == pytest.approx(tidying.AFTER, abs=1)


def test_a_prediction_that_is_gone_already_is_no_error(remote, look):
    calls = iter([None, NotFoundError("404", status=404), None])
    remote.before = lambda: setattr(remote, "error", next(calls, None))
    assert look() == STEP and len(remote.predictions) == 5 * SIZE - STEP


def test_a_label_studio_that_refuses_is_left_alone_for_a_while(project, remote, look, caplog):
    remote.error = LabelStudioError("DELETE is not allowed", status=405)
    with caplog.at_level(logging.WARNING):
        assert look() == 0
    assert "predictions of old orders stay for now: DELETE is not allowed" in caplog.text
    remote.error = None
    assert look() == 0 and look(after=2 * LATE + LATER) == STEP


def test_predictions_that_are_counted_and_not_shown_are_not_asked_for_in_a_circle(project, remote, look, monkeypatch):
    monkeypatch.setattr(remote, "predictions_of", lambda *arguments: [])
    assert look() == 0 and asked_again(project) is None and project.get("tidy_after")


def test_it_keeps_its_pace(project, remote, look, monkeypatch):
    slept = []
    monkeypatch.setattr(tidying, "PACE", 0.25)
    monkeypatch.setattr(tidying.time, "sleep", slept.append)
    assert look() == STEP and len(slept) == STEP and min(slept) > 0.2
