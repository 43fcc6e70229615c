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
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SUPPORTED = ((3, 11), (3, 12))
STAMP = "labelqueue-stamp.txt"

# Gigabytes, measured with the pinned versions on x86-64 Linux: what stays in the environment, and what pip loads.
# torch brings the CUDA libraries with it, used or not.
OURS_INSTALLED, OURS_LOADED = 6.0, 3.1
LABEL_STUDIO_INSTALLED, LABEL_STUDIO_LOADED = 1.0, 0.3
CHROMIUM_INSTALLED = 0.5
DATA = 0.5  # the demo's and the tests' own files

PROBE = "import sys; print(*sys.version_info[:2]); import venv, ensurepip"


class BootstrapError(Exception):
    """Something the person at the keyboard has to change; the message says what."""


def say(line: str) -> None:
    print(f"bootstrap: {line}", file=sys.stderr, flush=True)


def probe(python: str) -> tuple[int, int, bool] | None:
    """Return major, minor and whether it can make environments; None when the program does not run."""
    try:
        done = subprocess.run([python, "-c", PROBE], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60)
        major, minor = done.stdout.decode().split()
        return int(major), int(minor), done.returncode == 0
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None


def candidates(path: str) -> list[str]:
    """Return the Pythons to try: the one running this, then every python3.11, python3.12 and python3 on `path`."""
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
        f"Python 3.11 or 3.12 is needed, and there is none on PATH (found: {', '.join(seen) or 'nothing'}). "
        "Install one, or name it: make PYTHON=/path/to/python3.11 ..."
    )


def check_redis(system: str, machine: str, path: str, redis_url: str) -> None:
    """Raise BootstrapError where no redis-server comes with our dependencies and there is no other."""
    if (system, machine) == ("Linux", "x86_64") or redis_url or shutil.which("redis-server", path=path):
        return
    raise BootstrapError(
        f"there is no bundled redis-server for {system} {machine}: install Redis 6.2 or newer so that "
        "`redis-server` is on PATH, or set REDIS_URL to a running one"
    )


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
                "TMPDIR (pip unpacks there) or PIP_CACHE_DIR to a larger disk"
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


def run(what: str, command: list[str], log: Path, environ: dict[str, str] | None = None) -> None:
    """Run a command and append its output to `log`, with a sign of life every half minute.

    Raises BootstrapError with the end of the log when the command fails.
    """
    say(f"{what} ...")
    began = spoken = time.monotonic()
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, env=environ
        )
        try:
            while process.poll() is None:
                time.sleep(0.2)
                if time.monotonic() - spoken > 30:
                    spoken = time.monotonic()
                    say(f"  {spoken - began:4.0f} s: {last_step(log)}")
        except BaseException:
            process.terminate()
            process.wait()
            raise
    if process.returncode:
        tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-25:])
        raise BootstrapError(f"{what} failed (status {process.returncode}). The end of {log}:\n{tail}")
    say(f"{what}: done in {time.monotonic() - began:.0f} s")


def last_step(log: Path) -> str:
    """Return what pip or apt last said it was doing, in short."""
    steps = re.findall(
        r"^ *((?:Collecting|Downloading|Installing|Building|Setting up|Unpacking|Get:\d+) .*)$",
        log.read_text(encoding="utf-8", errors="replace"),
        re.MULTILINE,
    )
    return (steps[-1] if steps else "working")[:80]


def make_environment(
    python: str, environment: Path, wanted: str, extras: str, installs: list[tuple[str, list[str]]]
) -> None:
    """Make or update a virtual environment; its stamp is written last, so a broken run is repeated."""
    stamp = environment / STAMP
    if stamp.exists():
        stamp.unlink()
    made = probe(str(environment / "bin" / "python"))
    if made is None or made != probe(python):
        shutil.rmtree(environment, ignore_errors=True)
        run(f"making {environment.name}", [python, "-m", "venv", str(environment)], ROOT / ".cache" / "venv.log")
    for what, arguments in installs:
        command = [
            str(environment / "bin" / "python"),
            "-m",
            "pip",
            "install",
            "--disable-pip-version-check",
            *arguments,
        ]
        run(what, command, ROOT / ".cache" / f"pip{environment.name}.log")
    stamp.write_text(f"{wanted} {extras}\n")


