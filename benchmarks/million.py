"""A project of a million tasks: what an order costs a worker, and the copy of the vectors that it is made from.

Fills a Redis of its own with vectors in clusters, in blocks as workers store them, then measures each step in a process
of its own: CPU seconds, and the most memory that is the process's own (RssAnon) and that is pages of the files it has
mapped (RssFile).

Run: python benchmarks/million.py            (2.5 GB of memory for Redis, 0.8 GB of disk)
     python benchmarks/million.py --tasks 20000
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelqueue.block import Block, find
from labelqueue.labels import ANNOTATED, UNLABELED, parse_label_config
from labelqueue.ordering import CampaignState, Decision, Labels, Order, Snapshot, Tasks, decide
from labelqueue.settings import PROJECT, Deployment
from labelqueue.state import PatternCache, Project, ProjectRef
from labelqueue.store import EmbeddedRedis, Redis, connect

DIMENSIONS, CLASSES, LABELS, SHARD, CLUSTERS = 384, 10, 500, 64, 2000
GENERATION = "synthetic"
HORIZON = 300  # tasks in the head of an order: three times as many places
CONFIG = (
    '<View><Image name="image" value="$image"/><Choices name="choice" toName="image">'
    + "".join(f'<Choice value="class {number}"/>' for number in range(CLASSES))
    + "</Choices></View>"
)
SETTINGS = {setting.name: setting.default for setting in PROJECT.values()} | {"horizon": HORIZON}


def class_of(task: int) -> str:
    """Return the label that a task gets: that of its cluster."""
    return f"class {cluster_of(np.array([task]))[0] % CLASSES}"


def cluster_of(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the cluster of each task's image, as good as drawn at random."""
    mixed = ids.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return ((mixed >> np.uint64(33)) % np.uint64(CLUSTERS)).astype(np.int64)


def fill(cache: PatternCache, tasks: int) -> None:
    """Store the vectors of all tasks, in blocks that come nearly in order, as from several workers."""
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((CLUSTERS, DIMENSIONS), dtype=np.float32)
    # The classes are there to be learned: the clusters of one lie a little nearer to each other.
    centers += rng.standard_normal((CLASSES, DIMENSIONS), dtype=np.float32)[np.arange(CLUSTERS) % CLASSES]
    starts = np.arange(1, tasks + 1, SHARD)
    for start in starts[np.argsort(np.arange(len(starts)) + rng.uniform(0, 8, len(starts)))].tolist():
        ids = np.arange(start, min(start + SHARD, tasks + 1))
        noise = rng.standard_normal((len(ids), DIMENSIONS), dtype=np.float32)
        vectors = (centers[cluster_of(ids)] + noise).astype(np.float16)
        hashes = rng.integers(1, 2**63, len(ids)).astype(np.uint64)
        cache.put(Block(ids, ids.astype(np.uint64), vectors, vectors, np.arange(len(ids) + 1), hashes))


def snapshot_of(cache: PatternCache, tasks: int, labels: dict[int, str], **known: Any) -> Snapshot:
    """Return what a look sees of the project."""
    ids = np.arange(1, tasks + 1)
    states = np.full(tasks, ord(UNLABELED), dtype=np.uint8)
    states[find(ids, np.array(list(labels), np.int64))] = ord(ANNOTATED)
    mark = cache.mark()
    usual: dict[str, Any] = {
        "target": parse_label_config(CONFIG),
        "settings": SETTINGS,
        "tasks": Tasks(ids, states, np.arange(tasks)),
        "labels": Labels.of(labels),
        "state": CampaignState(),
        "live": None,
        "generation": GENERATION,
        "load_rows": lambda: cache.load(ids, ids.astype(np.uint64), until=mark),
        "recall": cache.recall,
        "mark": mark,
        "arrivals": tasks,
        "annotators": 4,
        "curve": False,
    }
    return Snapshot(**usual | known)


class Meter:
    """Measures a process from the moment when it is made."""

    def __init__(self) -> None:
        self._most = dict.fromkeys(("RssAnon", "RssFile"), 0)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        self._start = time.process_time()

    def _watch(self) -> None:
        while not self._done.wait(0.02):
            with Path("/proc/self/status").open(encoding="ascii") as file:
                for line in file:
                    name, _, rest = line.partition(":")
                    if name in self._most:
                        self._most[name] = max(self._most[name], int(rest.split()[0]))

    def read(self) -> dict[str, float]:
        """Return the CPU seconds so far, and the most megabytes."""
        seconds = time.process_time() - self._start
        self._done.set()
        self._thread.join()
        return {"cpu_s": round(seconds, 2)} | {name: round(kb / 1000) for name, kb in self._most.items()}


