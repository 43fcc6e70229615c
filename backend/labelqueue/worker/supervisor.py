"""`labelqueue serve`: web, workers and, without REDIS_URL, Redis, as children of one process that keeps them up."""

from __future__ import annotations

import logging
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

from ..exceptions import SettingError
from ..labelstudio import LabelStudio
from ..process import start_child
from ..settings import Deployment
from ..state import EmbeddedRedis, connect

__all__ = ["Child", "serve"]

log = logging.getLogger(__name__)

STOP_TIMEOUT = 20.0  # seconds a child gets to finish the job at hand
MAX_BACKOFF = 30.0


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
        self._failures = 0
        self._started = self._not_before = 0.0

    def keep_up(self) -> None:
        """Start the process if it does not run, later and later if it keeps dying."""
        now = time.monotonic()
        if self._process is not None:
            if self._process.poll() is None:
                return
            self._failures = 0 if now - self._started > MAX_BACKOFF else self._failures + 1
            wait = min(MAX_BACKOFF, 0.5 * 2**self._failures)
            log.error("%s ended with status %s; starting it again in %.1f s", self.name, self._process.poll(), wait)
            self._process, self._not_before = None, now + wait
        if now >= self._not_before:
            self._process = start_child(self._command)
            self._started = now

    def stop(self) -> None:
        """End the process; it may finish what it is doing."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout=STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            log.warning("%s did not stop within %.0f s and is killed", self.name, STOP_TIMEOUT)
            self._process.kill()
            self._process.wait()


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
    LabelStudio(deployment.label_studio_url, deployment.label_studio_api_key)  # an empty key fails before anything runs
    done = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        done.set()

    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, stop)

    deployment.home.mkdir(parents=True, exist_ok=True)
    embedded = None if deployment.redis_url else EmbeddedRedis(deployment.home)
    if embedded is not None:
        embedded.start()
    children: list[Child] = []
    try:
        connect(deployment).close()
        host = f"[{deployment.host}]" if ":" in deployment.host else deployment.host
        children.append(Child("web", [sys.executable, "-m", "labelqueue.web"]))
        for number in range(deployment.workers):
            children.append(Child(f"worker {number + 1}", [sys.executable, "-m", "labelqueue", "worker"]))
        announce(
            f"labelqueue listens on http://{host}:{deployment.port}, Label Studio is {deployment.label_studio_url}"
        )
        while not done.is_set():
            for child in children:
                child.keep_up()
            if embedded is not None and not embedded.alive():
                log.error("redis-server ended; starting it again")
                embedded.start()
            done.wait(0.5)
    finally:
        announce("labelqueue stops")
        for child in children:
            child.stop()
        if embedded is not None:
            embedded.stop()
    return 0
