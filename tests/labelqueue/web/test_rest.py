"""REST: every call, its errors, who may make it, and that openapi.json tells the truth about all of them."""

import json
import re
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import jsonschema
import pytest
import redis

import labelqueue
from conftest import CONFIG, ORIGIN
from healthy import healthy
from labelqueue.labels.annotations import SKIPPED, UNLABELED
from labelqueue.learning.accuracy import ControlRecord, report
from labelqueue.ordering.order import Order, Place
from labelqueue.settings import PROJECT, Deployment
from labelqueue.state.campaigns import save_summary
from labelqueue.state.orders import Orders
from labelqueue.state.project import NOT_CONNECTED, SECRET_HEADER, Project, ProjectRef
from labelqueue.state.task_row import TaskRow
from labelqueue.stopping.curve import Measurement
from labelqueue.stopping.hints import Step, stop_hints
from labelqueue.web.app import create_app

DOCUMENT = json.loads((Path(labelqueue.__file__).parent / "web" / "openapi.json").read_text())
HERE = "/api/v1/projects/7"
CREATED_AT = "2027-01-15T08:00:00Z"


def order_of(number, *tasks, version="FreeSel"):
    return Order(
        number=number, version=f"r{number} {version}", strategy=version, parameters={"seed": 0}, generation="g",
        arrivals=3, labeled=0, embedded=3, created_at=1_800_000_000.0,
        places=tuple(Place(task, f"covers {task}") for task in tasks),
    )  # fmt: skip


@pytest.fixture
def app(store, deployment):
    return create_app(replace(deployment, metrics="on"))


@pytest.fixture
def client(app):
    return app.test_client()


@pytest.fixture
def ordered(project):
    """Project 7 with three tasks and two orders, the second one live."""
    project.put_tasks({1: TaskRow("/1.jpg", UNLABELED), 2: TaskRow("/2.jpg", SKIPPED), 3: TaskRow("/3.jpg", UNLABELED)})
    project.set(order_number="2")
    for order in (order_of(1, 1, 2, 3), order_of(2, 3, 2, 1, version="BAL")):
        Orders(project).save(order)
        Orders(project).go_live(order)
    return project


def operation(method, path):
    """Return the document's operation for a path as it was called, and its path."""
    for template, operations in DOCUMENT["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path) and method in operations:
            return operations[method]
    raise AssertionError(f"{method} {path} is not in openapi.json")


def resolved(node):
    """Follow a reference, if it is one."""
    if "$ref" not in node:
        return node
    found = DOCUMENT
    for part in node["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return found


def checked(client, method, path, status=200, **options):
    """Make a call, check status and body against openapi.json, and return the body."""
    answer = client.open(path, method=method.upper(), **options)
    assert answer.status_code == status, answer.text
    declared = resolved(operation(method, path.split("?")[0])["responses"][str(status)])
    schema = declared["content"]["application/json"]["schema"]
    assert answer.mimetype == "application/json"
    jsonschema.Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(answer.json)
    return answer.json


# -- the document


def test_every_route_is_in_the_document_and_the_other_way_round(app):
    routes = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if not rule.rule.startswith("/console")  # pages, for people
    }
    documented = {(path, method) for path, operations in DOCUMENT["paths"].items() for method in operations}
    assert routes == documented


def test_the_document_is_served_and_sound(client):
    assert checked(client, "get", "/api/v1/openapi.json") == DOCUMENT
    assert DOCUMENT["openapi"].startswith("3.1")
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    ids = [one["operationId"] for operations in DOCUMENT["paths"].values() for one in operations.values()]
    assert len(ids) == len(set(ids))
    for reference in re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(DOCUMENT)):
        assert resolved({"$ref": f"#/{reference}"})
    for path, operations in DOCUMENT["paths"].items():
        for one in operations.values():
            named = {resolved(parameter)["name"] for parameter in one.get("parameters", [])}
            assert set(re.findall(r"\{(\w+)\}", path)) <= named, path


def schemas(node, path=()):
    """Yield every schema of an object in a part of the document, with its place."""
    if isinstance(node, dict):
        if "object" in node.get("type", ()):
            yield path, node
        for key, value in node.items():
            yield from schemas(value, (*path, key))
    elif isinstance(node, list):
        for key, value in enumerate(node):
            yield from schemas(value, (*path, key))


