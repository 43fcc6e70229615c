"""Pins and exclusions on a real Label Studio: what it serves next within seconds, under the version that is live."""

from __future__ import annotations

import time
from collections import Counter

import pytest
import requests

from e2e.test_queue import CONFIG, published, status, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

SOON = 60.0  # seconds; mostly two or three, on a machine with nothing else to do


def stored(api, project, version):
    """Task to score of a version, as Label Studio has it; never two predictions of it for one task."""
    rows = api.call("GET", f"/api/predictions/?project={project}")
    mine = [row for row in rows if row["model_version"] == version]
    assert max(Counter(row["task"] for row in mine).values()) == 1
    return {row["task"]: row["score"] for row in mine}


def until(backend, project, condition):
    """Wait until the head of the order is as wished; return it and how many seconds that took."""
    start = time.monotonic()
    while True:
        head = backend.get(f"/projects/{project}/order?limit=1000")["tasks"]
        if condition(head) and not backend.get(f"/projects/{project}/curation")["counts"]["waits"]:
            return head, time.monotonic() - start
        assert time.monotonic() - start < SOON, head[:5]
        time.sleep(0.2)


def act(backend, project, call, **body):
    answer = requests.post(f"{backend.url}/api/v1/projects/{project}/{call}", json=body, timeout=60)
    assert answer.status_code == 202, answer.text
    return answer.json()["act"]


def test_pinned_is_next_left_out_is_not_and_both_outlive_a_new_order(api, backend, drawn):
    project = api.create_project("pins", CONFIG)
    api.connect(project, backend.url, extra_params={"horizon": 20, "control_share": 0})
    api.import_images(project, drawn(100))
    version = wait_for(backend, project, lambda now: now["covers"] == 100 and not now["pending"])["version"]
    head = published(backend, project)
    far, unpublished = head[-1], next(task for task in api.task_ids(project) if task not in head)

    backend.command("pin", str(project), str(far), str(unpublished))
    rows, took = until(backend, project, lambda head: head[1]["pinned"])
    assert {row["task"] for row in rows[:2]} == {far, unpublished}
    assert rows[0]["reason"].startswith("pinned by an admin;")
    print(f"pinned after {took:.1f} s")
    scores = stored(api, project, version)
    assert sorted(scores, key=scores.__getitem__) == [row["task"] for row in rows], "Label Studio has them in this turn"
    assert api.project(project)["model_version"] == version == status(backend, project)["version"]
    for row in rows[:2]:
        assert api.next(project)["id"] == row["task"]
        api.annotate(row["task"], "disc")

    opened = api.next(project)["id"]
    assert opened == head[0]
    (form,) = api.predictions(opened, version)
    left_out = act(backend, project, "exclude", tasks=[opened, head[1]], reason="blurry")
    rows, took = until(backend, project, lambda head: head[-1]["excluded"])
    assert {row["task"] for row in rows if row["excluded"]} == {opened, head[1]}
    assert rows[-1]["reason"].endswith(": blurry")
    print(f"left out after {took:.1f} s")
    (moved,) = api.predictions(opened, version)
    assert (moved["id"], moved["score"] > 0.99) == (form["id"], True)
    value = {"from_name": "choice", "to_name": "image", "type": "choices", "value": {"choices": ["disc"]}}
    answer = {"result": [value], "lead_time": 1.0, "parent_prediction": form["id"]}
    api.call("POST", f"/api/tasks/{opened}/annotations", json=answer)  # whoever had it open keeps what they did
    assert api.next(project)["id"] == head[2]
    assert stored(api, project, version).keys() == {*head, unpublished}

    pinned = act(backend, project, "pin", tasks=[head[-2], head[-3]])
    until(backend, project, lambda head: head[1]["pinned"])
    backend.command("set", str(project), "seed=5")
    fresh = wait_for(backend, project, lambda now: now["version"] != version, seconds=60)["version"]
    rows, _ = until(backend, project, lambda head: head[1]["pinned"])
    assert {row["task"] for row in rows[:2]} == {head[-2], head[-3]} and head[1] not in {row["task"] for row in rows}
    assert head[1] not in stored(api, project, fresh)

    act(backend, project, "undo", act=pinned)
    act(backend, project, "undo", act=left_out)
    rows, _ = until(backend, project, lambda head: not any(row["pinned"] for row in head))
    scores = stored(api, project, fresh)
    turn = [task for task in sorted(scores, key=scores.__getitem__) if task in {row["task"] for row in rows}]
    assert turn == [row["task"] for row in rows] and api.project(project)["model_version"] == fresh
    told = backend.get(f"/projects/{project}/curation")
    assert (told["pins"][0]["done"], len(told["pins"]), told["exclusions"], len(told["acts"])) == (True, 2, [], 5)
    assert backend.get(f"/projects/{project}")["error"] == ""
