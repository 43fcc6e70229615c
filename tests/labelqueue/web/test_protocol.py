"""The ML-backend protocol with payloads as Label Studio sends them, and who may send them."""

import base64
import json
import sys

import numpy as np
import pytest

from conftest import CONFIG, ORIGIN
from labelqueue.jobs.looks import begin_look, end_look
from labelqueue.learning.model import Model
from labelqueue.learning.predictions import Predictions
from labelqueue.learning.prelabels import is_blank
from labelqueue.ordering.campaign_state import CampaignState
from labelqueue.settings import Deployment
from labelqueue.state.campaigns import save_campaign
from labelqueue.state.journal import Event, Journal
from labelqueue.state.project import NOT_CONNECTED, SECRET_HEADER, Project
from labelqueue.web.app import create_app

CREATED_AT = "2026-11-21T00:44:53.544491Z"
SETUP = {
    "project": "1.1795221893",
    "schema": CONFIG,
    "hostname": "http://evil.example",
    "access_token": "not-to-be-kept",
    "extra_params": None,
}
PROJECT = {"id": 1, "created_at": CREATED_AT, "label_config": CONFIG}


@pytest.fixture
def client(store, deployment):
    return create_app(deployment).test_client()


@pytest.fixture
def guarded(store, deployment, redis_home):
    environ = {
        "LABELQUEUE_HOME": str(redis_home),
        "LABEL_STUDIO_URL": ORIGIN,
        "LABEL_STUDIO_API_KEY": "0" * 40,
        "BASIC_AUTH_USER": "ls",
        "BASIC_AUTH_PASS": "wört",
    }
    return create_app(Deployment.from_environment(environ)).test_client()


def basic(user, word):
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{word}".encode()).decode()}


def queued(store, queue="tend"):
    return store.llen(f"rq:queue:{queue}")


def test_health_and_versions(client):
    assert client.get("/health").json == {"status": "UP"}
    assert client.get("/versions").json == {"versions": ["labelqueue live"]}


def test_setup_registers_asks_for_one_run_and_keeps_no_token(client, store):
    for _ in range(2):
        answer = client.post("/setup", json=SETUP)
        assert (answer.status_code, answer.json) == (200, {"model_version": "labelqueue live"})
    (project,) = Project.all(store)
    assert (project.ref.origin, project.ref.id) == (ORIGIN, 1)
    assert project.get("label_config") == CONFIG
    assert queued(store) == 1
    everything = b"".join(store.dump(key) for key in store.scan_iter("lq:*"))
    assert b"not-to-be-kept" not in everything and b"evil.example" not in everything


def test_set_ups_that_say_nothing_new_ask_for_nothing(client, store):
    # Label Studio sends one whenever a project's ML backends are listed, which tending does each time.
    client.post("/setup", json=SETUP)
    (project,) = Project.all(store)
    store.delete("rq:queue:tend", project.name("queued"))
    project.set(label_config=CONFIG.replace("><", "> <"))  # as the API shows it
    for _ in range(3):
        client.post("/setup", json=SETUP)
    assert queued(store) == store.zcard("lq:delayed") == 0
    client.post("/setup", json={**SETUP, "schema": CONFIG.replace("dog", "owl")})
    assert queued(store) == 1 and "owl" in project.get("label_config") and project.get("want_full") == "1"


def test_a_set_up_after_a_removal_is_a_new_connection(client, store):
    client.post("/setup", json=SETUP)
    (project,) = Project.all(store)
    project.set(paused=NOT_CONNECTED)
    client.post("/setup", json=SETUP)
    assert store.zcard("lq:delayed") == 1


@pytest.mark.parametrize("extra", [{"seed": 5}, '{"seed": 5}', "junk", None, "", 3])
def test_setup_accepts_any_extra_params(client, store, extra):
    assert client.post("/setup", json={**SETUP, "extra_params": extra}).status_code == 200
    (project,) = Project.all(store)
    assert project.settings()["seed"] == (5 if extra in ({"seed": 5}, '{"seed": 5}') else 0)
    assert bool(project.get("settings_error")) == (extra in ("junk", 3))


