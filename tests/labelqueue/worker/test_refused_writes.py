"""A Redis that takes nothing more: it is said, nothing dies for good, and work goes on within ten seconds afterwards.

The faults are real: a full disk where a file system may be mounted, `maxmemory`, replicas that are missing, a replica.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import redis
import requests

from conftest import CONFIG
from e2e.harness import free_port
from http_stub import serving
from labelqueue.process import start_child
from labelqueue.state.project import Project, ProjectRef
from labelqueue.store.redis_server import find_server
from labelqueue.worker.supervisor import MAX_BACKOFF

CREATED_AT = "2027-01-15T08:00:00Z"
EVENT = {"action": "TASKS_CREATED", "tasks": [{"id": 1}], "project": {"id": 7, "created_at": CREATED_AT}}
SOON = 40.0  # seconds; ten, on a machine that is not busy with other tests


def until(condition, seconds, what):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.1)


class Installation:
    """`labelqueue serve` beside a Label Studio that knows no project, so that each look asks for it and ends."""

    def __init__(self, home: Path, origin: str, calls: list, **environment: str) -> None:
        self.calls, self.home, self.origin = calls, home, origin
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        self.log = home / "serve.log"
        variables = {
            "LABELQUEUE_HOME": str(home), "LABELQUEUE_EMBEDDER": "bundled", "LABEL_STUDIO_URL": origin,
            "LABEL_STUDIO_API_KEY": "0" * 40, "PORT": str(port), **environment,
        }  # fmt: skip
        with self.log.open("wb") as log:
            self.process = start_child(["env", *(f"{k}={v}" for k, v in variables.items()), sys.executable, "-m",
                                        "labelqueue", "serve"], output=log)  # fmt: skip
        until(self.healthy, 120, "health")

    def healthy(self) -> bool:
        with suppress(requests.RequestException):
            return requests.get(f"{self.url}/health", timeout=2).status_code == 200
        return False

    def event(self) -> requests.Response:
        return requests.post(f"{self.url}/webhook", json=EVENT, timeout=30)

    def status(self) -> requests.Response:
        return requests.get(f"{self.url}/api/v1/projects/7", timeout=30)

    def looks(self) -> int:
        return sum(path == "/api/projects/7" for _, path, *_ in self.calls)

    def check(self, break_it, mend_it, why: str) -> None:
        """Break Redis while it works, see what people are told, and that work goes on once it is mended."""
        assert self.event().status_code == 201
        until(self.looks, 120, "the first look")
        break_it()
        until(lambda: self.event().status_code == 503, 60, "a refusal")
        refused = self.event()
        assert why in refused.json()["error"], refused.text
        assert self.healthy()
        told = self.status()
        assert told.status_code == 200, told.text
        (writes,) = [row for row in told.json()["redis"] if row["check"] == "writes"]
        assert writes["state"] == "wrong" and why in writes["told"], writes
        time.sleep(2 * MAX_BACKOFF)  # so that a worker that dies of it has died again and again
        assert self.healthy() and self.event().status_code == 503
        before = self.looks()
        mend_it()
        mended = time.monotonic()
        until(lambda: self.event().status_code == 201, SOON, "an acknowledgement")
        until(lambda: self.looks() > before, SOON - (time.monotonic() - mended), "a look")
        print(f"work goes on {time.monotonic() - mended:.1f} s after it is mended")
        (writes,) = [row for row in self.status().json()["redis"] if row["check"] == "writes"]
        assert writes["state"] == "well"

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(timeout=60) in (0, -15)


@pytest.fixture
def home():
    with tempfile.TemporaryDirectory(prefix="lq-") as folder:
        yield Path(folder)


@pytest.fixture
def installed():
    """Start an installation in a folder."""

    @contextmanager
    def start(home, **environment):
        with serving(lambda *_: (500, {}, {"detail": "not today"})) as (origin, calls):
            running = Installation(home, origin, calls, **environment)
            try:
                yield running
            except BaseException:
                print(running.log.read_text()[-5000:])
                raise
            finally:
                running.stop()

    return start


@contextmanager
def external_redis(home, **options):
    """A redis-server of the test's own, on a port."""
    port = free_port()
    command = [find_server(home / "redis").program, "--port", str(port), "--dir", str(home), "--save", ""]
    command += [part for key, value in options.items() for part in (f"--{key.replace('_', '-')}", value)]
    server = start_child(command, output=subprocess.DEVNULL)
    client = redis.Redis(port=port)
    until(lambda: _answers(client), 60, "redis")
    try:
        yield client, f"redis://127.0.0.1:{port}/0"
    finally:
        client.close()
        server.kill()
        server.wait()


def _answers(client) -> bool:
    with suppress(redis.RedisError):
        return bool(client.ping())
    return False


def embedded(home) -> redis.Redis:
    return redis.Redis(unix_socket_path=str(home / "redis" / "redis.sock"))


def test_a_full_redis(home, installed):
    with installed(home) as running:
        store = embedded(home)
        running.check(
            lambda: store.config_set("maxmemory", "1mb"), lambda: store.config_set("maxmemory", "0"), "Redis is full"
        )


def test_too_few_replicas(home, installed):
    with installed(home) as running:
        store = embedded(home)
        running.check(
            lambda: store.config_set("min-replicas-to-write", "1"),
            lambda: store.config_set("min-replicas-to-write", "0"),
            "too few replicas",
        )


def test_a_read_only_replica(home, installed):
    with (
        external_redis(home) as (store, url),
        external_redis(home) as (master, _),
        installed(home, REDIS_URL=url) as running,
    ):
        port = master.connection_pool.connection_kwargs["port"]

        def follow() -> None:
            Project(master, ProjectRef(running.origin, 7, 1_800_000_000)).register(label_config=CONFIG)
            store.replicaof("127.0.0.1", port)
            until(lambda: store.info("replication")["master_link_status"] == "up", 60, "a replica")

        running.check(follow, lambda: store.replicaof("NO", "ONE"), "read-only replica")


def test_a_snapshot_that_cannot_be_written(home, installed):
    """As on a full disk: a server that keeps snapshots refuses writes when one fails."""
    with external_redis(home) as (store, url), installed(home, REDIS_URL=url) as running:
        obstacle = home / "dump.rdb"

        def fail() -> None:
            obstacle.mkdir()
            store.config_set("save", "3600 1")
            store.bgsave()
            until(lambda: store.info("persistence")["rdb_last_bgsave_status"] == "err", 60, "a snapshot that fails")

        def succeed() -> None:
            obstacle.rmdir()
            store.bgsave()
            until(lambda: store.info("persistence")["rdb_last_bgsave_status"] == "ok", 60, "a snapshot")

        running.check(fail, succeed, "cannot write to its disk")
        assert "writes nothing to disk, and loses everything" in running.log.read_text(), "said when it started"


def test_a_full_disk(home, installed):
    folder = home / "data"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("no file system may be mounted here")
    try:
        with installed(folder) as running:
            ballast = folder / "ballast"

            def fill() -> None:
                with suppress(OSError), ballast.open("wb", buffering=0) as file:
                    while True:
                        file.write(bytes(4096))
                for number in range(100):
                    with suppress(redis.ResponseError):
                        embedded(folder).set(f"filling {number}", bytes(8192))
                        time.sleep(0.02)

            running.check(fill, ballast.unlink, "cannot write to its disk")
            store = embedded(folder)
            assert store.info("persistence")["aof_last_write_status"] == "ok"
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
