"""A private Label Studio on this machine, for the demo and for tests: its own data folder, loopback only, offline."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import requests

from ..exceptions import LabelStudioError, SettingError

__all__ = ["Account", "LabelStudioServer", "check_port_free", "server_environment"]

LOOPBACK = "127.0.0.1"
DATABASE = "label_studio.sqlite3"
MIGRATED = ".labelqueue-migrated"  # marks a data folder whose first start went through
START_TIMEOUT = 600.0  # seconds; about 190 migrations take 1-3 minutes, longer on a busy machine
STOP_TIMEOUT = 15.0
LOG_TAIL = 30  # lines of the log that an error shows

# Label Studio reads dozens of variables under plain names (HOST, DEBUG, CI, STORAGE_TYPE, POSTGRE_HOST ...). Only what
# a process needs to run at all is handed on, so that the caller's environment cannot change what the server is.
INHERITED = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "SYSTEMROOT")


@dataclass(frozen=True)
class Account:
    """The user that the first start of a server creates.

    Parameters
    ----------
    email : str
        Login name.
    password : str, default random
        For the login form.
    token : str, default random
        Legacy access token, 40 hex digits.
    """

    email: str = "demo@labelqueue.local"
    password: str = field(default_factory=lambda: secrets.token_urlsafe(9), repr=False)
    token: str = field(default_factory=lambda: secrets.token_hex(20), repr=False)


def check_port_free(port: int, way_out: str) -> None:
    """Raise SettingError when something listens on the loopback port already.

    Parameters
    ----------
    port : int
        TCP port.
    way_out : str
        What to do about it; ends the message.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise SettingError(f"port {port} cannot be used ({error.strerror}): {way_out}") from None