def test_predict_answers_one_result_per_task_and_never_under_the_queues_version(client):
    answer = client.post("/predict", json={"tasks": [{"id": 1}, {"id": 2}], "project": "1.1795221893"}).json
    assert answer == {"results": [{"result": [], "score": 0.5, "model_version": "labelqueue live"}] * 2}


def trained(client, store):
    """Connect a project whose model, of cats and dogs, has looked at tasks 4 and 6; return it."""
    client.post("/setup", json=SETUP)
    (project,) = Project.all(store)
    ones = np.ones(1, np.float32)
    weights, bias = np.array([[-1], [1]], np.float32), np.zeros(2, np.float32)
    model = Model(("cat", "dog"), False, ones, ones, weights, bias, 1.0, 9, 9, "f")
    predictions = Predictions(np.array([4, 6]), np.array([[0.9, 0.1], [0.25, 0.75]], np.float16))
    save_campaign(project, CampaignState(model=model, predictions=predictions), CampaignState())
    return project


def test_predict_answers_what_the_model_said_of_every_task(client, store):
    trained(client, store)
    body = {"tasks": [{"id": 6}, {"id": 5}, {"data": {}}], "project": SETUP["project"]}
    known, *unknown = client.post("/predict", json=body).json["results"]
    assert known["result"][0]["value"] == {"choices": ["dog"]} and known["score"] == 0.75
    assert known["model_version"] == "labelqueue live"
    assert unknown == [{"result": [], "score": 0.5, "model_version": "labelqueue live"}] * 2


def test_predict_keeps_silent_about_tasks_that_never_get_a_pre_label(client, store):
    project = trained(client, store)
    body = {"tasks": [{"id": 4}, {"id": 6}], "project": SETUP["project"]}
    silent = set()
    for seed in range(40):
        project.put_settings({"seed": seed, "control_share": 0.3}, "test")
        answers = [bool(one["result"]) for one in client.post("/predict", json=body).json["results"]]
        assert answers == (~is_blank(seed, np.array([4, 6]), 0.3)).tolist()
        silent.add(tuple(answers))
    assert len(silent) == 4


@pytest.mark.parametrize(
    "config",
    [
        CONFIG.replace('"dog"', '"hound"'),
        CONFIG.replace('toName="image"', 'toName="image" choice="multiple"'),
        '<View><Image name="image" value="$image"/><Rating name="choice" toName="image"/></View>',
    ],
)
def test_predict_keeps_silent_about_what_the_label_config_no_longer_asks(client, store, config):
    trained(client, store).set(label_config=config)
    body = {"tasks": [{"id": 6}], "project": SETUP["project"]}
    (answer,) = client.post("/predict", json=body).json["results"]
    assert answer == {"result": [], "score": 0.5, "model_version": "labelqueue live"}


def test_webhook_is_journalled_before_it_is_acknowledged(client, store):
    body = {"action": "TASKS_CREATED", "tasks": [{"id": 4}], "project": PROJECT}
    assert client.post("/webhook", json=body).status_code == 201
    (project,) = Project.all(store)
    assert Journal(project).read()[0] == [Event("TASKS_CREATED", (4,))]
    assert store.zcard("lq:delayed") == 1


def test_a_label_is_looked_at_at_once_and_those_that_follow_a_look_a_little_later(client, store):
    body = {"action": "ANNOTATION_CREATED", "annotation": {"id": 9}, "task": {"id": 4}, "project": PROJECT}
    for _ in range(3):
        assert client.post("/webhook", json=body).status_code == 201
    (project,) = Project.all(store)
    assert queued(store) == 1 and store.zcard("lq:delayed") == 0
    begin_look(project, store.get(project.name("queued")).decode(), "w1")
    store.delete("rq:queue:tend")
    end_look(project, "w1")
    assert client.post("/webhook", json=body).status_code == 201
    assert queued(store) == 0 and store.zcard("lq:delayed") == 1


