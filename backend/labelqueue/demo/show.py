"""The run of the demo: start Label Studio and labelqueue, import, connect, wait for the order, show it, stop."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import unquote

import requests

from ..admin import project_order, project_status
from ..exceptions import LabelQueueError, SettingError, StoreError
from ..images import describe_left_out
from ..settings import Deployment
from ..state import Project, Redis, connect, socket_path
from .host import DemoHost, batches
from .memory import DemoProject, DemoState, exclusive
from .output import Output, table
from .server import LOOPBACK, LabelStudioServer, check_port_free
from .sources import ImageSource, drawn_source, folder_source, label_config

__all__ = ["show"]

SHOWN = 10
SERVE_TIMEOUT = 60.0  # seconds until the web process answers
STALL_TIMEOUT = 240.0  # seconds without any progress of the first order
STOP_TIMEOUT = 45.0
POLL = 1.0
UPLOAD_PREFIX = re.compile(r"^[0-9a-f]{8}-")  # Label Studio puts it before the names of uploaded files


def show(arguments: argparse.Namespace) -> int:
    """Run the demo until Ctrl-C, or with `once` until the first order is shown.

    Parameters
    ----------
    arguments : argparse.Namespace
        Options of `demo.add_arguments`.

    Returns
    -------
    int
        Exit status.
    """
    output = Output()
    source = folder_source(arguments.images) if arguments.images else drawn_source(arguments.count)
    program = _find_program(arguments.label_studio)
    ways_out = {
        arguments.port: "stop what listens there, or choose another (make demo PORT=9191, or --port 9191)",
        arguments.label_studio_port: "stop what listens there, or choose another "
        "(make demo LABEL_STUDIO_PORT=8181, or --label-studio-port 8181)",
    }
    if len(ways_out) == 1:
        raise SettingError(f"--port and --label-studio-port are both {arguments.port}: choose two different ones")
    for port, way_out in ways_out.items():
        check_port_free(port, way_out)
    data = arguments.data.resolve()
    with _sigterm_is_interrupt(), exclusive(data):
        state = DemoState(data / "demo.json")
        server = LabelStudioServer(
            program,
            data / "label-studio",
            arguments.label_studio_port,
            account=state.account,
            way_out=ways_out[arguments.label_studio_port],
        )
        environ = _service_environment(os.environ, server, data / "lq", arguments.port)
        _check_home(environ)
        try:
            return _show(output, source, state, server, environ, data, once=arguments.once)
        finally:
            with _uninterrupted():
                server.stop()


def _show(
    output: Output,
    source: ImageSource,
    state: DemoState,
    server: LabelStudioServer,
    environ: Mapping[str, str],
    data: Path,
    *,
    once: bool,
) -> int:
    first = " for the first time: it creates its database, 1 to 3 minutes" if server.first_start else ""
    output.step(f"Label Studio starts{first}")
    with output.waiting() as bar:
        server.start(bar.reach)
    output.done(f"{server.url} is up")
    with (
        DemoHost(server.url, state.account.token) as host,
        _service(output, environ, data / "labelqueue.log") as alive,
    ):
        project = _import(output, host, source, state)
        backend = f"http://{LOOPBACK}:{environ['PORT']}"
        output.step("labelqueue puts the images in order")
        host.connect(project.id, backend)
        with contextlib.closing(connect(Deployment.from_environment(environ))) as store:
            order = _wait_for_order(output, store, server.url, project.id, host.task_count(project.id), alive)
        _print_result(server, project.id, order, Deployment.from_environment(environ).public_url)
        if once:
            return 0
        _print_switches(environ, project.id)
        output.step("Everything stays up until Ctrl-C")
        try:
            while server.running:
                alive()
                time.sleep(POLL)
            raise LabelQueueError(f"Label Studio ended by itself; the reason is in {server.log}")
        except KeyboardInterrupt:
            output.step("Stopping; the next `make demo` goes on from here")
            return 0


def _find_program(given: Path | None) -> Path:
    found = given or shutil.which("label-studio")
    if not found or not Path(found).is_file():
        raise SettingError(
            f"there is no Label Studio program at {str(given)!r}: `make demo` installs one"
            if given
            else "there is no `label-studio` on PATH: `make demo` installs one, or give its path with --label-studio"
        )
    return Path(os.path.abspath(found))  # noqa: PTH100  (resolve() would leave its virtual environment)


def _service_environment(
    environ: Mapping[str, str], server: LabelStudioServer, home: Path, port: int
) -> dict[str, str]:
    """Return the environment of `labelqueue serve`: the caller's embedder and Redis, everything else the demo's."""
    ours = ("BASIC_AUTH_", "LABELQUEUE_PUBLIC_URL")
    kept = {name: value for name, value in environ.items() if not name.startswith(ours)}
    return {
        "LABELQUEUE_EMBEDDER": "bundled",
        **kept,
        "LABEL_STUDIO_URL": server.url,
        "LABEL_STUDIO_API_KEY": server.account.token,
        "LABELQUEUE_HOME": str(home),
        "HOST": LOOPBACK,
        "PORT": str(port),
    }


def _check_home(environ: Mapping[str, str]) -> None:
    deployment = Deployment.from_environment(environ)  # a wrong setting is told before minutes are spent
    if not deployment.redis_url:
        try:
            socket_path(deployment.home)
        except StoreError:
            raise SettingError(
                f"the path {str(deployment.home)!r} is too long for a unix socket: choose a shorter folder with --data"
            ) from None


@contextlib.contextmanager
def _service(output: Output, environ: Mapping[str, str], log: Path) -> Iterator[Callable[[], None]]:
    """Run `labelqueue serve` and yield a function that raises when it has ended by itself."""
    output.step("labelqueue starts")
    with log.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "labelqueue", "serve"],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=dict(environ),
            start_new_session=True,  # Ctrl-C reaches the demo alone, which stops it in order
        )

    def alive() -> None:
        if process.poll() is not None:
            tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:])
            raise LabelQueueError(f"labelqueue ended with status {process.returncode}. The end of {log}:\n{tail}")

    try:
        _wait_for_health(f"http://{LOOPBACK}:{environ['PORT']}/health", alive, log)
        output.done(f"http://{LOOPBACK}:{environ['PORT']} is up")
        yield alive
    finally:
        with _uninterrupted():
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(timeout=STOP_TIMEOUT)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def _wait_for_health(url: str, alive: Callable[[], None], log: Path) -> None:
    end = time.monotonic() + SERVE_TIMEOUT
    with requests.Session() as session:
        session.trust_env = False
        while time.monotonic() < end:
            alive()
            with contextlib.suppress(requests.RequestException):
                if session.get(url, timeout=2).status_code == 200:
                    return
            time.sleep(0.2)
    raise LabelQueueError(f"labelqueue did not answer at {url} within {SERVE_TIMEOUT:.0f} s; its log is {log}")


def _import(output: Output, host: DemoHost, source: ImageSource, state: DemoState) -> DemoProject:
    """Import what is not imported yet and return the project."""
    output.step(f"Importing into the project {source.title!r}")
    if source.skipped:
        output.note(describe_left_out(source.skipped))
    project = state.projects.get(source.key)
    if project is None or not host.has_project(project.id):
        project = DemoProject(host.create_project(source.title, label_config(source.classes)))
        state.projects[source.key] = project
        state.save()
    known = set(project.imported)
    bad: list[tuple[Any, str]] = []
    fresh = (file for file in source.files() if file.key not in known) if len(known) < source.count else iter(())
    total = 0
    with output.progress(source.count, "images", done=len(known)) as bar:
        for group in batches(fresh, bad):
            refused = host.upload(project.id, group)
            bad += refused
            project.imported += [file.key for file, _ in group]
            state.save()
            total += len(group) - len(refused)
            bar.reach(len(project.imported))
    for file, why in bad[:SHOWN]:
        output.note(f"left out: {file.key}: {why}")
    if len(bad) > SHOWN:
        output.note(f"left out: {len(bad) - SHOWN} more")
    if host.task_count(project.id) == 0:
        raise SettingError("none of the files is an image that can be labeled: nothing to show")
    output.done(f"{total} images imported" + (f", {len(known)} were there" if known else ""))
    return project


def _wait_for_order(
    output: Output, store: Redis, origin: str, project_id: int, tasks: int, alive: Callable[[], None]
) -> dict[str, Any]:
    """Return the live order once it covers all images."""
    moved, before, told = time.monotonic(), None, ""
    with output.progress(tasks, "images embedded") as bar:
        while True:
            alive()
            found = [p for p in Project.all(store) if (p.ref.origin, p.ref.id) == (origin, project_id)]
            status = project_status(max(found, key=lambda p: p.ref.created)) if found else None
            if status is not None:
                if status["version"] and status["tasks"] >= tasks and status["covers"] + status["quarantined"] >= tasks:
                    output.done(f"{status['covers']} images embedded and ordered: {status['version']}")
                    return project_order(max(found, key=lambda p: p.ref.created), SHOWN)
                bar.reach(status["embedded"])
                for name in ("paused", "error"):
                    if status[name] and status[name] != told:
                        told = str(status[name])
                        output.note(f"{name}: {told}")
            now = (status["embedded"], status["quarantined"], status["version"]) if status else None
            if now != before:
                moved, before = time.monotonic(), now
            elif time.monotonic() - moved > STALL_TIMEOUT:
                raise LabelQueueError(
                    f"no order of all {tasks} images, and no progress for {STALL_TIMEOUT:.0f} s: "
                    f"{told or 'no error is known'}"
                )
            time.sleep(POLL / 2)


def _print_result(server: LabelStudioServer, project: int, order: Mapping[str, Any], public_url: str) -> None:
    print(f"\n  console       {public_url}/console/{project}  (what the queue does, and why)")
    rows = [("next", "image", "why")]
    for row in order["tasks"]:
        name = UPLOAD_PREFIX.sub("", unquote(row["image"]).rsplit("/", 1)[-1])
        rows.append((str(row["rank"]), name, row["reason"]))
    width = shutil.get_terminal_size((120, 24)).columns if sys.stdout.isatty() else 160
    print(f"\nThe next {len(rows) - 1} images of the queue ({order['version']}):\n")
    print("\n".join(f"  {line}" for line in table(rows, width - 2)))
    print(f"\n  Label Studio  {server.url}/projects/{project}/data  (press Label All Tasks)")
    print(f"  login         {server.account.email}")
    print(f"  password      {server.account.password}\n", flush=True)


def _print_switches(environ: Mapping[str, str], project: int) -> None:
    """Say how the command line reaches what runs here: neither its data folder nor its Label Studio is the default."""
    program = shlex.quote(str(Path(sys.executable).with_name("labelqueue")))
    print("  The switches of README.md, here:")
    for name in ("LABELQUEUE_HOME", "LABEL_STUDIO_URL"):
        print(f"    export {name}={shlex.quote(environ[name])}")
    print(f"    {program} status {project}\n", flush=True)


@contextlib.contextmanager
def _sigterm_is_interrupt() -> Iterator[None]:
    """Let SIGTERM end the demo as Ctrl-C does, so that nothing is left running."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let an impatient second Ctrl-C not leave processes behind; stopping is bounded."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
