"""What a call costs does not grow with the project: Redis commands, values and bytes, at 1,000 and at 50,000 tasks."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import numpy as np
import pytest

from conftest import CONFIG, ORIGIN
from labelqueue.admin import project_status
from labelqueue.labels import ANNOTATED, UNLABELED
from labelqueue.learning import Model, Predictions
from labelqueue.ordering import CampaignState, Order, Place
from labelqueue.state import Orders, Project, ProjectRef, TaskRow, add_members, put_fields, read_columns, save_campaign
from labelqueue.web.app import create_app
from redis_spy import counted
from standing import standing

FEW, MANY = 1_000, 50_000
REF = ProjectRef(ORIGIN, 7, 1_795_221_893)
CREATED = "2026-11-21T00:44:53.544491Z"
ONES = np.ones(1, np.float32)
WEIGHTS, BIAS = np.array([[-1], [1]], np.float32), np.zeros(2, np.float32)
MODEL = Model(("cat", "dog"), False, ONES, ONES, WEIGHTS, BIAS, 1.0, 9, 9, "f")
TASKS = tuple(range(101, 151))  # of which something is asked
HTML = {"Accept": "text/html"}


def fill(project: Project, n: int, before: CampaignState) -> CampaignState:
    """Let the project have so many tasks, each embedded and predicted; what else there is of it stays the same."""
    rows = {
        t: TaskRow(f"https://images.test/{t:06d}.jpg", ANNOTATED if t <= 100 else UNLABELED) for t in range(1, n + 1)
    }
    project.put_tasks(rows)
    names = [str(task) for task in rows]
    put_fields(project.store, project.name("cache", "g", "rows"), dict.fromkeys(names, b"12345678"))
    put_fields(project.store, project.name("balance"), dict.fromkeys(names, b"north"))
    put_fields(project.store, project.name("thumbs"), dict.fromkeys(names, b"x"))
    put_fields(project.store, project.name("labels", "2"), dict.fromkeys(names[: n // 2], b"[]"))
    add_members(project.store, project.name("pending"), dict.fromkeys(names[n // 2 :], 1.0))
    bad = json.dumps({"uri": "u" * 100, "reason": "broken"}).encode()
    put_fields(project.store, project.name("quarantine"), dict.fromkeys(names[:30], bad))
    share = (np.arange(n) % 100 / 100).astype(np.float16)
    predictions = Predictions(np.arange(1, n + 1), np.column_stack((share, 1 - share)))
    state = CampaignState(trainings=1, trained_on={1: "cat"}, model=MODEL, predictions=predictions)
    save_campaign(project, state, before)
    told = standing() | {"balance": {"field": "site", "values": 1, "largest": [{"value": "north", "share": 1.0}]}}
    project.set(standing=json.dumps(told), counts=json.dumps({"tasks": n, "labeled": 100, "skipped": 0}))
    return state


@pytest.fixture
def filled(store):
    """The project with a live order; it has `FEW` tasks, then `MANY`."""
    project = Project(store, REF)
    project.register(label_config=CONFIG, schema=CONFIG)
    project.put_settings({"balance": "site", "control_share": 0.0}, "test")
    project.set(balance_field="site", generation="g", full_at=str(time.time()), head_left="50")
    order = Order(3, "r3·k7f BAL", "BAL", places=tuple(Place(task, "why") for task in TASKS), model=MODEL.fingerprint)
    Orders(project).save(order)
    Orders(project).go_live(order)
    return project


def webhook(client, task):
    annotation = {"id": task, "task": task, "completed_by": 1}
    project = {"id": REF.id, "created_at": CREATED, "label_config": CONFIG}
    body = {"action": "ANNOTATION_CREATED", "project": project, "task": {"id": task}, "annotation": annotation}
    return client.post("/webhook", json=body)


def predict(client, tasks):
    body = {"tasks": [{"id": task} for task in tasks], "project": f"{REF.id}.{REF.created}"}
    return client.post("/predict", json=body)


CALLS = {
    "status": lambda client: client.get("/api/v1/projects/7"),
    "order": lambda client: client.get("/api/v1/projects/7/order"),
    "projects": lambda client: client.get("/api/v1/projects"),
    "predict 1": lambda client: predict(client, TASKS[:1]),
    "predict 50": lambda client: predict(client, TASKS),
    "webhook": lambda client: webhook(client, 101),
    "settings": lambda client: client.get("/api/v1/projects/7/settings"),
    "metrics": lambda client: client.get("/metrics"),
    **{
        f"console{view}": lambda client, view=view: client.get(f"/console{view}", headers=HTML)
        for view in ("", "/7", "/7/queue", "/7/map", "/7/orders", "/7/orders/3", "/7/settings", "/7/health")
    },
}


def test_what_a_call_costs_does_not_grow_with_the_project(store, deployment, filled):
    client = create_app(replace(deployment, metrics="on")).test_client()
    state, spent = CampaignState(), dict[str, list[tuple[int, int, int, int]]]()
    for n in (FEW, MANY):
        state = fill(filled, n, state)
        for name, call in CALLS.items():
            call(client)  # what is made once, and kept
            with counted() as cost:
                answer = call(client)
            assert answer.status_code < 300, (name, answer.get_data(as_text=True))
            spent.setdefault(name, []).append((cost.commands, cost.items, cost.sent, cost.received))
    for name, (few, many) in spent.items():
        assert many[:2] == pytest.approx(few[:2], abs=4), (name, few, many)
        assert many[2:] == pytest.approx(few[2:], abs=300), (name, few, many)  # numbers get longer
        assert many[1] < 2_000, (name, many)


def test_the_answers_are_those_of_many_tasks(store, deployment, filled):
    fill(filled, MANY, CampaignState())
    client = create_app(deployment).test_client()
    told = CALLS["status"](client).json
    assert (told["tasks"], told["labeled"], told["published"]) == (MANY, 100, len(TASKS))
    assert told["balance"]["largest"] == [{"value": "north", "share": 1.0}]
    assert told["quarantined"] == 30 and told["bad_images"].keys() == {str(task) for task in range(1, 21)}
    results = CALLS["predict 50"](client).json["results"]
    results += predict(client, [MANY]).json["results"]
    assert [result["result"][0]["value"]["choices"][0] for result in results] == [*["dog"] * len(TASKS), "cat"]


def test_a_reading_of_all_rows_is_seen(store, filled):
    costs, state = [], CampaignState()
    for n in (FEW, 5_000):
        state = fill(filled, n, state)
        with counted() as cost:
            project_status(filled)
            read_columns(filled)
        costs.append(cost.items)
    assert costs[1] > costs[0] + 7_000
