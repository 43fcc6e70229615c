"""Changes that arrive late: written down first, known by it afterwards, and undone by whoever holds the lock then."""

import time

import pytest

from desk import Desk
from labelqueue import admin
from labelqueue.exceptions import LabelStudioError, PublishError
from labelqueue.publishing import intents
from labelqueue.publishing.intents import change_project, slipped_through
from labelqueue.publishing.publishing import SAMPLING
from labelqueue.worker.runtime import Runtime


@pytest.fixture
def desk(project, deployment):
    """A project with two orders, the second of which is live."""
    project.put_settings({"trials": 1, "horizon": 10, "strategy": "freesel", "prelabel": "off"}, "a test")
    desk = Desk(Runtime(deployment), project, 60)
    desk.tend()
    project.set(retrain_wanted="1")
    desk.tend()
    assert desk.live.version == "r2·k7f FreeSel" and left(project) == 0
    return desk


def left(project):
    """Return how many changes were written down and not finished."""
    return project.store.hlen(project.name("intents"))


def stall(project, server, **values):
    """Let a job lose its lock between its look at it and the arrival of its change."""
    looks = []

    def check():
        looks.append(1)
        if len(looks) == 2:
            raise PublishError("this job lost its project's lock")

    with pytest.raises(PublishError):
        change_project(project, server, check, **values)
    assert all(server.remote[field] == value for field, value in values.items()), "it arrived"


def test_a_change_that_was_finished_or_never_sent_leaves_nothing(project, desk):
    def lost():
        raise PublishError("lost")

    with pytest.raises(PublishError):
        change_project(project, desk.server, lost, sampling="x")
    assert desk.server.remote["sampling"] == SAMPLING and left(project) == 0


@pytest.mark.parametrize(("status", "remains"), [(400, 0), (None, 1)])
def test_a_change_that_may_have_arrived_is_remembered(project, desk, monkeypatch, status, remains):
    def fail(*arguments, **values):
        raise LabelStudioError("no", status=status)

    monkeypatch.setattr(desk.server, "update_project", fail)
    with pytest.raises(LabelStudioError):
        change_project(project, desk.server, lambda: None, sampling="x")
    assert left(project) == remains


def test_a_switch_that_came_late_is_undone_within_one_look(project, desk):
    stall(project, desk.server, model_version="r1·k7f FreeSel", sampling=SAMPLING)
    desk.tend()
    assert desk.server.remote["model_version"] == desk.live.version == "r2·k7f FreeSel"
    assert project.get("paused") == project.get("hold") == "" and left(project) == 0


def test_a_sampling_that_was_given_back_late_is_undone_within_one_look(project, desk):
    stall(project, desk.server, sampling="Sequential sampling")
    desk.tend()
    assert desk.server.remote["sampling"] == SAMPLING and project.get("paused") == "" and left(project) == 0


def test_a_switch_that_came_late_does_not_end_a_pause(project, desk):
    admin.pause(project)
    desk.tend()
    stall(project, desk.server, model_version="r2·k7f FreeSel", sampling=SAMPLING)
    desk.tend()
    assert desk.server.remote["sampling"] != SAMPLING and "labelqueue resume" in project.get("paused")


def test_a_switch_that_came_after_the_backend_was_removed_is_undone(project, desk, monkeypatch):
    monkeypatch.setattr(desk.server, "ml_backends", lambda project, **options: [])
    project.set(setup_at="0", sampling_before="Sequential sampling")
    stall(project, desk.server, model_version="r2·k7f FreeSel", sampling=SAMPLING)
    project.set(live="", sampling_before="")
    assert desk.tend() == "removed"
    assert desk.server.remote["sampling"] == "Sequential sampling" and left(project) == 0


def test_the_switch_of_a_job_that_was_killed_right_after_it_counts(project, desk, monkeypatch):
    """Nobody published since: its order is the newest, and it is what Label Studio serves."""
    project.set(retrain_wanted="1")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("labelqueue.state.orders.Orders.go_live", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        desk.tend()
    assert desk.server.remote["model_version"] == "r3·k7f FreeSel"
    desk.tend()
    assert desk.live.number >= 3 and project.get("hold") == "" and project.get("paused") == ""


def test_what_a_person_does_is_still_a_persons(project, desk):
    desk.server.remote["sampling"] = "Uniform sampling"
    desk.tend()
    assert "sampling was changed to 'Uniform sampling'" in project.get("paused")


def test_what_was_written_down_is_forgotten_after_an_hour(project, desk, monkeypatch):
    stall(project, desk.server, sampling="x")
    now = time.time
    monkeypatch.setattr(intents.time, "time", lambda: now() + 3601)
    assert slipped_through(project, {"sampling": "y"}) is None and left(project) == 0
