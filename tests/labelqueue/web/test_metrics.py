"""/metrics: closed unless opened, true to the table, cheap, and without a secret."""

import json
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from conftest import CONFIG, ORIGIN
from labelqueue import __version__
from labelqueue.labels.annotations import UNLABELED
from labelqueue.settings import Deployment
from labelqueue.state.orders import Orders
from labelqueue.state.people import People
from labelqueue.state.project import SECRET_HEADER, Project, ProjectRef
from labelqueue.state.task_row import TaskRow
from labelqueue.telemetry import COUNTERS, METRICS, PREFIX, count
from labelqueue.web.app import create_app
from labelqueue.web.metrics import SUM, Counted, _histogram

PROJECT = {"id": 7, "created_at": "2027-01-15T08:00:00Z", "label_config": CONFIG}


@pytest.fixture(autouse=True)
def afresh():
    COUNTERS.take()
    yield
    COUNTERS.take()


@pytest.fixture
def client(store, deployment):
    return create_app(replace(deployment, metrics="on")).test_client()


def scraped(client, **options):
    """Every sample, by name and label values in the order of the table."""
    answer = client.get("/metrics", **options)
    assert answer.status_code == 200, answer.text
    found = {}
    for family in parse(answer.text):
        for sample in family.samples:
            name = sample.name.removeprefix(PREFIX)
            labels = METRICS[name].labels if name in METRICS else sample.labels
            found[name, *(sample.labels[label] for label in labels)] = sample.value
    return found


def test_it_is_closed_unless_opened(store, deployment):
    answer = create_app(deployment).test_client().get("/metrics")
    assert answer.status_code == 404 and "there is no /metrics here" in answer.json["error"]


def test_it_is_open_to_whom_rest_is_open(client, store, redis_home):
    for options in (
        {"environ_base": {"REMOTE_ADDR": "10.0.0.5"}},
        {"headers": {"Host": "evil.example"}},
        {"headers": {"X-Forwarded-For": "10.0.0.5"}},
        {"headers": {"Sec-Fetch-Site": "cross-site"}},
    ):
        assert client.get("/metrics", **options).status_code == 403
    assert client.post("/metrics").status_code == 405
    environ = {
        "LABELQUEUE_HOME": str(redis_home), "LABEL_STUDIO_URL": ORIGIN, "LABEL_STUDIO_API_KEY": "0" * 40,
        "BASIC_AUTH_USER": "ls", "BASIC_AUTH_PASS": "x", "LABELQUEUE_METRICS": "on",
    }  # fmt: skip
    guarded = create_app(Deployment.from_environment(environ)).test_client()
    assert guarded.get("/metrics").status_code == guarded.get("/metrics", auth=("ls", "y")).status_code == 401
    assert guarded.get("/metrics", auth=("ls", "x")).status_code == 200


def test_every_metric_of_the_table_is_there_as_it_says(client, project):
    answer = client.get("/metrics")
    assert answer.content_type.startswith("text/plain; version=")
    families = {family.name: family for family in parse(answer.text)}
    for metric in METRICS.values():
        family = families.pop((PREFIX + metric.name).removesuffix("_total"))
        assert (family.type, family.documentation) == (metric.kind, metric.help), metric.name
        for sample in family.samples:
            labels = {name: value for name, value in sample.labels.items() if name != "le"}
            assert labels.keys() == metric.labels.keys(), sample
            assert all(not metric.labels[name] or value in metric.labels[name] for name, value in labels.items())
    assert families == {}
    assert f'labelqueue_info{{version="{__version__}"}} 1.0' in answer.text


def test_openmetrics_is_spoken_too(client, project):
    answer = client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.content_type.startswith("application/openmetrics-text")
    names = {family.name for family in parse_openmetrics(answer.text)}
    assert f"{PREFIX}looks" in names and f"{PREFIX}look_seconds" in names


def test_counters_begin_at_zero_for_every_project(client, project):
    found = scraped(client)
    assert found["looks_total", "7", "done"] == found["repairs_total", "7", "deletion"] == 0
    assert found["events_total", "TASKS_CREATED", "accepted"] == found["look_seconds_count",] == 0


def test_events_are_counted_with_what_became_of_them(client, project, store):
    event = {"action": "ANNOTATION_CREATED", "project": PROJECT, "annotation": {"id": 3}, "task": {"id": 5}}
    assert client.post("/webhook", json=event).status_code == 201
    assert client.post("/webhook", json={**event, "action": "LABEL_LINK_CREATED"}).status_code == 200
    assert client.post("/webhook", data=b"{").status_code == 400
    assert client.post("/webhook", json=event, headers={"Host": "evil.example"}).status_code == 403
    assert client.get("/webhook").status_code == 405 and client.get("/health").status_code == 200
    store.config_set("min-replicas-to-write", 1)
    try:
        assert client.post("/webhook", json=event).status_code == 503
    finally:
        store.config_set("min-replicas-to-write", 0)
    found = scraped(client)
    counted = {key[1:]: value for key, value in found.items() if key[0] == "events_total" and value}
    assert counted == {
        ("ANNOTATION_CREATED", "accepted"): 1, ("other", "ignored"): 1, ("other", "malformed"): 1,
        ("other", "refused"): 1, ("ANNOTATION_CREATED", "failed"): 1,
    }  # fmt: skip
    assert found["acknowledgement_seconds_count",] == 2, "of what was refused nobody waits for an answer"
    assert 0 < found["acknowledgement_seconds_sum",] < 10
    assert found["events_waiting", "7"] == 1


