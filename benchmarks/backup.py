"""A backup and its restore: seconds, bytes, peak memory, and how long the project's lock is held.

Fills a Redis of its own with a project of many embedded tasks and 59 orders. Label Studio is played by an object that
answers at once; its own time for the list of tasks comes on top of a restore.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from labelqueue.backup import saving
from labelqueue.backup.archive import Reader
from labelqueue.backup.restoring import restore
from labelqueue.backup.saving import back_up
from labelqueue.block import Block, source_hash
from labelqueue.ordering import Order, Place
from labelqueue.settings import Deployment
from labelqueue.state import Orders, PatternCache, Project, ProjectLock, ProjectRef, TaskRow
from labelqueue.store import EmbeddedRedis, connect

CREATED = "2027-01-15T08:00:00+00:00"
CONFIG = (
    '<View><Image name="image" value="$image"/><Choices name="choice" toName="image">'
    '<Choice value="cat"/><Choice value="dog"/></Choices></View>'
)
AT_ONCE = 2000  # tasks in a block


def address(task: int) -> str:
    return f"s3://bucket/images/{task:08d}.jpg"


class Instant:
    """A Label Studio of `n` tasks that answers at once."""

    def __init__(self, n: int) -> None:
        self.n = n

    def project(self, project: int) -> dict[str, Any]:
        return {"id": project, "created_at": CREATED, "label_config": CONFIG, "title": "many", "task_number": self.n}

    def tasks(self, project: int, *, fields: Any) -> Iterator[dict[str, Any]]:
        return ({"id": task, "data": {"image": address(task)}} for task in range(1, self.n + 1))

    def ml_backends(self, project: int) -> list[Any]:
        return []


class Timed(ProjectLock):
    """A project's lock that tells how long it was held."""

    held = 0.0

    def __enter__(self) -> ProjectLock:
        self._since = time.perf_counter()
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        Timed.held = time.perf_counter() - self._since
        super().__exit__(*error)


def fill(project: Project, spool: Path, n: int, patterns: int, dim: int) -> None:
    rng, cache, orders = np.random.default_rng(0), PatternCache(project, "g1", spool), Orders(project)
    for first in range(1, n + 1, AT_ONCE):
        ids = np.arange(first, min(first + AT_ONCE, n + 1), dtype=np.int64)
        rows = rng.normal(size=(len(ids), dim)).astype(np.float16)
        each = np.repeat(rows, patterns, axis=0)
        sources = np.array([source_hash(address(task)) for task in ids.tolist()], np.uint64)
        cache.put(Block(ids, sources, rows, each, np.arange(0, len(each) + 1, patterns, dtype=np.int64)))
        project.put_tasks({task: TaskRow(address(task), "u") for task in ids.tolist()})
    for number in range(1, 60):
        places = tuple(Place(task, "covers something of the pool") for task in range(1, 200))
        orders.save(Order(number, f"r{number}·k7f FreeSel", places=places, inputs=rng.bytes(n)))
    project.set(generation="g1", live="59", order_number="59", arrivals=str(n))


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--patterns", type=int, default=1, help="per image: 1 choices, 5 boxes, 10 polygons")
    parser.add_argument("--dim", type=int, default=384)
    arguments = parser.parse_args()
    saving.ProjectLock = Timed  # type: ignore[misc]
    with tempfile.TemporaryDirectory(prefix="lq-") as folder:
        home = Path(folder)
        server = EmbeddedRedis(home)
        server.start()
        environment = {
            "LABELQUEUE_HOME": folder,
            "LABEL_STUDIO_URL": "http://ls.test",
            "LABEL_STUDIO_API_KEY": "0" * 40,
        }
        deployment = Deployment.from_environment(environment)
        store = connect(deployment)
        project = Project(store, ProjectRef.from_api("http://ls.test", Instant(0).project(7)))
        project.register(label_config=CONFIG, title="many")
        fill(project, home / "spool", arguments.tasks, arguments.patterns, arguments.dim)
        print(f"before: {peak():.0f} MiB")
        start = time.perf_counter()
        told = back_up(project, home / "it", home / "spool", show=False)
        seconds = time.perf_counter() - start
        print(
            f"backup: {seconds:.1f} s, {told['bytes'] / 2**20:.0f} MiB, lock {Timed.held:.2f} s, peak {peak():.0f} MiB"
        )
        store.flushall()
        start = time.perf_counter()
        with Reader(home / "it") as reader:
            client: Any = Instant(arguments.tasks)
            restore(store, client, "http://ls.test", reader, home / "spool", confirm=lambda lines: False, show=False)
        print(f"restore: {time.perf_counter() - start:.1f} s, lock {Timed.held:.2f} s, peak {peak():.0f} MiB")
        store.close()
        server.stop()


if __name__ == "__main__":
    main()
