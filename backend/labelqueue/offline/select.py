"""`labelqueue select`: which images of a folder to label first, without any Label Studio."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..block import Block, concatenate
from ..collection import Collection, open_rows
from ..exceptions import EmbedderError, LabelQueueError
from ..images import Item, embed_stream
from ..progress import Progress, write_line
from ..settings import COLD_START, METRICS
from .arguments import add_model_arguments, at_least, chosen_model, chosen_size
from .choosing import chooser_of, rank
from .folder import File, FolderCache, find_images

if TYPE_CHECKING:
    from poolselect.metric import MetricName

    from ..images import Embedder

__all__ = ["Pick", "add_arguments", "embed_folder", "run", "select", "select_from"]

_COLUMNS = ("rank", "path", "reason")
EPILOG = """\
Every image is embedded once by a vision transformer; FreeSel, or another --strategy, then picks images that differ from
each other and together stand for the whole folder, best first. Embeddings are kept, so the next call with other numbers
takes seconds, new images are added, and an interrupted run goes on where it stopped.

  labelqueue select photos/ -n 20                          20 paths, best first
  labelqueue select photos/ -n 20 --model bundled          with the small model in the package, no download
  labelqueue select photos/ -n 500 --output csv > first.csv
  labelqueue select street/ -n 50 --patterns 5             images with many objects: 5 vectors for each
  labelqueue select photos/ -n 20 --strategy maxherding    those that cover the folder best
  labelqueue select vectors/ -n 10000 --output csv         from what `labelqueue embed` wrote, however large

