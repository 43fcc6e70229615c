"""A project with embedded images for pages about them: Redis filled, the web process and an embedding worker beside it;
no Label Studio."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from e2e.harness import free_port
from labelqueue.block import Block, source_hash
from labelqueue.gallery import Thumbnails
from labelqueue.labels.annotations import ANNOTATED, UNLABELED, Annotation, Answer
from labelqueue.ordering import Order, Place
from labelqueue.state import LabelBook, Orders, PatternCache, Project, ProjectRef, Redis, TaskRow

ORIGIN = "http://127.0.0.1:9"  # nobody is there
NASTY = "<script>document.title='taken'</script>"
CLASSES = ("cat", NASTY, "dog")
CONFIG = (
    '<View><Image name="image" value="$image"/><Choices name="choice" toName="image">'
    + "".join(f'<Choice value="{name.replace("<", "&lt;")}"/>' for name in CLASSES)
    + "</Choices></View>"
)
GENERATION, DIM = "a1b2c3d4", 16
CONTROLS = (3, 8)  # places that are drawn at random


def register(store: Redis, title: str = NASTY) -> Project:
    """Return a project without tasks."""
    project = Project(store, ProjectRef(ORIGIN, 7, 1_800_000_000))
    project.register(label_config=CONFIG, title=title, tag="k7f", tags="k7f", generation=GENERATION)
    return project


def fill(project: Project, spool: Path, each: int = 40) -> list[int]:
    """Add tasks 1, 2, ... of the three classes in turn, their embeddings far apart; the first of each is labeled, and
    the first unlabeled ones are in the live order. Return the class of each task."""
    rng = np.random.default_rng(0)
    classes = np.arange(3 * each) % 3
    ids = 1 + np.arange(3 * each, dtype=np.int64)
    vectors = np.eye(DIM)[classes] + 0.15 * rng.standard_normal((ids.size, DIM))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
    uris = [f"/data/upload/{task}.jpg" for task in ids]
    sources = np.array([source_hash(uri) for uri in uris], np.uint64)
    pictures = [_picture(color) for color in ("#b04040", "#40a040", "#4040b0")]
    shown = {int(task): (int(source), pictures[one]) for task, source, one in zip(ids, sources, classes, strict=True)}
    labeled = {int(task): CLASSES[task - 1] for task in ids[:3]}
    states = [ANNOTATED if task in labeled else UNLABELED for task in ids.tolist()]
    project.put_tasks({int(task): TaskRow(uri, state) for task, uri, state in zip(ids, uris, states, strict=True)})
    PatternCache(project, GENERATION, spool).put(
        Block(ids, sources, vectors, vectors, np.arange(ids.size + 1, dtype=np.int64))
    )
    said = {task: {"choice": Answer(((label,),))} for task, label in labeled.items()}
    LabelBook(project).put({task: ("", [Annotation(task, "", 1, False, False, one)]) for task, one in said.items()})
    LabelBook(project).set_complete()
    Thumbnails(project).put(shown, 10**7)
    drawn = [at in CONTROLS for at in range(30)]
    reasons = ["random control" if control else "covers a new pattern" for control in drawn]
    places = [Place(task, reason, control) for task, reason, control in zip(range(4, 34), reasons, drawn, strict=True)]
    order = Order(1, "r1·k7f FreeSel", "freesel", {}, GENERATION, ids.size, 3, ids.size, 0.0, tuple(places))
    Orders(project).save(order)
    Orders(project).go_live(order)
    return classes.tolist()


def _picture(color: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (48, 32), color).save(file, "WEBP")
    return file.getvalue()


@contextmanager
def processes(home: Path, *, worker: bool = True) -> Iterator[str]:
    """Run the web process and an embedding worker on the Redis of this folder; yield the console's address."""
    port = free_port()
    ours = ("LABEL", "BASIC_AUTH", "REDIS")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    environ |= {"LABELQUEUE_HOME": str(home), "LABEL_STUDIO_URL": ORIGIN, "LABEL_STUDIO_API_KEY": "0" * 40}
    environ |= {"LABELQUEUE_EMBEDDER": "bundled", "PORT": str(port), "HOST": "127.0.0.1"}
    environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    commands = [["-m", "labelqueue.web"], *([["-m", "labelqueue", "worker", "embedding"]] if worker else [])]
    running = [subprocess.Popen([sys.executable, *command], env=environ) for command in commands]
    try:
        _wait_for(f"http://127.0.0.1:{port}/health", running[0])
        yield f"http://127.0.0.1:{port}/console"
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(timeout=30)


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError):
            assert process.poll() is None, "the web process ended"
            time.sleep(0.1)
    raise AssertionError(f"nobody answers at {address}")
