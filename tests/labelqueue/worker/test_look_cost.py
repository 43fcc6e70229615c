"""What a look costs: as much in a project of many tasks as in one of few; commands and values are counted."""

from __future__ import annotations

import pytest

from desk import Desk
from labelqueue.worker import runtime as runtimes
from labelqueue.worker.runtime import Runtime
from redis_spy import counted

FEW, MANY = 150, 1_500
CHANGES = {"nothing": lambda desk: None, "a label": lambda desk: desk.label()}


def costs(project, deployment, n):
    """Return what looks cost after each change, in a project of `n` tasks with labels and a model."""
    config = project.get("label_config")
    project.forget()
    project.register(label_config=config)
    project.put_settings({"trials": 1, "horizon": 40, "retrain_every": 10}, "test")
    desk = Desk(Runtime(deployment), project, n)
    desk.server.clock = 1_000  # long after the tasks were imported
    desk.tend()
    desk.play(16, step=8)
    desk.tend()
    assert desk.memory.model is not None
    found = {}
    for change, act in CHANGES.items():
        act(desk)
        with counted() as found[change]:
            desk.tend()
    return found


@pytest.fixture(scope="module")
def few():
    """What looks cost in a small project, once it is known."""
    return {}


def test_a_look_costs_what_changed_whatever_the_project_holds(project, deployment, few):
    few |= costs(project, deployment, FEW)
    many = costs(project, deployment, MANY)
    for change in CHANGES:
        assert (few[change].commands, few[change].items) == (many[change].commands, many[change].items), change
        assert many[change].received < 1.3 * few[change].received and many[change].sent < 1.3 * few[change].sent


def test_a_look_that_reads_everything_is_seen(project, deployment, monkeypatch, few):
    monkeypatch.setattr(runtimes, "all_tell", lambda store: False)  # so that nothing is taken from a copy
    few = few or costs(project, deployment, FEW)
    assert costs(project, deployment, 600)["nothing"].items > few["nothing"].items + 2 * (600 - FEW)
