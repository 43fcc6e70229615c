"""The command line: `labelqueue --help`."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .. import __version__
from ..exceptions import LabelQueueError
from ..settings import SETTINGS, Deployment

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

switches, each done by a running worker within seconds (the REST calls are in /api/v1/openapi.json):
  labelqueue set 1 strategy=random seed=4     change settings; `seed=` goes back to the default
  labelqueue pause 1                          give the queue back; `resume 1` takes it over again
  labelqueue rollback 1                       the order before the live one; `rollback 1 3` takes r3
  labelqueue retrain 1                        train and order now

exit status: 0 done, 1 an error (its message is on standard error), 2 wrong usage, 130 interrupted"""


def _serve(arguments: argparse.Namespace) -> int:
    from ..worker.supervisor import serve

    return serve(Deployment.from_environment(), lambda line: print(line, file=sys.stderr, flush=True))


def _worker(arguments: argparse.Namespace) -> int:
    from ..worker.runtime import Runtime
    from ..worker.worker import run_worker

    run_worker(Runtime(Deployment.from_environment()))
    return OK


def _project(arguments: argparse.Namespace) -> Any:
    from ..state.connection import connect
    from ..state.project import Project

    deployment = Deployment.from_environment()
    return Project.find(connect(deployment), deployment.label_studio_url, arguments.project)


def _show(arguments: argparse.Namespace, record: Any, lines: Callable[[Any], Iterable[str]]) -> int:
    """Print a record: as JSON when asked to, else as lines for people."""
    print(json.dumps(record, indent=2) if arguments.json else "\n".join(lines(record)))
    return OK


def _status(arguments: argparse.Namespace) -> int:
    from ..admin.orders import status_lines
    from ..admin.status import project_status

    return _show(arguments, project_status(_project(arguments)), status_lines)


def _order(arguments: argparse.Namespace) -> int:
    from ..admin.orders import audit_lines, order_lines
    from ..admin.status import order_audit, project_order
    from ..admin.wishes import find_order

    project = _project(arguments)
    if arguments.of is None:
        return _show(arguments, project_order(project, arguments.limit), order_lines)
    return _show(arguments, order_audit(project, find_order(project, arguments.of)), audit_lines)


def _orders(arguments: argparse.Namespace) -> int:
    from ..admin.orders import order_list_lines
    from ..admin.status import order_list

    return _show(arguments, order_list(_project(arguments)), order_list_lines)


def _set(arguments: argparse.Namespace) -> int:
    from ..admin.orders import settings_lines
    from ..admin.status import project_settings
    from ..admin.wishes import change_settings, soon

    project = _project(arguments)
    if arguments.changes:
        changed = change_settings(project, dict(arguments.changes), "command line")
        if not arguments.json:
            print(f"{', '.join(changed)} taken over {soon(project)}" if changed else "every value is as it was")
    return _show(arguments, project_settings(project), settings_lines)


def _change(written: str) -> tuple[str, Any]:
    """Parse ``key=value``; a value that is not JSON is text, and none goes back to the default."""
    key, equals, value = written.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"{written!r} is not key=value (`{key or 'key'}=` goes back to the default)")
    if not value:
        return key, None
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


def _wish(name: str) -> Callable[[argparse.Namespace], int]:
    """Return the command of an `admin` function that takes a project and tells what will happen."""

    def run(arguments: argparse.Namespace) -> int:
        from ..admin import wishes as admin

        project = _project(arguments)
        given = {"order": arguments.order} if name == "rollback" else {}
        print(f"project {project.ref.id}: {getattr(admin, name)(project, **given)}")
        return OK

    return run


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
    from ..demo import command as demo
    from ..offline import pretext as pretext
    from ..offline import select as folder
    from ..offline import simulate as simulate

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
    order.add_argument("--version", dest="of", metavar="ORDER", help="show all that is on record of this order instead")
    json_output(order)
    json_output(of_project("orders", _orders, "list every order there was: when, why, and which one is live"))
    change = of_project(
        "set", _set, "change settings of a project; without changes, show them and where they come from"
    )
    change.add_argument(
        "changes",
        nargs="*",
        type=_change,
        metavar="KEY=VALUE",
        help="a value is JSON or text; `KEY=` goes back to the default; `labelqueue settings` lists the keys",
    )
    json_output(change)
    of_project("pause", _wish("pause"), "stop publishing and give the queue back to Label Studio's former sampling")
    of_project("resume", _wish("resume"), "end a pause, whatever caused it, and take the queue over again")
    back = of_project("rollback", _wish("rollback"), "make an earlier order live again, as it was, and keep it")
    back.add_argument(
        "order",
        nargs="?",
        metavar="ORDER",
        help="its number or version, as `labelqueue orders` lists them (default: the one before the live order)",
    )
    of_project("retrain", _wish("retrain"), "train the model and make a new order now")
    of_project("reconcile", _wish("reconcile"), "read everything again from Label Studio and repair every difference")
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
