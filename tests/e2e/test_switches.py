"""Switches for admins on a real Label Studio: pause, resume, rollback, settings and REST."""

from __future__ import annotations

import time

import pytest
import requests

from e2e.test_queue import CONFIG, UNCERTAINTY, ordered, published, status, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def project(api, backend, drawn):
    """A project of 60 images with two orders: r1 of the extra params' seed, and another seed by command."""
    found = api.create_project("switches", CONFIG)
    api.update_project(found, sampling="Uniform sampling")
    api.import_images(found, drawn(300)[:60])
    api.connect(found, backend.url, extra_params={"seed": 1, "horizon": 10})
    wait_for(backend, found, ordered(60))
    return found


def test_a_setting_by_command_makes_an_order_and_survives_set_up(api, backend, project):
    before = status(backend, project)
    backend.command("set", str(project), "seed=2")
    now = wait_for(backend, project, lambda now: now["version"] != before["version"], what="the order")
    assert now["settings_from"]["seed"]["source"] == "command line"
    assert now["settings_from"]["horizon"]["source"] == "extra params"
    api.set_extra_params(project, {"seed": 1, "horizon": 11})  # its set-ups repeat the seed
    now = wait_for(backend, project, lambda now: now["settings"]["horizon"] == 11, what="the other key")
    assert now["settings"]["seed"] == 2


def test_pause_and_resume(api, backend, project):
    backend.command("pause", str(project))
    start = time.monotonic()
    wait_for(backend, project, lambda now: "paused by an admin" in now["paused"], what="pause")
    print("paused after", time.monotonic() - start)
    assert api.project(project)["sampling"] == "Uniform sampling"
    time.sleep(3)
    assert api.project(project)["sampling"] == "Uniform sampling"
    backend.command("resume", str(project))
    wait_for(backend, project, lambda now: not now["paused"], what="resume")
    assert api.project(project)["sampling"] == UNCERTAINTY
    backend.command("pause", str(project))
    wait_for(backend, project, lambda now: now["paused"], what="pause")
    api.update_project(project, sampling=UNCERTAINTY)
    wait_for(backend, project, lambda now: not now["paused"], what="end of the pause")


def test_resume_after_a_change_by_hand(api, backend, project):
    api.update_project(project, sampling="Sequential sampling")
    wait_for(backend, project, lambda now: now["paused"], what="pause")
    backend.command("resume", str(project))
    wait_for(backend, project, lambda now: not now["paused"], what="resume")
    assert api.project(project)["sampling"] == UNCERTAINTY


def test_rollback_restores_exactly_and_annotators_get_it(api, backend, project):
    orders = backend.command("orders", str(project), "--json")["orders"]
    earlier = orders[-1]
    audit = backend.command("order", str(project), "--version", str(earlier["number"]), "--json")
    answer = requests.post(
        f"{backend.url}/api/v1/projects/{project}/rollback", json={"order": earlier["version"]}, timeout=9
    )
    assert answer.status_code == 202, answer.text
    start = time.monotonic()
    wait_for(backend, project, lambda now: now["version"] == earlier["version"] and now["hold"], what="rollback")
    print("rolled back after", time.monotonic() - start)
    assert api.project(project)["model_version"] == earlier["version"]
    assert published(backend, project) == [row["task"] for row in audit["tasks"]]
    user = api.sign_up("rollback@test.local")
    for row in audit["tasks"][:3]:
        task = user.next(project)["id"]
        assert task == row["task"]
        user.annotate(task, "disc")
    backend.command("rollback", str(project), str(orders[0]["number"]))
    wait_for(backend, project, lambda now: now["version"] == orders[0]["version"] and not now["hold"], what="newest")


def test_switching_prelabels_off_does_not_lose_the_order(api, backend, project):
    version = status(backend, project)["version"]
    api.update_project(project, show_collab_predictions=False)
    deadline = time.monotonic() + 90
    while True:
        remote = api.project(project)
        if remote["model_version"] == version:
            break
        assert time.monotonic() < deadline, remote
        time.sleep(0.3)
    assert remote["show_collab_predictions"] is False
    head = published(backend, project)
    assert api.sign_up("prelabel@test.local").next(project)["id"] in head[:2]


def test_a_rollback_to_deleted_predictions_publishes_the_order_again(api, backend, project):
    first = backend.command("orders", str(project), "--json")["orders"][-1]
    found = api.call("GET", f"/api/predictions/?project={project}")
    rows = found if isinstance(found, list) else found["results"]
    for row in rows:
        if row["model_version"] == first["version"]:
            api.call("DELETE", f"/api/predictions/{row['id']}/")
    backend.command("rollback", str(project), first["version"])
    now = wait_for(backend, project, lambda now: now["version"].endswith("back to r1"), what="the order again")
    assert now["hold"].endswith("was chosen by a rollback and is published again") and not now["paused"]
    assert api.project(project)["model_version"] == now["version"] and not now["rollback_error"]
    tasks = {row["task"] for row in backend.get(f"/projects/{project}/orders/1")["tasks"]}
    left = [
        row["task"] for row in backend.get(f"/projects/{project}/orders/1")["tasks"] if not api.annotations(row["task"])
    ]
    assert published(backend, project) == left and len(left) < len(tasks)
    assert "r1, published again" in backend.command("order", str(project), "--version", now["version"])
