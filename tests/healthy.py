"""An installation in which everything is well, beside a Label Studio that says what it is told to say."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from conftest import CONFIG
from http_stub import serving
from labelqueue.admin.installation_checks import RIGHTS
from labelqueue.admin.scene import Scene
from labelqueue.jobs import living
from labelqueue.ordering.order import Order, Place
from labelqueue.settings import Deployment
from labelqueue.state.orders import Orders
from labelqueue.state.project import LIVE_VERSION, SECRET_HEADER, Project, ProjectRef
from labelqueue.state.task_row import TaskRow
from labelqueue.store.redis_connection import Redis

NUMBER = 7
VERSION = "r1 FreeSel"


class Healthy:
    """The installation; what a test changes here is what the next look sees.

    Attributes
    ----------
    answers : dict
        Path, without its question, to what Label Studio answers: JSON, a status, or what returns one of these.
    calls : list
        What Label Studio was asked.
    """

    def __init__(self, store: Redis, deployment: Deployment, calls: list[Any], answers: dict[str, Any]) -> None:
        self.store, self.deployment, self.calls, self.answers = store, deployment, calls, answers
        self.project = Project(store, ProjectRef(deployment.label_studio_url, NUMBER, 1_800_000_000))
        self.project.register(label_config=CONFIG, title="animals", backend_url="http://127.0.0.1:9090", generation="g")
        self.project.put_tasks({task: TaskRow(f"/{task}.jpg", "u") for task in (1, 2)})
        store.hset(self.project.name("cache", "g", "rows"), mapping={"1": "0", "2": "0"})
        order = Order(1, VERSION, places=(Place(1, "why"), Place(2, "why")))
        Orders(self.project).save(order)
        Orders(self.project).go_live(order)
        for worker in ("tending-host-1-ab", "embedding-host-2-cd"):
            living.heartbeat(store, worker)
        backend = {"id": 1, "url": "http://127.0.0.1:9090", "model_version": LIVE_VERSION, "state": "CO"}
        hook = {
            "id": 1,
            "url": "http://127.0.0.1:9090/webhook",
            "is_active": True,
            "headers": {SECRET_HEADER: self.project.get("secret")},
        }
        answers |= {
            "/api/version/": {"release": "1.23.2", "edition": "Community"},
            "/api/current-user/whoami": {"id": 1, "email": "owner@test.local", "permissions": list(RIGHTS)},
            f"/api/projects/{NUMBER}": {
                "id": NUMBER,
                "label_config": CONFIG,
                "sampling": "Uncertainty sampling",
                "model_version": VERSION,
                "maximum_annotations": 1,
            },
            "/api/ml": [backend],
            "/api/webhooks/": [hook],
            f"/api/projects/{NUMBER}/model-versions/": {VERSION: 2},
        }
        self.backend, self.hook, self.remote = backend, hook, answers[f"/api/projects/{NUMBER}"]

    def scene(self, **changed: Any) -> Scene:
        """What the checks look at, with other deployment settings if need be."""
        return Scene(replace(self.deployment, **changed), NUMBER)


@contextmanager
def healthy(store: Redis, deployment: Deployment) -> Iterator[Healthy]:
    """Start such a Label Studio beside the run's Redis."""
    answers: dict[str, Any] = {}

    def answer(method: str, path: str, headers: Any, body: bytes) -> tuple[int, dict[str, str], Any]:
        said = answers.get(path.split("?")[0], 404)
        said = said() if callable(said) else said
        return (said, {}, {"detail": "no"}) if isinstance(said, int) else (200, {}, said)

    with serving(answer) as (url, calls):
        yield Healthy(store, replace(deployment, label_studio_url=url), calls, answers)
