"""Projects of many tasks: no command to Redis is large or slow, and a look reads a slice."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from desk import Desk
from labelqueue.admin import project_status, status_lines
from labelqueue.jobs import heartbeat
from labelqueue.labels import ANNOTATED, UNLABELED
from labelqueue.reading import reading
from labelqueue.state import Event, Journal, Project, TaskRow, add_members, read_columns
from labelqueue.store import chunks
from labelqueue.worker import look as tending
from labelqueue.worker.runtime import Runtime, install
from redis_spy import watched

MANY = 60_000  # several times what any command may carry
WHEN = "2026-11-21T10:00:00+00:00"


class Rows:
    """The reading side of a Label Studio with `n` tasks that nobody annotated."""

    def __init__(self, n: int) -> None:
        self.n = n

    def project(self, project: int) -> dict[str, Any]:
        return {"task_number": self.n, "total_annotations_number": 0, "skipped_annotations_number": 0}

    def newest_change(self, project: int) -> str:
        return WHEN

    def tasks(self, project: int, *, since: Any = None, after: int = 0, **options: Any) -> Iterator[dict[str, Any]]:
        counts = {"is_labeled": False, "total_annotations": 0, "cancelled_annotations": 0}
        for task in range(after + 1, 1 if since else self.n + 1):
            uri = f"https://images.example.test/{task:08d}.jpg"
            yield {"id": task, "data": {"image": uri}, "updated_at": WHEN} | counts

    def annotated(self, *arguments: Any, **options: Any) -> Iterator[Any]:
        return iter(())

    def existing(self, project: int, tasks: list[int]) -> set[int]:
        return {task for task in tasks if task <= self.n}


def read_all(project: Project, client: Rows) -> list[str]:
    """Look until everything is read; return what was left after each look."""
    left = []
    while not left or left[-1]:
        reading.read_project(project, client, project.target(), None, (), lambda: None)
        left.append(reading.unread(project))
    return left


def test_no_command_carries_more_than_a_chunk_of_a_project(project, store, monkeypatch):
    monkeypatch.setattr(reading, "SLICE", -1.0)  # a page, whatever the machine's speed
    monkeypatch.setattr("labelqueue.reading.pages.PAGE", 15_000)
    client = Rows(MANY)
    with watched(most=10_000) as spy:
        left = read_all(project, client)
        assert len(left) == 5 and left[-1] == "" and left[0] == "reading everything: 15,000 of 60,000"
        columns = read_columns(project)
        assert len(columns) == MANY and columns.ids[-1] == MANY
        add_members(store, project.name("pending"), {str(task): task for task in columns.ids.tolist()})
        assert project_status(project)["tasks"] == MANY
        client.n = MANY // 2  # half of them are deleted, and no event says which
        read_all(project, client)
        assert project.task_count() == store.zcard(project.name("pending")) == MANY // 2
        project.forget()
    assert [key for key in store.scan_iter("*", count=1000) if project.key.encode() in key] == []
    assert spy.wrong == [] and spy.sent > 100


def test_what_a_look_sends_is_small_whatever_the_project_holds(project, deployment, monkeypatch):
    monkeypatch.setattr(tending, "get_current_job", lambda: None)
    project.put_settings({"trials": 1, "horizon": 60, "strategy": "freesel", "balance": "image"}, "test")
    runtime = Runtime(deployment)
    desk = Desk(runtime, project, 500)
    install(runtime)
    most = 100  # far below the number of everything there is
    for name in ("WRITTEN", "READ"):
        monkeypatch.setattr(chunks, name, most)
    with watched(most) as spy:
        desk.embed(8)
        assert "is live" in desk.tend()
        desk.play(30, step=15)
        desk.server.rows.update({task: desk.server._row(task, [], 0) for task in range(501, 1001)})
        project.set(want_full="1")
        desk.tend()  # 500 images that wait
        project.quarantine({task: (f"u{task}", "broken") for task in range(501, 1001)})
        for task in range(1, 151):
            desk.server.label(task, "cat")
            Journal(project).append(Event("ANNOTATION_CREATED", (task,), (task,), (task,)))
        tending.tend_job(project.key)
        for task in range(301, 1001):
            del desk.server.rows[task]
        Journal(project).append(Event("TASKS_DELETED", tuple(range(301, 1001))))
        desk.tend()
        assert project.task_count() == 300
        assert "\n".join(status_lines(project_status(project)))
        project.release_quarantine()
        runtime.cache(project, project.get("generation")).delete()
        project.forget()
    assert sorted(set(spy.wrong)) == [] and spy.sent > 200


def test_the_spy_sees_what_must_not_be_sent(project, store):
    key = project.name("tasks")
    wrong = [
        lambda: store.hgetall(key),
        lambda: store.hset(key, mapping={str(i): "" for i in range(11)}),
        lambda: store.hmget(key, [str(i) for i in range(11)]),
        lambda: store.delete(key),
        lambda: store.xrange(project.name("journal")),
        lambda: store.pipeline().hvals(key).execute(),
    ]
    for number, call in enumerate(wrong, 1):
        with watched(10) as spy:
            call()
            store.hset(key, mapping={str(i): "" for i in range(10)})
            store.hgetall(project.name("info"))
        assert len(spy.wrong) == 1 and spy.sent >= 3, (number, spy.wrong)


def test_reading_many_tasks_holds_a_page_of_them(project, monkeypatch):
    read_all(project, Rows(1000))
    project.set(want_full="1")
    tracemalloc.start()
    try:
        read_all(project, Rows(40_000))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 15e6, "bytes; all of them as rows take 25 MB"


def test_labels_do_not_wait_for_the_reading_of_everything(project, deployment, monkeypatch):
    monkeypatch.setattr(tending, "get_current_job", lambda: SimpleNamespace(id="j", worker_name="alive"))
    heartbeat(project.store, "alive")
    project.put_settings({"trials": 1, "horizon": 10, "strategy": "freesel", "prelabel": "off"}, "test")
    runtime = Runtime(deployment)
    desk = Desk(runtime, project, 60)
    install(runtime)
    tending.tend_job(project.key)
    monkeypatch.setattr(reading, "SLICE", -1.0)
    monkeypatch.setattr("labelqueue.reading.pages.PAGE", 20)
    project.set(want_full="1")
    store = project.store

    def step() -> str:
        store.delete("lq:delayed")
        return tending.tend_job(project.key)

    assert step() == "the live order holds" and reading.unread(project) == "reading everything: 20 of 60"
    assert not store.exists(project.name("lock")), "others may have their turn"
    assert store.zscore("lq:delayed", project.key) <= time.time() + 1, "the next slice is asked for"
    assert "  reading        everything: 20 of 60" in list(status_lines(project_status(project)))
    task = desk.next().task
    desk.server.label(task, "cat")
    Journal(project).append(Event("ANNOTATION_CREATED", (1,), (5,), (task,)))
    step()
    assert reading.unread(project) and project.tasks()[task].state != UNLABELED
    while reading.unread(project):
        step()
    assert not store.exists("lq:delayed")
    assert project_status(project)["reading"] is None


@pytest.mark.parametrize("annotated", [0, 1])
def test_no_order_is_made_from_a_part_of_the_labels(project, deployment, monkeypatch, annotated):
    monkeypatch.setattr(tending, "get_current_job", lambda: None)
    project.put_settings({"trials": 1, "horizon": 10, "strategy": "freesel", "prelabel": "off"}, "test")
    runtime = Runtime(deployment)
    desk = Desk(runtime, project, 60)
    desk.server.remote |= {"total_annotations_number": annotated, "skipped_annotations_number": 0}
    if annotated:
        desk.server.label(50, "cat")
    monkeypatch.setattr(reading, "SLICE", -1.0)
    monkeypatch.setattr("labelqueue.reading.pages.PAGE", 20)
    first = desk.tend()
    assert first == "reading everything: 20 of 60" if annotated else "is live" in first
    outcomes = [first]
    while reading.unread(project):
        outcomes.append(desk.tend())
    assert len(outcomes) > 3 and any("is live" in outcome for outcome in outcomes)
    assert desk.project.tasks()[50].state == (ANNOTATED if annotated else UNLABELED)


def test_events_beyond_those_of_one_look_ask_for_another(project, deployment, monkeypatch):
    monkeypatch.setattr(tending, "get_current_job", lambda: None)
    monkeypatch.setattr("labelqueue.state.journal.AT_ONCE", 3)
    monkeypatch.setattr("labelqueue.state.journal.CHUNK", 2)
    runtime = Runtime(deployment)
    Desk(runtime, project, 60)
    install(runtime)
    journal = Journal(project)
    for task in range(1, 8):
        journal.append(Event("ANNOTATION_CREATED", (task,), (), (task,)))
    tending.tend_job(project.key)
    assert len(journal) == 3 and project.store.zscore("lq:delayed", project.key) <= time.time() + 1
    tending.tend_job(project.key)
    assert len(journal) == 0


def test_a_stalled_job_does_not_put_back_what_was_dropped(project):
    project.put_tasks({1: TaskRow("u", UNLABELED)})

    def lost() -> None:
        raise tending.ProjectError("lost")

    with pytest.raises(tending.ProjectError):
        reading.read_project(project, Rows(5), project.target(), None, (), lost)
    assert set(project.tasks()) == {1}


def test_a_project_that_was_removed_meanwhile_is_not_looked_at_again_and_again(project, deployment, monkeypatch):
    monkeypatch.setattr(tending, "get_current_job", lambda: None)
    runtime = Runtime(deployment)
    desk = Desk(runtime, project, 60)
    install(runtime)
    monkeypatch.setattr(reading, "SLICE", -1.0)
    monkeypatch.setattr("labelqueue.reading.pages.PAGE", 20)
    desk.tend()
    assert reading.unread(project)
    project.store.delete("lq:delayed")
    monkeypatch.setattr(desk.server, "ml_backends", lambda *arguments, **options: [])
    assert desk.tend() == "removed" and not project.store.exists("lq:delayed")
