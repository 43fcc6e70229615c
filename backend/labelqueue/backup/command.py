"""`labelqueue backup` and `labelqueue restore`: what they take, ask and say."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redis.exceptions import RedisError

from ..exceptions import BackupError, StoreError
from ..labelstudio import LabelStudio
from ..progress import write_line
from ..settings import Deployment
from ..state import Project, connect, why_refused
from .archive import Reader
from .restoring import restore
from .saving import back_up

__all__ = ["add_backup_arguments", "add_restore_arguments", "run_backup", "run_restore"]

OK = 0
MIB = 1024 * 1024
BACKUP_EPILOG = """\
The file holds the settings, every order on record with what it was made of, what was learned, and the embeddings. It
holds no secret, no key and no signature. Labels and tasks are in Label Studio and read again from there. The
service goes on meanwhile, and annotators do not wait."""
RESTORE_EPILOG = """\
Nothing is changed in Label Studio, and here all of it is put in place in one step, or nothing. Into another project,
tasks are found by the address of their image. A running service goes on from what was restored by itself."""


def add_backup_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `backup` takes."""
    parser.add_argument("project", type=int, metavar="PROJECT", help="project id, as in Label Studio's address bar")
    parser.add_argument("file", type=Path, metavar="FILE", help="the file to write; only you may read it")
    parser.add_argument("--yes", action="store_true", help="replace a file that is there")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.epilog = BACKUP_EPILOG


def add_restore_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `restore` takes."""
    parser.add_argument("file", type=Path, metavar="FILE", help="a file that `labelqueue backup` wrote")
    parser.add_argument(
        "--project",
        type=int,
        metavar="ID",
        help="the project to restore into, another one too (default: the one that was backed up)",
    )
    parser.add_argument("--yes", action="store_true", help="do not ask before something that is here is replaced")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.epilog = RESTORE_EPILOG


@contextmanager
def _telling() -> Iterator[None]:
    """Tell what is wrong with a Redis that fails meanwhile."""
    try:
        yield
    except RedisError as error:
        raise StoreError(f"{why_refused(error)}; nothing was changed, try again then") from error


@_telling()
def run_backup(arguments: argparse.Namespace) -> int:
    """Back a project up."""
    deployment = Deployment.from_environment()
    project = Project.find(connect(deployment), deployment.label_studio_url, arguments.project)
    if arguments.file.exists() and not arguments.yes:
        raise BackupError(f"{arguments.file} is there already: name another file, or add --yes to replace it")
    begin = time.monotonic()
    told = back_up(project, arguments.file, deployment.home / "spool", show=not arguments.json)
    told["seconds"] = round(time.monotonic() - begin, 1)
    print(json.dumps(told, indent=2) if arguments.json else "\n".join(backup_lines(told)))
    return OK


@_telling()
def run_restore(arguments: argparse.Namespace) -> int:
    """Restore a backup."""
    deployment = Deployment.from_environment()
    url, key = deployment.label_studio_url, deployment.label_studio_api_key
    client = LabelStudio(url, key, ca_bundle=deployment.ca_bundle)
    begin = time.monotonic()
    with Reader(arguments.file) as reader:
        told = restore(
            connect(deployment),
            client,
            url,
            reader,
            deployment.home / "spool",
            wanted=arguments.project,
            confirm=lambda lines: arguments.yes or _agreed(lines),
            show=not arguments.json,
        )
    if told is None:
        write_line("nothing was changed")
        return OK
    told["seconds"] = round(time.monotonic() - begin, 1)
    print(json.dumps(told, indent=2) if arguments.json else "\n".join(restore_lines(told)))
    return OK


def _agreed(lines: Sequence[str]) -> bool:
    """Ask whether what is here may be replaced; on standard error, so that standard output is the result alone."""
    for line in ("the restore replaces what is here:", *(f"  {line}" for line in lines)):
        write_line(line)
    if not sys.stdin.isatty():
        raise BackupError("nothing was changed: nobody can be asked here, add --yes to replace it")
    print("Replace it? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def backup_lines(told: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is in a backup, for people."""
    yield f"project {told['project']} ({told['title']!r}) is in {told['file']}, {told['bytes'] / MIB:,.1f} MiB:"
    yield f"  {_settings(told['settings'])}"
    yield f"  the record of {told['orders']} orders" + (f", up to r{told['newest_order']}" if told["orders"] else "")
    if told["pinned"] or told["excluded"]:
        yield f"  {told['pinned']:,} tasks that are pinned, {told['excluded']:,} that are left out"
    yield f"  what was learned: {told['trainings']} trainings, the last on {told['labels']} labels"
    yield f"  embeddings of {told['images']:,} images, for {told['tasks']:,} tasks"


def restore_lines(told: Mapping[str, Any]) -> Iterator[str]:
    """Yield what was taken from a backup and what was not, for people."""
    tasks, images, orders, learned = (told[name] for name in ("tasks", "images", "orders", "learned"))
    yield f"project {told['project']} ({told['title']!r}) is restored:"
    yield f"  {_settings(told['settings'])}"
    yield f"  {tasks['taken']:,} of {tasks['of']:,} tasks of the backup are in Label Studio with the same image" + (
        f", {tasks['by_image']:,} of them under another id" if tasks["by_image"] else ""
    )
    here = [f"{orders['here']} were here already"] if orders["here"] else []
    if orders["others"]:
        some = ", ".join(f"r{number}" for number in orders["others"][:5])
        here.append(f"{len(orders['others'])} are not taken, since others have their numbers here ({some})")
    yield "; ".join([f"  the record of {orders['taken']} of {orders['of']} orders", *here])
    if any(told["curation"].values()):
        yield f"  {told['curation']['pinned']:,} tasks are pinned, {told['curation']['excluded']:,} are left out"
    yield f"  what was learned from {learned['labels']:,} of {learned['of']:,} labels"
    rows = f"  embeddings of {images['taken'] + images['here']:,} of {images['of']:,} images"
    yield rows + (f", and {images['added']:,} that were embedded here since stay" if images["added"] else "")
    if told["paused"]:
        yield f"  it was paused then, and is so again: {told['paused']}; `labelqueue resume {told['project']}` goes on"
    if not told["connected"]:
        yield "  it has no labelqueue yet: connect it in Label Studio (Settings > Model), then the queue goes on"
    else:
        yield "  labels are read from Label Studio by the next look, which decides how the queue goes on"


def _settings(names: Sequence[str]) -> str:
    return f"settings: {', '.join(names)}" if names else "settings: none was chosen"
