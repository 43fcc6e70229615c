"""Pins and exclusions as they are kept: acts change many tasks at once, and each is undone to the last detail."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labelqueue.labels import UNLABELED
from labelqueue.state import pins as module
from labelqueue.state.pins import Pins
from labelqueue.state.task_row import TaskRow

TASKS = (1, 2, 3, 4)


@pytest.fixture
def pins(project):
    project.put_tasks({task: TaskRow(f"/{task}.jpg", UNLABELED) for task in TASKS})
    return Pins(project)


def state(pins):
    return pins.pins(), pins.exclusions()


def test_an_exclusion_ends_a_pin_and_the_reverse(pins):
    pins.write("pin", [1, 2], "REST")
    pins.write("exclude", [2, 3], "REST", "blurry")
    assert set(pins.pins()) == {1} and {task: wish.reason for task, wish in pins.exclusions().items()} == {
        2: "blurry",
        3: "blurry",
    }
    act = pins.write("pin", [3], "command line")
    assert set(pins.pins()) == {1, 3} and set(pins.exclusions()) == {2} and (act.number, act.tasks) == (3, 1)
    assert pins.pins()[1].source == "REST" and pins.pins()[3].act == 3


def test_what_is_so_already_stays_as_it_was_and_is_no_act(pins):
    pins.write("pin", [1], "REST")
    before = state(pins)
    assert pins.write("pin", [1], "somebody else") is None and pins.write("include", [1, 2], "x") is None
    assert state(pins) == before and len(pins.acts()) == 1
    pins.write("exclude", [4], "x", "blurry")
    assert pins.write("exclude", [4], "x", "blurry") is None
    assert pins.write("exclude", [4], "x", "twice").tasks == 1, "another reason is another wish"


def test_undoing_restores_what_was_before_and_can_be_undone_and_done_again(pins):
    pins.write("pin", [1], "a")
    pins.write("exclude", [2], "b", "blurry")
    before = state(pins)
    act = pins.write("pin", [1, 2, 3], "c")
    pinned = state(pins)
    undone = pins.undo(act, "d")
    assert state(pins) == before and undone.undoes == act.number and undone.tasks == 2
    assert pins.act(act.number).undone_by == undone.number and pins.undo(act, "d") is None
    assert pins.undo(undone, "e").tasks == 2 and state(pins) == pinned
    assert pins.act(act.number).undone_by == 0 and pins.undo(act, "f") is not None
    assert state(pins) == before
    assert [one.kind for one in pins.acts()] == ["undo", "undo", "undo", "pin", "exclude", "pin"]


def test_deleted_tasks_are_in_no_list_and_are_not_brought_back(pins, project):
    act = pins.write("pin", [1, 2], "a")
    gone = pins.write("unpin", [1, 2], "a")
    project.drop_tasks([1])
    pins.undo(gone, "a")
    assert set(pins.pins()) == {2}
    project.drop_tasks([2])
    assert state(pins) == ({}, {}) and pins.tasks_of(act.number) == [1, 2]


def test_the_log_is_bounded(pins, monkeypatch):
    monkeypatch.setattr(module, "ACTS", 6)
    monkeypatch.setattr(module, "WHOLE_ACTS", 2)
    for _ in range(5):
        pins.write("pin", [1], "a")
        pins.write("unpin", [1], "a")
    assert [act.number for act in pins.acts()] == [10, 9, 8, 7, 6, 5]
    assert pins.tasks_of(9) == [1] and pins.tasks_of(8) is None
    assert pins.undo(pins.act(8), "a") is None


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["pin", "unpin", "exclude", "include"]),
            st.sets(st.sampled_from(TASKS), min_size=1),
            st.sampled_from(["blurry", "twice"]),
        ),
        max_size=6,
    )
)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_acts_undone_one_by_one_end_where_they_began(store, acts):
    from conftest import ORIGIN
    from labelqueue.state.project import Project, ProjectRef

    project = Project(store, ProjectRef(ORIGIN, 5, 1))
    project.forget()
    project.register()
    project.put_tasks({task: TaskRow("/a", UNLABELED) for task in TASKS})
    pins = Pins(project)
    states, done = [state(pins)], []
    for kind, tasks, reason in acts:
        act = pins.write(kind, sorted(tasks), "x", reason if kind == "exclude" else "")
        if act is not None:
            done.append(act)
            states.append(state(pins))
        assert not pins.pins().keys() & pins.exclusions().keys()
    for act in reversed(done):
        states.pop()
        pins.undo(act, "x")
        assert state(pins) == states[-1]


def test_the_newest_are_found_by_the_acts_and_without_them(store, project, pins):
    project.put_tasks({task: TaskRow(f"/{task}.jpg", UNLABELED) for task in range(1, 30)})
    first = pins.write("exclude", range(1, 9), "x", "dark")
    pins.write("exclude", range(20, 23), "x", "blurry")
    pins.write("exclude", [3], "x", "another reason")
    pins.write("include", [21], "x")
    undone = pins.write("exclude", [7], "x", "for a moment")
    pins.undo(pins.act(undone.number), "x")
    newest = [3, 20, 22, 1, 2, 4, 5, 6, 7, 8]
    assert list(pins.newest("exclude", 4)) == newest[:4] and list(pins.newest("exclude", 99)) == newest
    assert list(pins.newest("exclude", 9)) == newest[:9] and pins.newest("exclude", 9)[7].act == first.number
    store.delete(project.name("acts_before"))
    assert list(pins.newest("exclude", 4)) == newest[:4] and pins.newest("pin", 4) == {}
    assert pins.counts() == (0, 10)
