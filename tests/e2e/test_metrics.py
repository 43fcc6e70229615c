"""Metrics and the log of a service beside a real Label Studio: what people do there moves the numbers."""

import json
import time

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families as parse

from e2e.harness import Backend

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

CONFIG = (
    '<View><Image name="image" value="$image"/><Choices name="choice" toName="image">'
    '<Choice value="disc"/><Choice value="star"/></Choices></View>'
)


def scrape(backend: Backend, project: int):
    """Every sample of this project or of none that is not 0, by name and label values."""
    answer = requests.get(f"{backend.url}/metrics", timeout=10)
    assert answer.status_code == 200, answer.text
    return {
        (
            sample.name.removeprefix("labelqueue_"),
            *(v for k, v in sample.labels.items() if k != "project"),
        ): sample.value
        for family in parse(answer.text)
        for sample in family.samples
        if sample.value and sample.labels.get("project", str(project)) == str(project)
    }


def wait_for(backend, project, condition, seconds=180.0):
    deadline = time.monotonic() + seconds
    while not condition(now := scrape(backend, project)):
        assert time.monotonic() < deadline, now
        time.sleep(0.5)
    return now


def test_what_people_do_moves_the_numbers(api, serve, drawn):
    with serve(LABELQUEUE_METRICS="on", LABELQUEUE_LOG="json") as backend:
        project = api.create_project("metrics", CONFIG)
        api.connect(project, backend.url)
        api.import_images(project, drawn(60))
        first = wait_for(
            backend,
            project,
            lambda now: (
                now.get(("images_total", "embedded")) == 60
                and now.get(("orders_total", "new"))
                and now.get(("events_total", "TASKS_CREATED", "accepted"))
                and now.get(("head_left",))
            ),
        )
        assert first["tasks",] == 60 and first["workers", "tending"] == first["workers", "embedding"] == 1
        assert first["label_studio_calls_total", "POST", "2xx"] >= 1 and first["acknowledgement_seconds_count",] >= 1
        tasks = api.task_ids(project)
        for task in tasks[:12]:
            api.annotate(task, ("disc", "star")[task % 2])
        wait_for(
            backend,
            project,
            lambda now: (
                now.get(("events_total", "ANNOTATION_CREATED", "accepted")) == 12
                and now.get(("labels",)) == 12
                and now.get(("training_seconds_count",))
                and now.get(("ordering_seconds_count",))
                and now.get(("accuracy_controls",), 0) <= 12
            ),
        )
        api.delete_tasks(project, tasks[-2:])
        wait_for(backend, project, lambda now: now[("tasks",)] == 58)
        backend.command("pause", str(project))
        paused = wait_for(backend, project, lambda now: now.get(("paused",)))
        assert ("head_left",) not in paused
        log = backend.log
        rows = [json.loads(line) for line in log.read_text().splitlines()]
        assert any("listens on" in row["message"] for row in rows)
        assert any(row.get("project") == project for row in rows if row["level"] == "WARNING")
        assert backend.environment["LABEL_STUDIO_API_KEY"] not in log.read_text()
