"""A browser of the console without one, and a project that has everything its pages show."""

from __future__ import annotations

import json
import re
import time

import pytest
from flask.testing import FlaskClient

from labelqueue.jobs.living import heartbeat, name_worker
from labelqueue.ordering.order import Order, Place
from labelqueue.state.orders import Orders
from labelqueue.state.people import People
from labelqueue.web.app import create_app
from standing import standing

HTML = {"Accept": "text/html,application/xhtml+xml"}


class Buffered(FlaskClient):
    """Client that reads answers to their end, as the gate does: a file is closed then."""

    def open(self, *arguments, **options):
        return super().open(*arguments, **options, buffered=True)

    def page(self, address, status=200):
        """Return a page as text."""
        answer = self.get(f"/console{address}", headers=HTML)
        assert answer.status_code == status, answer.get_data(as_text=True)
        return answer.get_data(as_text=True)

    def send(self, address, **values):
        """Send a form of the page, and return the page that it leads to."""
        token = re.search(r'data-token="([^"]+)"', self.page("/"))[1]
        answer = self.post(f"/console{address}", data={"token": token, **values}, headers=HTML)
        assert answer.status_code == 303, answer.get_data(as_text=True)
        return self.page(answer.location.removeprefix("/console"))


@pytest.fixture
def client(store, deployment):
    app = create_app(deployment)
    app.test_client_class = Buffered
    return app.test_client()


@pytest.fixture
def labeled(project):
    """The project with 300 tasks, 60 of them labeled, a live order and workers."""
    order = Order(3, "r3·k7f BAL", "BAL", places=tuple(Place(task, "why") for task in range(61, 141)))
    Orders(project).save(order)
    Orders(project).go_live(order)
    project.set(
        standing=json.dumps(standing()),
        counts=json.dumps({"tasks": 300, "labeled": 60, "skipped": 2}),
        people=json.dumps({"3": "Ada Byron"}),
        full_at=str(time.time()),
        head_left="80",
        generation="g",
        sampling_before="Sequential sampling",
    )
    project.store.hset(project.name("cache", "g", "rows"), mapping={str(task): "x" for task in range(300)})
    people, now = People(project), time.time()
    people.note([3, 4])
    people.note_labeled({task: now - 60 * task for task in range(1, 36)})
    for kind in ("tending", "embedding"):
        heartbeat(project.store, name_worker(kind))
    return project
