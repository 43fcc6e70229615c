"""`labelqueue embeddings`: what it takes and says."""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from redis.exceptions import RedisError

from ..exceptions import StoreError, TableError
from ..settings import Deployment
from ..state import Project, connect, why_refused
from .exporting import export
from .importing import bring

__all__ = ["add_arguments", "run"]

OK = 0
NAME = "own"
EPILOG = """\
  labelqueue embeddings export 1 vectors.parquet               the vectors that serve, one row per image
  labelqueue embeddings import 1 vectors.parquet --name clip   yours instead; the queue is ordered anew by them
  labelqueue set 1 embedder=vit_small_patch14_reg4_dinov2.lvd142m    back to a model, which embeds every image

The file is Parquet (the extra `parquet`). Columns: `task` (its id) or `file` (the image's address, or the end of it,
such as its name), `vector` (a list of numbers, of one length), and if you like `patterns` (a list of vectors of the
image's parts, else the vector stands for all of it). Numbers are kept as float16.

An import is all or nothing, and the vectors of before serve until it is whole. Rows without a usable vector and rows
for no task are left out and counted. Tasks without a vector come last and wait for the next import under the same name:
no other model's vectors are mixed in. An import under that name adds what is new; where its vectors differ from
those that are here they are taken for another model's, and then the file must have all of them.

exit status: 0 done, 1 nothing was changed and the message says why, 2 wrong usage, 130 interrupted"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `embeddings` takes."""
    parser.epilog = EPILOG
    ways = parser.add_subparsers(dest="way", metavar="export|import", required=True)
    out = ways.add_parser("export", help="write the vectors that serve to a file")
    into = ways.add_parser("import", help="read vectors of your own model from a file")
    for sub, what in ((out, "the file to write; only you may read it"), (into, "the file to read")):
        sub.formatter_class, sub.epilog = argparse.RawDescriptionHelpFormatter, EPILOG
        sub.add_argument("project", type=int, metavar="PROJECT", help="project id, as in Label Studio's address bar")
        sub.add_argument("file", type=Path, metavar="FILE", help=what)
        sub.add_argument("--json", action="store_true", help="print JSON")
    out.add_argument("--yes", action="store_true", help="replace a file that is there")
    into.add_argument(
        "--name", type=_name, default=NAME, metavar="NAME", help=f"what you call your model (default: {NAME})"
    )


def _name(text: str) -> str:
    if not re.fullmatch(r"[\w.-]{1,60}", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r} is not a name of up to 60 letters, digits, dots, hyphens")
    return text


def run(arguments: argparse.Namespace) -> int:
    """Run `labelqueue embeddings`."""
    deployment = Deployment.from_environment()
    project = Project.find(connect(deployment), deployment.label_studio_url, arguments.project)
    spool, show, begin = deployment.home / "spool", not arguments.json, time.monotonic()
    try:
        if arguments.way == "export":
            if arguments.file.exists() and not arguments.yes:
                raise TableError(f"{arguments.file} is there already: name another file, or add --yes to replace it")
            told = export(project, spool, arguments.file, show=show)
            lines = export_lines
        else:
            told = bring(project, spool, arguments.file, arguments.name, show=show)
            lines = import_lines
    except RedisError as error:
        raise StoreError(f"{why_refused(error)}; what serves is as it was, try again then") from error
    told["seconds"] = round(time.monotonic() - begin, 1)
    print(json.dumps(told, indent=2) if arguments.json else "\n".join(lines(told)))
    return OK


def export_lines(told: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is in a file that was written."""
    patterns = " and the patterns of their parts" if told["patterns"] else ""
    yield f"{told['file']} has {told['vectors']:,} vectors of {told['dimension']:,} numbers{patterns},"
    yield f"  for the {told['tasks']:,} tasks of project {told['project']} ({told['title']!r})"


def import_lines(told: Mapping[str, Any]) -> Iterator[str]:
    """Yield what became of a file's rows."""
    project, left = told["project"], told["left_out"]
    here = f", {told['here']:,} were here already" if told["here"] else ""
    what = f"{told['stored']:,} vectors of {told['dimension']:,} numbers are stored{here}"
    yield f"project {project} ({told['title']!r}): {what}"
    if left["count"]:
        yield f"  {left['count']:,} of {told['rows']:,} rows are left out:"
        yield from (f"    {line}" for line in left["first"])
        if left["count"] > len(left["first"]):
            yield f"    and {left['count'] - len(left['first']):,} more"
    if told["without_vector"]:
        yield f"  {told['without_vector']:,} of {told['tasks']:,} tasks have none and come last:"
        yield f"  your model gives them one by the next import under the name {told['name']!r}"
    if told["anew"]:
        yield "  the queue is ordered by them from the next look on;"
        yield f"  `labelqueue set {project} embedder=MODEL` goes back to a model, which embeds every image"
