"""The doctor: all is well, or what is not, why it matters and the way out; also while everything is away."""

import json
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import redis

import redis_dump
from healthy import NUMBER, healthy
from http_stub import serving
from labelqueue.admin.doctor import diagnosis_lines, examine, exit_status
from labelqueue.admin.installation_checks import INSTALLATION
from labelqueue.admin.project_checks import PROJECT
from labelqueue.admin.scene import Scene
from labelqueue.cli import main
from labelqueue.state.project import SECRET_HEADER
from labelqueue.store.redis_connection import PROBE

NOWHERE = "http://127.0.0.1:1"
AWAY = "redis://:s3cret@127.0.0.1:1/0"


@pytest.fixture
def well(store, deployment):
    with healthy(store, deployment) as installation:
        yield installation


def states(diagnosis):
    return {finding["check"]: finding["state"] for finding in diagnosis["findings"]}


@pytest.fixture
def command(well, monkeypatch, capsys):
    """Run the command line; return its status and what it printed."""

    def run(*arguments, **environment):
        names = {
            "LABEL_STUDIO_URL": well.deployment.label_studio_url,
            "LABEL_STUDIO_API_KEY": well.deployment.label_studio_api_key,
            "LABELQUEUE_HOME": str(well.deployment.home),
            "LABELQUEUE_EMBEDDER": "bundled",
            **environment,
        }
        for name, value in names.items():
            monkeypatch.setenv(name, value)
        return main(["doctor", *arguments]), capsys.readouterr().out

    return run


def test_a_healthy_installation_is_well(well):
    diagnosis = examine(well.scene())
    assert set(states(diagnosis).values()) == {"well"}, "\n".join(diagnosis_lines(diagnosis))
    assert exit_status(diagnosis) == 0 and diagnosis["state"] == "well" and diagnosis["unseen"] == 0
    lines = list(diagnosis_lines(diagnosis))
    assert len(lines) == len(INSTALLATION + PROJECT) + 1 and lines[-1] == f"{len(lines) - 1} well"
    assert len(well.calls) <= 6, "a few calls"


def test_every_check_has_a_name_of_its_own_and_says_why_it_matters():
    names = [check.name for check in INSTALLATION + PROJECT]
    assert len(set(names)) == len(names) and all(check.why for check in INSTALLATION + PROJECT)


def test_it_changes_nothing_by_itself(well):
    def everything():
        return {key: value for key, value in redis_dump.dump(well.store).items() if key not in ("lq:worker:w1", PROBE)}

    well.hook["headers"] = {}
    well.remote["sampling"] = "Uniform sampling"
    before = everything()
    examine(well.scene())
    assert everything() == before and all(method == "GET" for method, *_ in well.calls)


def test_exit_statuses_are_for_scripts(command, well):
    status, told = command(str(NUMBER), "--json")
    assert status == 0 and json.loads(told)["state"] == "well"
    assert command()[0] == 0
    well.remote["maximum_annotations"] = 2
    assert command(str(NUMBER))[0] == 0, "a warning is no fault"
    well.hook["is_active"] = False
    status, told = command(str(NUMBER))
    assert status == 1 and "switched off" in told and "way out: switch it on" in told and "why: " in told
    assert command()[0] == 0, "another project's fault"
    assert command("99")[0] == 3
    assert command(LABEL_STUDIO_URL=NOWHERE)[0] == 3
    assert command(REDIS_URL=AWAY)[0] == 3
    with pytest.raises(SystemExit) as usage:
        command("x")
    assert usage.value.code == 2


def test_while_redis_is_away_the_rest_is_looked_at(well):
    diagnosis = examine(well.scene(redis_url=AWAY))
    seen = states(diagnosis)
    assert seen["Redis"] == "wrong" and seen["workers"] == seen["locks"] == "unknown"
    assert (
        seen["Label Studio"] == seen["token"] == seen["connection"] == seen["overlap"] == seen["ML backends"] == "well"
    )
    assert "s3cret" not in json.dumps(diagnosis) and "127.0.0.1:1/" not in json.dumps(diagnosis)


def test_a_redis_that_goes_away_meanwhile_is_tried_once(well, monkeypatch):
    tries = []

    def lost(*_, **__):
        tries.append(1)
        raise redis.ConnectionError("gone")

    away = redis.Redis(unix_socket_path="/nonexistent")
    monkeypatch.setattr(away, "execute_command", lost)
    diagnosis = examine(Scene(well.deployment, NUMBER, store=lambda: away))
    assert states(diagnosis)["Redis"] == "wrong" and len(tries) == 1 and exit_status(diagnosis) == 3
    scene = well.scene()
    assert scene.project and scene.info and scene.facts  # and then it goes
    monkeypatch.setattr(scene.store, "execute_command", lost)
    tries.clear()
    assert states(examine(scene))["locks"] == "unknown" and len(tries) == 1


