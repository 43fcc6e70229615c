"""The ground of every storm: a real Label Studio, `labelqueue serve`, and a proxy on each way between them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil
import requests

from chaos.proxy import Proxy
from e2e.conftest import ACCOUNT, EXECUTABLE, TEMPLATE
from e2e.harness import Backend, LabelStudioApi, free_port
from labelqueue.demo.drawing import draw_images
from labelqueue.demo.server import LabelStudioServer
from labelqueue.state import Project, Redis
from processes import store_of, until

CONFIG = (
    '<View><Image name="image" value="$image"/><Choices name="choice" toName="image">'
    '<Choice value="disc"/><Choice value="star"/></Choices></View>'
)
# How the service's processes are told apart, by their command lines.
KINDS = {
    "tending": "worker tending",
    "embedding": "worker embedding",
    "web": "-m labelqueue.web",
    "redis": "redis-server",
    "supervisor": "labelqueue serve",
}


class Scene:
    """One Label Studio, one service, two proxies; everything on loopback, in folders of its own.

    Attributes
    ----------
    studio : Proxy
        Where the service finds Label Studio.
    hooks : Proxy
        Where Label Studio finds the service.
    api : LabelStudioApi
        The owner of that Label Studio, past the proxies.
    backend : Backend
        The service.
    pool : int
        Images that a storm's project begins with.
    """

    def __init__(self, folder: Path, pool: int) -> None:
        if not EXECUTABLE.exists():
            raise SystemExit(f"there is no Label Studio at {EXECUTABLE}: `make chaos` installs it")
        data = folder / "label-studio"
        self.label_studio = LabelStudioServer(EXECUTABLE, data, free_port(), account=ACCOUNT, template=TEMPLATE)
        self.home, self.pool = folder / "home", pool
        self._port, self._workers = free_port(), 1
        self.studio = Proxy(self.label_studio.url)
        self.hooks = Proxy(f"http://127.0.0.1:{self._port}")
        self.api = self.login()
        self.answers = self.hooks.answers  # statuses of the web process, of every call that a storm makes
        self._drawn = draw_images(100_000)

    # -- processes

    def start(self) -> None:
        self.label_studio.start()
        self.serve()

    def serve(self, workers: int = 1) -> None:
        """Start the service."""
        self._workers = workers
        self.home.mkdir(parents=True, exist_ok=True)
        self.backend = Backend(
            self.studio.url,
            ACCOUNT.token,
            home=self.home,
            port=self._port,
            LABELQUEUE_WORKERS=str(workers),
            LABELQUEUE_ALLOW_HOSTS="127.0.0.1",
        )

    def serve_again(self) -> None:
        """Start a service that was killed, as systemd does: again and again while its port or its data are held."""
        self.backend.process.wait()
        for _ in range(30):
            with suppress(AssertionError):
                return self.serve(self._workers)
            time.sleep(1)
        raise SystemExit(f"the service does not start again: {self.backend.log.read_text()[-2000:]}")

    def processes(self, kind: str) -> list[psutil.Process]:
        """Return the processes of a kind that run."""
        with suppress(psutil.Error):
            supervisor = psutil.Process(self.backend.process.pid)
            family = [supervisor] if kind == "supervisor" else supervisor.children(recursive=True)
            return [one for one in family if _is(one, kind)]
        return []

    def kill_label_studio(self) -> None:
        """Kill it in the middle of whatever it does, and start it again."""
        for one in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                if str(EXECUTABLE.name) in " ".join(one.cmdline()) and str(self.label_studio.port) in one.cmdline():
                    one.send_signal(signal.SIGKILL)
        self.label_studio.stop()
        self.label_studio.start()

    @contextmanager
    def child(self, module: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
        """Run a module of the storms in a process of its own, ended when it is left."""
        command = [sys.executable, "-m", module, *map(str, arguments)]
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ) as process:
            try:
                yield process
            finally:
                process.kill()

    def stop(self) -> None:
        """End everything."""
        with suppress(AttributeError):
            self.backend.stop()
        for one in psutil.Process().children(recursive=True):  # of a start that failed
            with suppress(psutil.Error):
                if one.environ().get("LABELQUEUE_HOME") == str(self.home):
                    one.kill()
        self.label_studio.stop()
        self.api.close()
        if "store" in self.__dict__:
            self.store.close()
        self.studio.close()
        self.hooks.close()

    # -- Label Studio

    def login(self) -> LabelStudioApi:
        return LabelStudioApi(self.label_studio.url, ACCOUNT.token)

    def images(self, count: int) -> list[tuple[str, bytes]]:
        """Draw images that nobody saw before."""
        return [(image.name, image.data) for image, _ in zip(self._drawn, range(count), strict=False)]

    def project(self, title: str) -> int:
        """Make a connected project, and wait for its first order of all its images."""
        number = self.api.create_project(title, CONFIG)
        self.api.import_images(number, self.images(self.pool))
        self.api.connect(number, self.hooks.url)
        until(lambda: (now := self.facts(number)) and now["covers"] == self.pool and not now["pending"], 300, title)
        return number

    # -- the service

    @cached_property
    def store(self) -> Redis:
        return store_of(self.backend.environment)

    def known(self, project: int) -> Project:
        """Return a project as the service has it."""
        found = (one for one in Project.all(self.store) if one.ref.id == project)
        return max(found, key=lambda one: one.ref.created)

    def facts(self, project: int) -> dict[str, Any] | None:
        """Ask the service's REST API for a project; None while it does not know it."""
        answer = self.ask("GET", f"/api/v1/projects/{project}")
        return answer.json() if answer.status_code == 200 else None

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        answer = requests.request(method, self.backend.url + path, timeout=60, **options)
        self.answers[answer.status_code] += 1
        return answer


def _is(process: psutil.Process, kind: str) -> bool:
    with suppress(psutil.Error):
        return KINDS[kind] in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE
    return False


@contextmanager
def raised(pool: int = 60) -> Iterator[Scene]:
    """Put up the scene, and take it down."""
    folder = Path(tempfile.mkdtemp(prefix="lq-"))  # short: a unix socket's path is limited
    scene = Scene(folder, pool)
    try:
        scene.start()
        yield scene
    finally:
        scene.stop()
        shutil.rmtree(folder, ignore_errors=True)