def test_every_object_says_what_else_may_be_in_it_and_in_answers_that_is_nothing():
    open_ones = {"parameters", "openapi.json", "result"}  # of strategies, of this very document, of Label Studio
    for path, schema in schemas(DOCUMENT):
        place = "/".join(map(str, path))
        assert "additionalProperties" in schema, place
        assert "properties" in schema or schema["additionalProperties"], place
        if schema["additionalProperties"] is True and "requestBody" not in path:
            assert any(name in place for name in open_ones), place


def test_the_protocol_answers_as_documented(client):
    setup = {"project": "7.1800000000", "schema": CONFIG}
    event = {"action": "TASKS_CREATED", "tasks": [{"id": 1}], "project": {"id": 7, "created_at": CREATED_AT}}
    for path in ("/health", "/", "/versions"):
        checked(client, "get", path)
    checked(client, "post", "/setup", json=setup)
    checked(client, "post", "/setup", 400, json=[])
    checked(client, "post", "/predict", json={"tasks": [{"id": 1}], "project": "7.1800000000"})
    checked(client, "post", "/webhook", 201, json=event)
    checked(client, "post", "/webhook", 200, json={**event, "action": "LABEL_LINK_CREATED"})


# -- reading


def test_projects_are_listed_once_each_and_only_those_of_this_label_studio(client, store, ordered):
    Project(store, ProjectRef(ORIGIN, 7, ordered.ref.created - 9)).register(title="deleted and made again")
    Project(store, ProjectRef("http://other.test", 8, 1)).register(title="elsewhere")
    (row,) = checked(client, "get", "/api/v1/projects")["projects"]
    assert (row["project"], row["title"], row["version"]) == (7, "animals", "r2 BAL")


def test_status_before_and_after_the_first_order(client, project):
    now = checked(client, "get", HERE)
    assert (now["version"], now["tasks"]) == (None, 0)
    Orders(project).save(order_of(1, 1))
    Orders(project).go_live(order_of(1, 1))
    project.set(paused="why not")
    now = checked(client, "get", HERE)
    assert (now["version"], now["paused"]) == ("r1 FreeSel", "why not")


def test_the_order_shows_open_tasks_in_turn(client, ordered):
    answer = checked(client, "get", f"{HERE}/order?limit=1")
    assert answer["version"] == "r2 BAL"
    assert [(row["rank"], row["task"], row["image"]) for row in answer["tasks"]] == [(1, 3, "/3.jpg")]
    rows = checked(client, "get", f"{HERE}/order")["tasks"]
    assert [row["task"] for row in rows] == [3, 1], "the skipped one is not open"
    assert rows[0]["score"] < rows[1]["score"]


@pytest.mark.parametrize("limit", ["0", "-1", "x", "10001", "1.5", ""])
def test_a_wrong_limit_is_named(client, ordered, limit):
    assert "from 1 to 10000" in checked(client, "get", f"{HERE}/order?limit={limit}", 400)["error"]


def test_random_controls_and_prelabels_are_shown(client, project):
    project.put_tasks({task: TaskRow(f"/{task}.jpg", UNLABELED) for task in (1, 2)})
    places = (Place(1, "drawn at random", control=True), Place(2, "covers most", prelabel=("cat", "dog")))
    order = replace(order_of(1), places=places)
    Orders(project).save(order)
    Orders(project).go_live(order)
    for path in ("order", "orders/1"):
        rows = checked(client, "get", f"{HERE}/{path}")["tasks"]
        assert [(row["control"], row["prelabel"]) for row in rows] == [(True, None), (False, ["cat", "dog"])]


def test_every_field_of_an_orders_record_is_described(client, ordered):
    described = set(DOCUMENT["components"]["schemas"]["Order"]["properties"])
    recorded = {field.name for field in fields(Order)} - {"places", "left_out", "overlay", "inputs"}
    assert described == recorded | {"published", "live"}
    assert set(checked(client, "get", f"{HERE}/orders")["orders"][0]) == described
    assert set(checked(client, "get", f"{HERE}/orders/1")) == described | {"project", "tasks"}


def test_every_order_stays_on_record(client, ordered):
    listed = checked(client, "get", f"{HERE}/orders")["orders"]
    assert [(row["version"], row["live"], row["published"]) for row in listed] == [
        ("r2 BAL", True, 3),
        ("r1 FreeSel", False, 3),
    ]
    assert all("tasks" not in row and "places" not in row for row in listed)
    for name in ("1", "r1", "r1 FreeSel"):
        audit = checked(client, "get", f"{HERE}/orders/{name}")
        assert [row["task"] for row in audit["tasks"]] == [1, 2, 3]
        assert audit["tasks"][2]["reason"] == "covers 3" and audit["parameters"] == {"seed": 0}
    assert "there are 'r2 BAL', 'r1 FreeSel'" in checked(client, "get", f"{HERE}/orders/9", 404)["error"]