def test_a_bucket_holds_all_that_took_no_longer():
    metric = METRICS["acknowledgement_seconds"]
    numbers = {("0.002"): 3, ("0.003"): 1, ("1.0"): 2, ("+Inf"): 1, SUM: 9.5}  # 0.003: of another version
    counted = {Counted("", metric.name, part, ()): number for part, number in numbers.items()}
    buckets, total = _histogram(metric, counted)
    assert (dict(buckets)["0.002"], dict(buckets)["0.005"], dict(buckets)["1.0"], dict(buckets)["+Inf"]) == (3, 4, 6, 7)
    assert total == 9.5 and [n for _, n in buckets] == sorted(n for _, n in buckets)


def test_a_redis_that_is_away_is_said_and_loses_no_count(client, store, project):
    client.get("/metrics")
    count("looks_total", project=project.key, outcome="done")
    store.config_set("min-replicas-to-write", 1)  # reading goes on
    try:
        assert scraped(client)["looks_total", "7", "done"] == 0
    finally:
        store.config_set("min-replicas-to-write", 0)
    assert scraped(client)["looks_total", "7", "done"] == 1
    away = {"LABELQUEUE_HOME": "/nonexistent", "LABEL_STUDIO_API_KEY": "x", "LABELQUEUE_METRICS": "on"}
    answer = create_app(Deployment.from_environment(away)).test_client().get("/metrics")
    assert answer.status_code == 503 and "/nonexistent" not in answer.text


def test_no_secret_no_name_and_no_task_is_in_it(store, redis_home):
    environ = {
        "LABELQUEUE_HOME": str(redis_home), "LABEL_STUDIO_URL": ORIGIN, "LABEL_STUDIO_API_KEY": "k3y" * 13 + "k",
        "BASIC_AUTH_USER": "sam", "BASIC_AUTH_PASS": "hunter2", "LABELQUEUE_METRICS": "on",
    }  # fmt: skip
    project = Project(store, ProjectRef(ORIGIN, 7, 1_800_000_000))
    project.register(label_config=CONFIG, title="Patients of Dr. No", error=f"{ORIGIN} says no")
    project.put_tasks({81473: TaskRow("https://s3.test/secret.jpg?signature=81474", UNLABELED)})
    People(project).note([81475])
    project.quarantine({81473: ("https://s3.test/secret.jpg", "no image")})
    client = create_app(Deployment.from_environment(environ)).test_client()
    client.post("/webhook", json={"action": "sam", "project": PROJECT}, headers={SECRET_HEADER: project.get("secret")})
    text = client.get("/metrics", auth=("sam", "hunter2")).text
    words = ("k3y", "sam", "hunter2", project.get("secret"), "Patients", "s3.test", "81473", "81475", ORIGIN, "cat")
    assert 'labelqueue_tasks{project="7"} 1.0' in text
    assert [word for word in words if word in text] == []


def test_many_projects_are_cheap(client, store):
    """200 projects and 100,000 tasks: what is read does not grow with tasks."""
    standing = {
        "learning": {"labels": 40, "labels_per_class": dict.fromkeys(map(str, range(20)), 3)},
        "accuracy": {"overall": {"count": 40, "accuracy": 0.7, "interval": [0.6, 0.8]}, "lines": ["x" * 80] * 20},
    }
    rows = {str(task): TaskRow(f"https://images.test/{task}.jpg", UNLABELED).dump() for task in range(500)}
    pipe = store.pipeline()
    for number in range(1, 201):
        project = Project(store, ProjectRef(ORIGIN, number, 1_800_000_000))
        pipe.hset("lq:projects", project.key, json.dumps({"origin": ORIGIN, "id": number, "created": 1_800_000_000}))
        served = json.dumps([(1, time.time())] * 50)
        facts = {"live": "1", "served": served, "head_left": "60", "standing": json.dumps(standing), "generation": "g"}
        pipe.hset(project.name("info"), mapping=facts)
        pipe.hset(project.name("tasks"), mapping=rows)
        pipe.hset(project.name("cache", "g", "rows"), mapping=rows)
        for name, labels in (("looks_total", ("done",)), ("images_total", ("embedded",)), ("orders_total", ("new",))):
            count(name, project=project.key, **dict(zip(METRICS[name].others, labels, strict=True)))
    pipe.execute()
    found = scraped(client)
    assert found["tasks", "200"] == 500 and found["images_total", "1", "embedded"] == 1
    took = []
    for _ in range(5):
        began = time.perf_counter()
        client.get("/metrics")
        took.append(time.perf_counter() - began)
    assert min(took) < 0.3, took  # 0.1 s on a quiet core
    assert Orders(Project(store, ProjectRef(ORIGIN, 1, 1_800_000_000))).live() is None, "no order was needed"


def test_a_scrape_loads_nothing_heavy(redis_home, store, project):
    code = (
        "import sys\n"
        "from labelqueue.web.app import create_app\n"
        "client = create_app().test_client()\n"
        "print(client.get('/metrics').status_code)\n"
        "print([m for m in ('torch', 'timm', 'sklearn', 'scipy', 'poolselect') if m in sys.modules])"
    )
    environ = {
        "PYTHONPATH": ":".join(sys.path), "LABELQUEUE_HOME": str(redis_home), "LABEL_STUDIO_URL": ORIGIN,
        "LABELQUEUE_METRICS": "on",
    }  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], env=environ, timeout=60, capture_output=True, text=True)
    assert done.stdout.split("\n")[:2] == ["200", "[]"], done.stderr
