"""How fast a webhook is acknowledged while images are embedded on the same cores, and whether any is lost.

Starts `labelqueue serve` on a free port with a data folder of its own, keeps the cores busy with the bundled model, and
sends webhooks at a fixed rate for a while. Label Studio waits one second for an answer and never repeats. Beside them,
if asked for: callers that drip their headers or their bodies, and imports of 5,000 tasks.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import requests

from labelqueue.settings import Deployment
from labelqueue.state.journal import Journal
from labelqueue.state.project import Project
from labelqueue.store.redis_connection import connect

EMBED_FOREVER = """
import numpy as np
from labelqueue.images.embedder import Embedder
model = Embedder.load("bundled")
pixels = np.random.default_rng(0).integers(0, 255, (64, model.image_size, model.image_size, 3), dtype=np.uint8)
while True:
    model.embed(pixels)
"""

# Connections to the port that is given: 200 drip headers, 50 drip a body, 200 say something now and then.
SLOW_CALLERS = """
import asyncio, random, sys
port = int(sys.argv[1])
HEAD = b"POST /webhook HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\n"
async def hold(sent, drip):
    await asyncio.sleep(3 * random.random())  # not all at the same moment
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent)
            while True:
                await asyncio.sleep(0.5 if drip else 3)
                writer.write(drip or b"GET /health HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\n\\r\\n")
                await writer.drain()
        except OSError:
            await asyncio.sleep(0.5)
async def main():
    body = HEAD + b"Content-Length: 60000\\r\\n\\r\\n"
    kinds = [(HEAD + b"X-Slow: ", b"1")] * 200 + [(body, b" ")] * 50 + [(b"", b"")] * 200
    await asyncio.gather(*(hold(*kind) for kind in kinds))
asyncio.run(main())
"""
# An import of 5,000 tasks every two seconds, 2.6 MB each.
IMPORTS = """
import json, sys, time, urllib.request
task = {"data": {"image": "http://images.test/000001.jpg"}, "meta": {}, "overlap": 1, "comment_authors": [], "note": ""}
tasks = [{"id": n, **task, "note": "x" * 390} for n in range(5000)]
project = {"id": 1, "created_at": "2026-11-21T00:44:53.544491Z"}
body = json.dumps({"action": "TASKS_CREATED", "tasks": tasks, "project": project}).encode()
while True:
    call = urllib.request.Request(f"http://127.0.0.1:{sys.argv[1]}/webhook", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(call, timeout=10) as answer:
        answer.read()
    time.sleep(2)
"""


def free_port() -> int:
    """Return a port nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_up(url: str) -> None:
    """Wait for the web process."""
    for _ in range(600):
        try:
            requests.get(f"{url}/health", timeout=1)
            return
        except requests.RequestException:
            time.sleep(0.1)
    raise SystemExit(f"nothing answers at {url}")


def web_processes(supervisor: int) -> list[psutil.Process]:
    """Return the web process of a supervisor."""
    children = psutil.Process(supervisor).children(recursive=True)
    return [one for one in children if "labelqueue.web" in " ".join(one.cmdline())]


def send(url: str, number: int, start: float, rate: float) -> float:
    """Send webhook `number` at its time and return the seconds until it was acknowledged."""
    time.sleep(max(0.0, start + number / rate - time.perf_counter()))
    body = {
        "action": "ANNOTATION_CREATED",
        "annotation": {"id": number, "completed_by": 1, "result": [{"value": {"choices": ["cat"]}}] * 20},
        "project": {"id": 1, "created_at": "2026-11-21T00:44:53.544491Z", "label_config": "<View/>" * 50},
        "task": {"id": number},
    }
    began = time.perf_counter()
    answer = requests.post(f"{url}/webhook", json=body, timeout=10)
    answer.raise_for_status()
    return time.perf_counter() - began


def main() -> None:
    """Run the benchmark and print what it measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=50, help="webhooks per second (50)")
    parser.add_argument("--seconds", type=float, default=20, help="how long (20)")
    parser.add_argument(
        "--slow", action="store_true", help="beside 200 slow headers, 50 slow bodies, 200 kept connections"
    )
    parser.add_argument("--imports", action="store_true", help="beside imports of 5,000 tasks")
    parser.add_argument("--idle", action="store_true", help="without embedding beside it")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lq-") as home:
        port = free_port()
        environ = {
            "LABELQUEUE_HOME": home,
            "LABEL_STUDIO_URL": "http://127.0.0.1:1",
            "LABEL_STUDIO_API_KEY": "0" * 40,
            "LABELQUEUE_EMBEDDER": "bundled",
            "PORT": str(port),
        }
        log = (Path(home) / "serve.log").open("wb")
        quiet = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
        began = time.perf_counter()
        server = subprocess.Popen([sys.executable, "-m", "labelqueue", "serve"], env={**os.environ, **environ}, **quiet)
        beside = [] if arguments.idle else [EMBED_FOREVER]
        beside += [code for code, wanted in ((SLOW_CALLERS, arguments.slow), (IMPORTS, arguments.imports)) if wanted]
        loads = []
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until_up(url)
            up = time.perf_counter() - began
            loads = [subprocess.Popen([sys.executable, "-c", code, str(port)], **quiet) for code in beside]
            time.sleep(6 if arguments.idle else 15)  # the model is loaded and at work
            count = int(arguments.rate * arguments.seconds)
            start = time.perf_counter() + 0.5
            with ThreadPoolExecutor(32) as pool:
                seconds = np.array(list(pool.map(lambda n: send(url, n, start, arguments.rate), range(count))))
            store = connect(Deployment.from_environment(environ))
            kept = sum(
                event.action == "ANNOTATION_CREATED" for one in Project.all(store) for event in Journal(one).read()[0]
            )
            store.close()
            memory = sum(one.memory_info().rss for one in web_processes(server.pid)) / 1e6
        finally:
            for load in loads:
                load.kill()
                load.wait()
            server.send_signal(signal.SIGINT)
            server.wait()
            log.close()
    p50, p99, worst = (float(1000 * np.quantile(seconds, q)) for q in (0.5, 0.99, 1))
    result = {"sent": count, "kept": kept, "p50_ms": p50, "p99_ms": p99, "max_ms": worst, "serve_up_s": up}
    result["web_mb"] = memory
    if arguments.json:
        print(json.dumps(result))
    else:
        what = ["idle" if arguments.idle else "while embedding"]
        what += [name for name, wanted in (("slow callers", arguments.slow), ("imports", arguments.imports)) if wanted]
        print(f"{count} webhooks at {arguments.rate:g}/s, {', '.join(what)}: ", end="")
        print(f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, max {worst:.1f} ms, {kept} in the journal; ", end="")
        print(f"up after {up:.1f} s, web process {memory:.0f} MB")


if __name__ == "__main__":
    main()
