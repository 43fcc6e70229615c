"""Children that Ctrl-C does not reach and that do not outlive us."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from labelqueue.process import start_child

SLEEP = [sys.executable, "-S", "-c", "import time; time.sleep(60)"]


def until(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"nothing within {seconds} s"
        time.sleep(0.01)


def test_a_child_has_a_session_of_its_own_and_no_input(tmp_path):
    with (tmp_path / "log").open("wb") as log:
        code = "import os, sys; print(os.getsid(0) == os.getpid(), sys.stdin.read() == '', flush=True)"
        assert start_child([sys.executable, "-S", "-c", code], output=log).wait(timeout=30) == 0
    assert (tmp_path / "log").read_text() == "True True\n"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_a_child_ends_with_a_parent_that_is_killed():
    code = f"from labelqueue.process import start_child; c = start_child({SLEEP!r}); print(c.pid, flush=True); c.wait()"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        child = psutil.Process(int(parent.stdout.readline()))
        os.kill(parent.pid, signal.SIGKILL)
    until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
