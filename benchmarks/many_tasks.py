"""Projects of many tasks: what chunked commands cost beside whole ones, and how long they hold the Redis server.

Fills a Redis of its own with tasks as a complete reading does, from a Label Studio that answers at once; the times are
what the reading costs besides Label Studio's own. `server` is the time that the server says a command took.
"""

from __future__ import annotations

import argparse
import platform
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from labelqueue.labels import read_annotation
from labelqueue.reading import reading, unread
from labelqueue.settings import Deployment
from labelqueue.state import Event, Journal, LabelBook, Project, ProjectRef, add_members, read_columns
from labelqueue.store import EmbeddedRedis, Redis, connect, scan_fields

WHEN = "2026-11-21T10:00:00+00:00"
CONFIG = (
    '<View><Image name="image" value="$image"/><Choices name="choice" toName="image">'
    '<Choice value="cat"/><Choice value="dog"/></Choices></View>'
)
SAID = {"from_name": "choice", "type": "choices", "value": {"choices": ["cat"]}}


class Instant:
    """A Label Studio of `n` tasks that answers at once."""

    def __init__(self, n: int) -> None:
        self.n = n

    def project(self, project: int) -> dict[str, Any]:
        return {"task_number": self.n}

    def newest_change(self, project: int) -> str:
        return WHEN

    def tasks(self, project: int, *, since: Any = None, after: int = 0, **options: Any) -> Iterator[dict[str, Any]]:
        counts = {"is_labeled": False, "total_annotations": 0, "cancelled_annotations": 0}
        for task in range(after + 1, 1 if since else self.n + 1):
            uri = f"https://images.example.test/{task:08d}.jpg"
            yield {"id": task, "data": {"image": uri}, "updated_at": WHEN} | counts

    def annotated(self, *arguments: Any, **options: Any) -> Iterator[Any]:
        return iter(())

    def existing(self, project: int, tasks: list[int]) -> set[int]:
        return {task for task in tasks if task <= self.n}


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    found = call()
    return time.perf_counter() - start, found


def slowest(store: Redis) -> tuple[str, float]:
    """Return the command that held the server longest since the last call, and for how many milliseconds."""
    rows = store.slowlog_get(1000)
    store.slowlog_reset()
    worst = max(rows, key=lambda row: row["duration"], default={"command": b"-", "duration": 0})
    return worst["command"].split()[0].decode(), worst["duration"] / 1000


def read_all(project: Project, client: Instant) -> int:
    """Look until everything is read; return in how many slices."""
    slices = 0
    while slices == 0 or unread(project):
        reading.read_project(project, client, project.target(), None, (), lambda: None)  # type: ignore[arg-type]
        slices += 1
    return slices


def measure(store: Redis, n: int) -> None:
    store.flushall()
    store.slowlog_reset()
    project = Project(store, ProjectRef("http://label-studio.test", 7, 1_800_000_000))
    project.register(label_config=CONFIG)
    client, key = Instant(n), project.name("tasks")
    said = [read_annotation({"id": 1, "updated_at": WHEN, "result": [SAID]})]
    print(f"\n{n:,} tasks")

    def say(what: str, call: Callable[[], Any]) -> float:
        seconds, found = timed(call)
        name, worst = slowest(store)
        note = f"{found} slices" if "reading" in what else ""
        print(f"| {what} | {seconds:.2f} s | {name} {worst:.1f} ms | {note}", flush=True)
        return seconds

    say("complete reading", lambda: read_all(project, client))
    whole = min(say("HGETALL of the tasks", lambda: len(store.hgetall(key))) for _ in range(3))
    chunked = min(
        say("the same by HSCAN", lambda: len({k: v for part in scan_fields(store, key) for k, v in part.items()}))
        for _ in range(3)
    )
    print(f"HSCAN / HGETALL = {chunked / whole:.2f}")
    columns = read_columns(project)
    say("columns of a look", lambda: read_columns(project))
    say("let all wait", lambda: add_members(store, project.name("pending"), {str(i): i for i in columns.ids.tolist()}))
    say("annotate all", lambda: LabelBook(project).put(dict.fromkeys(columns.ids.tolist(), ("mark", said))))
    journal = Journal(project)
    for task in range(10_000):
        journal.append(Event("ANNOTATION_CREATED", (task,), (1,), (task,)))

    def act() -> None:
        while len(journal):
            journal.clear(journal.read()[1])

    say("10,000 events", act)
    client.n = n // 2
    project.set(want_full="1")
    say("complete reading, half of the tasks gone", lambda: read_all(project, client))
    say("forget the project", project.forget)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, nargs="+", default=[100_000, 600_000])
    options = parser.parse_args()
    print(platform.platform(), f"Python {platform.python_version()}")
    with tempfile.TemporaryDirectory(prefix="lq-") as folder:
        server = EmbeddedRedis(Path(folder))
        server.start()
        try:
            deployment = {"LABELQUEUE_HOME": folder, "LABEL_STUDIO_URL": "http://label-studio.test"}
            store = connect(Deployment.from_environment(deployment | {"LABEL_STUDIO_API_KEY": "0" * 40}))
            store.config_set("slowlog-log-slower-than", 500)
            store.config_set("slowlog-max-len", 1000)
            print("Redis", store.info("server")["redis_version"])
            for n in options.tasks:
                measure(store, n)
        finally:
            server.stop()
    print(f"memory at the peak: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
