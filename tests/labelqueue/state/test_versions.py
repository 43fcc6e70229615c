"""Two versions on one Redis: what the next one wrote is made anew and said, and 0.1.0 finds what it left."""

from __future__ import annotations

import json
import logging

import pytest
from rq import Queue, SimpleWorker
from rq.job import JobStatus
from rq.serializers import JSONSerializer

from before import PIXELS_THEN, its_server, restore, work
from labelqueue.admin.status import project_status, status_lines
from labelqueue.images import embedder
from labelqueue.jobs.queues import queue
from labelqueue.jobs.shards import reclaim
from labelqueue.labels.annotations import UNLABELED
from labelqueue.ordering.order import Order, Place
from labelqueue.state.campaigns import load_campaign
from labelqueue.state.formats import KEYS, PARTS, READERS, make_readable, matches
from labelqueue.state.journal import Event, Journal
from labelqueue.state.orders import Orders
from labelqueue.state.project import Project
from labelqueue.state.task_row import TaskRow
from labelqueue.worker.look import tend_job

# What 0.1.0 reads of the keys that it shares with this version; it knows no other field in the strict ones.
STRICT = {"lq:projects": {"origin", "id", "created"}, "settings": {"value", "source", "at"}}

# Facts are looked at one by one. Whoever runs beside another version has to keep what both go by.
BETWEEN_VERSIONS = {"info", "lock", "fence", "queued", "tending"}


@pytest.fixture
def here(store, deployment, monkeypatch):
    """What 0.1.0 left, with its Label Studio, looked at once by this version."""
    monkeypatch.setattr(embedder, "PREPROCESSING", PIXELS_THEN)
    document = restore(store)
    project = Project.all(store)[0]
    project.server = its_server(document, store, deployment)
    return project


def rewritten(project, part):
    """Write a part as a later version might: in forms that nobody knows here, and under keys of its own too."""
    store, start = project.store, project.name("")
    for key in store.scan_iter(f"{start}*"):
        name = key.decode().removeprefix(start)
        if name in BETWEEN_VERSIONS or not any(row.part == part and matches(row.name, name) for row in KEYS):
            continue
        kind = store.type(key)
        if kind == b"hash":
            store.hset(key, mapping=dict.fromkeys(store.hkeys(key), b"\x82next") | {b"of a later version": b"[1"})
        elif kind == b"zset":
            store.zadd(key, {"image:7": 1.0})
        elif kind == b"stream":
            store.xadd(key, {"of a later version": "1"})
        else:
            store.set(key, b"\x82next")
    store.hset(project.name(f"{next(row.name for row in KEYS if row.part == part).partition(':')[0]}:99"), "a", "b")


@pytest.mark.parametrize("part", PARTS)
def test_what_the_next_version_wrote_is_made_anew_and_said(part, here, store, caplog):
    work(store, "tend")
    here.put_settings({"seed": 4}, "test")
    here.quarantine({1: ("u", "bad")})
    Journal(here).append(Event("TASKS_CREATED", (1,)))
    labels = len(load_campaign(here).trained_on)
    formats = {name: each.format for name, each in PARTS.items()}
    rewritten(here, part)
    if part == "facts":
        here.set(**dict.fromkeys(READERS, "of a later version"), mood="good")
    here.set(formats=json.dumps(formats | {part: formats[part] + 1, "of a later version": 7}))
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(4):
            store.delete(here.name("queued"))
            here.store.zadd("lq:delayed", {here.key: 1.0})
            work(store, "tend") or work_now(here)
            work(store, "embed")
    assert f"its {part} have format {formats[part] + 1}" in caplog.text
    assert json.loads(here.get("formats")) == formats and here.get("error") == ""
    status = project_status(here)
    assert part in status["remade"] and "another version wrote them" in "\n".join(status_lines(status))
    live = Orders(here).live()
    assert live and here.server.remote["model_version"] == live.version and here.task_count() == 63
    assert len(load_campaign(here).trained_on) >= labels - 10
    assert here.settings()["seed"] == (0 if part == "settings" else 4)
    assert caplog.text.count(f"its {part} have format") == 1, "once, not at every look"


