"""Label Studio's empty database, migrated once per version while torch is still installing, and copied from then on.

Without it the first start of every Label Studio goes through about 190 migrations. Standard library only, and no syntax
newer than Python 3.8.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from pathlib import Path

from steps import BootstrapError, run, say

# As `labelqueue.demo.server` has them, which cannot be imported before anything is installed. A test compares.
DATABASE = "label_studio.sqlite3"
MIGRATED = ".labelqueue-migrated"
INHERITED = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "SYSTEMROOT")
QUIET = {"COLLECT_ANALYTICS": "false", "LATEST_VERSION_CHECK": "false", "SENTRY_DSN": "", "FRONTEND_SENTRY_DSN": ""}


def prepare(program: Path, version: str, targets: list[Path], cache: Path, stop: threading.Event) -> None:
    """Fill those of `targets` that do not exist with the data of a Label Studio that has no user yet.

    Its start creates the user that it is told, so copies need not share one. Whatever goes wrong here costs time only,
    because a Label Studio without a database makes one.

    Parameters
    ----------
    program : Path
        The label-studio program.
    version : str
        Its version.
    targets : list of Path
        Data folders of servers.
    cache : Path
        Where the migrated data and the log are kept.
    stop : threading.Event
        Set when this shall end.
    """
    missing = [target for target in targets if not target.exists()]
    if not missing:
        return
    prepared = cache / f"labelstudio-database-{version}"
    try:
        if not (prepared / MIGRATED).exists():
            migrate(program, prepared, cache / "labelstudio-database.log", stop)
        for target in missing:
            copy(prepared, target)
    except (BootstrapError, OSError) as error:
        say(f"{error}\nbootstrap: Label Studio's first start makes its database instead, which takes longer")


def migrate(program: Path, prepared: Path, log: Path, stop: threading.Event) -> None:
    """Let Label Studio make its database in `prepared`."""
    work = prepared.with_name(prepared.name + ".part")
    shutil.rmtree(str(work), ignore_errors=True)
    environ = {name: os.environ[name] for name in INHERITED if name in os.environ}
    environ.update(QUIET, LABEL_STUDIO_BASE_DATA_DIR=str(work))
    # `version` migrates before it prints, creates no user and opens no port.
    run("creating Label Studio's database", [str(program), "version"], log, stop, environ)
    if not (work / DATABASE).exists():
        raise BootstrapError(f"`{program} version` made no {DATABASE} in {work}")
    with contextlib.suppress(FileNotFoundError):
        (work / ".env").unlink()  # a secret key: each copy makes its own
    (work / MIGRATED).touch()
    shutil.rmtree(str(prepared), ignore_errors=True)
    work.rename(prepared)


def copy(prepared: Path, target: Path) -> None:
    """Copy a folder so that the copy is there as a whole or not at all."""
    work = target.with_name(target.name + ".part")
    shutil.rmtree(str(work), ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(str(prepared), str(work))
    work.rename(target)
