"""How embedding scales with its workers, and how long a worker idles between two shards.

    python benchmarks/embedding_workers.py                          1 to 8 workers, a minibatch that takes 1.9 s
    python benchmarks/embedding_workers.py --workers 1 2 --one-device --minibatch 64 --seconds 1

Runs a redis-server in a folder of its own, an image server on loopback that waits `--latency` before each answer, and
embedding workers, each a process with the loop, the housekeeping, the fetching, the decoding, the thumbnails and the
storing that it has in use. Only the model is a stand-in: it waits as long as a minibatch of the real one computes, one
minibatch at a time, so that more workers than cores can be watched. Every number of workers embeds as many shards per
worker, after a first one that is not counted: modules are imported then. Time counts from the moment the images wait
until the last one is stored.

A rate is compared with that of one worker times their number, and with what the model alone would do: minibatches
without a pause. What is missing there is the time in which a worker's model had nothing to do. With `--one-device` one
minibatch of all workers is computed at a time, as on one GPU.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import io
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from labelqueue.images import ModelCard
from labelqueue.jobs import EMBEDDING, EmbedderChoice, alive, enqueue_shards
from labelqueue.jobs.shards import shard_size
from labelqueue.labels import UNLABELED
from labelqueue.settings import Deployment
from labelqueue.state import Project, ProjectRef, TaskRow, add_members, connect
from labelqueue.store import EmbeddedRedis
from labelqueue.worker import Runtime, run_worker

CONFIG = (
    '<View><Image name="image" value="$image"/><Choices name="choice" toName="image">'
    '<Choice value="cat"/><Choice value="dog"/></Choices></View>'
)


class Waiting:
    """A model that waits instead of computing; it looks at images of 224 pixels and makes vectors of 384 numbers."""

    name, dim, image_size = "waiting", 384, 224

    def __init__(self, minibatch: int, seconds: float, device: Path | None = None) -> None:
        self.minibatch_size, self._seconds, self._device = minibatch, seconds, device
        self.card = ModelCard(self.name, "", self.image_size, (0.5,) * 3, (0.5,) * 3, 3, 1, minibatch)

    def fingerprint(self, parameters: dict[str, Any]) -> str:
        return self.card.fingerprint(parameters)

    @contextlib.contextmanager
    def lanes(self) -> Iterator[int]:
        yield 1

    def embed(
        self, pixels: NDArray[np.uint8], **options: Any
    ) -> tuple[NDArray[np.float16], NDArray[np.float16], NDArray[np.int64]]:
        with contextlib.ExitStack() as stack:
            if self._device is not None:
                fcntl.flock(stack.enter_context(self._device.open("a")), fcntl.LOCK_EX)
            time.sleep(self._seconds)  # a minibatch that is not full is padded, and takes as long
        vectors = np.random.default_rng(0).normal(size=(len(pixels), self.dim)).astype(np.float16)
        return vectors, vectors, np.arange(len(pixels) + 1)


def be_worker(minibatch: int, seconds: float, one_device: bool) -> None:
    """Be an embedding worker of the deployment in the environment, with the stand-in for a model."""
    deployment = Deployment.from_environment()
    model = Waiting(minibatch, seconds, deployment.home / "device" if one_device else None)

    class WithoutModel(Runtime):
        def embedder(self, **options: Any) -> Any:
            return model

    run_worker(WithoutModel(deployment), EMBEDDING)


def draw(seed: int, width: int) -> bytes:
    """Return a JPEG of 4 : 3 with broad shapes and grain, about as large as a photograph of that size."""
    rng, height = np.random.default_rng(seed), width * 3 // 4
    broad = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((width, height))
    grain = rng.normal(0, 8, (height, width, 3))
    file = io.BytesIO()
    Image.fromarray((np.asarray(broad) + grain).clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()


@contextlib.contextmanager
def images(latency: float, width: int) -> Iterator[str]:
    """Serve sixteen pictures under as many addresses as anybody asks for; yield where."""
    files = [draw(seed, width) for seed in range(16)]

    class Handler(BaseHTTPRequestHandler):
        protocol_version, wbufsize = "HTTP/1.1", 1 << 20

        def do_GET(self) -> None:
            time.sleep(latency)
            data = files[int(self.path.strip("/").partition(".")[0]) % len(files)]
            self.send_response(200)
            self.send_header("Content-Type", "image/jpeg")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *arguments: Any) -> None:
            """Stay quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def measure(workers: int, arguments: argparse.Namespace, address: str, home: Path) -> tuple[int, float]:
    """Let so many workers embed their shards; return how many images that were, and the seconds."""
    environ = {
        "LABELQUEUE_HOME": str(home),
        "LABEL_STUDIO_URL": "http://127.0.0.1:1",
        "LABEL_STUDIO_API_KEY": "0" * 40,
        "LABELQUEUE_ALLOW_HOSTS": address.removeprefix("http://"),
    }
    store = connect(Deployment.from_environment(environ))
    store.flushall()
    project = Project(store, ProjectRef("http://127.0.0.1:1", 1, 1_800_000_000))
    model = Waiting(arguments.minibatch, 0.0)
    choice = EmbedderChoice(model.name, model.image_size)
    project.register(label_config=CONFIG, embedder_wanted=choice.dump(), minibatch=str(model.minibatch_size))
    first = workers * shard_size(project)
    count = first * arguments.shards
    tasks = range(1, first + count + 1)
    project.put_tasks({task: TaskRow(f"{address}/{task}.jpg", UNLABELED) for task in tasks})
    command = [sys.executable, __file__, "--be-worker", "--minibatch", str(arguments.minibatch)]
    command += ["--seconds", str(arguments.seconds), *(["--one-device"] if arguments.one_device else [])]
    with (home / "workers.log").open("ab") as log:
        running = [
            subprocess.Popen(command, env={**os.environ, **environ}, stdout=log, stderr=log) for _ in range(workers)
        ]

    def embed(some: range) -> float:
        """Let images wait until all are embedded; return the seconds."""
        began = time.perf_counter()
        add_members(store, project.name("pending"), {str(task): task for task in some})
        enqueue_shards(project)
        while int(project.get("arrivals", "0")) < some[-1]:
            if any(one.poll() is not None for one in running):
                raise SystemExit(f"a worker ended: {(home / 'workers.log').read_text()[-2000:]}")
            time.sleep(0.05)
        return time.perf_counter() - began

    try:
        while len(alive(store, EMBEDDING)) < workers:
            time.sleep(0.5)
        time.sleep(2.0)
        embed(tasks[:first])
        return count, embed(tasks[first:])
    finally:
        for one in running:
            one.terminate()
        for one in running:
            one.wait()
        store.close()