def work_now(project):
    """Let the look happen that housekeeping would ask for."""
    tend_job(project.key)


def test_jobs_that_only_a_later_version_knows_stop_nobody(here, store):
    tend = queue(store, "tend")
    waiting = tend.get_jobs()
    late = Queue("tend", connection=store, serializer=JSONSerializer).enqueue("labelqueue.of_a_later.version", here.key)
    worker = SimpleWorker([tend], connection=store, serializer=JSONSerializer)
    worker._install_signal_handlers = lambda: None
    worker.work(burst=True, max_jobs=2, logging_level="CRITICAL")
    assert late.get_status() == JobStatus.FAILED
    assert [job.get_status() for job in waiting] == [JobStatus.FINISHED] and here.get("error") == ""


class TestTheVersionBefore:
    """What 0.1.0 reads is as it left it, or in the form that it reads; its own reading of it was tried by hand."""

    def test_finds_its_own_orders_and_campaign(self, here, store):
        kept = {name: store.hgetall(here.name(name)) for name in ("orders", "campaign")}
        assert all(kept.values())
        work(store, "tend")
        orders = Orders(here)
        orders.save(Order(9, "r9 BAL", places=(Place(1, "why"),)))
        assert {name: store.hgetall(here.name(name)) for name in kept} == kept
        # One more: the first look of this version orders by its own rules.
        theirs = sorted(int(number) for number in kept["orders"])
        assert [order.number for order in orders.all()] == [*theirs, theirs[-1] + 1, 9]

    def test_shares_forms_that_it_reads(self, here, store):
        here.put_settings({"seed": 4}, "test")
        here.register()
        for key, fields in STRICT.items():
            rows = store.hvals(key if key.startswith("lq:") else here.name(key))
            assert rows and all(json.loads(raw).keys() == fields for raw in rows), key
        assert store.type(here.name("tasks")) == b"hash" and TaskRow("u", UNLABELED).dump() == b"uu"
        store.delete(here.name("journal"))
        Journal(here).append(Event("TASKS_CREATED", (1,), (2,), (3,)))
        ((_, row),) = store.xrange(here.name("journal"))
        assert json.loads(row[b"event"]) == ["TASKS_CREATED", [1], [2], [3]]
        here.quarantine({5: ("u", "bad")})
        assert json.loads(store.hget(here.name("quarantine"), "5")) == {"uri": "u", "reason": "bad"}

    def test_publishes_an_order_while_both_run_and_it_is_taken_over(self, here, store):
        work(store, "tend")
        number = Orders(here).next_number()
        theirs = Order(number, f"r{number} FreeSel", places=(Place(1, "why"),))
        row = json.loads(theirs.dump())
        del row["format"]
        store.hset(here.name("orders"), str(number), json.dumps(row))
        here.set(live=str(number))
        assert make_readable(here) == [] and Orders(here).live() == theirs

    def test_reads_on_its_own_and_misses_no_label(self, here, store):
        """Each has its own mark of how far it read."""
        mark = here.get("watermark")
        assert mark
        work(store, "tend")
        assert here.get("watermark") == mark and here.get("read_to")


def test_a_project_whose_row_nobody_can_read_stops_no_other(here, store, caplog):
    store.hset("lq:projects", "0a0a0a0a-9-1", json.dumps(["of a later version"]))
    store.hset("lq:projects", "0b0b0b0b-9-1", json.dumps({"kind": "of a later version"}))
    with caplog.at_level(logging.WARNING):
        assert [project.key for project in Project.all(store)] == [here.key]
    assert "0a0a0a0a-9-1 is passed over" in caplog.text
    work_now(here)
    assert reclaim(here) == 0


def test_a_new_project_is_said_to_be_no_other_versions(project, caplog):
    with caplog.at_level(logging.WARNING):
        assert make_readable(project) == []
    assert caplog.text == "" and project.get("remade") == ""
    assert json.loads(project.get("formats")) == {name: part.format for name, part in PARTS.items()}
    project.set(formats="of a later version")
    make_readable(project)
    assert json.loads(project.get("formats")) == {name: part.format for name, part in PARTS.items()}
