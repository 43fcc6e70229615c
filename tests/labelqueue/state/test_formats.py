"""What another version stored: read as far as it is known, made anew where it cannot be, and always said."""

from __future__ import annotations

import ast
import json
import logging
import re
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from rq import SimpleWorker
from rq.job import JobStatus
from rq.serializers import JSONSerializer

import labelqueue
from before import PIXELS_THEN, its_server, restore, work
from labelqueue.block import Block
from labelqueue.images import embedder
from labelqueue.jobs.queues import queue as job_queue
from labelqueue.labels.annotations import Annotation
from labelqueue.learning.phase import Course
from labelqueue.ordering.campaign_state import CampaignState
from labelqueue.ordering.order import Order, Place
from labelqueue.state.campaigns import load_campaign
from labelqueue.state.formats import KEYS, PARTS, SHARED_KEYS, make_readable, matches
from labelqueue.state.journal import Event, Journal
from labelqueue.state.orders import Orders
from labelqueue.state.project import PER_TASK, Project
from labelqueue.store.lock import ProjectLock

SOURCE = Path(labelqueue.__file__).parent


@pytest.fixture
def before(store):
    return restore(store)


@pytest.fixture
def same_pixels(monkeypatch):
    """Let images look to the model as they did in 0.1.0: what is left to differ is how state is stored."""
    monkeypatch.setattr(embedder, "PREPROCESSING", PIXELS_THEN)


@pytest.fixture
def server(before, store, deployment):
    return its_server(before, store, deployment)


def test_a_version_later_it_goes_on_without_training_and_orders_by_todays_rule(same_pixels, before, server, store):
    project = Project.all(store)[0]
    live, state = Orders(project).live(), load_campaign(project)
    assert (live.version, state.course.phase) == (before["was"]["version"], before["was"]["phase"])
    assert state.model.fingerprint == before["was"]["fingerprint"]
    assert work(store, "tend") == 1
    order = Orders(project).live()
    assert project.get("error") == "" and (order.number, order.why) == (live.number + 1, "settings changed")
    assert server.remote["model_version"] == order.version and order.model == live.model
    after = load_campaign(project)
    assert after.trainings == state.trainings == before["was"]["trainings"]
    assert after.model.fingerprint == state.model.fingerprint
    assert {order.version} <= set(after.controls.values()) <= {order.version, live.version}
    assert len(after.guesses) >= len(state.guesses) and after.trained_on == state.trained_on


def test_a_version_later_waiting_images_are_embedded_and_join_the_order(same_pixels, before, server, store):
    project, trainings = Project.all(store)[0], before["was"]["trainings"]
    work(store, "tend")
    orders = Orders(project)
    orders.save(replace(orders.live(), created_at=0.0))  # images that arrive do not wait for the gap between two orders
    assert work(store, "embed") == 1
    assert project.get("arrivals") == "63" and project.quarantined() == {}
    assert work(store, "tend") == 1
    assert Orders(project).live().why == "3 more images are embedded"
    assert load_campaign(project).trainings == trainings


def test_a_version_later_the_worker_runs_the_jobs_that_an_older_rq_left(same_pixels, before, server, store):
    """RQ 2.12 enqueued them, as JSON; the installed RQ's worker takes them from the queues and ends them."""
    jobs = [job for queue in (job_queue(store, "tend"), job_queue(store, "embed")) for job in queue.get_jobs()]
    assert [job.func_name.rpartition(".")[2] for job in jobs] == ["tend_job", "embed_job"]
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for queue in (
            job_queue(store, "tend"),
            job_queue(store, "embed"),
        ):  # one job of each: what they ask for next is another test's
            worker = SimpleWorker([queue], connection=store, serializer=JSONSerializer)
            worker.work(burst=True, max_jobs=1, logging_level="ERROR")
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert [job.get_status() for job in jobs] == [JobStatus.FINISHED] * 2
    project = Project.all(store)[0]
    assert project.get("arrivals") == "63" and project.store.hlen(project.name("inflight")) == 0


