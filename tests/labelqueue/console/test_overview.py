"""The overview: what it says of a project, the goal that people type, the switches, and what it costs."""

from __future__ import annotations

import json
import re
import time

import pytest

from labelqueue.console.overview import SWITCHES
from labelqueue.jobs.living import heartbeat, name_worker
from labelqueue.state.project import NOT_CONNECTED
from labelqueue.state.task_row import TaskRow
from standing import standing

NASTY = "<script>alert('x')</script>"


def test_it_says_where_the_project_stands_and_what_comes_next(client, labeled):
    html = client.page("/7")
    for said in (
        "The live order is r3·k7f BAL; 80 published images are still to be labeled.",
        "2 people labeled within the last hour",
        "The model trains again after 7 more labels, in about",
        "300 of 300",
        "60 of 300, 2 skipped",
        "right on 34 of 40 images",
        "between 71%",
        "Ada Byron",
        "annotator 4",
        ">24 s<",
        "2026-11-28",
        "An interval of ±10 points takes about 120 more labels.",
    ):
        assert said in html, said
    assert 'class="notice' not in html, "nothing is wrong"
    assert 'id="learning-title"' in html and 'id="classes-title"' in html and 'id="days-title"' in html


def test_a_project_that_begins_says_what_it_takes(client, project):
    heartbeat(project.store, name_worker("tending"))
    html = client.page("/7")
    for said in (
        "There are no tasks yet: import images in Label Studio",
        "There is no model yet, so there is nothing to measure.",
        "The learning curve begins with the first look at the labels.",
        "No label yet.",
        "Nobody labeled here yet.",
    ):
        assert said in html, said
    assert "<svg" not in html


def test_names_from_label_studio_are_escaped_wherever_they_stand(client, labeled):
    told = standing(NASTY, NASTY * 2)
    told["learning"] |= {
        "dropped_labels": {NASTY: 3},
        "without_label": {NASTY: 2},
        "waits_for": [NASTY],
        "reason": NASTY,
    }
    told["learning_curve"]["hints"] = [{"name": NASTY, "met": True, "told": NASTY}]
    labeled.set(
        title=NASTY,
        standing=json.dumps(told),
        people=json.dumps({"3": NASTY}),
        error=NASTY,
        settings_error=NASTY,
        rollback_error=NASTY,
        hold=NASTY,
        remade=json.dumps({"anew": [NASTY], "at": time.time()}),
    )
    labeled.quarantine({5: (NASTY, NASTY)})
    labeled.note_unreadable("tasks", {NASTY: NASTY})
    for address in ("/7", f"/7?target={NASTY}"):
        html = client.page(address)
        assert "<script>" not in html and html.count("&lt;script&gt;") > 10


@pytest.mark.parametrize("typed", ["90", "90%", " 87,5 ", "0.5", "99.9"])
def test_a_goal_is_typed_in_percent(client, labeled, typed):
    html = client.page(f"/7?target={typed.replace('%', '%25')}")
    share = float(typed.strip(" %").replace(",", "."))
    assert f"{share:.4g}%" in html and f"{share:.4g}%</text>" in html and "field-error" not in html


@pytest.mark.parametrize("typed", ["0", "100", "-3", "nan", "inf", "ninety", "1e400", "9" * 5000])
def test_what_is_no_goal_is_told_beside_the_field(client, labeled, typed):
    html = client.page(f"/7?target={typed}")
    assert 'class="field-error"' in html and 'aria-invalid="true"' in html and f'value="{typed}"' in html


def test_switches_are_asked_for_with_what_they_will_do_and_say_what_happens(client, labeled):
    html = client.page("/7")
    assert set(re.findall(r"/7/switches/(\w+)", html)) == {"pause", "retrain", "reconcile"}
    for name in ("pause", "retrain", "reconcile"):
        assert SWITCHES[name].told.split(".")[0] in html
    assert "Pause: publishing stops" in client.send("/7/switches/pause")
    assert labeled.get("pause_wanted").startswith("paused by an admin")
    labeled.set(paused="paused by an admin")
    html = client.page("/7")
    assert set(re.findall(r"/7/switches/(\w+)", html)) == {"resume", "retrain", "reconcile"}
    assert "Resume: the queue is taken over again" in client.send("/7/switches/resume")
    assert labeled.get("resume_wanted") == "1" and labeled.get("pause_wanted") == ""
    labeled.quarantine({5: ("u", "why")})
    assert "is trained again" in client.send("/7/switches/retrain") and labeled.get("retrain_wanted")
    assert "read again" in client.send("/7/switches/reconcile")
    assert labeled.get("want_full") == "1" and labeled.quarantined() == {}


def test_a_switch_without_a_token_or_of_no_name_does_nothing(client, labeled):
    for data in ({}, {"token": "0" * 64}):
        assert client.post("/console/7/switches/pause", data=data).status_code == 400
    assert client.post("/console/7/switches/forget").status_code == 404
    assert client.get("/console/7/switches/pause").status_code in (404, 405)
    assert labeled.get("pause_wanted") == ""


def test_a_switch_that_cannot_be_thrown_says_why(client, labeled):
    labeled.set(paused=NOT_CONNECTED)
    html = client.send("/7/switches/pause")
    assert 'class="notice failed"' in html and "connect it in Label Studio" in html
    assert set(re.findall(r"/7/switches/(\w+)", html)) == {"reconcile"}


def test_with_100_000_tasks_none_of_them_is_read(client, labeled):
    """What became of them is what the last look counted; the page takes milliseconds."""
    labeled.put_tasks({task: TaskRow(f"/data/upload/{task}.jpg", "u") for task in range(1, 100_001)})
    client.page("/7")
    spy = labeled.store.monitor()
    took = []
    with spy:
        for _ in range(5):
            start = time.perf_counter()
            client.page("/7")
            took.append(time.perf_counter() - start)
        labeled.store.echo("end")
        commands = []
        while "ECHO" not in (command := spy.next_command()["command"]).upper():
            commands.append(command)
    named = [one for one in commands if labeled.name("tasks") in one]
    assert {one.split()[0].upper() for one in named} <= {"HLEN"}
    assert min(took) < 0.25, took


def test_the_standing_of_a_version_before_is_shown_as_far_as_it_goes(client, labeled):
    before = {name: part for name, part in standing().items() if name != "work"}
    labeled.set(standing=json.dumps(before), counts="", live_named="", people="")
    labeled.put_tasks({task: TaskRow("/1.jpg", "u") for task in range(100)})
    html = client.page("/7")
    assert "The live order is r3·k7f BAL" in html and "60 of 100" in html and "Nobody labeled here yet." in html