def server_environment(account: Account, data_dir: Path, port: int, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a private server.

    Parameters
    ----------
    account : Account
        User of the first start; later starts keep the user they find.
    data_dir : Path
        Database and uploads.
    port : int
        Port on loopback.
    environ : mapping
        The caller's environment, of which only the plain necessities are kept.
    """
    origin = f"http://{LOOPBACK}:{port}"
    return {name: environ[name] for name in INHERITED if name in environ} | {
        "LABEL_STUDIO_BASE_DATA_DIR": str(data_dir),
        "LABEL_STUDIO_USERNAME": account.email,
        "LABEL_STUDIO_PASSWORD": account.password,
        "LABEL_STUDIO_USER_TOKEN": account.token,
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "LABEL_STUDIO_HOST": origin,
        "CSRF_TRUSTED_ORIGINS": origin,
        # Label Studio refuses ML backends and webhooks on private addresses unless told otherwise.
        "ML_BLOCK_LOCAL_IP": "false",
        "SSRF_PROTECTION_ENABLED": "false",
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
        "PYTHONUNBUFFERED": "1",
    }


class LabelStudioServer:
    """One Label Studio process.

    Parameters
    ----------
    executable : Path
        The `label-studio` program, in a virtual environment of its own.
    data_dir : Path
        Database, uploads and the log `label-studio.log`; made when missing.
    port : int
        Port on loopback; it must be free.
    account : Account
        User of the first start.
    template : Path, optional
        Folder with the data of a server after its first start, copied into an empty `data_dir`; made when missing.
        The copies have the template's user, so servers that share one must share `account`.
    way_out : str
        What to do when the port is taken; ends that error.
    environment : mapping of str to str, optional
        Further variables of its environment, such as those of another database than SQLite; a template has SQLite.

    Attributes
    ----------
    url : str
        Where it answers.
    """

    def __init__(
        self,
        executable: Path,
        data_dir: Path,
        port: int,
        *,
        account: Account,
        template: Path | None = None,
        way_out: str = "stop what listens there, or choose another port",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.executable = executable
        self.data_dir = data_dir.resolve()
        self.port = port
        self.account = account
        self.template = template
        self.url = f"http://{LOOPBACK}:{port}"
        self.log = self.data_dir / "label-studio.log"
        self._way_out = way_out
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def first_start(self) -> bool:
        """Whether starting creates the database, which takes minutes."""
        return not (self.data_dir / MIGRATED).exists() and not (self.template and (self.template / MIGRATED).exists())

    @property
    def running(self) -> bool:
        """Whether the process that we started still runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Number of the process that we started; 0 when it does not run."""
        return self._process.pid if self._process is not None and self.running else 0

    def start(self, waiting: Callable[[float], None] | None = None) -> None:
        """Start the server and return when it answers.

        Parameters
        ----------
        waiting : callable, optional
            Called with the seconds waited so far, a few times per second.

        Raises
        ------
        SettingError
            When the port is taken or the program does not exist.
        LabelStudioError
            When the server ends or does not answer in time; the end of its log is in the message.
        """
        if not self.executable.is_file():
            raise SettingError(f"there is no Label Studio at {str(self.executable)!r}: give the path of `label-studio`")
        # Label Studio would silently take the next free port, and everything after would talk to a stranger.
        check_port_free(self.port, self._way_out)
        if self.template is not None and not (self.data_dir / DATABASE).exists():
            self._make_template(self.template, waiting)
            shutil.copytree(self.template, self.data_dir, dirs_exist_ok=True)
        elif (self.data_dir / DATABASE).exists() and not (self.data_dir / MIGRATED).exists():
            self._forget_half_made()
        self._launch(waiting)

    def _forget_half_made(self) -> None:
        # Its account is created last, so a first start that was cut short leaves a database nobody can log in to.
        for path in self.data_dir.glob(f"{DATABASE}*"):
            path.unlink()

    def _make_template(self, template: Path, waiting: Callable[[float], None] | None) -> None:
        if (template / MIGRATED).exists():
            return
        template.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f"{template.name}.", dir=template.parent))
        try:
            with contextlib.closing(LabelStudioServer(self.executable, work, self.port, account=self.account)) as once:
                once.start(waiting)
            once.log.unlink()
            with contextlib.suppress(OSError):  # somebody else's was ready first: theirs is as good
                work.rename(template)
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _launch(self, waiting: Callable[[float], None] | None) -> None:
        self.data_dir.mkdir(parents=True, exist_ok=True)
        command = [str(self.executable), "start", "--no-browser", "--internal-host", LOOPBACK]
        command += ["--port", str(self.port), "--data-dir", str(self.data_dir)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=server_environment(self.account, self.data_dir, self.port, os.environ) | self._environment,
                cwd=self.data_dir,
                start_new_session=True,  # Ctrl-C reaches the caller alone, and stop() ends this group alone
            )
        try:
            self._wait(waiting)
        except BaseException:
            self.stop()
            raise
        (self.data_dir / MIGRATED).touch()

    def _wait(self, waiting: Callable[[float], None] | None) -> None:
        assert self._process is not None
        began = time.monotonic()
        with requests.Session() as session:
            session.trust_env = False  # no proxy between us and loopback
            while (waited := time.monotonic() - began) < START_TIMEOUT:
                status = self._process.poll()
                if status is not None:
                    raise LabelStudioError(f"Label Studio ended with status {status} while starting.{self._log_tail()}")
                with contextlib.suppress(requests.RequestException):
                    if session.get(f"{self.url}/health", timeout=5).status_code == 200:
                        return
                if waiting is not None:
                    waiting(waited)
                time.sleep(0.25)
        raise LabelStudioError(
            f"Label Studio did not answer at {self.url}/health within {START_TIMEOUT:.0f} s.{self._log_tail()}"
        )

    def _log_tail(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_TAIL:]
        return "\n".join([f" The end of {self.log}:", *lines])

    def stop(self) -> None:
        """End the server that we started, and nothing else; do nothing when it does not run."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            # The group is the session that start() made, so its id is the process's own.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(timeout=STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    close = stop