def test_what_a_worker_of_ours_changes_asks_for_nothing(client, store):
    client.post("/setup", json=SETUP)
    (project,) = Project.all(store)
    store.delete("rq:queue:tend", project.name("queued"))
    project.set(title="animals", prelabels_shown="1")
    remote = {**PROJECT, "title": "animals", "label_config": CONFIG, "model_version": "r2", "sampling": "s"}
    event = {"action": "PROJECT_UPDATED", "project": remote}
    write = json.dumps({"values": {"model_version": "r2", "sampling": "s"}, "before": "", "at": 0.0})
    store.hset(project.name("intents"), "w", write)
    assert client.post("/webhook", json=event).status_code == 200
    assert queued(store) == store.zcard("lq:delayed") == len(Journal(project)) == 0
    store.delete(project.name("intents"))
    assert client.post("/webhook", json=event).status_code == 201, "a person's"
    assert queued(store) + store.zcard("lq:delayed") == len(Journal(project)) == 1


def test_start_training_does_not_wait(client, store):
    assert client.post("/webhook", json={"action": "START_TRAINING", "project": PROJECT}).status_code == 201
    assert queued(store) == 1


def test_other_actions_are_ignored(client, store):
    answer = client.post("/webhook", json={"action": "LABEL_LINK_CREATED", "project": PROJECT})
    assert answer.json == {"status": "ignored"}
    assert Project.all(store) == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"action": "TASKS_CREATED"}', b'{"project": {"id": "x"}}'])
@pytest.mark.parametrize("path", ["/webhook", "/setup"])
def test_bad_bodies_get_a_clear_answer(client, path, body):
    answer = client.post(path, data=body)
    assert answer.status_code == 400 and answer.json["error"]


STRANGE = {
    "/webhook": [
        b'{"action": "TASKS_CREATED", "project": {"id": Infinity, "created_at": "2026-11-21T00:44:53Z"}}',
        b'{"action": "TASKS_CREATED", "project": {"id": 1e999, "created_at": "2026-11-21T00:44:53Z"}}',
        b'{"action": "TASKS_CREATED", "project": {"id": true, "created_at": "2026-11-21T00:44:53Z"}}',
        b'{"action": "TASKS_CREATED", "project": {"id": -1, "created_at": "2026-11-21T00:44:53Z"}}',
        b'{"action": "TASKS_CREATED", "project": {"id": %s, "created_at": "2026-11-21"}}' % (b"1" * 30),
        b'{"action": "TASKS_CREATED", "project": {"id": %s, "created_at": "2026-11-21"}}' % (b"1" * 5000),
        b'{"action": "TASKS_CREATED", "project": {"id": 1, "created_at": "0001-01-01"}}',
        b'{"action": "TASKS_CREATED", "project": {"id": 1, "created_at": "\\ud800"}}',
        b'{"action": "TASKS_CREATED", "project": [1]}',
        b'{"action": "TASKS_CREATED", "project": "1"}',
        b'{"a":' * 100_000,
        b"[" * 100_000,
    ],
    "/setup": [
        '{"project": "².1"}'.encode(),
        b'{"project": "1.\\u0663"}',
        b'{"project": "%s.1"}' % (b"1" * 5000),
        b'{"project": "\\ud800.1"}',
        b'{"project": 1.1795221893e400}',
        b'{"project": "1.1795221893", "schema": "\\ud800"}',
        b'{"project": "1.1795221893", "schema": ["<View/>"]}',
        b'{"project": "1.1795221893", "extra_params": {"target": "\\udc00"}}',
        b'{"project": "1.1795221893", "extra_params": %s}' % (b"[" * 900 + b"]" * 900),
        b'{"project": "1.1795221893", "schema": "%s' % (b"[" * 100_000),
    ],
    "/predict": [
        b'{"tasks": 5, "project": "1.1"}',
        b'{"tasks": {"id": 1}, "project": "1.1"}',
        b'{"tasks": [], "project": "\xc2\xb2.1"}',
        b'{"tasks": [{"id": NaN}], "project": "1.1"}',
        b'{"tasks": [%s], "project": "1.1"}' % (b"1" * 5000),
    ],
}


