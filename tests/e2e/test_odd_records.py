"""Records that nobody can read, in a real Label Studio: each costs itself, is named, and is read once it is mended."""

from __future__ import annotations

import json
import os

import pytest
import requests

from e2e.conftest import ACCOUNT
from e2e.databases import POSTGRESQL
from e2e.test_queue import CONFIG, published, status, wait_for
from labelqueue.labelstudio.client import LabelStudio
from labelqueue.labelstudio.records import Skipped

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        os.environ.get("E2E_DATABASE") == POSTGRESQL,
        reason="PostgreSQL takes no half characters: Label Studio refuses such tasks",
    ),
]

SHOWN = "Label Studio itself cannot show it (error 500)"
HALF = "\ud800"  # half a character, which JSON can hold and UTF-8 cannot


def send(url, path, body):
    """Send JSON in ASCII, as `requests` would not; return the status."""
    headers = {"Authorization": f"Token {ACCOUNT.token}", "Content-Type": "application/json"}
    return requests.post(url + path, data=json.dumps(body), headers=headers, timeout=60).status_code


def choice(label):
    return {"from_name": "choice", "to_name": "image", "type": "choices", "value": {"choices": [label]}}


@pytest.fixture(scope="module")
def odd(api):
    """A project of 150 tasks, two of which cannot be listed, and their ids."""
    project = api.create_project("odd records", CONFIG)
    tasks = [{"data": {"image": f"http://images.test/{number}.jpg"}} for number in range(150)]
    tasks[40]["data"]["x"] = tasks[130]["data"]["x"] = HALF
    assert send(api.url, f"/api/projects/{project}/import", tasks) == 201
    ids = api.task_ids(project)
    return project, ids, {ids[40], ids[130]}


def test_tasks_that_label_studio_cannot_list_cost_themselves(label_studio, odd):
    project, ids, bad = odd
    client, skipped = LabelStudio(label_studio.url, ACCOUNT.token), Skipped()
    rows = list(client.tasks(project, fields=("id", "data", "updated_at"), skipped=skipped))
    assert [row["id"] for row in rows] == [task for task in ids if task not in bad]
    assert skipped.found == {f"task {task}": SHOWN for task in bad}
    assert client.existing(project, ids) == set(ids)


def test_an_annotation_that_label_studio_cannot_show_costs_its_task(api, label_studio, odd):
    project, ids, _ = odd
    for task in ids[:3]:
        api.annotate(task, "disc")
    # It answers an error and keeps the annotation all the same.
    assert send(api.url, f"/api/tasks/{ids[1]}/annotations", {"result": [choice(HALF)]}) == 500
    client, skipped = LabelStudio(label_studio.url, ACCOUNT.token), Skipped()
    batches = client.annotated(project, ids[:10], ("id", "data"), skipped=skipped)
    assert [row["id"] for batch in batches for row in batch] == [ids[0], *ids[2:10]]
    assert skipped.found == {f"annotations of task {ids[1]}": SHOWN}


def test_a_project_with_such_records_is_ordered_and_says_which(api, backend, drawn):
    project = api.create_project("odd and ordered", CONFIG)
    api.import_images(project, drawn(30))
    assert send(
        api.url, f"/api/projects/{project}/import", [{"data": {"image": "http://images.test/a.jpg", "x": HALF}}]
    )
    *good, bad = api.task_ids(project)
    api.connect(project, backend.url)
    now = wait_for(backend, project, lambda now: now.get("covers") == 30 and not now["pending"])
    assert now["unreadable"] == {"count": 1, "first": [f"task {bad}: {SHOWN}"]} and now["error"] == ""
    assert f"task {bad}: {SHOWN}" in backend.command("status", str(project))
    assert set(published(backend, project)) <= set(good)
    assert "1 tasks cannot be read and are left out" in backend.log.read_text()
    for task in good[:2]:
        api.annotate(task, "disc")
    wait_for(backend, project, lambda now: now["labeled"] == 2)
    api.delete_tasks(project, [bad])
    backend.command("reconcile", str(project))
    wait_for(backend, project, lambda now: now["unreadable"]["count"] == 0)
    assert status(backend, project)["tasks"] == 30
