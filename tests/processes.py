"""Real processes for tests: a redis-server on a port of its own, and workers that are started, stopped and killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import redis

from labelqueue.jobs.living import alive
from labelqueue.settings import Deployment
from labelqueue.store.redis_connection import Redis, connect
from labelqueue.store.redis_server import find_server

WORKER = "import sys; from labelqueue.cli import main; sys.exit(main(['worker', *sys.argv[1:]]))"


def until(condition: Callable[[], Any], seconds: float = 240.0, what: str = "") -> Any:
    """Return what `condition` returns as soon as it is true; fail when it never is."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"not within {seconds:.0f} s: {what or condition}"
        time.sleep(0.05)
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A redis-server that is not ours, reached by TCP."""

    def __init__(self, folder: Path) -> None:
        self.url = f"redis://127.0.0.1:{free_port()}/0"
        port = self.url.rsplit(":", 1)[1].split("/")[0]
        command = [find_server(folder).program, "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        client = redis.Redis.from_url(self.url)

        def answers() -> bool:
            with suppress(redis.RedisError):
                return bool(client.ping())
            return False

        until(answers, 20)
        client.close()

    @contextmanager
    def stalled(self) -> Iterator[None]:
        """Stop it as a machine that is out of memory or disk does: lines stay open, and nothing is answered."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def redis_server() -> Iterator[Server]:
    """Run a redis-server on a port of its own."""
    with tempfile.TemporaryDirectory(prefix="lq-") as folder:
        server = Server(Path(folder))
        try:
            yield server
        finally:
            server.stop()


class Worker:
    """`labelqueue worker` in a process of its own, killed when a test leaves it.

    Parameters
    ----------
    environ : dict of str to str
        Settings.
    kind : str
        What it serves.
    code : str
        Python that runs it, in place of the command, for faults that cannot be caused from outside.
    """

    def __init__(self, environ: dict[str, str], kind: str, *, code: str = WORKER) -> None:
        self.environ, self.kind, self.code = environ, kind, code
        self.store = connect(Deployment.from_environment(environ))
        self.log = Path(environ["LABELQUEUE_HOME"]) / f"{kind}.log"
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            command = [sys.executable, "-c", self.code, self.kind]
            return subprocess.Popen(command, env={**os.environ, **self.environ}, stdout=log, stderr=log)

    def wait_for_life(self) -> None:
        """Wait until it says that it lives."""
        mark = f"-{self.process.pid}-"

        def lives() -> bool:
            assert self.process.poll() is None, self.log.read_text()[-2000:]
            return any(mark in name for name in alive(self.store))

        until(lives)

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """Kill it, without a warning."""
        self.process.kill()
        self.process.wait()

    def again(self) -> None:
        """Start it again, as a supervisor does."""
        self.process = self._start()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()
        self.store.close()
        if error[0] is not None:
            print(self.log.read_text()[-6000:])


def settings(home: Path, label_studio: str, redis_url: str = "") -> dict[str, str]:
    """Return the environment of a service for a test."""
    environ = {
        "LABELQUEUE_HOME": str(home),
        "LABEL_STUDIO_URL": label_studio,
        "LABEL_STUDIO_API_KEY": "0" * 40,
        "LABELQUEUE_EMBEDDER": "bundled",
        "LABELQUEUE_ALLOW_HOSTS": "127.0.0.1",
    }
    return {**environ, "REDIS_URL": redis_url} if redis_url else environ


def store_of(environ: dict[str, str]) -> Redis:
    return connect(Deployment.from_environment(environ))