def main() -> None:
    """Run the benchmark and print what it measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=list(range(1, 9)))
    parser.add_argument("--minibatch", type=int, default=16, help="images per forward pass (16)")
    parser.add_argument("--seconds", type=float, default=1.9, help="of a forward pass (1.9: ViT-S on one core)")
    parser.add_argument("--shards", type=int, default=6, help="per worker (6)")
    parser.add_argument("--latency", type=float, default=0.02, help="seconds before an image is sent (0.02)")
    parser.add_argument("--width", type=int, default=640, help="of the pictures, in pixels (640)")
    parser.add_argument("--one-device", action="store_true", help="all workers share one GPU, so to speak")
    parser.add_argument("--be-worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.be_worker:
        be_worker(arguments.minibatch, arguments.seconds, arguments.one_device)
        return
    print(
        f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}, load "
        f"{os.getloadavg()[0]:.1f}; minibatches of {arguments.minibatch} in {arguments.seconds:g} s, pictures "
        f"{arguments.width} pixels wide after {arguments.latency * 1000:g} ms",
        flush=True,
    )
    forward, one = arguments.minibatch / arguments.seconds, 0.0
    with tempfile.TemporaryDirectory(prefix="lq-") as name, images(arguments.latency, arguments.width) as address:
        server = EmbeddedRedis(Path(name))
        server.start()
        try:
            for workers in arguments.workers:
                count, seconds = measure(workers, arguments, address, Path(name))
                rate = count / seconds
                one = one or rate / workers
                bare = forward * (1 if arguments.one_device else workers)
                print(
                    f"{workers} workers: {count} images in {seconds:.1f} s, {rate:.1f}/s, {rate / workers / one:.2f} "
                    f"of {workers} times the first, {rate / bare:.2f} of the model alone; load "
                    f"{os.getloadavg()[0]:.1f}",
                    flush=True,
                )
        finally:
            server.stop()


if __name__ == "__main__":
    main()
