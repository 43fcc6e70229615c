"""scripts/lanes.py: all tests in several processes, whose words, failures and ends are those of one."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from scripted import SCRIPTS, lanes, lives, wait_until

GOOD = "def test_good(): pass\n"
BAD = "def test_bad(): assert 'this' == 'that'\n"


@pytest.fixture
def run(tmp_path):
    """Run lanes, each with a file of tests; return the exit status."""

    def run(**files):
        for name, code in files.items():
            (tmp_path / f"test_{name}.py").write_text(code)
        return lanes.run_all({name: [str(tmp_path / f"test_{name}.py")] for name in files}, ["-q"])

    return run


def test_both_run_and_say_so_line_by_line(run, capfd):
    assert run(one=GOOD, two=GOOD) == 0
    said = capfd.readouterr().out.splitlines()
    assert all(line.startswith(("one     | ", "two     | ")) for line in said[:-3])
    assert (
        said[-3].startswith("one: 1 passed") and said[-2].startswith("two: 1 passed") and said[-1].startswith("all in ")
    )


@pytest.mark.parametrize("where", ["one", "two"])
def test_a_failure_in_either_counts_and_is_told_again_at_the_end(run, capfd, where):
    assert run(**{"one": GOOD, "two": GOOD, where: BAD}) == 1
    said = capfd.readouterr().out
    assert any(line.startswith(f"{where}     | E ") and "that" in line for line in said.splitlines())
    end = said[said.rindex("     | ") :].splitlines()[1:]
    assert end[0 if where == "one" else 1].startswith("FAILED ") and "test_bad" in said and len(end) == 4


def test_every_test_is_in_one_lane():
    """As pytest collects them: each path once, the rest without those of the others."""
    whole = (lanes.ROOT / "tests").rglob("test_*.py")
    taken = [lanes.ROOT / path for paths in lanes.WAITING.values() for path in paths]
    assert all(path.is_dir() for path in taken) and lanes.LANES["rest"][0] == "tests"
    ignored = {lanes.ROOT / option.removeprefix("--ignore=") for option in lanes.LANES["rest"][1:]}
    assert ignored == set(taken)
    assert all(sum(path.is_relative_to(folder) for folder in taken) <= 1 for path in whole)


def test_what_cannot_start_is_a_failure(run, tmp_path):
    assert run(one=GOOD, two="import nothing_of_this_name\n") == 2
    assert lanes.run_all({"one": [str(tmp_path / "nowhere.py")]}, []) == 4


@pytest.mark.parametrize(
    ("number", "stubborn"), [(signal.SIGINT, False), (signal.SIGTERM, False), (signal.SIGINT, True)]
)
def test_ctrl_c_ends_both_and_what_they_started(tmp_path, number, stubborn):
    ignore = "signal.signal(signal.SIGINT, signal.SIG_IGN)" if stubborn else ""
    for name in ("one", "two"):
        (tmp_path / f"test_{name}.py").write_text(
            "import os, pathlib, signal, subprocess, time\n"
            "def test_long(request):\n"
            f"    {ignore}\n"
            "    child = subprocess.Popen(['sleep', '300'])\n"
            "    request.addfinalizer(child.kill)\n"
            f"    for pid, what in ((os.getpid(), 'self'), (child.pid, 'child')):\n"
            f"        path = pathlib.Path({str(tmp_path)!r}, f'{name}.{{what}}')\n"
            "        path.with_suffix('.part').write_text(str(pid))\n"
            "        path.with_suffix('.part').rename(path)\n"
            "    time.sleep(300)\n"
        )
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import lanes; lanes.FAREWELL = 1.0\n"
        "lanes.LANES = {name: [f'{sys.argv[2]}/test_{name}.py'] for name in ('one', 'two')}\n"
        "del sys.argv[1:]; sys.exit(lanes.main())"
    )
    started = subprocess.Popen([sys.executable, "-c", code, str(SCRIPTS), str(tmp_path)], stdout=subprocess.DEVNULL)
    pids = [tmp_path / f"{name}.{what}" for name in ("one", "two") for what in ("self", "child")]
    try:
        wait_until(lambda: all(pid.exists() for pid in pids), 60)
        started.send_signal(number)
        assert started.wait(timeout=60) == 130
        wait_until(lambda: not any(lives(pid) for pid in pids))
    finally:
        started.kill()
