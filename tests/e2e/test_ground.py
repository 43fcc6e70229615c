"""Below the product: Redis loses everything, or takes no more, while people label."""

from __future__ import annotations

import time

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
            assert time.monotonic() - began < 60, now
            time.sleep(0.5)
        assert now["version"] != before["version"]
        remote = api.project(project)
        assert remote["sampling"] == UNCERTAINTY and remote["model_version"] == now["version"]
        number = requests.get(f"{backend.url}/api/v1/projects", timeout=30).json()["projects"]
        assert [row["project"] for row in number] == [project], "another backend's projects are left to it"
