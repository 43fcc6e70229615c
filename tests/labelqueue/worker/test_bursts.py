"""Two services that get the same labels, one looking after each, the other after bursts: they learn and order alike."""

from __future__ import annotations

from dataclasses import replace

import pytest

from conftest import CONFIG, ORIGIN
from desk import Desk
from labelqueue.state.project import Project, ProjectRef
from labelqueue.worker.runtime import Runtime

SETTINGS = {"switch_after": 20, "trials": 3, "control_share": 0.2}
N, LABELS = 300, 100


def service(store, deployment, number, **settings):
    project = Project(store, ProjectRef(ORIGIN, number, 1_800_000_000))
    project.register(label_config=CONFIG, title="animals")
    project.put_settings(SETTINGS | settings, "test")
    desk = Desk(Runtime(deployment), project, N)
    desk.tend()
    return desk


def answer(desk, event):
    """Let a person label a task, or skip it: less than zero."""
    task = abs(event)
    desk.server.label(task, desk.truth[task])
    if event < 0:
        row = desk.server.rows[task]
        row["annotations"][0] |= {"was_cancelled": True, "result": []}
        row |= {"total_annotations": 0, "cancelled_annotations": 1}


def learned(desk):
    """What was learned, but for which tasks were controls: that depends on the orders that were really served."""
    memory = desk.memory
    guesses = [replace(guess, control="") for guess in memory.blind_guesses()]
    facts = memory.trained_on, memory.trainings, memory.course, memory.cycle, memory.trust, memory.heard
    return facts, guesses, memory.model and memory.model.digest, memory.geometry and memory.geometry.digest


def open_places(desk):
    return [place for place in desk.live.places if not desk.server.rows[place.task]["annotations"]]


@pytest.mark.parametrize("settings", [{}, {"warm": "margin", "prelabel": "on", "control_share": 0.4, "horizon": 20}])
def test_a_burst_leads_where_its_labels_lead_one_by_one(store, deployment, settings):
    prompt = service(store, deployment, 1, **settings)
    events, then = [], {}
    for number in range(1, LABELS + 1):
        ahead = open_places(prompt)
        event = ahead[number % 4 * 5].task if number % 5 == 0 else ahead[0].task  # now and then by hand
        events.append(-event if number % 9 == 0 else event)
        answer(prompt, events[-1])
        prompt.tend()
        then[number] = learned(prompt), open_places(prompt)
    assert prompt.memory.course.phase == "warm"
    for project, burst in ((2, 7), (3, 50)):
        late = service(store, deployment, project, **settings)
        for number, event in enumerate(events, start=1):
            answer(late, event)
            if number % burst == 0:
                late.tend()
                memory, ahead = then[number]
                assert learned(late) == memory
                both = min(len(ahead), len(open_places(late)))
                assert both > 20 and open_places(late)[:both] == ahead[:both]
        assert late.live.number <= prompt.live.number
