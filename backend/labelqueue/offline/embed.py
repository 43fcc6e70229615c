"""`labelqueue embed`: embed images wherever they lie, in parts, into a collection that `labelqueue select` reads."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..collection import WHOLE, Collection, Options, Part, embed
from ..exceptions import LabelQueueError
from .arguments import add_model_arguments, at_least, chosen_model, chosen_size
from .select import load_embedder

__all__ = ["add_arguments", "embed_lines", "run"]

OK, LATER = 0, 3
EPILOG = """\
SOURCE is a folder, a prefix such as s3://bucket/photos (whatever fsspec or pyarrow reads), or a Parquet file that names
the images in a column. Nothing is imported anywhere: vectors go to shards in DIR, and the same command goes on where
it stopped, adds what is new and embeds again what changed.

  labelqueue embed photos/ -o vectors/                         one machine
  labelqueue embed s3://bucket/photos -o vectors/ --part 3/16  the third of 16 jobs of any scheduler, on a shared folder
  labelqueue embed list.parquet --column url -o vectors/       addresses from a table, such as a bucket's inventory
  labelqueue embed list.parquet -o vectors/ --engine ray       actors on a Ray cluster, one for each GPU
  labelqueue select vectors/ -n 10000 --output csv > first.csv
  labelqueue import 1 first.csv                                ... and only those become tasks of project 1

Bad images are rows in failures-*.jsonl with their reasons; what could not be fetched is tried again by the next run.
exit status: 0 done, 1 an error, 2 wrong usage, 3 done but for images that could not be fetched, 130 interrupted"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `labelqueue embed`."""
    parser.epilog = EPILOG
    parser.add_argument("source", metavar="SOURCE", help="folder, address such as s3://bucket/photos, or .parquet file")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR", help="where the vectors go, made if missing"
    )
    add_model_arguments(parser, cache=False)
    parser.add_argument(
        "--patterns",
        type=at_least(1),
        default=1,
        metavar="K",
        help="vectors per image (default: 1; 5 suits detection, 10 segmentation)",
    )
    parser.add_argument(
        "--part", type=_part, default=WHOLE, metavar="3/16", help="embed this share only (default: everything)"
    )
    parser.add_argument(
        "--engine", choices=("process", "ray"), default="process", help="process (default) or ray, the extra `ray`"
    )
    parser.add_argument(
        "--actors", type=at_least(1), metavar="N", help="of Ray (default: one for each GPU, else for each CPU)"
    )
    parser.add_argument(
        "--column", default="uri", metavar="NAME", help="of a .parquet SOURCE: where the addresses are (default: uri)"
    )
    parser.add_argument("--retry", action="store_true", help="try images again that are known to be bad")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _part(text: str) -> Part:
    try:
        return Part.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def run(args: argparse.Namespace) -> int:
    """Run `labelqueue embed`; errors and Ctrl-C are left to the caller.

    Returns
    -------
    int
        0, or 3 when images could not be fetched this time.
    """
    if args.actors and args.engine != "ray":
        raise LabelQueueError(f"--actors {args.actors}: only Ray has actors; add --engine ray, or leave it out")
    model, weights, _ = chosen_model(args)
    options = Options(
        patterns=args.patterns,
        part=args.part,
        weights=weights,
        engine=args.engine,
        actors=args.actors,
        column=args.column,
        retry=args.retry,
        progress=not args.json,
    )
    # What a machine with a GPU began, one without goes on with, and the other way round.
    precision = Collection.open(args.output).card.precision if Collection.is_one(args.output) else None
    told = embed(args.source, args.output, load_embedder(model, weights, chosen_size(args), precision), options)
    print(json.dumps(told, indent=2) if args.json else "\n".join(embed_lines(told)))
    return LATER if told["again"] else OK


def embed_lines(told: Mapping[str, Any]) -> Iterator[str]:
    """Yield what was done, for people."""
    part = "" if told["part"] == "1/1" else f", part {told['part']}"
    here = f", {told['here']:,} were there already" if told["here"] else ""
    images = f"{told['images']:,} images of {told['source']}{part}"
    yield f"{told['collection']}: {told['embedded']:,} of {images} embedded{here}"
    yield f"  by {told['model']}, in {told['seconds']:,} seconds"
    if told["bad"]:
        yield f"  {told['bad']:,} bad images are left out; failures-*.jsonl there names each with its reason"
    if told["again"]:
        yield f"  {told['again']:,} images could not be fetched this time: the same command tries them again"
    yield from (f"    {line}" for line in told["reasons"])