@pytest.mark.parametrize(("path", "body"), [(path, body) for path, bodies in STRANGE.items() for body in bodies])
def test_strange_bodies_are_the_callers_mistake_and_leave_nothing_behind(client, store, path, body):
    answer = client.post(path, data=body)
    assert answer.status_code == 400 and len(answer.json["error"]) < 500
    assert Project.all(store) == []


@pytest.mark.parametrize("extra", ["[" * 100_000, '{"target": "\\ud800"}', '{"label_map": "[[[["}', '{"seed": 1e400}'])
def test_strange_extra_params_are_named_in_status(client, store, extra):
    for form in (extra, json.dumps(extra)):
        assert client.post("/setup", json={**SETUP, "extra_params": form}).status_code == 200
        (project,) = Project.all(store)
        assert "extra params" in project.get("settings_error")


def test_tasks_with_strange_ids_have_no_prediction(client, store):
    trained(client, store)
    for number in (10**30, -1, True, 6.0, "6", None, [6], {"id": 6}):
        body = {"tasks": [{"id": number}], "project": SETUP["project"]}
        (answer,) = client.post("/predict", json=body).json["results"]
        assert answer == {"result": [], "score": 0.5, "model_version": "labelqueue live"}
    assert client.post("/predict", json={"project": SETUP["project"]}).json == {"results": []}


def test_strange_ids_do_not_get_into_the_journal(client, store):
    rows = [{"id": number, "completed_by": number} for number in (10**30, -1, True, 6.0, "6", None, 6)]
    body = {"action": "ANNOTATIONS_CREATED", "annotation": rows, "task": rows, "project": PROJECT}
    assert client.post("/webhook", json=body).status_code == 201
    (project,) = Project.all(store)
    assert Journal(project).read()[0] == [Event("ANNOTATIONS_CREATED", (6,), (6,), (6,))]


@pytest.mark.parametrize(
    "value", ["Basic é", "Basic \xff\xfe", "Basic AAAAA", "Basic //79", "Bearer x", "é", "", "Basic"]
)
def test_strange_credentials_are_wrong_ones(guarded, value):
    for path in ("/versions", "/setup", "/api/v1/projects"):
        assert guarded.open(path, headers={"Authorization": value}).status_code == 401


def test_routes_of_label_studio_ml_that_mean_nothing_are_gone(client):
    for path in ("/train", "/is_training", "/metrics", "/static/a.js", "/delete", "/job_status"):
        for method in ("GET", "POST"):
            assert client.open(path, method=method).status_code == 404


@pytest.mark.parametrize("path", ["/", "/health", "/versions", "/setup", "/predict", "/webhook"])
def test_every_call_names_its_methods(client, path):
    right, wrong = ({"GET", "HEAD"}, "POST") if path in ("/", "/health", "/versions") else ({"POST"}, "GET")
    for method in (wrong, "PUT", "DELETE", "PATCH"):
        answer = client.open(path, method=method)
        assert answer.status_code == 405 and answer.json["error"]
        assert {name.strip() for name in answer.headers["Allow"].split(",")} == right | {"OPTIONS"}


