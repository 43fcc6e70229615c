"""Below the product: Redis loses everything, or takes no more, while people label."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import psutil
import pytest
import redis
import requests

from e2e.test_queue import CONFIG, UNCERTAINTY, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.fixture
def store():
    """Connect to a backend's own Redis."""
    return lambda backend: redis.Redis(unix_socket_path=str(backend.home / "redis" / "redis.sock"))


def facts(backend, project):
    answer = requests.get(f"{backend.url}/api/v1/projects/{project}", timeout=30)
    return answer.json() if answer.status_code == 200 else None


def test_a_redis_that_lost_everything_is_filled_again_while_nobody_opens_a_page(api, serve, drawn, store):
    with serve() as backend:
        project = api.create_project("all lost", CONFIG)
        api.connect(project, backend.url)
        api.import_images(project, drawn(40))
        before = wait_for(backend, project, lambda now: now["covers"] == 40 and not now["pending"])
        for _ in range(5):
            api.annotate(api.next(project)["id"], "disc")
        wait_for(backend, project, lambda now: now["labeled"] == 5)
        store(backend).flushall()
        began = time.monotonic()
        while not ((now := facts(backend, project)) and now["version"] and now["labeled"] == 5):
            assert time.monotonic() - began < 180, now
            time.sleep(0.5)
        print(f"all there again after {time.monotonic() - began:.1f} s")
        assert now["version"] != before["version"]
        remote = api.project(project)
        assert remote["sampling"] == UNCERTAINTY and remote["model_version"] == now["version"]
        number = requests.get(f"{backend.url}/api/v1/projects", timeout=30).json()["projects"]
        assert [row["project"] for row in number] == [project], "another backend's projects are left to it"


def found(backend, project):
    """What the doctor finds, and its exit status."""
    done = subprocess.run(
        [sys.executable, "-m", "labelqueue", "doctor", str(project), "--json"],
        env={**os.environ, **backend.environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    diagnosis = json.loads(done.stdout)
    return {row["check"]: row for row in diagnosis["findings"]}, done.returncode


def not_well(backend, project):
    findings, _ = found(backend, project)
    return {name: row["state"] for name, row in findings.items() if row["state"] != "well"}


def until(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.5)


def test_the_doctor_of_a_real_installation(api, serve, drawn):
    with serve() as backend:
        project = api.create_project("at the doctor's", CONFIG)
        api.import_images(project, drawn(30))
        assert found(backend, project)[0]["project"]["state"] == "wrong"
        api.connect(project, backend.url)
        wait_for(backend, project, lambda now: now["covers"] == 30 and not now["pending"])
        until(lambda: any("X-Labelqueue-Secret" in hook["headers"] for hook in api.webhooks(project)))
        seen = []

        def well():  # what only a busy machine is slow with passes
            seen.append(found(backend, project))
            findings, status = seen[-1]
            return status == 0 and all(row["state"] == "well" for row in findings.values())

        until(well, 180.0)
        findings = seen[-1][0]
        assert "owner@test.local" in findings["token"]["told"] and "Community" in findings["Label Studio"]["told"]
        until(lambda: backend.get(f"/projects/{project}/doctor")["state"] == "well", 180.0)

        def without_its_header():
            (hook,) = api.webhooks(project)
            api.call("PATCH", f"/api/webhooks/{hook['id']}/", json={"headers": {}})

        api.update_project(project, maximum_annotations=2)
        version = found(backend, project)[0]["queue"]["told"].split("'")[-2]
        rows = [row["id"] for task in api.task_ids(project)[:3] for row in api.predictions(task, version)]
        for row in rows:
            api.call("DELETE", f"/api/predictions/{row}/")

        def ill():
            without_its_header()  # a look sets it by itself: whoever comes first
            findings, status = found(backend, project)
            states = findings["webhook"]["state"], findings["overlap"]["state"], status
            # Missed within the minute by itself; whoever comes first.
            seen = findings["predictions"]["state"] == "wrong" or version not in findings["predictions"]["told"]
            return seen and states == ("wrong", "warning", 1)

        until(ill, 180.0)

        def repaired():
            without_its_header()
            line = [sys.executable, "-m", "labelqueue", "doctor", str(project), "--fix"]
            environment = {**os.environ, **backend.environment}
            told = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=120).stdout
            return "done: the header is set within seconds" in told

        until(repaired, 180.0)
        until(lambda: not_well(backend, project) == {"overlap": "warning"})

        api.update_project(project, maximum_annotations=1)
        (hook,) = api.webhooks(project)
        api.call("PATCH", f"/api/webhooks/{hook['id']}/", json={"is_active": False})
        until(lambda: not_well(backend, project) in ({"webhook": "wrong"}, {}))  # or it was switched on again
        api.disconnect(project)
        until(lambda: found(backend, project)[0]["connection"]["state"] == "wrong")
    findings, status = found(backend, project)
    assert status == 3 and findings["Redis"]["state"] == "wrong" and findings["token"]["state"] == "well"


def test_a_label_studio_that_cannot_reach_us_is_told(api, serve, drawn):
    with serve() as backend:
        project = api.create_project("out of reach", CONFIG)
        api.import_images(project, drawn(20))
        api.connect(project, backend.url)
        wait_for(backend, project, lambda now: now["covers"] == 20 and not now["pending"])
        web = [
            one
            for one in psutil.Process(backend.process.pid).children(recursive=True)
            if "labelqueue.web" in str(one.cmdline())
        ]
        assert web
        for one in web:
            one.suspend()
        try:
            findings, status = found(backend, project)
        finally:
            for one in web:
                one.resume()
        assert status == 1 and findings["connection"]["state"] == "wrong", findings
        assert "ML_BLOCK_LOCAL_IP" in findings["connection"]["way_out"] and findings["queue"]["state"] == "well"
        until(lambda: not_well(backend, project) == {})
