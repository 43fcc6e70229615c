"""The map: how long it takes, and whether images of one class stand together.

    python benchmarks/map.py times [--images 5000 100000] [--numbers 384]
    python benchmarks/map.py groups FOLDER... [--model bundled] [--weights FILE]

`times` fills a Redis of its own with the embeddings of images that are not there; a FOLDER has a labels.csv with the
columns file and label. See map.md for what came out.
"""

from __future__ import annotations

import argparse
import csv
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from labelqueue.block import Block, concatenate, source_hash
from labelqueue.gallery import Maps, details_question, nearest_question
from labelqueue.images import Embedder, Item, embed_stream
from labelqueue.labels import UNLABELED
from labelqueue.pagework.details import show_details
from labelqueue.pagework.maps import lay_out, show_map
from labelqueue.pagework.nearest import find_nearest
from labelqueue.pagework.projection import fit_plane, fit_tsne, near_landmarks, on_plane, unit
from labelqueue.settings import Deployment
from labelqueue.state import Project, ProjectRef, TaskRow
from labelqueue.store import EmbeddedRedis
from labelqueue.worker import Runtime

CONFIG = (
    '<View><Image name="image" value="$image"/><Choices name="choice" toName="image">'
    '<Choice value="cat"/><Choice value="dog"/></Choices></View>'
)
SHARD, GROUPS, NEIGHBORS = 32, 50, 10


def fill(runtime: Runtime, n: int, numbers: int) -> Project:
    """Return a project of so many embedded images of fifty kinds."""
    runtime.store.flushall()
    project = Project(runtime.store, ProjectRef("http://label-studio.test", 7, 1_800_000_000))
    project.register(label_config=CONFIG, generation="g1")
    add(runtime, project, range(1, n + 1), numbers)
    return project


def add(runtime: Runtime, project: Project, ids: range, numbers: int) -> None:
    """Add embedded images of those kinds to a project."""
    rng, cache = np.random.default_rng(ids.start), runtime.cache(project, "g1")
    centers = np.random.default_rng(0).normal(size=(GROUPS, numbers))
    for start in range(0, len(ids), SHARD):
        some = np.array(ids[start : start + SHARD], np.int64)
        rows = (centers[some % GROUPS] + 1.5 * rng.normal(size=(some.size, numbers))).astype(np.float16)
        sources = np.array([source_hash(f"u{task}") for task in some.tolist()], np.uint64)
        cache.put(Block(some, sources, rows, rows, np.arange(some.size + 1)))
    project.put_tasks({task: TaskRow(f"u{task}", UNLABELED) for task in ids})


def times(counts: list[int], numbers: int) -> None:
    """Print how long each step takes."""
    with tempfile.TemporaryDirectory(prefix="lq-") as folder:
        server = EmbeddedRedis(Path(folder))
        server.start()
        try:
            settings = {"LABELQUEUE_HOME": folder, "LABEL_STUDIO_URL": "http://label-studio.test"}
            runtime = Runtime(Deployment.from_environment(settings | {"LABEL_STUDIO_API_KEY": "0" * 40}))
            for n in counts:
                measure(runtime, n, numbers)
        finally:
            server.stop()