def test_with_other_pixels_a_generation_is_built_beside_and_serves_once_it_is_complete(before, server, store):
    """The fingerprint tells vectors of other pixels apart, so they never meet; nobody waits, and no label is lost."""
    project = Project.all(store)[0]
    live, state, old = Orders(project).live(), load_campaign(project), project.get("generation")
    work(store, "tend")
    meanwhile = Orders(project).live()
    assert project.get("error") == "" and (meanwhile.number, meanwhile.why) == (live.number + 1, "settings changed")
    assert project.get("generation") == meanwhile.generation == old, "the old vectors serve meanwhile"
    assert load_campaign(project).trainings == state.trainings
    while work(store, "embed"):
        work(store, "tend")
    new = project.get("generation")
    assert new != old and project.quarantined() == {} and store.hlen(project.name("cache", new, "rows")) == 63
    assert not list(store.scan_iter(project.name("cache", old, "*"))), "the old ones are gone"
    after, order = load_campaign(project), Orders(project).live()
    assert after.trainings == state.trainings + 1 and order.number > live.number
    assert server.remote["model_version"] == order.version
    assert {place.task for place in order.places} | set(after.trained_on) == set(server.rows), "each is open or learned"
    assert set(state.trained_on) <= set(after.trained_on)


def described(key):
    """Whether a row of the tables describes a key, be it one of a project or another one."""
    start = re.match(r"lq:[0-9a-f]{8}-\d+-\d+:", key)
    rows, name = (KEYS, key[start.end() :]) if start else (SHARED_KEYS, key)
    return any(matches(row.name, name) for row in rows)


def test_every_key_that_is_written_is_described(before, server, store):
    project = Project.all(store)[0]
    work(store, "tend")
    work(store, "embed")
    project.put_settings({"seed": 4}, "test")
    project.take_extra_params({"horizon": 9})
    project.note_unreadable("tasks", {"task 9": "no id"})
    Journal(project).append(Event("TASKS_CREATED", (1,)))
    store.hset(project.name("tries"), "3", "1")
    with ProjectLock(project):
        keys = {key.decode() for key in store.scan_iter("*")}
    odd = {key for key in keys if not described(key)}
    assert odd == set() and len([key for key in keys if key.startswith(project.name(""))]) > 15
    assert not described(project.name("something")) and not described("lq:something") and not described("lq:worker:")


def test_every_key_that_the_code_names_is_described_and_the_other_way_round():
    """Such as `name("cache", generation, "rows")` or `"lq:worker:…"`; what differs becomes a `*`."""
    found = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "name":
                found.add(":".join(_shown(part) for part in node.args))
            elif isinstance(node, ast.JoinedStr | ast.Constant) and _shown(node).startswith("lq:"):
                found.add(re.sub(r"^lq:\*:", "", re.sub(":$", ":*", _shown(node))))
    found = {name for name in found if re.fullmatch(r"[\w:-]+(\*:\w+)*(:?\*|\w)", name) and name.strip("*:") != "lq"}
    assert found - {row.name for row in (*KEYS, *SHARED_KEYS)} == set(), "not in the table"
    assert {row.name for row in (*KEYS, *SHARED_KEYS)} - found == {"rq:*", *PER_TASK} - found, "not in the code"
    assert set(PER_TASK) < {row.name for row in KEYS}


def _shown(node):
    if isinstance(node, ast.JoinedStr):
        return "".join(_shown(part) for part in node.values)
    return str(node.value) if isinstance(node, ast.Constant) else "*"


def test_every_row_says_what_bounds_its_key_and_when_it_goes():
    assert all(all(row[2:]) for row in (*KEYS, *SHARED_KEYS))
    assert {row.part for row in KEYS} == PARTS.keys() and {row.part for row in SHARED_KEYS} == {""}
    assert len({row.name for row in (*KEYS, *SHARED_KEYS)}) == len(KEYS) + len(SHARED_KEYS)


@pytest.mark.parametrize("part", [name for name, part in PARTS.items() if part.facts])
def test_a_part_of_another_format_is_made_anew(part, before, server, store, caplog):
    project = Project.all(store)[0]
    formats = {name: each.format for name, each in PARTS.items()}
    project.set(formats=json.dumps(formats | {part: 99}))
    labels = before["was"]["labels"]
    with caplog.at_level(logging.WARNING):
        work(store, "tend")
    assert f"its {part} have format 99" in caplog.text
    assert json.loads(project.get("formats")) == formats, "it is said once"
    for _ in range(3):  # what was dropped comes back: read again, embedded, learned, ordered
        work(store, "embed")
        work(store, "tend")
    assert make_readable(project) == []
    live, state = Orders(project).live(), load_campaign(project)
    assert live is not None and server.remote["model_version"] == live.version
    assert state.model is not None and len(state.trained_on) >= labels - 10
    assert project.task_count() == 63