def test_settings_show_where_they_come_from(client, project):
    project.take_extra_params({"seed": 3})
    before = checked(client, "get", f"{HERE}/settings")["settings"]
    assert set(before) == set(PROJECT)
    assert (before["seed"]["value"], before["seed"]["source"]) == (3, "extra params")
    assert (before["trials"]["source"], before["trials"]["at"], before["trials"]["value"]) == ("default", None, 200)
    after = checked(client, "patch", f"{HERE}/settings", json={"seed": None, "trials": 7})["settings"]
    assert (after["seed"]["value"], after["seed"]["source"]) == (0, "default")
    assert (after["trials"]["value"], after["trials"]["source"]) == (7, "REST") and after["trials"]["at"] > 0
    assert checked(client, "get", HERE)["settings_from"]["trials"]["source"] == "REST"


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"json": {"seed": 1, "trials": 0}}, "'trials' has value 0: expected a whole number from 1 to 10000"),
        ({"json": {"sead": 1}}, "unknown setting 'sead'; known are strategy"),
        ({"json": {"target": "nobody"}}, "no control named 'nobody'"),
        ({"json": [1]}, "not a JSON object (see /api/v1/openapi.json)"),
        ({"data": b"{"}, "not a JSON object (see /api/v1/openapi.json)"),
    ],
)
def test_wrong_settings_change_nothing_and_name_the_way_out(client, project, options, word):
    assert word in checked(client, "patch", f"{HERE}/settings", 400, **options)["error"]
    assert project.setting_choices() == {}


def test_what_a_look_worked_out_is_told_as_described(client, ordered):
    records = [ControlRecord(task, 1, 1, 10, "cat" if task % 3 else None) for task in range(80)]
    told = report(records, dict.fromkeys(range(70), "cat"), {75}, classes=("cat", "dog"))
    learning = {
        "phase": "warm", "reason": "r", "waits_for": [], "cycle": 1, "labels": 70, "labels_per_class": {"cat": 70},
        "trained_on": 60, "unlearned": 10, "retrain_every": 10, "trust": 0.9, "model": "f", "sub_pool": 0.5,
        "regularization": 1.0, "prelabels": True, "dropped_labels": {}, "without_label": {},
    }  # fmt: skip
    accuracy = {"controls": told.overall.count, **told.as_dict(), "lines": told.lines()}
    measured = Measurement(70, 200, 0.8, 0.75, 0.05, 0.06, 0.7, 0.7, 0.0)
    taken = Step(70, None, 0, 0.5, 0.9, 0.1)
    curve = {
        "waits_for": "", "several": False, "measurements": [measured.dump()], "steps": [taken.dump()],
        "hints": [hint.as_dict() for hint in stop_hints([taken])], "controls": [{"labels": 10, "right": 3, "count": 4}],
    }  # fmt: skip
    accuracy |= {"labels_wanted": None}
    save_summary(ordered, {"learning": learning, "accuracy": accuracy, "learning_curve": curve})
    forecast = checked(client, "get", HERE)["learning_curve"]["forecast"]
    assert forecast["target"] == 0.9 and forecast["accuracy"]["bands"][0]["labels"] == 70
    wish = checked(client, "get", f"{HERE}?target=0.7")["learning_curve"]
    assert wish["forecast"]["target"] == 0.7 and "70% is reached" in wish["lines"][0]
    save_summary(ordered, {"learning": learning, "accuracy": accuracy, "learning_curve": {**curve, "measurements": []}})
    assert checked(client, "get", HERE)["learning_curve"]["forecast"] is None
    now = checked(client, "get", HERE)["accuracy"]
    assert now["overall"]["interval"] and now["classes"] and now["models"]
    assert told.as_dict()["recent"]["name"] == now["recent"]["name"]


@pytest.mark.parametrize("target", ["90", "0", "x", "", "nan"])
def test_a_wrong_target_is_named(client, ordered, target):
    assert "above 0 and below 1" in checked(client, "get", f"{HERE}?target={target}", 400)["error"]


# -- switches