def copied(cache: PatternCache, tasks: int) -> dict[str, Any]:
    """Open the copy of the vectors; make it, if it is not there."""
    rows = cache.load(np.arange(1, tasks + 1))
    return {"rows": len(rows)}


def cold(cache: PatternCache, tasks: int) -> dict[str, Any]:
    """Decide on the first order."""
    return _told(decide(snapshot_of(cache, tasks, {})))


def warm(cache: PatternCache, tasks: int) -> dict[str, Any]:
    """Train on labels that are new, and decide on the order that follows; then refill it when it runs low."""
    rng, meter = np.random.default_rng(1), Meter()
    drawn = rng.choice(tasks, LABELS, replace=False) + 1
    labels = {task: class_of(task) for task in drawn.tolist()}
    before = snapshot_of(cache, tasks, labels, settings=SETTINGS | {"retrain_every": LABELS})
    decision = decide(before)
    told = _told(decision) | {"model_labels": decision.state.model.labels if decision.state.model else 0}
    told |= meter.read()
    assert decision.order is not None
    order = replace(decision.order, number=1, version="r1")
    more = {place.task: class_of(place.task) for place in order.places[:-20]}
    state = decision.state.serving(order.version, order.places)
    settings = SETTINGS | {"retrain_every": 10 * LABELS}
    after = snapshot_of(cache, tasks, labels | more, settings=settings, state=state, live=order)
    meter = Meter()
    refilled = decide(replace(after, load_rows=lambda: before.rows))
    return {"warm": told, "refill": _told(refilled) | {"action": refilled.due.action} | meter.read()}


def _told(decision: Decision) -> dict[str, Any]:
    order: Order | None = decision.order
    if order is None:
        return {"order": None}
    return {"order": order.strategy, "places": len(order.places), "inputs_bytes": len(order.inputs)}


STEPS: dict[str, Callable[[PatternCache, int], dict[str, Any]]] = {
    "first copy": copied,
    "opened again": copied,
    "cold order": cold,
    "training and warm order, then a refill": warm,
}


def in_a_process(step: Callable[[PatternCache, int], dict[str, Any]], folder: Path, key: str, tasks: int) -> Any:
    """Run a step in a fresh process; return what it tells."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_run, args=(there, step, folder, key, tasks))
    process.start()
    there.close()
    told = here.recv()
    process.join()
    return told


def _run(pipe: Connection, step: Any, folder: Path, key: str, tasks: int) -> None:
    project = next(project for project in Project.all(store_in(folder)) if project.key == key)
    cache, meter = PatternCache(project, GENERATION, folder / "spool"), Meter()
    told = step(cache, tasks)
    pipe.send(told | meter.read())


def store_in(folder: Path) -> Redis:
    """Return the Redis that runs in a folder."""
    told = {"LABELQUEUE_HOME": str(folder), "LABEL_STUDIO_URL": "http://label-studio.test"}
    return connect(Deployment.from_environment(told | {"LABEL_STUDIO_API_KEY": "0" * 40}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=1_000_000)
    parser.add_argument("--steps", nargs="*", choices=STEPS, default=list(STEPS))
    options = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory(prefix="lq-") as home:
        folder, server = Path(home), EmbeddedRedis(Path(home))
        server.start()
        try:
            store = store_in(folder)
            project = Project(store, ProjectRef("http://label-studio.test", 7, 1_800_000_000))
            project.register(label_config=CONFIG)
            fill(PatternCache(project, GENERATION, folder / "spool"), options.tasks)
            used = int(store.info("memory")["used_memory"])
            print(f"Redis holds {used / options.tasks:,.0f} bytes a task", flush=True)
            for name in options.steps:
                print(name, json.dumps(in_a_process(STEPS[name], folder, project.key, options.tasks)), flush=True)
            size = sum(path.stat().st_size for path in (folder / "spool").rglob("*") if path.is_file())
            print(f"the copy takes {size / options.tasks:,.0f} bytes a task on the disk")
        finally:
            server.stop()


if __name__ == "__main__":
    main()
