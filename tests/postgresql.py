"""A private PostgreSQL for a Label Studio: a cluster in a folder of its own, loopback only, gone when it is left."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin", "/usr/local/pgsql/bin")
USER, NAME = "labelstudio", "labelstudio"
STARTS_WITHIN = 60.0  # seconds


def find_programs() -> Path:
    """Return the folder of `initdb` and `postgres`, of the newest version where there are several."""
    found = [Path(program).resolve().parent for name in ("initdb", "postgres") if (program := shutil.which(name))]
    found += sorted((path for place in PLACES for path in Path("/").glob(place[1:])), key=_version, reverse=True)
    for folder in found:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise SystemExit(
        "there is no PostgreSQL: neither `initdb` and `postgres` on the PATH nor in " + ", ".join(PLACES) + ". Install "
        "the server, on Debian and Ubuntu with `apt-get install postgresql`, or put its programs on the PATH"
    )


def version_of(programs: Path) -> str:
    """Return the version of the PostgreSQL in a folder, such as 15.18."""
    told = subprocess.run([programs / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    return told.split()[2]


def _version(folder: Path) -> float:
    number = "".join(one for one in str(folder) if one.isdigit() or one == ".").strip(".")
    return float(number) if number.replace(".", "", 1).isdecimal() else 0.0


class PostgreSQL:
    """One server with one empty database, or with that of a template.

    Parameters
    ----------
    template : Path, optional
        Folder of a stopped cluster of the same version, which is copied.

    Attributes
    ----------
    version : str
    environment : dict of str to str
        Variables that lead a Label Studio here.
    pid : int
        Of the server.
    """

    def __init__(self, template: Path | None = None) -> None:
        self._programs = find_programs()
        self._folder = Path(tempfile.mkdtemp(prefix="lq-pg-"))
        self._data = self._folder / "data"
        # The server refuses to run as root.
        self._as = {} if os.geteuid() else {"user": _stranger().pw_uid, "group": _stranger().pw_gid, "extra_groups": []}
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self.version = version_of(self._programs)
            if template is not None and template.exists():
                shutil.copytree(template, self._data)
            self._own()
            if not self._data.exists():
                self._run("initdb", "-D", self._data, "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8")
            self._start()
        except BaseException:
            self.close()
            raise
        host = {"POSTGRE_HOST": "127.0.0.1", "POSTGRE_PORT": str(self._port), "POSTGRE_NAME": NAME}
        self.environment = {"DJANGO_DB": "default", "POSTGRE_USER": USER, "POSTGRE_PASSWORD": "unused"} | host

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def _own(self) -> None:
        if "user" in self._as:
            for path in (self._folder, *self._folder.rglob("*")):
                os.chown(path, self._as["user"], self._as["group"])
        if self._data.exists():
            self._data.chmod(0o700)

    def _run(self, program: str, *arguments: str | Path) -> str:
        command = [self._programs / program, *arguments]
        run = subprocess.run(command, cwd="/", capture_output=True, text=True, **self._as)
        assert run.returncode == 0, run.stderr
        return run.stdout

    def _start(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = int(probe.getsockname()[1])
        command = [self._programs / "postgres", "-D", self._data, "-p", str(self._port)]
        command += ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={self._folder}"]
        log = (self._folder / "log").open("ab")
        with log:
            self._process = subprocess.Popen(command, cwd="/", stdout=log, stderr=log, **self._as)
        ready = [self._programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self._port)]
        deadline = time.monotonic() + STARTS_WITHIN
        while subprocess.run(ready, cwd="/").returncode:
            assert self._process.poll() is None and time.monotonic() < deadline, (self._folder / "log").read_text()
            time.sleep(0.1)
        there = self.ask("SELECT count(*) FROM pg_database WHERE datname = 'labelstudio'", database="postgres")
        if there == "0":
            self.ask(f"CREATE DATABASE {NAME}", database="postgres")

    def ask(self, query: str, database: str = NAME) -> str:
        """Run SQL and return its answer as plain text."""
        where = ("-h", "127.0.0.1", "-p", str(self._port), "-U", USER, "-d", database)
        return self._run("psql", *where, "-At", "-c", query).strip()

    def keep(self, template: Path) -> None:
        """Stop, and keep the cluster as a template; another one that was ready first is as good."""
        self._stop()
        work = Path(tempfile.mkdtemp(prefix=f"{template.name}.", dir=template.parent))
        shutil.copytree(self._data, work / "data")
        try:
            (work / "data").rename(template)
        except OSError:
            if not template.exists():  # else somebody else was ready first
                raise
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGINT)  # "fast": whoever is connected is cut off, nothing is lost
            process.wait(timeout=60)

    def close(self) -> None:
        """Stop the server and remove its folder."""
        self._stop()
        shutil.rmtree(self._folder, ignore_errors=True)


def _stranger() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise SystemExit(
        "PostgreSQL does not run as root, and there is neither a user postgres nor nobody: run it as another"
    )


@contextmanager
def postgresql(template: Path | None = None) -> Iterator[PostgreSQL]:
    """Run a PostgreSQL."""
    server = PostgreSQL(template)
    try:
        yield server
    finally:
        server.close()