@pytest.mark.parametrize(
    ("switch", "fact"),
    [("pause", "pause_wanted"), ("resume", "resume_wanted"), ("retrain", "retrain_wanted"), ("reconcile", "want_full")],
)
def test_a_switch_is_written_down_for_the_worker(client, ordered, store, switch, fact):
    answer = checked(client, "post", f"{HERE}/{switch}", 202)
    assert answer["project"] == 7 and answer["accepted"]
    assert ordered.get(fact) and store.llen("rq:queue:tend") == 1


@pytest.mark.parametrize("body", [None, {}, {"order": None}, {"order": 1}, {"order": "1"}, {"order": "r1 FreeSel"}])
def test_rollback_takes_a_number_a_version_or_nothing(client, ordered, body):
    options = {} if body is None else {"json": body}
    assert "'r1 FreeSel'" in checked(client, "post", f"{HERE}/rollback", 202, **options)["accepted"]
    assert ordered.get("rollback_wanted") == "1"


def test_a_rollback_that_is_not_possible_says_why(client, ordered):
    for wrong in ({"order": True}, {"order": [1]}, {"version": 1}, 1):
        assert (
            "NUMBER or VERSION" in checked(client, "post", f"{HERE}/rollback", 400, json=wrong)["error"] or wrong == 1
        )
    assert "there are" in checked(client, "post", f"{HERE}/rollback", 404, json={"order": 5})["error"]
    Orders(ordered).go_live(order_of(1))
    assert "no order before" in checked(client, "post", f"{HERE}/rollback", 409)["error"]
    ordered.set(paused=NOT_CONNECTED)
    assert "Settings > Model" in checked(client, "post", f"{HERE}/pause", 409)["error"]
    assert ordered.get("rollback_wanted") == ordered.get("pause_wanted") == ""


# -- pins and exclusions


def test_tasks_are_pinned_left_out_and_changed_back(client, ordered, store):
    act = checked(client, "post", f"{HERE}/pin", 202, json={"tasks": [1, 3]})
    assert (act["act"], act["changed"]) == (1, 2) and store.llen("rq:queue:tend") == 1
    checked(client, "post", f"{HERE}/exclude", 202, json={"tasks": [2], "reason": "blurry"})
    found = checked(client, "get", f"{HERE}/curation")
    assert {row["task"] for row in found["pins"]} == {1, 3} and found["exclusions"][0]["reason"] == "blurry"
    assert found["pins"][0]["source"] == "REST" and len(checked(client, "get", f"{HERE}/curation?limit=1")["acts"]) == 1
    assert checked(client, "post", f"{HERE}/include", 202, json={"tasks": [2]})["changed"] == 1
    assert checked(client, "post", f"{HERE}/unpin", 202, json={"tasks": [1]})["changed"] == 1
    assert checked(client, "post", f"{HERE}/unpin", 202, json={"tasks": [1]})["act"] is None
    assert checked(client, "post", f"{HERE}/undo", 202, json={"act": 1})["changed"] == 1
    assert checked(client, "get", f"{HERE}/curation")["counts"]["pinned"] == 0


@pytest.mark.parametrize(
    ("call", "body", "status", "word"),
    [
        ("pin", {"tasks": [1, 99]}, 400, "has no task 99"),
        ("pin", {"tasks": []}, 400, "no task is named"),
        ("pin", {"tasks": ["1"]}, 400, "'1' is no task id"),
        ("pin", {"tasks": 1}, 400, "expected a list of task ids"),
        ("pin", {"tasks": list(range(10_001))}, 400, "10,000 is the most at once"),
        ("unpin", {}, 400, "'tasks' is 'None'"),
        ("include", {"tasks": [1], "reason": "x"}, 400, "'reason' is not known; expected tasks"),
        ("exclude", {"tasks": [1]}, 400, "expected a text"),
        ("exclude", {"tasks": [1], "reason": " "}, 400, "say in a few words"),
        ("undo", {"act": True}, 400, "expected a whole number"),
        ("undo", {"act": 5}, 404, "has no act 5"),
    ],
)
def test_what_cannot_be_pinned_is_named_and_nothing_changes(client, ordered, call, body, status, word):
    assert word in checked(client, "post", f"{HERE}/{call}", status, json=body)["error"]
    assert checked(client, "get", f"{HERE}/curation")["acts"] == []


# -- errors and doors


def test_an_unknown_project_is_a_404_that_lists_those_there_are(client, project):
    for method, path in (
        ("get", ""),
        ("get", "/order"),
        ("patch", "/settings"),
        ("post", "/pause"),
        ("post", "/rollback"),
    ):
        assert "known: 7" in checked(client, method, f"/api/v1/projects/8{path}", 404)["error"]


