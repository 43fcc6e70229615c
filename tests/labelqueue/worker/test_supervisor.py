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
import requests

import labelqueue
from e2e.harness import free_port


def wait_until(condition, seconds=60.0, what="condition"):
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
