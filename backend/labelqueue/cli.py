"""The command line: `labelqueue --help`."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from . import __version__
from .exceptions import LabelQueueError
from .settings import SETTINGS, Deployment

__all__ = ["build_parser", "main"]

OK, FAILED, INTERRUPTED = 0, 1, 130

DESCRIPTION = """\
Decide which image is labelled next: a Label Studio ML backend that orders the annotation queue."""

EPILOG = """\
first steps:
  labelqueue select photos/ -n 20             the 20 images to label first, no Label Studio needed
  export LABEL_STUDIO_URL=http://localhost:8080 LABEL_STUDIO_API_KEY=...
  labelqueue serve                            then connect http://localhost:9090 in Settings > Model
  labelqueue order 1                          what the annotators of project 1 get next, and why

exit status: 0 done, 1 an error (its message is on standard error), 2 wrong usage, 130 interrupted"""


def _serve(arguments: argparse.Namespace) -> int:
    from .supervisor import serve

    return serve(Deployment.from_environment(), lambda line: print(line, file=sys.stderr, flush=True))


def _worker(arguments: argparse.Namespace) -> int:
    from .runtime import Runtime
    from .worker import run_worker

    run_worker(Runtime(Deployment.from_environment()))
    return OK


def _project(arguments: argparse.Namespace) -> Any:
    from .project import Project
    from .store import connect

    deployment = Deployment.from_environment()
    return Project.find(connect(deployment), deployment.label_studio_url, arguments.project)


def _status(arguments: argparse.Namespace) -> int:
    from .status import project_status

    status = project_status(_project(arguments))
    if arguments.json:
        print(json.dumps(status, indent=2))
        return OK
    print(f"project {status['project']}: {status['title']}")
    print(f"  order        {status['version'] or 'none yet'} ({status['published']} tasks published and open)")
    print(f"  tasks        {status['tasks']}, {status['labeled']} labeled, {status['skipped']} skipped")
    print(f"  embedded     {status['embedded']}, {status['pending']} waiting, {status['quarantined']} bad images")
    print(f"  workers      {status['workers']}, annotators within the hour {status['annotators']}")
    for name, value in status["settings"].items():
        if name in status["settings_from"]:
            print(f"  setting      {name} = {value} (from {status['settings_from'][name]})")
    for name in ("paused", "hold", "error", "settings_error"):
        if status[name]:
            print(f"  {name:<12} {status[name]}")
    for task, reason in status["bad_images"].items():
        print(f"  bad image    task {task}: {reason}")
    return OK


def _order(arguments: argparse.Namespace) -> int:
    from .status import project_order

    order = project_order(_project(arguments), arguments.limit)
    if arguments.json:
        print(json.dumps(order, indent=2))
        return OK
    print(f"project {order['project']}: {order['version'] or 'no order yet'}")
    for row in order["tasks"]:
        print(f"{row['rank']:>5}  task {row['task']:<8} {row['reason']}")
    return OK


def _reconcile(arguments: argparse.Namespace) -> int:
    from .jobs import request_tend

    project = _project(arguments)
    project.release_quarantine()
    project.set(want_full="1")
    request_tend(project)
    print(f"project {project.ref.id}: everything is read again from Label Studio, bad images are tried again")
    return OK


def _settings(arguments: argparse.Namespace) -> int:
    if arguments.json:
        rows = [{"name": s.name, "default": _plain(s.default), "scope": s.scope, "help": s.help} for s in SETTINGS]
        print(json.dumps(rows, indent=2))
        return OK
    for scope, where in (
        ("project", "extra params of the project's Model page, a JSON object"),
        ("deployment", "environment variables"),
    ):
        print(f"{scope} settings ({where}):")
        for setting in SETTINGS:
            if setting.scope == scope:
                default = "auto" if setting.default is None else _plain(setting.default)
                print(f"  {setting.name:<22} {default!s:<28} {setting.help}")
    return OK


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, int | float | str) else str(value)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of every command."""
    import labelqueue.demo as demo
    import labelqueue.folder as folder
    import labelqueue.pretext as pretext
    import labelqueue.simulate as simulate

    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("labelqueue", description=DESCRIPTION, epilog=EPILOG, formatter_class=raw)
    parser.add_argument("--version", action="version", version=f"labelqueue {__version__}")
    parser.add_argument("-v", "--verbose", action="store_true", help="log what is done, on standard error")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name: str, run: Callable[[argparse.Namespace], int], summary: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=summary, description=summary, formatter_class=raw)
        sub.set_defaults(run=run)
        return sub

    def of_project(name: str, run: Callable[[argparse.Namespace], int], summary: str) -> argparse.ArgumentParser:
        sub = command(name, run, summary)
        sub.add_argument("project", type=int, metavar="PROJECT", help="project id, as in Label Studio's address bar")
        return sub

    def json_output(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--json", action="store_true", help="print JSON")

    command("serve", _serve, "start web, worker and, without REDIS_URL, Redis; stop with Ctrl-C")
    command("worker", _worker, "start one more worker on the same Redis")
    json_output(of_project("status", _status, "show where a project stands"))
    order = of_project("order", _order, "show the tasks that come next, and why")
    order.add_argument("--limit", type=int, default=10, metavar="N", help="tasks to show (default: 10)")
    json_output(order)
    of_project("reconcile", _reconcile, "read everything again from Label Studio and repair every difference")
    json_output(command("settings", _settings, "list every setting, its default and where it is set"))
    select = command("select", folder.run, "choose the images of a folder to label first, without any Label Studio")
    folder.add_arguments(select)
    learn = command("pretext", pretext.run, "train the rotation features that BAL can use in place of the embeddings")
    pretext.add_arguments(learn)
    replay = command("simulate", simulate.run, "replay labeling on your own labeled images, strategy against strategy")
    simulate.add_arguments(replay)
    show = command("demo", demo.run, "start a Label Studio with images and an ordered queue")
    demo.add_arguments(show)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    arguments = build_parser().parse_args(argv)
    level = logging.INFO if arguments.verbose or arguments.command == "worker" else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    try:
        status: int = arguments.run(arguments)
        sys.stdout.flush()
    except LabelQueueError as error:
        print(f"labelqueue: {error}", file=sys.stderr)
        return FAILED
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except KeyboardInterrupt:
        print("labelqueue: interrupted", file=sys.stderr)
        return INTERRUPTED
    return status
