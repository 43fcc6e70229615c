"""Run the fast tests on every supported Python of this machine, besides the one that .venv is made of.

Run by `make test-pythons`. Each Python gets an environment of its own, .venv-3.12 and so on; uv links from its cache
what does not depend on the version, so that one more takes about 2 GB instead of 6. Standard library only, and no
syntax newer than Python 3.8.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from bootstrap import OURS_INSTALLED, ROOT, SUPPORTED, candidates, check_disk, digest, disk_needs, is_current, make_ours
from installer import Installer, find_uv, probe
from steps import BootstrapError, StoppedError, interrupt, say


def find_pythons(named: list[str], path: str) -> dict[tuple[int, int], str]:
    """Return version and program of every supported Python that can make environments.

    Parameters
    ----------
    named : list of str
        Programs to try first; each has to be of a supported version.
    path : str
        Folders to look in for python3.11 and so on; the Python that runs this counts as well.
    """
    found: dict[tuple[int, int], str] = {}
    for program in named:
        answer = probe(program)
        if answer is None or answer[:2] not in SUPPORTED or not answer[2]:
            raise BootstrapError(f"{program} is no Python 3.11, 3.12 or 3.13 with the venv module: name another one")
        found.setdefault(answer[:2], program)
    for program in candidates(path):
        answer = probe(program)  # a shim may only say what is not installed
        if answer is not None and answer[:2] in SUPPORTED and answer[2]:
            found.setdefault(answer[:2], program)
    return found


def make(version: tuple[int, int], python: str) -> Path:
    """Return the environment of a Python, made or updated where it is not current."""
    environment = ROOT / ".venv-{}.{}".format(*version)
    wanted = digest(*(ROOT / name for name in ("setup.py", "constraints.txt", "overrides.txt")), str(ROOT))
    if not is_current(environment, wanted, "test"):
        present = OURS_INSTALLED if environment.exists() else 0.0
        check_disk(disk_needs(True, OURS_INSTALLED, present, 0.0))
        installer = Installer(python, find_uv(python, ROOT / ".cache"), ROOT / ".cache")
        make_ours(installer, environment, f"{wanted} test\n", "test", threading.Event())
    return environment


def run_all(named: list[str], options: list[str]) -> int:
    """Test on each Python, say how it went for all of them, and return the exit status.

    Parameters
    ----------
    named : list of str
        Programs to use besides those on the PATH.
    options : list of str
        Options of pytest.
    """
    pythons = find_pythons(named, os.environ.get("PATH", ""))
    own = probe(str(ROOT / ".venv" / "bin" / "python"))
    lines: list[str] = []
    failed, tested = False, 0
    for version in SUPPORTED:
        name = "Python {}.{}".format(*version)
        if own is not None and own[:2] == version:
            lines.append(f"{name}: that of .venv, see `make test-fast`")
        elif version not in pythons:
            lines.append(f'{name}: NOT TESTED, there is none on PATH; name one with PYTHONS="..."')
        else:
            environment, began = make(version, pythons[version]), time.monotonic()
            command = [str(environment / "bin" / "python"), "-m", "pytest", *options]
            status = subprocess.run(command, cwd=str(ROOT)).returncode
            outcome = "passed" if status == 0 else f"FAILED (status {status})"
            lines.append(f"{name} ({pythons[version]}): {outcome} in {time.monotonic() - began:.0f} s")
            failed, tested = failed or status != 0, tested + 1
    for line in lines:
        say(line)
    return 1 if failed or not tested else 0


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", action="append", default=[], metavar="PROGRAM", help="a Python to use; repeatable")
    parser.add_argument("options", nargs="*", help="options of pytest, after --")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, interrupt)
    try:
        return run_all(arguments.python, arguments.options)
    except (BootstrapError, StoppedError) as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("interrupted; run the same command again to go on")
        return 130


if __name__ == "__main__":
    sys.exit(main())
