"""What happens is counted where it happens: looks, orders, trainings, repairs; and by real processes, over Redis."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families as parse

from desk import Desk
from http_stub import serving
from labelqueue import admin
from labelqueue.exceptions import LabelStudioError
from labelqueue.jobs.looks import look_again, request_tend
from labelqueue.jobs.shards import claim, enqueue_shards, reclaim
from labelqueue.labels.annotations import UNLABELED
from labelqueue.labelstudio import LabelStudioSession
from labelqueue.state.orders import Orders
from labelqueue.state.task_row import TaskRow
from labelqueue.telemetry import COUNTED, COUNTERS, SUM
from labelqueue.worker import look as tending
from labelqueue.worker.runtime import Runtime, install
from processes import Worker, free_port, settings, until
from studio import studio

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def afresh():
    COUNTERS.take()
    yield
    COUNTERS.take()


def counted():
    """What was counted since the last time, by metric and labels; of a histogram how often."""
    found = Counter()
    for what, number in COUNTERS.take().items():
        if what.part != SUM:
            found[what.metric, *(what.labels if what.part == COUNTED else ())] += int(number)
    return found


@pytest.fixture
def desk(project, deployment, monkeypatch):
    """60 tasks, embedded, in a live order."""
    monkeypatch.setattr(tending, "get_current_job", lambda: None)
    runtime = Runtime(deployment)
    install(runtime)
    project.put_settings({"horizon": 10}, "test")
    found = Desk(runtime, project, 60)
    found.tend()
    return found


def test_looks_orders_and_trainings(desk, project):
    assert counted()["orders_total", "new"] == 1 and int(project.get("head_left")) == len(desk.live.places)
    tending.tend_job(project.key)
    found = counted()
    assert found["looks_total", "done"] == found["look_seconds",] == 1 and not found["orders_total", "new"]
    desk.label(3)
    before = int(project.get("head_left"))
    desk.tend()
    assert int(project.get("head_left")) == before - 3
    desk.play(12)
    found = counted()
    assert found["training_seconds",] == desk.memory.trainings >= 1
    published = found["orders_total", "new"] + found["orders_total", "refill"]
    assert found["ordering_seconds",] == published >= 1
    desk.server.down = True
    project.set(retrain_wanted="somebody")
    tending.tend_job(project.key)
    assert counted()["looks_total", "failed"] == 1


def test_a_refill_and_an_order_that_is_live_again(desk, project):
    project.set(single_seconds="1", bulk_seconds="0.1")
    desk.label(9)
    desk.tend()
    found = counted()
    assert found["orders_total", "refill"] == 1
    project.set(retrain_wanted="somebody")
    desk.tend()
    counted()
    admin.rollback(project, 1)
    desk.tend()
    assert Orders(project).live().origin == 1 and counted()["orders_total", "again"] == 1


def test_repairs_of_the_queue(desk, project):
    counted()
    desk.server.remote["model_version"] = ""
    desk.tend()
    assert counted()["repairs_total", "version"] == 1
    desk.server.imported.clear()
    project.set(counted_at="0")
    desk.tend()
    found = counted()
    assert (found["repairs_total", "order"], found["orders_total", "new"]) == (1, 1)


def test_work_of_dead_workers(project):
    project.put_tasks({task: TaskRow(f"/{task}.jpg", UNLABELED) for task in (1, 2)})
    project.store.zadd(project.name("pending"), {"1": 1, "2": 2})
    enqueue_shards(project)
    (job,) = (raw.decode() for raw in project.store.hkeys(project.name("inflight")))
    claim(project, job, "embedding-gone-1-x")
    assert reclaim(project) == 2
    project.store.set(project.name("tending"), "tending-gone-1-x")
    assert look_again(project, ())
    found = counted()
    assert found["repairs_total", "shard"] == found["repairs_total", "look"] == 1


def test_calls_of_label_studio():
    answers = iter([(200, {}, {"id": 1, "label_config": ""}), (500, {}, {})])
    with serving(lambda *call: next(answers)) as (url, _):
        client = LabelStudioSession(url, "0" * 40, retries=0)
        client.json("GET", "/api/projects/1")
        with pytest.raises(LabelStudioError):
            client.json("GET", "/api/projects/1")
        client.close()
    with pytest.raises(LabelStudioError):
        client.json("GET", "/api/projects/1")
    client.close()
    found = counted()
    name = "label_studio_calls_total"
    assert found == {
        (name, "GET", "2xx"): 1, (name, "GET", "5xx"): 1, (name, "GET", "unanswered"): 1,
        ("label_studio_call_seconds",): 3,
    }  # fmt: skip


def scrape(url):
    """Every sample that is not 0, by name and label values."""
    answer = requests.get(f"{url}/metrics", timeout=10)
    assert answer.status_code == 200, answer.text
    return {
        (sample.name.removeprefix("labelqueue_"), *sample.labels.values()): sample.value
        for family in parse(answer.text)
        for sample in family.samples
        if sample.value
    }


def test_real_processes_add_up_and_write_a_log_for_programs(store, redis_home):
    """A web process, two workers, a small Label Studio: the numbers move, and each line of each log is JSON."""
    with studio() as label_studio:
        port = free_port()
        environ = settings(redis_home, label_studio.url) | {
            "LABELQUEUE_METRICS": "on", "LABELQUEUE_LOG": "json", "PORT": str(port), "HOST": "127.0.0.1",
        }  # fmt: skip
        for old in redis_home.glob("*.log"):
            old.unlink()
        url, log = f"http://127.0.0.1:{port}", redis_home / "web.log"
        with (
            log.open("wb") as written,
            subprocess.Popen([sys.executable, "-m", "labelqueue.web"], env=os.environ | environ, stderr=written) as web,
            Worker(environ, "tending") as tending,
            Worker(environ, "embedding") as embedding,
        ):
            try:
                for worker in (tending, embedding):
                    worker.wait_for_life()
                images = [f"/data/upload/1/{number}.jpg" for number in range(40)]
                project = label_studio.add(store, 1, images)
                label_studio.add(store, 2, [])
                body = {"project": label_studio.projects[1], "action": "TASKS_CREATED", "tasks": [{"id": 1000}]}
                until(lambda: _posted(url, body) == 201, 120, "the web process")
                until(lambda: (live := Orders(project).live()) and live.embedded == 40, 120, "an order of everything")
                found = until(
                    lambda: (now := scrape(url)).get(("images_total", "embedded", "1")) == 40 and now, 30, "the counts"
                )
                assert (
                    found["events_total", "TASKS_CREATED", "accepted"] == found["acknowledgement_seconds_count",] == 1
                )
                assert found["looks_total", "done", "1"] >= 2 and found["look_seconds_count",] >= 2
                assert found["shard_seconds_count",] >= 2 and found["images_total", "embedded", "1"] == 40
                assert found["tasks", "1"] == found["tasks_embedded", "1"] == 40
                assert found["workers", "tending"] == found["workers", "embedding"] == 1
                assert found["orders_total", "new", "1"] >= 1 and found["order_age_seconds", "1"] < 60
                assert found["label_studio_calls_total", "GET", "2xx"] > 5 and found["head_left", "1"] == 40

                for place in Orders(project).live().places[:12]:
                    label_studio.label(1, place.task, "cat" if place.task % 2 else "dog")
                request_tend(project)
                later = until(lambda: (now := scrape(url)).get(("training_seconds_count",)) and now, 60, "a training")
                assert (
                    later["labels", "1"] >= 10 and later["looks_total", "done", "1"] > found["looks_total", "done", "1"]
                )
                assert later["repairs_total", "label", "1"] == 12, "no event told of them"
            finally:
                web.send_signal(signal.SIGTERM)
                web.wait(20)
        rows = {path.name: _rows(path) for path in (log, tending.log, embedding.log)}
    live = [row for row in rows["tending.log"] if "is live with" in row["message"]]
    assert live and all(row["project"] == 1 and row["job"] and row["order"].startswith("r") for row in live)
    assert "0" * 40 not in json.dumps(rows)


def _posted(url, body):
    try:
        return requests.post(f"{url}/webhook", json=body, timeout=5).status_code
    except requests.ConnectionError:
        return 0


def _rows(path):
    """The lines of a log, each of which is an object."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert all({"time", "level", "logger", "message"} <= row.keys() for row in rows)
    return rows


