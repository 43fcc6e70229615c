"""`labelqueue serve` for real: children come back when killed, and Ctrl-C leaves nothing behind."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import redis
import requests

import labelqueue
from e2e.harness import free_port
from labelqueue.jobs import living
from labelqueue.worker import supervisor
from processes import redis_server


def wait_until(condition, seconds=120.0, what="condition"):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError(f"{what} did not hold within {seconds} s")


def environment(home: Path, port: int, **more: str) -> dict[str, str]:
    return {
        **os.environ,
        "LABELQUEUE_HOME": str(home),
        "LABEL_STUDIO_URL": "http://127.0.0.1:1",
        "LABEL_STUDIO_API_KEY": "0" * 40,
        "LABELQUEUE_EMBEDDER": "bundled",
        "HOST": "127.0.0.1",
        "PORT": str(port),
        **more,
    }


BACKEND = Path(labelqueue.__file__).parent.parent
COMMAND = [sys.executable, "-m", "labelqueue", "serve"]


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="lq-") as folder:
        yield Path(folder)


@pytest.fixture
def served(home) -> Iterator[tuple[subprocess.Popen, int]]:
    port = free_port()
    process = subprocess.Popen(COMMAND, env=environment(home, port), stderr=subprocess.DEVNULL)
    try:
        yield process, port
    finally:
        children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.kill()
        for child in children:
            child.kill()
        process.wait()


def is_up(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/health", timeout=1).json() == {"status": "UP"}
    except requests.RequestException:
        return False


def child(pid: int, word: str) -> psutil.Process | None:
    for process in psutil.Process(pid).children():
        with suppress(psutil.NoSuchProcess):  # just killed, and not buried yet
            if word in " ".join(process.cmdline()):
                return process
    return None


def test_children_come_back_and_ctrl_c_leaves_nothing(served):
    process, port = served
    wait_until(lambda: is_up(port), what="web up")
    for word in ("labelqueue worker", "labelqueue.web", "redis-server"):
        victim = wait_until(lambda w=word: child(process.pid, w), what=word)
        victim.kill()
        wait_until(
            lambda w=word, old=victim.pid: (new := child(process.pid, w)) and new.pid != old, what=f"a new {word}"
        )
    wait_until(lambda: is_up(port), what="web up again")
    everyone = psutil.Process(process.pid).children(recursive=True)
    assert len(everyone) >= 3
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 0
    assert [one for one in everyone if one.is_running() and one.status() != psutil.STATUS_ZOMBIE] == []


def test_a_redis_that_does_not_come_back_at_once_takes_nothing_along(served, home):
    process, port = served
    wait_until(lambda: is_up(port) and child(process.pid, "worker"), what="everything up")
    web = child(process.pid, "labelqueue.web").pid
    manifest = home / "redis" / "appendonlydir" / "appendonly.aof.manifest"
    kept = manifest.read_bytes()
    manifest.write_bytes(b"as on a full disk\n")
    child(process.pid, "redis-server").kill()
    time.sleep(6)
    assert process.poll() is None and is_up(port) and child(process.pid, "labelqueue.web").pid == web
    setup = {"project": "7.1800000000", "schema": "<View/>"}
    assert requests.post(f"http://127.0.0.1:{port}/setup", json=setup, timeout=60).status_code == 503
    manifest.write_bytes(kept)
    mended = time.monotonic()
    wait_until(
        lambda: requests.post(f"http://127.0.0.1:{port}/setup", json=setup, timeout=60).status_code == 200,
        seconds=20 - (time.monotonic() - mended),
        what="an acknowledgement",
    )


def test_a_killed_supervisor_takes_its_children_along(served):
    process, port = served
    wait_until(lambda: is_up(port) and child(process.pid, "worker"), what="everything up")
    everyone = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    gone, alive = psutil.wait_procs(everyone, timeout=60)
    assert alive == [] and len(gone) >= 3


def test_a_taken_port_is_refused_before_anything_starts(home):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(COMMAND, env=environment(home, port), capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert f"PORT {port}" in done.stderr and "Traceback" not in done.stderr
    assert not (home / "redis").exists()


@pytest.mark.parametrize(
    ("wrong", "word"),
    [({"LABEL_STUDIO_API_KEY": ""}, "LABEL_STUDIO_API_KEY"), ({"PORT": "no"}, "PORT"),
     ({"REDIS_URL": "redis://127.0.0.1:1/0"}, "REDIS_URL")],
)  # fmt: skip
def test_wrong_settings_end_it_with_one_clear_line(home, wrong, word):
    env = environment(home, free_port(), **wrong)
    done = subprocess.run(COMMAND, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert word in done.stderr and "Traceback" not in done.stderr


class TestWatch:
    """A worker that gives no sign of life is killed, and `keep_up` starts another one; nobody else is."""

    @pytest.fixture
    def watched(self, store, monkeypatch):
        """Look until so many seconds have passed, or what is `awaited` was killed; return what was killed."""
        monkeypatch.setattr(supervisor, "STALLED_AFTER", 0.3)
        monkeypatch.setattr(supervisor, "STARTS_WITHIN", 0.3)
        monkeypatch.setattr(supervisor, "LOOK_EVERY", 0.05)
        children = [supervisor.Child(name, ["sleep", "60"]) for name in ("one", "two")]
        for one in children:
            one.keep_up()
        pids, watch = [one.pid for one in children], supervisor.Watch(store, children)

        def killed():
            return [one.name for one, pid in zip(children, pids, strict=True) if one.pid != pid]

        def look(seconds, *alive, awaited=None, before=lambda: None):
            end = time.monotonic() + seconds
            while time.monotonic() < end and killed() != awaited:
                before()
                for pid in alive:
                    living.heartbeat(store, f"tending-{os.uname().nodename}-{pid}-ab")
                watch.look()
                time.sleep(0.02)
            return killed()

        look.pids, look.children = pids, children
        yield look
        for one in children:
            one.stop()

    def test_one_that_stalls_is_ended(self, watched):
        assert watched(0.2) == [], "not at once"
        assert watched(60, watched.pids[0], awaited=["two"]) == ["two"]
        two = watched.children[1]
        two.keep_up()
        deadline = time.monotonic() + 60
        while not two.pid and time.monotonic() < deadline:
            two.keep_up()
            time.sleep(0.05)
        assert two.pid not in (0, watched.pids[1])

    def test_one_that_only_starts_has_more_time(self, watched, store, monkeypatch):
        monkeypatch.setattr(supervisor, "STARTS_WITHIN", 60.0)
        assert watched(0.3, watched.pids[0]) == []
        living.bury(store, f"tending-{os.uname().nodename}-{watched.pids[0]}-ab")
        assert watched(30, awaited=["one"]) == ["one"], "it had given a sign"

    def test_a_sign_of_another_machine_is_none(self, watched, store):
        def elsewhere():
            living.heartbeat(store, f"tending-elsewhere-{watched.pids[1]}-ab")

        assert watched(60, watched.pids[0], awaited=["two"], before=elsewhere) == ["two"]

    def test_while_redis_does_not_answer_nobody_is_missed(self, watched, store, monkeypatch):
        def away(store):
            raise redis.ConnectionError("away")

        with monkeypatch.context() as patch:
            patch.setattr(supervisor, "living_here", away)
            assert watched(0.8) == []
        assert watched(0.2) == [], "they have the whole time again"
        assert watched(60, awaited=["one", "two"]) == ["one", "two"]

    def test_while_redis_takes_no_writes_nobody_is_missed(self, watched, store):
        """It can be read, and a sign of life is a write."""
        store.config_set("maxmemory", "1")
        assert watched(0.8) == []
        store.config_set("maxmemory", "0")

    def test_when_everybody_was_stopped_nobody_is_missed(self, watched, monkeypatch):
        assert watched(0.2) == []
        time.sleep(0.5)  # as with a laptop that is closed
        assert watched(0.1) == []


@pytest.mark.e2e
def test_a_worker_that_stalls_is_started_again(served):
    process, _ = served
    victim = wait_until(lambda: child(process.pid, "tending"), what="a tending worker")
    time.sleep(5)  # it lives, and was seen
    victim.suspend()
    wait_until(
        lambda: (new := child(process.pid, "tending")) and new.pid != victim.pid, seconds=180, what="another one"
    )
    assert not victim.is_running() or victim.status() == psutil.STATUS_ZOMBIE


def test_workers_of_one_more_machine(home):
    """`labelqueue worker` keeps one of each kind up, and takes them along."""
    with redis_server() as server:
        env = environment(home, free_port(), REDIS_URL=server.url, LABELQUEUE_WORKERS="2")
        command = [sys.executable, "-m", "labelqueue", "worker"]
        with subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL) as process:
            try:
                store = redis.Redis.from_url(server.url)
                wait_until(lambda: len(living.alive(store)) == 3, what="three workers")
                assert len(living.alive(store, "tending")) == 1 and len(living.alive(store, "embedding")) == 2
                process.send_signal(signal.SIGTERM)
                assert process.wait(timeout=60) == 0
                assert living.alive(store) == set(), "each said that it ends"
                store.close()
            finally:
                process.kill()


def test_label_studio_ml_starts_it(home):
    port, bin_folder = free_port(), Path(sys.executable).parent
    env = environment(home, port, PATH=f"{bin_folder}:{os.environ['PATH']}")
    command = [sys.executable, bin_folder / "label-studio-ml", "start", BACKEND, "-p", str(port)]
    process = subprocess.Popen(command, env={**env, "PORT": "1"}, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    everyone = []
    try:
        wait_until(lambda: is_up(port), what="web up")
        everyone = psutil.Process(process.pid).children(recursive=True)
        (serving,) = [one for one in everyone if "_wsgi.py" in " ".join(one.cmdline()) and one.name() != "sh"]
        serving.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
        gone, alive = psutil.wait_procs(everyone, timeout=60)
        assert alive == [] and len(gone) >= 3
    finally:
        for one in [process, *everyone]:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        process.wait()