@pytest.mark.parametrize(
    ("method", "path", "status", "word"),
    [
        ("GET", "/api/v1/nothing", 404, "there is no /api/v1/nothing"),
        ("GET", "/api/v1/projects/seven", 404, "openapi.json"),
        ("GET", "/nothing", 404, "there is no /nothing"),
        ("POST", HERE, 405, "takes GET, HEAD, OPTIONS, not POST"),
        ("DELETE", "/setup", 405, "takes OPTIONS, POST"),
    ],
)
def test_what_does_not_exist_is_answered_in_json(client, project, method, path, status, word):
    answer = client.open(path, method=method)
    assert answer.status_code == status and word in answer.json["error"]
    assert status != 405 or "OPTIONS" in answer.headers["Allow"]


def test_a_missing_redis_is_a_503_whose_reason_only_the_log_gets(client, project, monkeypatch, caplog):
    environ = {"REDIS_URL": "redis://:s3cret@127.0.0.1:1/0"}
    away = create_app(Deployment.from_environment(environ)).test_client()
    assert "log says why" in checked(away, "get", HERE, 503)["error"]
    assert "127.0.0.1:1" in caplog.text and "s3cret" not in caplog.text


def test_a_redis_that_goes_away_is_a_503(client, app, project):
    app.extensions["labelqueue"].__dict__["patient_store"] = redis.Redis(unix_socket_path="/nonexistent")
    assert "log says why" in checked(client, "get", HERE, 503)["error"]


def test_the_doctor_tells_what_is_away_instead_of_failing(client, app, ordered):
    found = {row["check"]: row for row in checked(client, "get", f"{HERE}/doctor")["findings"]}
    assert found["Redis"]["state"] == "well" and found["Label Studio"]["state"] == "wrong"
    app.extensions["labelqueue"].__dict__["store"] = redis.Redis(unix_socket_path="/nonexistent", retry=None)
    found = {row["check"]: row for row in checked(client, "get", f"{HERE}/doctor")["findings"]}
    assert found["Redis"]["state"] == "wrong" and "/nonexistent" not in str(found)


def test_the_doctor_of_a_healthy_project_is_content(store, deployment):
    with healthy(store, deployment) as installation:
        web = create_app(installation.deployment).test_client()
        diagnosis = checked(web, "get", f"{HERE}/doctor")
        assert diagnosis["state"] == "well" and diagnosis["unseen"] == 0 and diagnosis["project"] == 7
        checked(web, "get", "/api/v1/projects/99/doctor", 404)


@pytest.mark.parametrize(
    ("method", "path"),
    [("get", HERE), ("post", f"{HERE}/pause"), ("patch", f"{HERE}/settings"), ("get", "/api/v1/openapi.json")],
)
def test_strangers_and_web_pages_may_not_call(client, ordered, store, deployment, redis_home, method, path):
    for options in (
        {"environ_base": {"REMOTE_ADDR": "10.0.0.5"}},
        {"headers": {"Host": "evil.example"}},
        {"headers": {"Origin": "http://127.0.0.1:9090"}},
        {"headers": {"Sec-Fetch-Site": "cross-site"}},
    ):
        checked(client, method, path, 403, **options)
    environ = {"LABELQUEUE_HOME": str(redis_home), "LABEL_STUDIO_URL": ORIGIN, "LABEL_STUDIO_API_KEY": "0" * 40}
    guarded = create_app(Deployment.from_environment({**environ, "BASIC_AUTH_USER": "ls", "BASIC_AUTH_PASS": "x"}))
    right = {"auth": ("ls", "x")}
    checked(guarded.test_client(), method, path, 401)
    checked(guarded.test_client(), method, path, 401, auth=("ls", "y"))
    checked(guarded.test_client(), method, path, 401, headers={SECRET_HEADER: ordered.get("secret")})
    checked(guarded.test_client(), method, path, 403, headers={"Origin": "http://ls.test"}, **right)
    assert ordered.get("pause_wanted") == ""
    assert guarded.test_client().open(path, method=method.upper(), json={}, **right).status_code in (200, 202)


def test_the_web_process_loads_neither_torch_nor_the_science():
    code = (
        "import sys, os; os.environ['LABELQUEUE_HOME'] = '/nonexistent';"
        "from labelqueue.web.app import create_app; create_app();"
        "print([m for m in ('torch', 'timm', 'sklearn', 'scipy', 'poolselect') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], timeout=60, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stdout + done.stderr