def test_gunicorns_workers_add_up_too_and_write_the_log_as_told(store, redis_home, project):
    """Two processes of one server, forked before anything is counted; deployments of before start it like this."""
    port, log = free_port(), redis_home / "gunicorn.log"
    environ = settings(redis_home, project.ref.origin) | {"LABELQUEUE_METRICS": "on", "LABELQUEUE_LOG": "json"}
    options = ["--chdir", "backend", "--workers", "2", "--bind", f"127.0.0.1:{port}", "--preload", "_wsgi:app"]
    with (
        log.open("wb") as written,
        subprocess.Popen(
            [sys.executable, "-m", "gunicorn", *options], cwd=ROOT, env=os.environ | environ, stderr=written
        ) as server,
    ):
        try:
            url = f"http://127.0.0.1:{port}"
            created = datetime.fromtimestamp(project.ref.created, UTC).isoformat()
            body = {"project": {"id": 7, "created_at": created}, "action": "TASKS_CREATED", "tasks": [{"id": 1}]}
            until(lambda: _posted(url, body) == 201, 120, "the server")
            for _ in range(19):
                assert _posted(url, body) == 201
            requests.post(f"{url}/webhook", data=b"{}", timeout=5)
            name = ("events_total", "TASKS_CREATED", "accepted")
            until(lambda: scrape(url).get(name) == 20, 60, "both to be counted")
        finally:
            server.terminate()
            server.wait(20)
    lines = [line for line in log.read_text().splitlines() if "not a Label Studio project" in line]
    assert [json.loads(line)["level"] for line in lines] == ["WARNING"], log.read_text()
