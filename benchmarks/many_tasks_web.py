"""Projects of many tasks: how long the web process takes to answer, and how much memory it holds.

Fills a Redis of its own with tasks, embedded, predicted and with a value to share places out by, as looks leave them;
then starts a web process and calls it over HTTP, one call after the other. Memory is that
of the process after the calls.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import requests

from labelqueue.labels import ANNOTATED, UNLABELED
from labelqueue.learning import Model, Predictions
from labelqueue.ordering import CampaignState, Order, Place
from labelqueue.settings import Deployment
from labelqueue.state import Orders, Project, ProjectRef, TaskRow, put_fields, read_columns, save_campaign
from labelqueue.store import EmbeddedRedis, Redis, connect

CLASSES = tuple(f"class {number}" for number in range(10))
CHOICES = "".join(f'<Choice value="{name}"/>' for name in CLASSES)
CONFIG = f'<View><Image name="image" value="$image"/><Choices name="choice" toName="image">{CHOICES}</Choices></View>'
WIDTH, LABELED, PLACES = 384, 1_000, 300
REF = ("http://127.0.0.1:1", 7, 1_800_000_000)
HTML = {"Accept": "text/html"}


def fill(project: Project, n: int) -> None:
    """Leave a project of `n` tasks as looks leave it."""
    project.register(label_config=CONFIG, schema=CONFIG)
    project.put_settings({"balance": "site", "control_share": 0.0}, "benchmark")
    for first in range(1, n + 1, 50_000):
        ids = range(first, min(first + 50_000, n + 1))
        uri = "https://images.example.test/{:08d}.jpg"
        project.put_tasks({i: TaskRow(uri.format(i), ANNOTATED if i <= LABELED else UNLABELED) for i in ids})
        put_fields(project.store, project.name("balance"), {str(i): f"site {i % 7}" for i in ids})
        put_fields(project.store, project.name("cache", "g", "rows"), {str(i): b"12345678" for i in ids})
    rng = np.random.default_rng(0)
    chances = rng.dirichlet(np.ones(len(CLASSES)), n).astype(np.float16)
    ones, weights = np.ones(WIDTH, np.float32), rng.normal(size=(len(CLASSES), WIDTH)).astype(np.float32)
    model = Model(CLASSES, False, ones, ones, weights, np.zeros(len(CLASSES), np.float32), 1.0, LABELED, 9, "f")
    said = Predictions(np.arange(1, n + 1), chances)
    start, used = time.perf_counter(), project.store.info("memory")["used_memory"]
    learned = {task: CLASSES[task % 10] for task in range(1, LABELED + 1)}
    save_campaign(
        project, CampaignState(trainings=1, trained_on=learned, model=model, predictions=said), CampaignState()
    )
    grown = project.store.info("memory")["used_memory"] - used
    print(
        f"predictions written in {time.perf_counter() - start:.2f} s, {grown / n:.1f} bytes a task in Redis", flush=True
    )
    places = tuple(Place(task, "unsure, and unlike the others") for task in range(LABELED + 1, LABELED + 1 + PLACES))
    order = Order(3, "r3·k7f BAL", "BAL", places=places, model=model.fingerprint)
    Orders(project).save(order)
    Orders(project).go_live(order)
    shares = [{"value": f"site {site}", "share": 0.1429} for site in range(5)]
    project.set(
        balance_field="site",
        generation="g",
        full_at=str(time.time()),
        head_left=str(PLACES),
        counts=json.dumps(read_columns(project).counts()),
        standing=json.dumps({"balance": {"field": "site", "values": 7, "largest": shares}}),
    )


def calls(url: str) -> dict[str, Callable[[], requests.Response]]:
    """Return what is called, by name."""
    name, session = f"{REF[1]}.{REF[2]}", requests.Session()
    rng = np.random.default_rng(1)

    def predict(count: int) -> requests.Response:
        tasks = [{"id": int(task)} for task in rng.integers(1, 100_000, count)]
        return session.post(f"{url}/predict", json={"tasks": tasks, "project": name})

    def webhook() -> requests.Response:
        created = "2027-01-15T08:00:00Z"  # REF's
        project = {"id": REF[1], "created_at": created, "label_config": CONFIG}
        body = {"action": "ANNOTATION_CREATED", "project": project, "task": {"id": 5}, "annotation": {"id": 5}}
        return session.post(f"{url}/webhook", json=body)

    pages = {"overview": "", "queue": "/queue", "map": "/map", "orders": "/orders", "health": "/health"}
    return {
        "status": lambda: session.get(f"{url}/api/v1/projects/{REF[1]}"),
        "/predict of 1": lambda: predict(1),
        "/predict of 50": lambda: predict(50),
        "webhook": webhook,
        **{
            f"page {page}": lambda path=path: session.get(f"{url}/console/{REF[1]}{path}", headers=HTML)  # type: ignore
            for page, path in pages.items()
        },
    }


def measure(store: Redis, environ: dict[str, str], n: int, times: int) -> None:
    store.flushall()
    fill(Project(store, ProjectRef(*REF)), n)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "labelqueue.web"]
    web = subprocess.Popen(command, env={**os.environ, **environ, "PORT": str(port)}, stdin=subprocess.DEVNULL)
    try:
        url, process = f"http://127.0.0.1:{port}", psutil.Process(web.pid)
        for _ in range(600):
            try:
                requests.get(f"{url}/health", timeout=1)
                break
            except requests.RequestException:
                time.sleep(0.1)
        print(f"{n:,} tasks; the web process holds {process.memory_info().rss / 1e6:.0f} MB before the first call")
        for name, call in calls(url).items():
            seconds = []
            for _ in range(times):
                start = time.perf_counter()
                call().raise_for_status()
                seconds.append(time.perf_counter() - start)
            half, most = 1000 * np.median(seconds), 1000 * max(seconds)
            memory = process.memory_info().rss / 1e6
            print(f"| {name} | {half:.1f} ms | {most:.1f} ms | {memory:.0f} MB |", flush=True)
    finally:
        web.terminate()
        web.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--times", type=int, default=50, help="calls of each kind (50)")
    options = parser.parse_args()
    print(platform.platform(), f"Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory(prefix="lq-") as folder:
        server = EmbeddedRedis(Path(folder))
        server.start()
        try:
            environ = {"LABELQUEUE_HOME": folder, "LABEL_STUDIO_URL": REF[0], "LABEL_STUDIO_API_KEY": "0" * 40}
            store = connect(Deployment.from_environment(environ))
            for n in options.tasks:
                measure(store, environ, n, options.times)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
