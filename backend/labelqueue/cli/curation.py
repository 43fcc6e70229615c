"""The commands that pin tasks and leave them out; each can be undone by the number that it prints."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable

from . import commands

__all__ = ["COMMANDS", "add_arguments", "run"]

SOURCE = "command line"
# Command -> what it does, for people.
COMMANDS = {
    "pin": "have tasks labeled first",
    "unpin": "let pinned tasks go back to their places",
    "exclude": "leave tasks out of the queue, and of what the accuracy speaks of",
    "include": "leave tasks out no longer",
    "curation": "show what is pinned and left out, and the acts that led there",
    "undo": "undo an act: give all of its tasks what they had before it",
}


def add_arguments(name: str, parser: argparse.ArgumentParser) -> None:
    """Add what a command takes besides the project."""
    if name == "undo":
        parser.add_argument("act", type=int, metavar="ACT", help="its number, as it was printed; `curation` lists all")
    elif name != "curation":
        parser.add_argument(
            "tasks", type=int, nargs="+", metavar="TASK", help="task ids, as in Label Studio's task list"
        )
    if name == "exclude":
        parser.add_argument("--reason", required=True, metavar="TEXT", help="why, for everybody who sees the order")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(name: str) -> Callable[[argparse.Namespace], int]:
    """Return the command of a function of `admin.pinning`."""

    def run_it(arguments: argparse.Namespace) -> int:
        from .. import admin

        project = commands.project_of(arguments)
        if name == "curation":
            return commands.show(arguments, admin.curation(project), admin.curation_lines)
        given = [arguments.act] if name == "undo" else [arguments.tasks]
        given += [arguments.reason] if name == "exclude" else []
        done = getattr(admin, name)(project, *given, source=SOURCE)
        if arguments.json:
            print(json.dumps(done, indent=2))
            return commands.OK
        way_back = f"; `labelqueue undo {project.ref.id} {done['act']}` takes it back" if done["act"] else ""
        print(f"project {project.ref.id}: {done['accepted']}{way_back}")
        return commands.OK

    return run_it
