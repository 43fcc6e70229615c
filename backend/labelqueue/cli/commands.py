"""What the commands about servers and projects do; packages are loaded when a command needs them."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from ..exceptions import SettingError
from ..settings import SETTINGS, Deployment
from ..telemetry import say

if TYPE_CHECKING:
    from ..state import Project, Redis

__all__ = [
    "doctor",
    "forget",
    "order",
    "orders",
    "project_of",
    "serve",
    "set_settings",
    "setting_change",
    "settings",
    "show",
    "status",
    "switch",
    "worker",
]

OK = 0
DIFFERS, UNVERIFIABLE = 1, 3  # of an order that is computed again


def serve(arguments: argparse.Namespace) -> int:
    """Run web, workers and, without REDIS_URL, Redis until SIGTERM or Ctrl-C."""
    from ..worker import serve

    return serve(Deployment.from_environment(), say)


def worker(arguments: argparse.Namespace) -> int:
    """Work on jobs until SIGTERM or Ctrl-C: one worker of a kind, or one to tend and others to embed."""
    from ..worker import Runtime, run_worker, work

    deployment = Deployment.from_environment()
    if arguments.kind is None:
        return work(deployment)
    run_worker(Runtime(deployment), arguments.kind)
    return OK


def status(arguments: argparse.Namespace) -> int:
    """Show where a project stands, or list the projects there are."""
    from .. import admin
    from ..stopping import wanted_share

    if arguments.project is None:
        deployment, store = _deployment()
        return show(arguments, admin.project_list(store, deployment.label_studio_url), admin.list_lines)
    target = None if arguments.target is None else wanted_share(arguments.target)
    return show(arguments, admin.project_status(project_of(arguments), target), admin.status_lines)


def doctor(arguments: argparse.Namespace) -> int:
    """Look at everything that has to be well, and say what is not, why it matters and the way out."""
    from .. import admin

    diagnosis = admin.examine(admin.Scene(Deployment.from_environment(), arguments.project), fix=arguments.fix)
    show(arguments, diagnosis, admin.diagnosis_lines)
    return admin.exit_status(diagnosis)


def order(arguments: argparse.Namespace) -> int:
    """Show what comes next, or all that is on record of one order."""
    from .. import admin

    project = project_of(arguments)
    if arguments.of is None:
        return show(arguments, admin.project_order(project, arguments.limit), admin.order_lines)
    return show(arguments, admin.order_audit(project, admin.find_order(project, arguments.of)), admin.audit_lines)


def orders(arguments: argparse.Namespace) -> int:
    """List every order there was, or compute one again from its record."""
    from .. import admin

    project = project_of(arguments)
    if arguments.verify is None:
        return show(arguments, admin.order_list(project), admin.order_list_lines)
    from ..worker import Runtime

    runtime = Runtime(Deployment.from_environment())
    order = admin.find_order(project, arguments.verify)
    verified = admin.verify_order(project, order, partial(runtime.cache, project))
    show(arguments, verified, admin.verification_lines)
    return {admin.SAME: OK, admin.DIFFERS: DIFFERS}.get(verified["outcome"], UNVERIFIABLE)


def set_settings(arguments: argparse.Namespace) -> int:
    """Change settings of a project, and show them all."""
    from .. import admin

    project = project_of(arguments)
    if arguments.changes:
        changed = admin.change_settings(project, dict(arguments.changes), "command line")
        if not arguments.json:
            print(f"{', '.join(changed)} taken over {admin.soon(project)}" if changed else "every value is as it was")
    return show(arguments, admin.project_settings(project), admin.settings_lines)


def setting_change(written: str) -> tuple[str, Any]:
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


def switch(name: str) -> Callable[[argparse.Namespace], int]:
    """Return the command of a function of `admin.switches`, which takes a project and tells what will happen."""

    def run(arguments: argparse.Namespace) -> int:
        from .. import admin

        project = project_of(arguments)
        given = {"order": arguments.order} if name == "rollback" else {}
        print(f"project {project.ref.id}: {getattr(admin, name)(project, **given)}")
        return OK

    return run


def forget(arguments: argparse.Namespace) -> int:
    """Remove everything that is kept of a project, after asking."""
    from .. import admin

    deployment, store = _deployment()
    project = admin.find_any(store, deployment.label_studio_url, arguments.project)
    kept = admin.holdings(project, deployment.home)
    print("\n".join(admin.holdings_lines(kept)))
    if not arguments.yes:
        if not sys.stdin.isatty():
            raise SettingError("nothing was removed: nobody can be asked here, add --yes to remove all of this")
        print("Remove all of this? [y/N] ", end="", flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            print("nothing was removed")
            return OK
    print(admin.forget(kept))
    return OK


def settings(arguments: argparse.Namespace) -> int:
    """List every setting there is."""
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


def _deployment() -> tuple[Deployment, Redis]:
    from ..state import connect

    deployment = Deployment.from_environment()
    return deployment, connect(deployment)


def project_of(arguments: argparse.Namespace) -> Project:
    """Return the project that is named."""
    from ..state import Project

    deployment, store = _deployment()
    return Project.find(store, deployment.label_studio_url, arguments.project)


def show(arguments: argparse.Namespace, record: Any, lines: Callable[[Any], Iterable[str]]) -> int:
    """Print a record: as JSON when asked to, else as lines for people."""
    print(json.dumps(record, indent=2) if arguments.json else "\n".join(lines(record)))
    return OK


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, int | float | str) else str(value)
