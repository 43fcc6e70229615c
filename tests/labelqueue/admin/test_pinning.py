"""What admins pin and leave out: all or nothing, by name, and told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from labelqueue.admin import (
    curation,
    curation_lines,
    exclude,
    include,
    pin,
    project_status,
    status_lines,
    undo,
    unpin,
)
from labelqueue.exceptions import CurationError, ProjectError
from labelqueue.labels import ANNOTATED, UNLABELED
from labelqueue.ordering import Overlay
from labelqueue.state import NOT_CONNECTED, Orders
from labelqueue.state.task_row import TaskRow
from published import publish


@pytest.fixture
def here(project):
    rows = {task: TaskRow(f"/{task}.jpg", UNLABELED) for task in range(1, 6)}
    project.put_tasks(rows | {5: TaskRow("/5.jpg", ANNOTATED)})
    return project


def test_pins_and_exclusions_are_listed_with_where_they_come_from(here, store):
    told = pin(here, [1, 5], "the map")
    assert told["act"] == 1 and told["changed"] == 2 and store.llen("rq:queue:tend") == 1
    assert (
        told["accepted"].startswith("2 tasks are pinned as soon as a worker runs") and "1 task of" in told["accepted"]
    )
    exclude(here, [2], "  too \n dark ", "REST")
    found = curation(here)
    assert [(row["task"], row["done"], row["source"]) for row in found["pins"]] == [
        (1, False, "the map"),
        (5, True, "the map"),
    ]
    assert [(row["task"], row["image"], row["reason"]) for row in found["exclusions"]] == [(2, "/2.jpg", "too dark")]
    assert [(act["number"], act["kind"], act["tasks"], act["can_undo"]) for act in found["acts"]] == [
        (2, "exclude", 1, True),
        (1, "pin", 2, True),
    ]
    counts = found["counts"]
    assert (counts["pinned"], counts["done"], counts["excluded"]) == (2, 1, 1)
    lines = "\n".join(curation_lines(found))
    assert "2 pinned, 1 of them labeled, 1 left out" in lines and "too dark; act 2, REST" in lines
    assert len(curation(here, limit=1)["pins"]) == 1


def test_unknown_tasks_are_named_and_nothing_changes(here):
    for call in (pin, unpin, include):
        with pytest.raises(CurationError, match="has no task 77, 99"):
            call(here, [1, 77, 99], "x")
    with pytest.raises(CurationError, match=r"has no task 6, 7, .* and 40 more"):
        exclude(here, range(1, 56), "why", "x")
    assert curation(here)["pins"] == [] and curation(here)["acts"] == []


@pytest.mark.parametrize("tasks", [[], ["1"], [True], [-1], [1.0], [2**70], range(10_001)])
def test_what_is_no_list_of_tasks_is_said(here, tasks):
    with pytest.raises(CurationError, match=r"no task|10,000 is the most"):
        pin(here, tasks, "x")


@pytest.mark.parametrize("reason", ["", "  ", None, "x" * 201])
def test_an_exclusion_has_a_reason(here, reason):
    with pytest.raises(CurationError, match="reason"):
        exclude(here, [1], reason, "x")


def test_undo_takes_one_act_back_once(here):
    act = pin(here, [1, 2, 3], "lasso")["act"]
    assert pin(here, [3, 3], "x") == {
        "project": 7, "act": None, "changed": 0, "accepted": "1 task is pinned already: nothing changed"
    }  # fmt: skip
    told = undo(here, act, "x")
    assert told["changed"] == 3 and curation(here)["pins"] == []
    with pytest.raises(CurationError, match=rf"undone already, by act {told['act']}"):
        undo(here, act)
    assert undo(here, told["act"])["changed"] == 3 and len(curation(here)["pins"]) == 3
    for odd in (9, True, "1", None):
        with pytest.raises(ProjectError, match=r"has no act .*; the newest are 3, 2, 1"):
            undo(here, odd)


def test_while_paused_a_wish_is_taken_and_said_to_wait(here):
    here.set(paused="paused by an admin")
    assert "once the project is no longer paused (paused by an admin)" in pin(here, [1], "x")["accepted"]


def test_status_says_how_many_and_why_a_wish_waits(here, store):
    def said():
        return "\n".join(status_lines(project_status(here)))

    assert "pinned" not in said()
    pin(here, [1], "x")
    assert "pinned         1, of which 0 are labeled; left out: 0" in said()
    assert "act 1 is not in the queue yet: there is no order yet" in said()
    publish(here, "FreeSel")
    assert "act 1 is not in the queue yet: a look follows as soon as a worker runs" in said()
    here.set(paused=NOT_CONNECTED)
    assert f"act 1 is not in the queue yet: paused: {NOT_CONNECTED}" in said()
    live = Orders(here).live()
    Orders(here).save(replace(live, overlay=Overlay(act=1)))
    assert "act 1" not in said()
    here.set(moving='{"r1 FreeSel": [1]}')
    assert "the last scores are being changed in Label Studio" in said()


def test_what_keeps_a_wish_waiting_is_told(here):
    here.set(error="Label Studio cannot be reached")
    pin(here, [1], "x")
    assert curation(here)["counts"]["waits"] == "act 1 is not in the queue yet: Label Studio cannot be reached"
    here.set(set_aside="1800000000")
    assert "once the project is in Label Studio again" in pin(here, [2], "x")["accepted"]
    assert "act 2 is not in the queue yet: the project was deleted" in curation(here)["counts"]["waits"]
