"""Run all tests in three processes side by side: two that mostly wait for what they started, and the rest.

Used by `make test`; `python -m pytest` runs the same tests one by one. Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from steps import GRACE, end, interrupt

ROOT = Path(__file__).resolve().parent.parent
# Those that wait, for Label Studio, a browser, workers, a fault that passes; what is left needs the processor.
WAITING = {"e2e": ["tests/e2e"], "workers": ["tests/chaos", "tests/labelqueue/worker"]}
LANES = {**WAITING, "rest": ["tests", *(f"--ignore={path}" for paths in WAITING.values() for path in paths)]}
FAREWELL = 60.0  # seconds that a lane has to stop what it started, after Ctrl-C
LAST = re.compile(r"^(?:=+ )?((?:\d+|no tests) .* in \d+\.\d+s.*?)(?: =+)?$")  # pytest's last line
FAILURE = re.compile(r"^(FAILED|ERROR) \S+\.py\b")


class Lane:
    """One pytest process; what it says is passed on line by line under its name.

    Parameters
    ----------
    name : str
    command : list of str

    Attributes
    ----------
    failures : list of str
        The lines of its summary that name what failed.
    last : str
        How it ended, in pytest's words.
    """

    def __init__(self, name: str, command: list[str]) -> None:
        self.name, self.failures, self.last = name, list[str](), ""
        # A session of its own: Ctrl-C reaches us alone, and we see to it that each lane ends what it started.
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        # A daemon, for what a lane left running may hold the line open.
        self._reader = threading.Thread(target=self._pass_on, daemon=True)
        self._reader.start()

    def _pass_on(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as said:
            for line in said:
                sys.stdout.write(f"{self.name:<7} | {line}")
                sys.stdout.flush()
                if found := LAST.match(line):
                    self.last = found[1]
                if FAILURE.match(line):
                    self.failures.append(line.rstrip())

    def wait(self) -> int:
        """Return its exit status once it ended, and everything it said was passed on."""
        status = self.process.wait()
        self._reader.join(timeout=GRACE)
        return status if status >= 0 else 128 - status

    def interrupt(self) -> None:
        """Press Ctrl-C in it."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGINT)

    def end(self) -> None:
        """Wait until it ended, and end it with all that is in its session when it does not."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=FAREWELL)
            return
        end(self.process)


def run_all(lanes: dict[str, list[str]], options: list[str]) -> int:
    """Run pytest in each lane and return the exit status: that of the first one that failed, else 0.

    Parameters
    ----------
    lanes : dict of str to list of str
        What pytest is given, by name.
    options : list of str
        What it is given besides, in each.
    """
    began, running = time.monotonic(), list[Lane]()
    try:
        for name, arguments in lanes.items():
            kept = ["-o", f"cache_dir=.pytest_cache/{name}"]  # none writes over what another remembers
            running.append(Lane(name, [sys.executable, "-m", "pytest", *kept, *arguments, *options]))
        found = [lane.wait() for lane in running]
    except BaseException:
        for lane in running:
            lane.interrupt()
        for lane in running:
            lane.end()
        raise
    for lane in running:
        print("\n".join([*lane.failures, f"{lane.name}: {lane.last or 'no summary'}"]))
    print(f"all in {time.monotonic() - began:.0f} s")
    return next((status for status in found if status), 0)


def main() -> int:
    """Run from the command line; arguments go to each pytest."""
    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a run in the background ignores it otherwise
    try:
        return run_all(LANES, sys.argv[1:])
    except KeyboardInterrupt:
        print("interrupted")
        return 130


if __name__ == "__main__":
    sys.exit(main())