def measure(runtime: Runtime, n: int, numbers: int) -> None:
    project = fill(runtime, n, numbers)
    print(f"\n{n:,} images of {numbers} numbers")

    def say(what: str, call: Callable[[], Any]) -> None:
        start, cpu = time.perf_counter(), time.process_time()
        call()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        used = time.process_time() - cpu
        print(f"| {what} | {time.perf_counter() - start:.2f} s | {used:.2f} s | {peak:.0f} MB |", flush=True)

    def ask(question: Any, answer: Callable[..., Any]) -> None:
        answer(runtime, project, *question.details)

    say("(before)", lambda: None)
    say("first map", lambda: show_map(runtime, project))
    say("t-SNE, and all others beside its landmarks", lambda: lay_out(runtime, project, "g1", 0.0))
    project.set(title="another")
    say("map after a label", lambda: show_map(runtime, project))
    add(runtime, project, range(n + 1, n + 101), numbers)
    say("map after 100 images", lambda: show_map(runtime, project))
    say("the 60 nearest of one image", lambda: ask(nearest_question(project, [n // 2]), find_nearest))
    many = np.random.default_rng(0).permutation(n)[: n // 2] + 1
    say("the 60 nearest of half of them", lambda: ask(nearest_question(project, many.tolist()), find_nearest))
    say("counts of half of them", lambda: ask(details_question(project, [], many.tolist()), show_details))
    maps, store = Maps(project), runtime.store
    sent = len(maps.ids()) + len(maps.points()) + len(maps.column("label"))
    kept = sum(int(store.memory_usage(key) or 0) for key in store.scan_iter("*:map*"))
    kept += int(store.memory_usage(project.name("cache", "g1", "layout")) or 0)
    print(f"to the page at first {sent / 1e6:.1f} MB; in Redis {kept / 1e6:.1f} MB")


def purity(points: np.ndarray, labels: np.ndarray, among: np.ndarray | None = None) -> float:
    """Return the share of the ten nearest that have the label of a point, over all points or some."""
    rows = np.arange(len(points)) if among is None else among
    hits = []
    for row in rows.tolist():
        apart = ((points - points[row]) ** 2).sum(axis=1)
        apart[row] = np.inf
        hits.append((labels[np.argpartition(apart, NEIGHBORS)[:NEIGHBORS]] == labels[row]).mean())
    return float(np.mean(hits))


def labeled(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the files of a folder and their labels; of one that is split, those to train with."""
    with (folder / "labels.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if row.get("split", "train") == "train":
                yield row["file"], row["label"]


def groups(folder: Path, model: Embedder) -> str:
    """Return a row of the table: do images of one class stand together?"""
    files = list(labeled(folder))
    items = [Item(number, name, (folder / name).read_bytes) for number, (name, _) in enumerate(files)]
    rows = concatenate([part.block for part in embed_stream(model, items)])
    labels = np.array([files[number][1] for number in rows.ids.tolist()])
    vectors = unit(rows.embeddings)
    plane = on_plane(vectors, *fit_plane(vectors)).astype(float)
    start = time.process_time()
    places = fit_tsne(vectors, plane)
    seconds = time.process_time() - start
    # As if there were room for few landmarks: a third is laid out, the others stand beside these.
    turn = np.random.default_rng(0).permutation(len(vectors))
    third, others = np.sort(turn[: len(turn) // 3]), np.sort(turn[len(turn) // 3 :])
    few = fit_tsne(vectors[third], on_plane(vectors[third], *fit_plane(vectors[third])))
    beside = np.empty((len(vectors), 2))
    beside[third], beside[others] = few, near_landmarks(vectors[others], vectors[third], few)
    shares = [purity(vectors, labels), purity(plane, labels), purity(places, labels)]
    shares += [purity(beside, labels, third), purity(beside, labels, others)]
    classes = len(set(labels.tolist()))
    told = " | ".join(f"{share:.2f}" for share in shares)
    return f"| {folder.name} ({len(vectors):,}, {classes} classes) | {told} | {seconds:.0f} s |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("times")
    one.add_argument("--images", type=int, nargs="+", default=[5_000, 10_000, 100_000])
    one.add_argument("--numbers", type=int, default=384)
    other = commands.add_parser("groups")
    other.add_argument("folders", type=Path, nargs="+")
    other.add_argument("--model", default="bundled")
    other.add_argument("--weights", type=Path)
    options = parser.parse_args()
    if options.command == "times":
        times(options.images, options.numbers)
        return
    model = Embedder.load(options.model, options.weights)
    print("| | embeddings | PCA | t-SNE | third laid out | others beside it | t-SNE takes |")
    print("|---|---|---|---|---|---|---|")
    for folder in options.folders:
        print(groups(folder, model), flush=True)


if __name__ == "__main__":
    main()