@pytest.mark.parametrize(
    ("peer", "headers", "word"),
    [
        ("10.0.0.5", {}, "10.0.0.5 is not this machine"),
        *(
            ("127.0.0.1", {name: "127.0.0.1"}, "forwarded")
            for name in (
                "Via",
                "Forwarded",
                "X-Client-IP",
                "X-Real-IP",
                "True-Client-IP",
                "CF-Connecting-IP",
                "x-forwarded-for",
                "X-Forwarded-Host",
                "X-Forwarded-Proto",
                "X-Forwarded-Prefix",
                "X-Forwarded-Whatever",
                "X-Forwarded",
                "X_Forwarded_For",
                "X-Cluster-Client-IP",
                "Fastly-Client-IP",
                "X-Original-Forwarded-For",
                "X-Envoy-External-Address",
            )
        ),
        ("127.0.0.1", {"Host": "evil.example"}, "evil.example"),
        ("127.0.0.1", {"Host": "127.0.0.1.evil.example:9090"}, "evil.example"),
    ],
)
def test_without_credentials_only_this_machine_may_call(client, peer, headers, word):
    for path in ("/health", "/setup", "/webhook"):
        answer = client.open(path, method="GET" if path == "/health" else "POST", json=SETUP,
                             headers=headers, environ_base={"REMOTE_ADDR": peer})  # fmt: skip
        assert answer.status_code == 403 and word in answer.json["error"]


def test_with_credentials_every_call_but_health_needs_them(guarded):
    strangers = {"REMOTE_ADDR": "10.0.0.5"}
    assert guarded.get("/health", environ_base=strangers).status_code == 200
    assert guarded.get("/versions", environ_base=strangers).status_code == 401
    assert guarded.get("/versions", headers=basic("ls", "wort"), environ_base=strangers).status_code == 401
    assert guarded.get("/versions", headers=basic("ls", "wört"), environ_base=strangers).status_code == 200


def test_the_projects_secret_opens_its_webhook_and_nothing_else(guarded, store):
    assert guarded.post("/setup", json=SETUP, headers=basic("ls", "wört")).status_code == 200
    (project,) = Project.all(store)
    right, wrong = {SECRET_HEADER: project.get("secret")}, {SECRET_HEADER: "guess"}
    body = {"action": "TASKS_CREATED", "tasks": [{"id": 4}], "project": PROJECT}
    assert guarded.post("/webhook", json=body, headers=wrong).status_code == 401
    assert guarded.post("/webhook", json=body).status_code == 401
    assert guarded.post("/webhook", json=body, headers=right).status_code == 201
    assert guarded.post("/webhook", json=body, headers=basic("ls", "wört")).status_code == 201
    assert guarded.post("/setup", json=SETUP, headers=right).status_code == 401
    other = {**PROJECT, "id": 2}
    assert guarded.post("/webhook", json={**body, "project": other}, headers={SECRET_HEADER: ""}).status_code == 401
    assert guarded.post("/webhook", json={**body, "project": other}, headers=right).status_code == 401


def test_a_missing_redis_is_a_503_whose_reason_only_the_log_gets(caplog):
    environ = {"REDIS_URL": "redis://:s3cret@127.0.0.1:1/0", "BASIC_AUTH_USER": "ls", "BASIC_AUTH_PASS": "x"}
    client = create_app(Deployment.from_environment(environ)).test_client()
    body = {"action": "TASKS_CREATED", "tasks": [], "project": PROJECT}
    answer = client.post("/webhook", json=body, headers={SECRET_HEADER: "guess"})
    assert answer.status_code == 503 and "log says why" in answer.json["error"]
    assert "check REDIS_URL" in caplog.text and "127.0.0.1:1" in caplog.text
    assert "s3cret" not in answer.text + caplog.text


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}])
def test_a_web_page_may_not_call(client, guarded, headers):
    for caller, more in ((client, {}), (guarded, basic("ls", "wört"))):
        answer = caller.post("/setup", data=b"{}", headers={**headers, **more}, content_type="text/plain")
        assert answer.status_code in (401, 403) and "web pages" in answer.json["error"]


def test_the_web_process_loads_no_torch():
    import subprocess

    code = (
        "import sys, os; os.environ['LABELQUEUE_HOME'] = '/nonexistent';"
        "from labelqueue.web.app import create_app; create_app();"
        "sys.exit('torch' in sys.modules or 'timm' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
