"""A project of a million tasks: what looks and orders cost a worker, and the copies that they are made from.

Fills a Redis of its own with tasks, labels and vectors in clusters, in blocks as workers store them, then measures each
step in a process of its own: CPU seconds, and the most memory that is the process's own (RssAnon) and that is pages of
the files it has mapped (RssFile). Label Studio has no part in it.

Run: python benchmarks/million.py            (2.5 GB of memory for Redis, 0.8 GB of disk, some minutes)
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
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelqueue.block import Block, find, source_hash
from labelqueue.labels import ANNOTATED, UNLABELED, parse_label_config
from labelqueue.labels.annotations import Annotation, Answer
from labelqueue.learning import train
from labelqueue.ordering import CampaignState, Decision, Labels, Snapshot, Tasks, decide
from labelqueue.replica import take_snapshot
from labelqueue.settings import PROJECT, Deployment
from labelqueue.state import (
    LabelBook,
    Orders,
    PatternCache,
    Project,
    ProjectRef,
    TaskRow,
    save_campaign,
    save_summary,
)
from labelqueue.store import EmbeddedRedis
from labelqueue.worker.feeding import feed
from labelqueue.worker.runtime import Runtime

DIMENSIONS, CLASSES, LABELS, SHARD, CLUSTERS = 384, 10, 500, 64, 2000
KNOWN = 10_000  # labels where looks are measured
GENERATION, NOW = "synthetic", 1_795_000_000
CONFIG = (
    '<View><Image name="image" value="$image"/><Choices name="choice" toName="image">'
    + "".join(f'<Choice value="class {number}"/>' for number in range(CLASSES))
    + "</Choices></View>"
)
SETTINGS = {setting.name: setting.default for setting in PROJECT.values()}
KEYS = ("tasks", f"cache:{GENERATION}:blocks", f"cache:{GENERATION}:rows", f"cache:{GENERATION}:sums", "changed")

Told = dict[str, Any]


def uri_of(task: int) -> str:
    """Return the address of a task's image."""
    return f"https://images.example.test/{task:08d}.jpg"


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
        sources = np.fromiter((source_hash(uri_of(task)) for task in ids.tolist()), np.uint64, len(ids))
        cache.put(Block(ids, sources, vectors, vectors, np.arange(len(ids) + 1), hashes))


def fill_tasks(project: Project, tasks: int) -> None:
    """Store all tasks, the first `KNOWN` of them with a label."""
    for start in range(1, tasks + 1, 20_000):
        some = range(start, min(start + 20_000, tasks + 1))
        project.put_tasks({task: TaskRow(uri_of(task), UNLABELED) for task in some})
    label(project, range(1, min(KNOWN, tasks) + 1))
    project.set(generation=GENERATION, full_at=str(time.time()), image_field="image", arrivals=str(tasks))


def label(project: Project, tasks: Iterable[int]) -> None:
    """Let people label tasks, as a reading finds it."""
    answers = {task: {"choice": Answer(((class_of(task),),))} for task in tasks}
    said = {task: [Annotation(task, "now", 1, False, False, answers[task], created=NOW)] for task in answers}
    LabelBook(project).put({task: ("mark", annotations) for task, annotations in said.items()})
    project.put_tasks({task: TaskRow(uri_of(task), ANNOTATED) for task in said})


def snapshot_of(cache: PatternCache, tasks: int, labels: dict[int, str], **known: Any) -> Snapshot:
    """Return what a look sees of the project."""
    ids = np.arange(1, tasks + 1)
    states = np.full(tasks, ord(UNLABELED), dtype=np.uint8)
    states[find(ids, np.array(list(labels), np.int64))] = ord(ANNOTATED)
    mark = cache.mark()
    usual: Told = {
        "target": parse_label_config(CONFIG),
        "settings": SETTINGS,
        "tasks": Tasks(ids, states, np.arange(tasks)),
        "labels": Labels.of(labels),
        "state": CampaignState(),
        "live": None,
        "generation": GENERATION,
        "load_rows": lambda: cache.load(ids, until=mark),
        "recall": cache.recall,
        "mark": mark,
        "arrivals": tasks,
        "annotators": 4,
        "curve": False,
    }
    return Snapshot(**usual | known)


class Meter:
    """Measures this process from the moment when it is made."""

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

    def read(self) -> Told:
        """Return the CPU seconds so far, and the most megabytes."""
        seconds = time.process_time() - self._start
        self._done.set()
        self._thread.join()
        return {"cpu_s": round(seconds, 3)} | {name: round(kb / 1000) for name, kb in self._most.items()}


def say(what: str, call: Callable[[], Told]) -> None:
    """Print what a step cost, and what it tells."""
    meter = Meter()
    told = call()
    print(what, json.dumps(meter.read() | told), f"load {os.getloadavg()[0]:.1f}", flush=True)


def copied(runtime: Runtime, project: Project, tasks: int) -> None:
    """Open the copy of the vectors; make it, if it is not there."""
    cache = runtime.cache(project, GENERATION)
    say("the copy of the vectors", lambda: {"rows": len(cache.load(np.arange(1, tasks + 1)))})


def cold(runtime: Runtime, project: Project, tasks: int) -> None:
    """Decide on the first order."""
    cache = runtime.cache(project, GENERATION)
    say("first order", lambda: _told(decide(snapshot_of(cache, tasks, {}))))


