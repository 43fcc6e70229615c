"""Run programs for the bootstrap: one log each, signs of life, several jobs side by side, nothing left running.

Standard library only, and no syntax newer than Python 3.8.
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
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

SIGN_OF_LIFE = 20.0  # seconds between two lines of one step
GRACE = 10.0  # seconds that a program has to end in before it is killed
TAIL = 25  # lines of the log that an error shows


class BootstrapError(Exception):
    """Something the person at the keyboard has to change; the message says what."""


class StoppedError(Exception):
    """The job ends because another one failed or the person pressed Ctrl-C."""


def say(line: str) -> None:
    # One write, so that lines of two jobs do not run into each other.
    sys.stderr.write(f"bootstrap: {line}\n")
    sys.stderr.flush()


def run(what: str, command: list[str], log: Path, stop: threading.Event, environ: dict[str, str] | None = None) -> None:
    """Run a command and append its output to `log`, with a sign of life now and then.

    Parameters
    ----------
    what : str
        The step in words.
    command : list of str
        Program and arguments.
    log : Path
        Where the output goes; its folder is made when missing.
    stop : threading.Event
        When it is set, the program and what it started are ended.
    environ : dict, optional
        Environment; default: ours.

    Raises
    ------
    BootstrapError
        When the command fails; the end of its output is in the message.
    StoppedError
        When `stop` was set.
    """
    if stop.is_set():
        raise StoppedError
    say(f"{what} ...")
    log.parent.mkdir(parents=True, exist_ok=True)
    began = spoken = time.monotonic()
    with log.open("ab") as file:
        before = file.tell()
        # A session of its own: Ctrl-C reaches us alone, and we end the whole group, compilers and all.
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=environ,
            start_new_session=True,
        )
        try:
            while process.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=0.1)
                if stop.is_set():
                    raise StoppedError
                if time.monotonic() - spoken > SIGN_OF_LIFE:
                    spoken = time.monotonic()
                    say(f"  {what}, {spoken - began:.0f} s: {last_step(output(log, before))}")
        finally:
            if process.poll() is None:
                end(process)
    if process.returncode:
        tail = "\n".join(output(log, before).splitlines()[-TAIL:])
        raise BootstrapError(f"{what} failed (status {process.returncode}). The end of {log}:\n{tail}")
    say(f"{what}: done in {time.monotonic() - began:.0f} s")


def end(process: subprocess.Popen[bytes]) -> None:
    """End a program that leads its own group, and all of that group."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=GRACE)
            return


def output(log: Path, start: int) -> str:
    """Return what was written to `log` after its first `start` bytes."""
    with log.open("rb") as file:
        file.seek(start)
        return file.read().decode("utf-8", errors="replace")


def last_step(text: str) -> str:
    """Return in short what uv, pip or apt last said it was doing."""
    if re.search(r"^Prepared \d+ packages?", text, re.MULTILINE):
        return "putting the packages in place"
    begun = re.findall(r"^ *Downloading (\S+) \((\S+)\)$", text, re.MULTILINE)  # uv, which loads many at once
    finished = set(re.findall(r"^ *Downloaded (\S+)$", text, re.MULTILINE))
    left = [f"{name} ({size})" for name, size in begun if name not in finished]
    if finished and left:
        return f"{len(left)} of {len(begun)} large downloads left: {', '.join(left)}"[:110]
    steps = re.findall(
        r"^ *((?:Collecting|Downloading|Installing|Building|Setting up|Unpacking|Get:\d+) .*)$", text, re.MULTILINE
    )
    return (steps[-1] if steps else "working")[:80]


def side_by_side(jobs: list[Callable[[threading.Event], None]]) -> None:
    """Run jobs at once; the first failure, or Ctrl-C, ends the others and is raised.

    Parameters
    ----------
    jobs : list of callable
        Each is called with the event that tells it to stop, in a thread of its own.
    """
    stop = threading.Event()
    failures: list[BaseException] = []
    # Not join(): interrupted by a signal, it may take a thread that still runs for finished (Python 3.11).
    finished: list[threading.Event] = []

    def work(job: Callable[[threading.Event], None], done: threading.Event) -> None:
        try:
            job(stop)
        except StoppedError:
            pass  # told to by `stop`: the failure behind it is raised
        except BaseException as error:
            failures.append(error)
            stop.set()
        finally:
            done.set()

    try:
        for job in jobs:
            finished.append(threading.Event())
            threading.Thread(target=work, args=(job, finished[-1])).start()
        for done in finished:
            done.wait()
    except BaseException:
        stop.set()
        for done in finished:
            done.wait(timeout=2 * GRACE + 1)
        raise
    if failures:
        raise failures[0]


def interrupt(number: int, frame: object) -> NoReturn:
    """Handle a signal as Ctrl-C is handled: the programs in their own sessions would go on without us."""
    raise KeyboardInterrupt
