"""What the tests of `scripts/` share: the modules themselves, and small programs in the place of large ones."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parent.parent
SCRIPTS = ROOT / "scripts"
sys.path.insert(0, str(SCRIPTS))  # as when a script is run
try:
    bootstrap, database, installer, lanes, pythons, steps = (
        importlib.import_module(name) for name in ("bootstrap", "database", "installer", "lanes", "pythons", "steps")
    )
finally:
    sys.path.remove(str(SCRIPTS))

UV = 'case "$1" in --version) echo "uv 0.13.9 (for tests)"; exit;; esac'  # what any uv answers first
LABEL_STUDIO = """
[ "$1" = version ] && [ -z "$POSTGRE_HOST" ] || exit 9
mkdir -p "$LABEL_STUDIO_BASE_DATA_DIR" && cd "$LABEL_STUDIO_BASE_DATA_DIR" || exit 8
echo migrated > label_studio.sqlite3; echo secret > .env; echo x >> {calls}
"""


def program(path: Path, code: str) -> Path:
    """An executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{code}\n")
    path.chmod(0o755)
    return path


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Return when `condition` holds; fail when it never does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def lives(pid: Path) -> bool:
    """Whether the process whose number is in the file still runs (a zombie does not)."""
    try:
        return "Z" not in Path(f"/proc/{int(pid.read_text())}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False


def sleeper(pid: Path) -> list[str]:
    """A command that starts a program which sleeps, writes down its number and waits for it."""
    return ["sh", "-c", f"sleep 300 & echo $! > {pid}.part; mv {pid}.part {pid}; wait"]
