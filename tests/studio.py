"""A small Label Studio that answers over HTTP, with its projects and their images, and servers of images that are slow.

For tests with real processes, which cannot be handed a client of the test's own.
"""

from __future__ import annotations

import io
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import numpy as np
from PIL import Image

from conftest import CONFIG
from http_stub import serving
from labelqueue.state.project import LIVE_VERSION, Project, ProjectRef

KEY = "0" * 40


def photo(number: int, size: int = 64) -> bytes:
    """Return a small JPEG, another one for each number."""
    noise = np.random.default_rng(number).integers(0, 255, (size, size, 3), dtype=np.uint8)
    data = io.BytesIO()
    Image.fromarray(noise).save(data, "JPEG")
    return data.getvalue()


class Studio:
    """State of the server: projects with their tasks, and what was written.

    Attributes
    ----------
    url : str
        Where it answers.
    files : dict of str to bytes
        Path to content; other paths below /data/upload/ get a photo.
    writes : list of (str, str, object)
        Method, path and body of everything but GET.
    before : callable
        Called with method and path before each answer.
    """

    def __init__(self) -> None:
        self.url = ""
        self.files: dict[str, bytes] = {}
        self.writes: list[tuple[str, str, object]] = []
        self.before: Callable[[str, str], None] = lambda method, path: None
        self.projects: dict[int, dict] = {}
        self.tasks: dict[int, dict[int, dict]] = {}

    def add(self, store, number: int, uris: list[str], **facts: str) -> Project:
        """Make a project with a task for each image, known to the service as if it had been connected."""
        created = datetime.fromtimestamp(1_800_000_000, UTC).isoformat()
        self.projects[number] = {
            "id": number, "created_at": created, "label_config": CONFIG, "title": f"project {number}",
            "model_version": "", "sampling": "Sequential sampling",
        }  # fmt: skip
        self.tasks[number] = {
            1000 * number + i: {"id": 1000 * number + i, "data": {"image": uri}, "annotations": []}
            for i, uri in enumerate(uris)
        }
        for task in self.tasks[number].values():
            self._touch(task)
        project = Project(store, ProjectRef(self.url, number, 1_800_000_000))
        project.register(label_config=CONFIG, setup_at=str(time.time()), **facts)
        return project

    def _touch(self, task: dict) -> None:
        task |= {"updated_at": datetime.now(UTC).isoformat(), "total_annotations": len(task["annotations"])}

    def label(self, number: int, task: int, label: str) -> None:
        """Submit an annotation."""
        row = self.tasks[number][task]
        result = {"from_name": "choice", "to_name": "image", "type": "choices", "value": {"choices": [label]}}
        now = datetime.now(UTC).isoformat()
        row["annotations"].append({"id": task, "updated_at": now, "completed_by": 1, "result": [result]})
        self._touch(row)

    def answer(self, method, path, headers, body):
        self.before(method, path)
        parts = urlsplit(path)
        query = parse_qs(parts.query)
        if method != "GET":
            self.writes.append((method, path, json.loads(body) if body else None))
        if parts.path.startswith("/data/"):
            number = int(re.search(r"(\d+)\D*$", parts.path)[1])
            return 200, {"Content-Type": "image/jpeg"}, self.files.get(parts.path, photo(number))
        if found := re.match(r"/api/projects/(\d+)(/.*)?$", parts.path):
            number, rest = int(found[1]), found[2] or ""
            if rest == "/import/predictions":
                return 201, {}, {"created": len(json.loads(body))}
            if rest == "/model-versions/":
                return 200, {}, {}
            if method == "PATCH":
                self.projects[number] |= json.loads(body)
            return 200, {}, self.projects[number] | {"task_number": len(self.tasks[number])}
        if parts.path == "/api/ml":
            return 200, {}, [{"id": 1, "model_version": LIVE_VERSION, "url": "http://localhost:9090", "title": "lq"}]
        if parts.path.startswith("/api/tasks"):
            wanted = json.loads(query.get("query", ["{}"])[0])
            rows = list(self.tasks[int(query["project"][0])].values())
            if "selectedItems" in wanted:
                rows = [row for row in rows if row["id"] in wanted["selectedItems"]["included"]]
            return 200, {}, {"tasks": rows, "total": len(rows)}
        if parts.path.startswith("/api/webhooks/"):
            return 200, {}, [{"id": 1, "url": "http://localhost:9090/webhook", "headers": {}}]
        if parts.path.startswith("/api/dm/views"):
            return 200, {}, [] if method == "GET" else {"id": 1}
        return 200, {}, {"id": 1}


@contextmanager
def studio() -> Iterator[Studio]:
    """Serve a small Label Studio on loopback."""
    found = Studio()
    with serving(found.answer) as (url, _):
        found.url = url
        yield found


@contextmanager
def slow_server(drip: bytes = b"", at_once: int = 0) -> Iterator[str]:
    """Serve nothing: take every connection and stay silent, or send some bytes of `drip` and then one now and then."""
    listener, open_lines, done = socket.create_server(("127.0.0.1", 0), backlog=256), [], threading.Event()

    def send(line: socket.socket) -> None:
        with suppress(OSError):
            line.sendall(drip[:at_once])
            for byte in drip[at_once:]:
                line.sendall(bytes([byte]))
                if done.wait(0.5):
                    return

    def accept() -> None:
        with suppress(OSError):
            while True:
                line, _ = listener.accept()
                open_lines.append(line)
                threading.Thread(target=send, args=(line,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        done.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        for line in (listener, *open_lines):
            line.close()