def test_facts_and_settings_of_another_format_are_kept(project, caplog):
    project.put_settings({"seed": 4}, "test")
    formats = {name: part.format for name, part in PARTS.items()}
    project.set(formats=json.dumps(formats | {"settings": 2, "facts": 2, "of a later version": 1}))
    with caplog.at_level(logging.WARNING):
        assert make_readable(project) == []
    assert project.settings()["seed"] == 4 and project.get("title") == "animals"
    assert "its settings have format 2, we read 1" in caplog.text


class TestFields:
    """Unknown fields are ignored, missing ones have defaults."""

    def test_of_orders(self, project):
        row = json.loads(Order(3, "r3 FreeSel", places=(Place(1, "why"),)).dump())
        row |= {"mood": "good", "places": [[1, "why", False, None, "more"]]}
        del row["arrivals"], row["trust"]
        assert Order.load(json.dumps(row)) == Order(3, "r3 FreeSel", places=(Place(1, "why"),))

    def test_an_order_of_another_format_is_passed_over(self, project):
        orders = Orders(project)
        for number in (1, 2):
            orders.save(Order(number, f"r{number} FreeSel"))
        orders.go_live(Order(2, "r2 FreeSel"))
        row = json.loads(Order(2, "r2 FreeSel").dump()) | {"format": 2}
        project.store.hset(project.name("orders", "2"), "2", json.dumps(row))
        assert [order.number for order in orders.all()] == [1] and orders.live() is None

    def test_of_a_campaign(self):
        parts = CampaignState(course=Course("warm", "because"), trainings=3).dump()
        facts = json.loads(parts["facts"])
        facts["mood"], facts["course"]["mood"], facts["cycle"]["mood"] = "good", "good", "good"
        facts["guesses"] = [[1, "cat", 1, 10, "", "more"]]
        del facts["trust"], facts["cycle"]["size"], facts["question"]
        state = CampaignState.load({"facts": json.dumps(facts).encode()})
        assert (state.course.phase, state.trainings, state.trust, state.cycle.size) == ("warm", 3, 0.0, 10)
        assert state.guesses[0].labels == 10

    def test_a_campaign_of_another_format_begins_anew(self, project, caplog):
        facts = json.loads(CampaignState(trainings=3).dump()["facts"]) | {"format": 2}
        project.store.hset(project.name("campaign", "3"), "facts", json.dumps(facts))
        with caplog.at_level(logging.WARNING):
            assert load_campaign(project).trainings == 0
        assert "format 2" in caplog.text

    def test_of_the_rest(self, project):
        store = project.store
        store.hset("lq:projects", project.key, json.dumps({**vars(project.ref), "mood": "good"}))
        assert Project.open(store, project.key).ref == project.ref
        store.hset(project.name("settings"), "seed", json.dumps({"value": 4, "mood": "good"}))
        assert project.settings()["seed"] == 4
        store.hset(project.name("quarantine"), "5", json.dumps({"uri": "/5.jpg", "mood": "bad"}))
        assert project.quarantined() == {5: ("/5.jpg", "")}
        store.xadd(
            project.name("journal"), {"event": json.dumps(["TASKS_CREATED", [1], [], [], "more"]), "mood": "good"}
        )
        assert Journal(project).read()[0] == [Event("TASKS_CREATED", (1,))]
        assert Annotation.load([1, "now", 2, 0, 1, {}, "more"]).cancelled


def test_a_block_keeps_its_bytes(before, store):
    """What is stored can be compared by its checksum only while the same rows give the same bytes."""
    project = Project.all(store)[0]
    (key,) = store.scan_iter(project.name("cache", "*", "blocks"))
    blocks = store.hgetall(key)
    assert blocks and all(Block.from_bytes(data).to_bytes() == data for data in blocks.values())
