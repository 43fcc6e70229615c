"""What is looked up when somebody asks: as status tells it, in a few commands however large the projects are."""

import time

import pytest

from conftest import CONFIG, ORIGIN
from labelqueue.jobs.living import heartbeat, name_worker
from labelqueue.jobs.looks import request_tend
from labelqueue.jobs.servers import cool_down
from labelqueue.jobs.shards import enqueue_shards
from labelqueue.labels.annotations import UNLABELED
from labelqueue.learning.accuracy import ControlRecord, report
from labelqueue.metrics import gauges, projects_of
from labelqueue.metrics.gauge import FACTS
from labelqueue.ordering.order import Order, Place
from labelqueue.state.campaigns import save_summary
from labelqueue.state.journal import Event, Journal
from labelqueue.state.orders import Orders
from labelqueue.state.project import Project, ProjectRef
from labelqueue.state.task_row import TaskRow
from redis_spy import watched


def told(store, *projects):
    """Every gauge, by name and labels."""
    return {(gauge.metric, *gauge.labels): gauge.value for gauge in gauges(store, projects)}


def order(number, *tasks):
    return Order(
        number=number, version=f"r{number} FreeSel", strategy="freesel", parameters={"seed": 0}, generation="g",
        arrivals=3, labeled=0, embedded=3, created_at=1_800_000_000.0,
        places=tuple(Place(task, "covers") for task in tasks),
    )  # fmt: skip


def accuracy(right, wrong):
    records = [ControlRecord(n, "r1", 1, 10, "cat") for n in range(right + wrong)]
    labels = {n: "cat" if n < right else "dog" for n in range(right + wrong)}
    return {"controls": right + wrong, **report(records, labels, (), classes=("cat", "dog")).as_dict(), "lines": []}


def test_a_project_without_anything_has_zeros_and_no_guesses(store, project):
    found = told(store, project)
    mine = {name: value for (name, *labels), value in found.items() if labels == ["7"]}
    assert set(mine.values()) == {0} and {"tasks", "labels", "paused", "failing", "events_waiting"} <= mine.keys()
    assert not {"order_age_seconds", "head_left", "accuracy_ratio", "accuracy_low_ratio"} & mine.keys()
    assert found["workers", "tending"] == found["queue_jobs", "tend"] == found["slow_servers",] == 0


def test_everything_is_looked_up(store, project):
    project.put_tasks({task: TaskRow(f"/{task}.jpg", UNLABELED) for task in range(1, 201)})
    project.store.hset(project.name("cache", "g", "rows"), mapping={"1": "x", "2": "x"})
    project.store.zadd(project.name("pending"), {str(task): task for task in range(1, 171)})
    project.store.zadd(project.name("late"), {"180": time.time() + 60})
    project.quarantine({190: ("/190.jpg", "bad"), 191: ("/191.jpg", "bad")})
    Journal(project).append(Event("TASKS_CREATED", (1,)))
    Journal(project).append(Event("TASKS_CREATED", (2,)))
    Orders(project).save(order(1, 1, 2, 3))
    Orders(project).go_live(order(1))
    project.set(generation="g", head_left="2", error="Label Studio is away")
    save_summary(project, {"learning": {"labels": 40}, "accuracy": accuracy(30, 10)})
    enqueue_shards(project)  # 4 shards of 32 images
    request_tend(project)
    for kind in ("tending", "embedding", "embedding"):
        heartbeat(store, name_worker(kind))
    cool_down(store, "https://slow.test", "silent")
    time.sleep(0.05)

    found = told(store, project)
    mine = {name: value for (name, *labels), value in found.items() if labels == ["7"]}
    assert mine.pop("events_oldest_seconds") == pytest.approx(0.05, abs=5) and mine.pop("order_age_seconds") < 5
    low, high = mine.pop("accuracy_low_ratio"), mine.pop("accuracy_high_ratio")
    assert 0.5 < low < 0.75 < high < 0.9
    assert mine == {
        "events_waiting": 2, "tasks": 200, "tasks_embedded": 2, "images_waiting": 171, "images_quarantined": 2,
        "paused": 0, "failing": 1, "labels": 40, "accuracy_controls": 40, "accuracy_ratio": 0.75, "head_left": 2,
    }  # fmt: skip
    assert (found["queue_jobs", "tend"], found["queue_jobs", "embed"], found["queue_jobs", "page"]) == (1, 4, 0)
    assert 0 < found["queue_oldest_seconds", "embed"] < 5 and found["queue_oldest_seconds", "page"] == 0
    assert (found["workers", "tending"], found["workers", "embedding"], found["slow_servers",]) == (1, 2, 1)


def test_a_paused_project_has_no_head(store, project):
    Orders(project).go_live(order(1))
    project.set(head_left="2", paused="somebody said so")
    found = told(store, project)
    assert found["paused", "7"] == 1 and not {("head_left", "7"), ("order_age_seconds", "7")} & found.keys()


def test_of_several_with_one_id_the_newest_is_told_and_none_of_another_server(store, project):
    newer = Project(store, ProjectRef(ORIGIN, 7, 1_900_000_000))
    for other in (newer, Project(store, ProjectRef("http://other.test", 7, 1))):
        other.register(label_config=CONFIG)
    assert [found.key for found in projects_of(store, ORIGIN)] == [newer.key]
    assert projects_of(store, "http://nowhere.test") == []


def test_the_facts_are_read_without_the_large_ones(store, project):
    assert not {"label_config", "schema", "secret"} & set(FACTS)
    project.put_tasks({task: TaskRow(f"/{task}.jpg", UNLABELED) for task in range(3000)})
    project.quarantine({task: (f"/{task}.jpg", "bad") for task in range(3000)})
    for number in range(200):
        Journal(project).append(Event("TASKS_CREATED", (number,)))
    with watched(1000) as spy:
        told(store, project)
    assert spy.wrong == [] and spy.sent < 40