def test_while_label_studio_is_away_the_rest_is_looked_at_and_it_is_asked_once(well):
    begin = time.monotonic()
    diagnosis = examine(Scene(replace(well.deployment, label_studio_url=NOWHERE), NUMBER, store=lambda: well.store))
    seen = states(diagnosis)
    assert seen["Label Studio"] == "wrong" and seen["token"] == seen["webhook"] == "unknown"
    assert seen["Redis"] == seen["workers"] == seen["persistence"] == "well"
    assert time.monotonic() - begin < 30


def test_a_silent_label_studio_is_not_waited_for_again_and_again(store, deployment, monkeypatch):
    monkeypatch.setattr("labelqueue.admin.scene.TIMEOUT", (0.2, 0.2))

    def silent(*_):
        time.sleep(0.5)
        return 200, {}, {}

    with serving(silent) as (url, calls):
        diagnosis = examine(Scene(replace(deployment, label_studio_url=url), NUMBER))
    assert states(diagnosis)["Label Studio"] == "wrong" and len(calls) == 1


def test_a_label_studio_that_waits_for_a_backend_is_not_away(well, monkeypatch):
    monkeypatch.setattr("labelqueue.admin.scene.TIMEOUT", (0.3, 0.3))

    well.answers["/api/ml"] = lambda: time.sleep(1) or 504
    found = {row["check"]: row for row in examine(well.scene())["findings"]}
    assert found["connection"]["state"] == "wrong" and "waits in vain" in found["connection"]["told"]
    assert found["queue"]["state"] == found["overlap"]["state"] == "well"


def test_a_key_that_is_not_accepted_is_told_once_and_clearly(well):
    for path in well.answers:
        well.answers[path] = 401
    seen = {finding["check"]: finding for finding in examine(well.scene())["findings"]}
    assert seen["token"]["state"] == "wrong" and "Account & Settings" in seen["token"]["way_out"]
    for installation in (well.scene(), well.scene(label_studio_api_key="")):
        seen = {finding["check"]: finding for finding in examine(installation)["findings"]}
        assert seen["token"]["state"] == "wrong" and seen["connection"]["state"] == "unknown"
        assert "our key" in seen["connection"]["told"] and seen["connection"]["way_out"] == "see `token`"


def test_one_thing_that_nobody_thought_of_does_not_hide_the_others(well, caplog):
    well.project.set(live="no number")
    diagnosis = examine(well.scene())
    seen = states(diagnosis)
    assert seen["queue"] == seen["predictions"] == "unknown" and seen["webhook"] == seen["locks"] == "well"
    assert diagnosis["unseen"] == 2 and "check of queue failed" in caplog.text


def test_a_project_that_is_not_known_here_is_still_looked_at_in_label_studio(well):
    well.store.delete("lq:projects")
    seen = states(examine(well.scene()))
    assert seen["project"] == "wrong" and seen["connection"] == "well" and seen["predictions"] == "unknown"


def test_what_is_safe_is_repaired_and_said(well):
    well.hook["headers"] = {SECRET_HEADER: "another"}
    well.remote["sampling"] = "Uniform sampling"
    well.answers[f"/api/projects/{NUMBER}/model-versions/"] = {}
    well.store.set(well.project.name("tending"), "dead")
    well.project.set(webhook_secured_at="1800000000")
    fixed = {finding["check"] for finding in examine(well.scene(), fix=True)["findings"] if finding["fixed"]}
    assert fixed == {"webhook", "queue", "predictions", "locks"}
    assert well.project.get("webhook_secured_at") == "" and well.project.get("want_full") == "1"
    assert not well.store.exists(well.project.name("tending")) and well.store.llen("rq:queue:tend") == 1
    assert all(method == "GET" for method, *_ in well.calls), "a worker does the rest, under its lock"


def test_a_repair_that_is_not_possible_says_so(well):
    well.remote["sampling"] = "Uniform sampling"
    scene = well.scene()
    assert scene.project and scene.info
    well.store.config_set("maxmemory", "1")
    try:
        found = {finding["check"]: finding for finding in examine(scene, fix=True)["findings"]}
    finally:
        well.store.config_set("maxmemory", "0")
    assert found["queue"]["fixed"].startswith("not done") and found["writes"]["state"] == "wrong"


def test_it_loads_neither_torch_nor_the_science():
    code = (
        "import sys; from labelqueue import admin; from labelqueue.settings import Deployment; "
        f"admin.examine(admin.Scene(Deployment.from_environment({{'REDIS_URL': '{AWAY}', 'LABEL_STUDIO_API_KEY': 'x', "
        f"'LABEL_STUDIO_URL': '{NOWHERE}'}}), 7)); sys.exit(bool({{'torch', 'timm', 'sklearn'}} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0
