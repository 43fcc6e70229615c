"""`labelqueue serve`: web, workers and, without REDIS_URL, Redis, as children of one process that keeps them up.

`labelqueue worker` is the same without web and Redis.
"""

from __future__ import annotations

import logging
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from types import FrameType

from redis.exceptions import RedisError

from ..exceptions import SettingError, StoreError
from ..jobs import EMBEDDING, TENDING, living_here
from ..labelstudio import LabelStudio
from ..process import start_child
from ..settings import Deployment
from ..state import PROBE, EmbeddedRedis, Redis, connect

__all__ = ["Child", "Watch", "serve", "work"]

log = logging.getLogger(__name__)

STOP_TIMEOUT = 20.0  # seconds a child gets to finish the job at hand
MAX_BACKOFF = 4.0  # seconds; whatever made a child die, work goes on within ten after it is over
STEADY = 30.0  # seconds after which a child that ends does not count as one that keeps dying
LOOK_EVERY = 2.0  # seconds between two looks at which workers live
STALLED_AFTER = 30.0  # seconds without a sign of life after the last one ran out
STARTS_WITHIN = 120.0  # seconds until the first sign of life, on a busy machine
REDIS_TIMEOUT = 2.0  # seconds


class Child:
    """One child process that is started again when it ends by itself.

    Parameters
    ----------
    name : str
        For the log.
    command : list of str
        What to run.
    """

    def __init__(self, name: str, command: list[str]) -> None:
        self.name, self._command = name, command
        self._process: subprocess.Popen[bytes] | None = None
        self._failures, self._asked = 0, False
        self._started = self._not_before = 0.0

    def keep_up(self) -> None:
        """Start the process if it does not run, later and later if it keeps dying."""
        now = time.monotonic()
        if self._process is not None:
            if self._process.poll() is None:
                return
            self._failures = 0 if now - self._started > STEADY else self._failures + 1
            wait = min(MAX_BACKOFF, 0.5 * 2**self._failures)
            log.error("%s ended with status %s; starting it again in %.1f s", self.name, self._process.poll(), wait)
            self._process, self._not_before = None, now + wait
        if now >= self._not_before:
            self._process = start_child(self._command)
            self._started = now

    @property
    def pid(self) -> int:
        """Number of the process that runs; 0 while none does."""
        return self._process.pid if self._process is not None and self._process.poll() is None else 0

    def kill(self) -> None:
        """End a process that does not answer; `keep_up` starts it again."""
        if self.pid and self._process is not None:
            self._process.kill()
            self._process.wait()

    def ask_to_stop(self) -> None:
        """Ask the process once to end; it may finish what it is doing."""
        if self.pid and self._process is not None and not self._asked:
            self._process.send_signal(signal.SIGTERM)
            self._asked = True

    def stop(self) -> None:
        """End the process; it may finish what it is doing."""
        if self._process is None:
            return
        self.ask_to_stop()
        try:
            self._process.wait(timeout=STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            log.warning("%s did not stop within %.0f s and is killed", self.name, STOP_TIMEOUT)
            self._process.kill()
            self._process.wait()


class Watch:
    """Looks at the workers' signs of life, and ends one that gives none, so that another takes its place.

    Parameters
    ----------
    store : Redis
        With a timeout. While it does not answer, nobody can give a sign, and nobody is missed.
    workers : sequence of Child
    """

    def __init__(self, store: Redis, workers: Sequence[Child]) -> None:
        self._store, self._workers = store, workers
        self._last = 0.0
        self._missed: dict[int, float] = {}  # process to since when it gives no sign
        self._lived: set[int] = set()  # processes that gave one

    def look(self) -> None:
        """Look, if it is time to."""
        now = time.monotonic()
        if now - self._last < LOOK_EVERY:
            return
        paused = now - self._last > STALLED_AFTER / 2  # we were stopped ourselves, and perhaps everybody was
        self._last = now
        try:
            self._store.set(PROBE, "", px=1000)  # while Redis takes no writes, nobody can give a sign
            living = living_here(self._store)
        except RedisError as error:
            log.warning("nobody knows which workers live: %s", error)
            living, paused = set(), True
        if paused:
            self._missed.clear()
        for child in self._workers:
            pid = child.pid
            patience = STALLED_AFTER if pid in self._lived else STARTS_WITHIN
            if not pid or pid in living:
                self._lived.add(pid)
                self._missed.pop(pid, None)
            elif now - self._missed.setdefault(pid, now) > patience:
                log.error("%s gave no sign of life for %.0f s and is started again", child.name, patience)
                child.kill()
                self._missed.pop(pid)
                self._lived.discard(pid)


def _check_port(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise SettingError(
                f"cannot listen on HOST {host} PORT {port}: {error.strerror}; set another PORT"
            ) from None


def serve(deployment: Deployment, announce: Callable[[str], None]) -> int:
    """Run until SIGTERM or Ctrl-C, then stop everything that was started, Redis last.

    Parameters
    ----------
    deployment : Deployment
        Settings of the environment; the children read the same environment.
    announce : callable
        Called with lines for people.

    Returns
    -------
    int
        Exit status.
    """
    _check_port(deployment.host, deployment.port)
    _check_key(deployment)
    deployment.home.mkdir(parents=True, exist_ok=True)
    done = _until_told()
    embedded = None if deployment.redis_url else EmbeddedRedis(deployment.home)
    if embedded is not None:
        embedded.start()
    try:
        host = f"[{deployment.host}]" if ":" in deployment.host else deployment.host
        web = ["-m", "labelqueue.web"]
        where = f"http://{host}:{deployment.port}, Label Studio is {deployment.label_studio_url}"

        def begin() -> None:
            announce(f"labelqueue listens on {where}")
            announce(f"its console is {deployment.public_url}/console/")

        _keep_up(deployment, [Child("web", [sys.executable, *web])], done, begin, embedded)
    finally:
        announce("labelqueue stops")
        if embedded is not None:
            embedded.stop()
    return 0


def work(deployment: Deployment) -> int:
    """Run a tending worker and embedding workers until SIGTERM or Ctrl-C; return the exit status."""
    _check_key(deployment)
    _keep_up(deployment, [], _until_told())
    return 0


def _check_key(deployment: Deployment) -> None:
    LabelStudio(deployment.label_studio_url, deployment.label_studio_api_key)  # an empty key fails before anything runs


def _until_told() -> threading.Event:
    """Return what SIGTERM and Ctrl-C set from now on."""
    done = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        done.set()

    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, stop)
    return done


def _keep_up(
    deployment: Deployment,
    children: list[Child],
    done: threading.Event,
    begin: Callable[[], None] = lambda: None,
    embedded: EmbeddedRedis | None = None,
) -> None:
    """Keep these children, the workers and our Redis up until `done`, then stop the children."""
    with closing(connect(deployment, timeout=REDIS_TIMEOUT)) as store:
        workers = [Child("the tending worker", _worker(TENDING))]
        workers += [Child(f"embedding worker {i + 1}", _worker(EMBEDDING)) for i in range(deployment.workers)]
        watch = Watch(store, workers)
        begin()
        try:
            while not done.is_set():
                for child in (*children, *workers):
                    child.keep_up()
                if embedded is not None and not embedded.alive():
                    log.error("redis-server ended; starting it again")
                    try:
                        embedded.start()
                    except StoreError as error:  # a full disk, say: everything else stays, and it is tried again
                        log.error("%s", error)
                        done.wait(MAX_BACKOFF)
                watch.look()
                done.wait(0.5)
        finally:
            for child in (*children, *workers):
                child.ask_to_stop()
            for child in (*children, *workers):
                child.stop()


def _worker(kind: str) -> list[str]:
    return [sys.executable, "-m", "labelqueue", "worker", kind]
