"""`labelqueue import`: what it takes and says."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..labelstudio import LabelStudio
from ..progress import Progress
from ..settings import Deployment
from .chosen import read_chosen, replaced
from .tasks import bring

__all__ = ["add_arguments", "import_lines", "run"]

OK = 0
EPILOG = """\
  labelqueue select vectors/ -n 10000 --output csv > first.csv
  labelqueue import 1 first.csv                                 10,000 tasks of project 1, in that order
  labelqueue import 1 first.csv                                 later: none is made twice
  labelqueue import 1 first.csv --replace /mnt/photos=/data/local-files/?d=photos

FILE is what `labelqueue select` printed: csv, json or one address a line; - reads standard input. LABEL_STUDIO_URL and
LABEL_STUDIO_API_KEY say where to. Images are not uploaded: tasks hold their addresses, and Label Studio has to reach
them. For s3://, gs:// and azure-blob:// connect the bucket to the project (Settings > Cloud Storage); for files of a
disk connect a local storage and name it with --replace. An image that is a task of the project already, by its address,
is not made again, so an import that broke off goes on.

exit status: 0 done, 1 an error (what was made stays), 2 wrong usage, 130 interrupted"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `labelqueue import`."""
    parser.epilog = EPILOG
    parser.add_argument("project", type=int, metavar="PROJECT", help="project id, as in Label Studio's address bar")
    parser.add_argument("file", type=Path, metavar="FILE", help="the chosen images, as `labelqueue select` prints them")
    parser.add_argument(
        "--replace",
        type=_change,
        action="append",
        default=[],
        metavar="OLD=NEW",
        help="what takes the place of the beginning of addresses; may be repeated",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def _change(text: str) -> tuple[str, str]:
    old, equals, new = text.partition("=")
    if not old or not equals or not new:
        raise argparse.ArgumentTypeError(f"{text!r} is not OLD=NEW")
    return old, new


def run(arguments: argparse.Namespace) -> int:
    """Run `labelqueue import`."""
    deployment, begin = Deployment.from_environment(), time.monotonic()
    chosen = read_chosen(arguments.file)
    addresses = replaced(chosen.addresses, arguments.replace)
    client = LabelStudio(deployment.label_studio_url, deployment.label_studio_api_key, ca_bundle=deployment.ca_bundle)
    with Progress(len(addresses), "images", enabled=not arguments.json) as bar:
        found = bring(client, arguments.project, addresses, bar.add)
    told = {
        "project": arguments.project,
        "title": found.title,
        "images": len(addresses),
        "made": found.made,
        "here": found.here,
        "repeated": chosen.repeated,
        "cloud": any(address.startswith(("s3://", "gs://", "azure-blob://")) for address in addresses),
        "seconds": round(time.monotonic() - begin, 1),
    }
    print(json.dumps(told, indent=2) if arguments.json else "\n".join(import_lines(told)))
    return OK


def import_lines(told: Mapping[str, Any]) -> Iterator[str]:
    """Yield what was imported, for people."""
    made = f"{told['made']:,} tasks were made of {told['images']:,} images"
    yield f"project {told['project']} ({told['title']!r}): {made}"
    if told["here"]:
        yield f"  {told['here']:,} were tasks already"
    if told["repeated"]:
        yield f"  {told['repeated']:,} rows named an image again"
    if told["cloud"] and told["made"]:
        yield "  Label Studio shows them once their bucket is connected to the project (Settings > Cloud Storage)"
