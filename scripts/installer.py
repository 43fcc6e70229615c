"""Make virtual environments: with uv where it can be had, which takes a fraction of the time, else with pip.

Standard library only, and no syntax newer than Python 3.8.
"""

from __future__ import annotations

import ast
import contextlib
import os
import re
import shutil
import subprocess
import threading
from pathlib import Path

from steps import BootstrapError, run, say

UV_VERSION = "0.13.9"  # one on PATH may be newer
PROBE = "import sys; print(*sys.version_info[:2]); import venv, ensurepip"


def probe(python: str) -> tuple[int, int, bool] | None:
    """Return major, minor and whether it can make environments; None when the program does not run."""
    try:
        done = subprocess.run([python, "-c", PROBE], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60)
        major, minor = done.stdout.decode().split()
        return int(major), int(minor), done.returncode == 0
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None


def pip_settings(listing: str) -> dict[str, str]:
    """Return option and value of what `pip config list` prints; variables win over files."""
    sections = ("global", "install", ":env:")
    rows = re.findall(r"^(global|install|:env:)\.([\w-]+)=(.+)$", listing, re.MULTILINE)
    found: dict[str, str] = {}
    for _, option, value in sorted(rows, key=lambda row: sections.index(row[0])):
        with contextlib.suppress(SyntaxError, ValueError):
            found[option] = str(ast.literal_eval(value))
    return found


def uv_environment(environ: dict[str, str], pip: dict[str, str]) -> dict[str, str]:
    """Return `environ` with the index and the certificate that pip is set to, because uv does not read pip's files."""
    told = {"UV_PYTHON_DOWNLOADS": "never"}
    if "index-url" in pip and not {"UV_INDEX_URL", "UV_DEFAULT_INDEX"} & set(environ):
        told["UV_DEFAULT_INDEX"] = pip["index-url"]
    if "cert" in pip and "SSL_CERT_FILE" not in environ:
        told["SSL_CERT_FILE"] = pip["cert"]
    return {**environ, **told}


def is_uv(program: str) -> bool:
    """Return whether `program` is a uv of at least the version that is tested."""
    try:
        done = subprocess.run([program, "--version"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return False
    version = re.match(r"uv (\d+)\.(\d+)\.(\d+)", done.stdout.decode(errors="replace"))
    return version is not None and tuple(map(int, version.groups())) >= tuple(map(int, UV_VERSION.split(".")))


def find_uv(python: str, cache: Path) -> str | None:
    """Return a uv: the one on PATH, or our own, fetched into `cache` when missing; None when it cannot be had."""
    home = cache / "uv"
    own = str(home / "bin" / "uv")
    for program in (shutil.which("uv"), own):
        if program and is_uv(program):
            return program
    log, never = cache / "uv.log", threading.Event()
    options = ["--disable-pip-version-check", "--no-deps", "--only-binary", ":all:", "--retries", "1"]
    try:
        shutil.rmtree(str(home), ignore_errors=True)
        run("making a place for uv, the installer", [python, "-m", "venv", str(home)], log, never)
        command = [str(home / "bin" / "python"), "-m", "pip", "install", *options, f"uv=={UV_VERSION}"]
        run(f"fetching uv {UV_VERSION}", command, log, never)
    except BootstrapError:
        pass  # its reason is in the log, which the line below names: pip installs as well
    if is_uv(own):
        return own
    say(f"uv {UV_VERSION} cannot be had (the reason is in {log}): pip installs instead, which takes longer")
    return None


class Installer:
    """Makes environments and installs into them.

    Parameters
    ----------
    python : str
        Python that the environments are made of.
    uv : str or None
        Path of uv; None: use pip.
    cache : Path
        Folder of the logs.
    """

    def __init__(self, python: str, uv: str | None, cache: Path) -> None:
        self.python = python
        self.uv = uv
        self.cache = cache

    def install(
        self,
        what: str,
        environment: Path,
        wanted: list[str],
        stop: threading.Event,
        pins: Path | None = None,
        lifts: Path | None = None,
    ) -> None:
        """Install into a virtual environment, which is made when it is missing or of another Python.

        No bytecode is written: for all these packages that takes minutes, most of it for modules that are never loaded.

        Parameters
        ----------
        what : str
            What is installed, in words.
        environment : Path
            The environment.
        wanted : list of str
            Arguments of `pip install`.
        stop : threading.Event
            Set when the installation shall end.
        pins : Path, optional
            Constraints.
        lifts : Path, optional
            Requirements that win over what packages ask for. uv resolves with them; pip cannot, and installs them after
            the others.
        """
        log = self.cache / f"install{environment.name}.log"
        made = probe(str(environment / "bin" / "python"))
        if made is None or made != probe(self.python):
            shutil.rmtree(str(environment), ignore_errors=True)
        constraints = ["-c", str(pins)] if pins else []
        if self.uv:
            try:
                self._with_uv(what, environment, [*constraints, *wanted], lifts, log, stop)
                return
            except BootstrapError as error:
                say(
                    f"{error}\nbootstrap: uv failed, see above: pip goes on with {environment.name}, which takes longer"
                )
        self._with_pip(what, environment, [*constraints, *wanted], lifts, log, stop)

    def _with_uv(
        self, what: str, environment: Path, arguments: list[str], lifts: Path | None, log: Path, stop: threading.Event
    ) -> None:
        assert self.uv is not None
        if not environment.exists():
            command = [self.python, "-m", "venv", "--without-pip", str(environment)]
            run(f"making {environment.name}", command, log, stop)
        told = subprocess.run(
            [self.python, "-m", "pip", "config", "list"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )  # no pip, no settings
        environ = uv_environment(dict(os.environ), pip_settings(told.stdout.decode(errors="replace")))
        command = [self.uv, "pip", "install", "--python", str(environment / "bin" / "python")]
        command += ["--override", str(lifts)] if lifts else []
        run(f"installing {what}", [*command, *arguments], log, stop, environ)

    def _with_pip(
        self, what: str, environment: Path, arguments: list[str], lifts: Path | None, log: Path, stop: threading.Event
    ) -> None:
        if not (environment / "bin" / "pip").exists():  # uv's environments have none; this adds it
            run(f"making {environment.name}, with pip", [self.python, "-m", "venv", str(environment)], log, stop)
        pip = [str(environment / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check"]
        run(f"installing {what}, with pip", [*pip, "--no-compile", *arguments], log, stop)
        if lifts:
            run(f"applying {lifts.name}", [*pip, "--no-compile", "--no-deps", "-r", str(lifts)], log, stop)