The same folder, model, strategy, seed, trials and metric give the same order; a smaller -n gives its beginning. Images
that are nearly the same as another one come last. Files that are no images by their suffix are counted on standard
error, bad images are named there, and both are left out.
Exit status: 0 done, 1 error, 2 wrong usage, 130 interrupted."""


@dataclass(frozen=True)
class Pick:
    """One chosen image.

    Attributes
    ----------
    rank : int
        From 1; label it in this order.
    path : str
        The folder as it was given, and the way from there.
    reason : str
        One sentence.
    """

    rank: int
    path: str
    reason: str


def select(
    directory: Path,
    n: int,
    *,
    model: str,
    weights: Path | None = None,
    image_size: int | None = None,
    patterns: int = 1,
    seed: int = 0,
    cache_dir: Path,
    strategy: str = "freesel",
    trials: int | None = None,
    metric: MetricName | None = None,
    duplicates: str = "last",
    progress: bool = True,
    say: Callable[[str], None] | None = None,
) -> list[Pick]:
    """Choose the images of a folder to label first.

    Parameters
    ----------
    directory : Path
        Searched with its subfolders.
    n : int
        Images wanted, at least 1.
    model, weights, image_size
        See `Embedder.load`.
    patterns : int, default 1
        Semantic patterns per image; 1 compares whole images.
    seed : int, default 0
        Another seed, another equally good order.
    cache_dir : Path
        Where embeddings are kept.
    strategy : str, default "freesel"
        One of `settings.COLD_START`.
    trials : int, optional
        Proposals per pick of FreeSel, 200 by default; 1, with the cosine metric, draws as the paper does.
    metric : {"centered", "cosine", "euclidean"}, optional
        Distance of FreeSel, centered by default; cosine is the paper's.
    duplicates : {"last", "serve"}, default "last"
        Whether images that are nearly the same as another one come after all others.
    progress : bool, default True
        Whether to show progress on standard error.
    say : callable, optional
        Gets notes for people: files that are no images, bad images, a folder smaller than `n`. Default: standard error.

    Returns
    -------
    list of Pick
        Best first; fewer than `n` if the folder has fewer readable images.

    Raises
    ------
    LabelQueueError
        If there is no folder or no readable image in it, the cache cannot be written, or FreeSel's parameters are given
        to another strategy.
    EmbedderError
        If the model or its weights cannot be had.
    """

    chooser = chooser_of(strategy, trials, metric, patterns, seed)
    say = say or write_line
    files = find_images(directory, say)
    rows = embed_folder(
        directory,
        files,
        load_embedder(model, weights, image_size),
        patterns=patterns,
        cache_dir=cache_dir,
        progress=progress,
        say=say,
    )
    if n > len(rows):
        say(f"note: {n} images were asked for and {directory} has {len(rows)} readable ones: here are all of them")
    return _picks(rank(chooser, rows, n, [str(file.path) for file in files], duplicates))


def select_from(
    directory: Path,
    n: int,
    *,
    seed: int = 0,
    cache_dir: Path | None = None,
    strategy: str = "freesel",
    trials: int | None = None,
    metric: MetricName | None = None,
    duplicates: str = "last",
    progress: bool = True,
    say: Callable[[str], None] | None = None,
) -> list[Pick]:
    """Choose the images of a collection to label first; the vectors stay on the disk.

    Parameters
    ----------
    directory : Path
        What `labelqueue embed` wrote; its images were embedded with one model, which is the one that counts.
    cache_dir : Path, optional
        Where arrays made from the shards are kept; default: beside them.
    n, seed, strategy, trials, metric, duplicates, progress, say
        See `select`. Other strategies than FreeSel, k-center and random may read all vectors into memory.

    Returns
    -------
    list of Pick
        Best first; paths are the addresses of the images.

    Raises
    ------
    CollectionError
        If it is no collection, has no vector, or is damaged.
    """
    say = say or write_line
    collection = Collection.open(directory)
    shaped = chooser_of(strategy, trials, metric, collection.n_patterns, seed)
    for line in collection.unfinished():
        say(f"note: {line}")
    rows = open_rows(collection, cache_dir, progress=progress, say=say)
    if n > len(rows):
        say(f"note: {n} images were asked for and {directory} has {len(rows)}: here are all of them")
    return _picks(rank(shaped, rows, n, rows.addresses, duplicates))


def _picks(chosen: Sequence[tuple[str, str]]) -> list[Pick]:
    return [Pick(rank, path, reason) for rank, (path, reason) in enumerate(chosen, start=1)]


def load_embedder(
    model: str, weights: Path | None, image_size: int | None = None, precision: str | None = None
) -> Embedder:
    """Return the model of these names; see `Embedder.load`.

    Raises
    ------
    EmbedderError
        If the model or its weights cannot be had.
    """
    from ..images import Embedder

    try:
        return Embedder.load(model, weights, image_size=image_size, precision=precision)
    except EmbedderError as error:
        raise EmbedderError(f"{error} (here: --weights FILE, or --model bundled)") from error


def embed_folder(
    directory: Path,
    files: Sequence[File],
    embedder: Embedder,
    *,
    patterns: int,
    cache_dir: Path,
    progress: bool,
    say: Callable[[str], None],
) -> Block:
    """Embed images of a folder, or take what an earlier call kept.

    Parameters
    ----------
    directory : Path
        The folder: it names the cache.
    files : sequence of File
        Some of its images.
    embedder : Embedder
    patterns, cache_dir, progress, say
        See `select`.

    Returns
    -------
    Block
        A row for each readable file, ids being places in `files`, ascending.

    Raises
    ------
    LabelQueueError
        If not one file is readable, or the cache cannot be written.
    """
    cache = FolderCache(cache_dir, directory, embedder.fingerprint({"n_patterns": patterns}))
    rows = _embed(files, embedder, cache, patterns, progress, say)
    if not len(rows):
        raise LabelQueueError(f"none of the {len(files)} images in {directory} can be read")
    return rows


def _embed(
    files: Sequence[File],
    embedder: Embedder,
    cache: FolderCache,
    patterns: int,
    progress: bool,
    say: Callable[[str], None],
) -> Block:
    """Return the rows of all readable files, ids being their places in `files`; embed and store what is missing."""
    known = cache.load()
    have = set(known.sources.tolist())
    missing = [Item(place, file.uri, file.read) for place, file in enumerate(files) if file.source not in have]
    blocks = [known]
    with Progress(len(missing), "images", enabled=progress) as bar:
        try:
            for part in embed_stream(embedder, missing, n_patterns=patterns):
                cache.put(part.block)
                blocks.append(part.block)
                for place, reason in part.failed + part.transient:
                    say(f"skipped {files[place].path}: {reason}")
                bar.add(len(part.block) + len(part.failed) + len(part.transient))
        except KeyboardInterrupt:
            say(f"\nstopped: {bar.done:,} of {len(missing):,} images are embedded and kept, the same command goes on")
            raise
    everything = concatenate(blocks)
    row_of = {source: row for row, source in enumerate(everything.sources.tolist())}
    places = [place for place, file in enumerate(files) if file.source in row_of]
    rows = everything.take([row_of[files[place].source] for place in places])
    return replace(rows, ids=np.array(places, dtype=np.int64))


# -- the command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `labelqueue select`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument(
        "directory",
        type=Path,
        metavar="DIR",
        help="folder of images, subfolders are searched too; or a collection that `labelqueue embed` wrote",
    )
    parser.add_argument("-n", type=at_least(1), required=True, metavar="N", help="how many images to choose")
    add_model_arguments(parser)
    parser.add_argument(
        "--patterns",
        type=at_least(1),
        metavar="K",
        help="vectors per image (default: 1; 5 suits detection, 10 segmentation)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="another seed, another order (default: 0)")
    parser.add_argument(
        "--strategy",
        choices=COLD_START,
        default="freesel",
        help="how to choose (default: freesel); the others look at one vector per image",
    )
    parser.add_argument(
        "--trials",
        type=at_least(1),
        metavar="L",
        help="of FreeSel: proposals per pick, the best is kept (default: 200; 1, with --metric cosine, draws as the "
        "paper does)",
    )
    parser.add_argument(
        "--metric",
        choices=METRICS,
        help="of FreeSel, its distance: centered (default: cosine once the folder's mean is off), cosine (the "
        "paper's), euclidean",
    )
    parser.add_argument(
        "--duplicates",
        choices=("last", "serve"),
        default="last",
        help="images that are nearly the same as another one: last (default) after all others, serve like all",
    )
    parser.add_argument(
        "--output", choices=("paths", "json", "csv"), default="paths", help="what to print (default: paths)"
    )


def run(args: argparse.Namespace) -> int:
    """Run `labelqueue select`; errors and Ctrl-C are left to the caller.

    Returns
    -------
    int
        0.
    """
    how = {name: getattr(args, name) for name in ("seed", "strategy", "trials", "metric", "duplicates")}
    if Collection.is_one(args.directory):
        given = {"--model": args.model, "--weights": args.weights, "--patterns": args.patterns}
        if needless := [f"{name} {value}" for name, value in given.items() if value is not None]:
            made = Collection.open(args.directory).told
            raise LabelQueueError(
                f"{', '.join(needless)}: the vectors in {args.directory} are there already, by {made}; leave it out"
            )
        picks = select_from(args.directory, args.n, cache_dir=args.cache, **how)
    else:
        model, weights, cache = chosen_model(args)
        picks = select(
            args.directory,
            args.n,
            model=model,
            weights=weights,
            patterns=args.patterns or 1,
            image_size=chosen_size(args),
            cache_dir=cache,
            **how,
        )
    _print(picks, args.output)
    return 0


def _print(picks: Sequence[Pick], output: str) -> None:
    # File names are bytes: one that is no valid text must not stop the list.
    rows = [
        (pick.rank, pick.path.encode("utf-8", "surrogateescape").decode("utf-8", "replace"), pick.reason)
        for pick in picks
    ]
    if output == "json":
        print(json.dumps([dict(zip(_COLUMNS, row, strict=True)) for row in rows], indent=2))
    elif output == "csv":
        csv.writer(sys.stdout, lineterminator="\n").writerows([_COLUMNS, *rows])
    else:
        print("\n".join(path for _, path, _ in rows))