def warm(runtime: Runtime, project: Project, tasks: int) -> None:
    """Train on many labels that came at once, then on one more, each with the order that follows; then refill."""
    cache = runtime.cache(project, GENERATION)
    train(np.eye(2, dtype=np.float32), ["a", "b"], classes=("a", "b"), multi=False, seed=0, fingerprint="")  # imports
    drawn = np.random.default_rng(1).choice(tasks, LABELS, replace=False) + 1
    labels, known = {task: class_of(task) for task in drawn.tolist()}, dict[str, Any]()
    for what in (f"order after {LABELS} labels at once", "order after one more label", "and another one"):
        settings = SETTINGS | {"retrain_every": 1 if known else LABELS}
        seen, made = snapshot_of(cache, tasks, labels, settings=settings, **known), list[Decision]()
        say(what, lambda: _decided(seen, made))  # noqa: B023
        order = replace(made[0].order, number=1, version="r1")
        known = {"live": order, "state": made[0].state.serving("r1", order.places)}
        labels[order.places[0].task] = class_of(order.places[0].task)
    labels |= {place.task: class_of(place.task) for place in order.places[:-3]}
    seen = snapshot_of(cache, tasks, labels, settings=SETTINGS | {"retrain_every": 100}, **known)
    say("refill", lambda: _decided(seen, []))


def _decided(seen: Snapshot, made: list[Decision]) -> Told:
    made.append(decide(seen))
    return _told(made[0])


def _told(decision: Decision) -> Told:
    assert decision.order is not None, decision.due
    order = decision.order
    return {"action": decision.due.action, "strategy": order.strategy, "places": len(decision.places)}


def looks(runtime: Runtime, project: Project, tasks: int) -> None:
    """Take a project over, and look at it while nothing happens and after a label; all but Label Studio's part."""
    project.put_settings({"retrain_every": KNOWN, "horizon": 60}, "benchmark")
    while _look(runtime, project)["due"] != "none":  # the first labels are learned, and an order goes live
        pass
    beginner = Runtime(runtime.deployment)
    say("a look of a worker that takes over", partial(_look, beginner, project))
    say("an idle look", partial(_look, beginner, project))
    say("another one", partial(_look, beginner, project))
    for task in (KNOWN + 1, KNOWN + 2):
        label(project, [task])
        say("a look after a label", partial(_look, beginner, project))


def _look(runtime: Runtime, project: Project) -> Told:
    replica, cache, target = runtime.replica(project), runtime.cache(project, GENERATION), project.target()
    project.set(counts=json.dumps(replica.columns.counts()))
    serving = feed(runtime, project, replica, cache)
    seen = take_snapshot(
        project, target, replica, serving.cache, arriving=bool(serving.arriving), prelabels=True, lost="",
        open_cache=partial(runtime.cache, project),
    )  # fmt: skip
    decision = decide(seen)
    save_campaign(project, decision.state, seen.state)
    save_summary(project, decision.summarize())
    if decision.order is not None:
        number = Orders(project).next_number() if decision.due.action == "new" else decision.order.number
        order = replace(decision.order, number=number, version=f"r{number}")
        Orders(project).save(order)
        Orders(project).go_live(order)
        save_campaign(project, decision.state.serving(order.version, order.places), decision.state)
        project.set(learned="")
    return {"due": decision.due.action, "labels": len(seen.labels)}


STEPS: dict[str, Callable[[Runtime, Project, int], None]] = {
    "first copy": copied,
    "opened again": copied,
    "looks": looks,
    "cold order": cold,
    "warm orders": warm,
}


def runtime_in(folder: Path) -> Runtime:
    """Return a worker's runtime on the Redis that runs in a folder."""
    told = {"LABELQUEUE_HOME": str(folder), "LABEL_STUDIO_URL": "http://label-studio.test"}
    return Runtime(Deployment.from_environment(told | {"LABEL_STUDIO_API_KEY": "0" * 40}))


def in_a_process(step: str, folder: Path, tasks: int) -> None:
    """Run a step in a fresh process, as a worker that takes over would."""
    process = multiprocessing.get_context("spawn").Process(target=_run, args=(step, folder, tasks))
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"{step}: the process ended with {process.exitcode}")


def _run(step: str, folder: Path, tasks: int) -> None:
    runtime = runtime_in(folder)
    (project,) = Project.all(runtime.store)
    STEPS[step](runtime, project, tasks)


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
            store = runtime_in(folder).store
            project = Project(store, ProjectRef("http://label-studio.test", 7, 1_800_000_000))
            project.register(label_config=CONFIG)
            fill(PatternCache(project, GENERATION, folder / "spool"), options.tasks)
            fill_tasks(project, options.tasks)
            sizes = {name: int(store.memory_usage(project.name(name), samples=0) or 0) for name in KEYS}
            print("bytes a task in Redis:", {name: round(size / options.tasks, 1) for name, size in sizes.items()})
            for step in options.steps:
                in_a_process(step, folder, options.tasks)
            size = sum(path.stat().st_size for path in (folder / "spool").rglob("*") if path.is_file())
            print(f"the copy takes {size / options.tasks:,.0f} bytes a task on the disk")
        finally:
            server.stop()


if __name__ == "__main__":
    main()