def install_chromium(log: Path) -> None:
    """Make sure a `chromium` is on the path: on Debian as root from the distribution, else by asking for it."""
    if shutil.which("chromium"):
        return
    if not (shutil.which("apt-get") and hasattr(os, "geteuid") and os.geteuid() == 0):
        raise BootstrapError(
            "the browser tests need `chromium` on PATH. On Debian and Ubuntu: sudo apt-get install chromium. "
            "`make test-fast` runs everything else"
        )
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run("apt-get update", ["apt-get", "update"], log, environ)
    install = ["apt-get", "install", "-y", "--no-install-recommends", "chromium"]
    run(f"installing chromium ({CHROMIUM_INSTALLED} GB)", install, log, environ)


def bootstrap(purpose: str, label_studio: str) -> None:
    """Bring the checkout to where `make demo` or `make test` can start.

    Parameters
    ----------
    purpose : {'demo', 'test', 'fast'}
        'fast' is tests without Label Studio and browser.
    label_studio : str
        Version of Label Studio.
    """
    extras = "none" if purpose == "demo" else "test"
    ours, theirs = ROOT / ".venv", ROOT / ".venv-labelstudio"
    sources = [ROOT / name for name in ("setup.py", "constraints.txt", "overrides.txt")]
    our_digest, their_digest = digest(*sources, str(ROOT)), digest(label_studio, str(ROOT))
    todo_ours = not is_current(ours, our_digest, extras)
    todo_theirs = purpose != "fast" and not is_current(theirs, their_digest, "none")
    if todo_ours or todo_theirs:
        check_redis(platform.system(), platform.machine(), os.environ.get("PATH", ""), os.environ.get("REDIS_URL", ""))
        python = find_python(os.environ.get("PATH", ""))
        installed = OURS_INSTALLED * todo_ours + LABEL_STUDIO_INSTALLED * todo_theirs
        loaded = OURS_LOADED * todo_ours + LABEL_STUDIO_LOADED * todo_theirs
        names = [
            name for name, todo in (("torch with its CUDA libraries", todo_ours), ("Label Studio", todo_theirs)) if todo
        ]
        say(f"{' and '.join(names)}: up to {loaded:.1f} GB to download, {installed:.1f} GB on disk, once")
        cache = Path(os.environ.get("PIP_CACHE_DIR") or "~/.cache/pip").expanduser()
        present = sum(
            gb
            for todo, folder, gb in ((todo_ours, ours, OURS_INSTALLED), (todo_theirs, theirs, LABEL_STUDIO_INSTALLED))
            if todo and folder.exists()
        )  # an update replaces files rather than adding to them
        check_disk(
            [(ROOT, installed - present + DATA), (Path(tempfile.gettempdir()), loaded), (existing(cache), loaded)]
        )
        if todo_ours:
            target = f"{ROOT}[test]" if extras == "test" else str(ROOT)
            make_environment(
                python,
                ours,
                our_digest,
                extras,
                [
                    ("installing labelqueue, torch, timm", ["-c", str(ROOT / "constraints.txt"), "-e", target]),
                    ("lifting Flask", ["--no-deps", "-r", str(ROOT / "overrides.txt")]),
                ],
            )
        if todo_theirs:
            make_environment(
                python,
                theirs,
                their_digest,
                "none",
                [
                    (f"installing Label Studio {label_studio}", [f"label-studio=={label_studio}"]),
                ],
            )
    if purpose == "test":
        install_chromium(ROOT / ".cache" / "apt.log")


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("purpose", choices=("demo", "test", "fast"))
    parser.add_argument("--label-studio", required=True, metavar="VERSION", help="version of Label Studio to install")
    arguments = parser.parse_args()
    try:
        bootstrap(arguments.purpose, arguments.label_studio)
    except BootstrapError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("interrupted; run the same command again to go on")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
