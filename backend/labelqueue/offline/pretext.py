"""`labelqueue pretext`: train the rotation network of BAL on a project's or a folder's images and keep its features."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..block import Block, concatenate, source_hash
from ..exceptions import EmbedderError, LabelQueueError
from ..files import write_atomically
from ..images import Embedded, Item, Model, RotationNet, embed_stream, train_rotation
from ..jobs import request_tend
from ..progress import Progress, write_line
from ..settings import Deployment
from ..state import Project
from ..worker import Runtime
from .arguments import at_least, image_side
from .folder import FolderCache, find_images

__all__ = ["Options", "add_arguments", "pretext_folder", "pretext_project", "run"]

SIZE, EPOCHS = 64, 10
MOST_IMAGES = 20_000  # trained on, drawn by the seed; all images get features
HARDLY_BETTER = 0.4  # accuracy below which we say that the features are worth little; guessing gives 0.25
EPILOG = """\
BAL (Li et al., TPAMI 2023) orders images by how close they lie to the border between two clusters, and finds the
clusters in the features of a small network that has learned, without any label, which way up images are. This command
trains that network on your images and stores a feature vector for each. By default BAL uses the embeddings of the
vision transformer instead, which needs no training; this is for those who want the method as published.

  labelqueue pretext 1                           the images of project 1; needs the environment of `labelqueue serve`
  labelqueue set 1 bal_features=rotation         ... and BAL orders by these features from now on
  labelqueue pretext 1                           later: only new images are read, the network stays
  labelqueue pretext 1 --retrain                 after the images changed a lot
  labelqueue pretext --images photos/            a folder, for `labelqueue simulate`

On two cores, 5,000 images of 64 pixels take minutes. Images that look alike whichever way up they are (microscopy,
aerial photographs) teach such a network nothing; how much it learned is printed. Bad images are reported and left out.
An interrupted training starts over; after it, the same command goes on where it stopped."""


@dataclass(frozen=True)
class Options:
    """How to come to a network.

    Attributes
    ----------
    size : int
        Side in pixels to which images are squashed.
    epochs, seed : int or None
        None: those of the network that is stored, else 10 and 0. Another number than the stored one trains anew.
    retrain : bool
        Train anew in any case.
    progress : bool
        Whether to show progress on standard error.
    say : callable
        Gets notes for people, one line each.
    """

    size: int = SIZE
    epochs: int | None = None
    seed: int | None = None
    retrain: bool = False
    progress: bool = True
    say: Callable[[str], None] = write_line


def pretext_project(runtime: Runtime, project: Project, options: Options) -> str:
    """Store rotation features of a project's images, and point the project at them once they are complete.

    Parameters
    ----------
    runtime : Runtime
        Its fetcher reads the images; its LABELQUEUE_HOME keeps the network.
    project : Project
        Its fact ``rotation_generation`` names the features afterwards; those of an earlier network are removed.

    Returns
    -------
    str
        The generation in the project's pattern cache.

    Raises
    ------
    LabelQueueError
        If Label Studio cannot be reached, no image can be read or the network cannot be kept, or another machine has
        the one that made the features.
    EmbedderError
        If there are too few images to train on.
    """
    quarantined = project.quarantined()
    rows = {task: row for task, row in sorted(project.tasks().items()) if row.uri}
    bad = {task for task, row in rows.items() if quarantined.get(task, ("", ""))[0] == row.uri}
    if bad:
        options.say(f"left out: {len(bad)} bad images (`labelqueue status {project.ref.id}` names them)")
    items = [
        Item(task, row.uri, partial(runtime.fetcher.read, row.uri, task))
        for task, row in rows.items()
        if task not in bad
    ]
    file = runtime.deployment.home / "pretext" / f"{project.key}-{options.size}.safetensors"
    elsewhere = not options.retrain and not any(file.parent.glob(f"{project.key}-*"))
    if elsewhere and runtime.cache(project, project.get("rotation_generation")).begun():
        raise LabelQueueError(
            f"the network that made the features of project {project.ref.id} is not on this machine: copy it from the "
            f"LABELQUEUE_HOME/pretext of the machine that trained it to {file}, or train another one with --retrain"
        )
    start = _network(items, file, options, name=lambda task: f"task {task}")
    generation = start.network.fingerprint()
    cache = runtime.cache(project, generation)
    project.set(rotation_building=generation)  # looks leave it alone
    if start.blocks:  # just trained: rows under this very name, if any, may be what it was trained anew for
        cache.delete()
    for block in start.blocks:
        cache.put(block)
    here = cache.rows()
    missing = [item for item in items if here.get(item.id) != source_hash(item.uri) and item.id not in start.failed]
    for part in _stream(start.network, missing, options, name=lambda task: f"task {task}"):
        cache.put(part.block)
    if not cache.rows():
        raise LabelQueueError(f"none of the {len(items)} images of project {project.ref.id} can be read")
    before = project.get("rotation_generation")
    project.set(rotation_generation=generation, rotation_building="")
    if before not in ("", generation):
        runtime.cache(project, before).delete()
    request_tend(project)
    return generation


def pretext_folder(directory: Path, cache_dir: Path, options: Options) -> Block:
    """Store rotation features of a folder's images beside their embeddings, or take what an earlier call kept.

    Parameters
    ----------
    directory : Path
        Searched with its subfolders.
    cache_dir : Path
        Where network and features are kept; that of `labelqueue select`.

    Returns
    -------
    Block
        A row for each readable file, ids being places in ``find_images(directory)``, ascending.

    Raises
    ------
    LabelQueueError
        If there is no folder or no readable image in it, or the cache cannot be written.
    EmbedderError
        If there are too few images to train on.
    """
    files = find_images(directory)
    items = [Item(place, file.uri, file.read) for place, file in enumerate(files)]
    network_file = FolderCache(cache_dir, directory, f"rotation-{options.size}").path.with_suffix(".safetensors")

    def name(place: int) -> str:
        return str(files[place].path)

    start = _network(items, network_file, options, name=name)
    cache = FolderCache(cache_dir, directory, start.network.fingerprint())
    for block in start.blocks:
        cache.put(block)
    blocks = [cache.load()]
    have = set(blocks[0].sources.tolist())
    missing = [item for item in items if files[item.id].source not in have and item.id not in start.failed]
    for part in _stream(start.network, missing, options, name=name):
        cache.put(part.block)
        blocks.append(part.block)
    everything = concatenate(blocks)
    row_of = {source: row for row, source in enumerate(everything.sources.tolist())}
    places = [place for place, file in enumerate(files) if file.source in row_of]
    if not places:
        raise LabelQueueError(f"none of the {len(files)} images in {directory} can be read")
    rows = everything.take([row_of[files[place].source] for place in places])
    return replace(rows, ids=np.array(places, dtype=np.int64))


@dataclass(frozen=True)
class _Start:
    """A network, and if it was trained just now, the features of the images that were read for it."""

    network: RotationNet
    blocks: list[Block] = field(default_factory=list)
    failed: set[int] = field(default_factory=set)


def _network(items: Sequence[Item], file: Path, options: Options, *, name: Callable[[int], str]) -> _Start:
    """Return the stored network if it is the one asked for, else train one and store it."""
    epochs, seed = options.epochs, options.seed
    if file.exists() and not options.retrain:
        try:
            stored = RotationNet.from_bytes(file.read_bytes())
        except (OSError, EmbedderError) as error:
            raise EmbedderError(f"{file}: {error}") from error
        if epochs in (None, stored.epochs) and seed in (None, stored.seed):
            options.say(
                f"the network of before is used, trained on {stored.images:,} images ({stored.epochs} epochs, seed "
                f"{stored.seed}); --retrain trains it anew"
            )
            return _Start(stored)
        epochs, seed = epochs or stored.epochs, stored.seed if seed is None else seed
    epochs, seed = epochs or EPOCHS, seed or 0
    sample = list(items)
    if len(items) > MOST_IMAGES:
        drawn = np.random.default_rng(seed % 2**63).choice(len(items), MOST_IMAGES, replace=False)
        sample = [items[place] for place in np.sort(drawn)]
    pixels = np.empty((len(sample), options.size, options.size, 3), np.uint8)
    read: list[Block] = []
    failed: set[int] = set()
    count = 0
    for part in _stream(_Pixels(options.size), sample, options, name=name):
        failed.update(task for task, _ in part.failed + part.transient)
        rows = part.block.embeddings.reshape(len(part.block), options.size, options.size, -1)
        pixels[count : count + len(rows)] = rows
        count += len(rows)
        read.append(_with(part.block, np.empty((len(rows), 0), np.float16)))
    pixels = pixels[:count]
    with Progress(epochs * count, "image views", enabled=options.progress) as bar:
        network = train_rotation(pixels, epochs=epochs, seed=seed, progress=bar.add)
    if network.accuracy is not None:
        options.say(f"it names the rotation of {network.accuracy:.0%} of images it was not trained on (guessing: 25%)")
        if network.accuracy < HARDLY_BETTER:
            options.say("that is hardly better than guessing: do not expect much of these features")
    try:
        write_atomically(file, network.to_bytes())
    except OSError as error:
        raise LabelQueueError(f"the network {file} cannot be written ({error}): set LABELQUEUE_HOME") from error
    ends = np.cumsum([len(block) for block in read])[:-1]
    features = np.split(network.features(pixels).astype(np.float16), ends)
    return _Start(network, [_with(block, part) for block, part in zip(read, features, strict=True)], failed)


def _with(block: Block, vectors: NDArray[np.float16]) -> Block:
    """Return the block with other vectors, each of them also its image's one pattern."""
    return Block(block.ids, block.sources, vectors, vectors, np.arange(len(block) + 1, dtype=np.int64))


def _stream(model: Model, items: Sequence[Item], options: Options, *, name: Callable[[int], str]) -> Iterator[Embedded]:
    """Yield what becomes of images, with progress, and say which of them are bad."""
    with Progress(len(items), "images", enabled=options.progress) as bar:
        for part in embed_stream(model, items):
            for item, reason in part.failed:
                options.say(f"skipped {name(item)}: {reason}")
            for item, reason in part.transient:
                options.say(f"skipped for now {name(item)}: {reason} (the same command tries again)")
            bar.add(len(part.block) + len(part.failed) + len(part.transient))
            yield part


class _Pixels:
    """A model for `embed_stream` whose embedding of an image is its pixels, which float16 holds exactly."""

    name = "pixels"
    minibatch_size = 32

    def __init__(self, size: int) -> None:
        self.image_size, self.dim = size, 3 * size * size

    def embed(
        self, pixels: NDArray[np.uint8], **_: Any
    ) -> tuple[NDArray[np.float16], NDArray[np.float16], NDArray[np.int64]]:
        flat = pixels.reshape(len(pixels), -1).astype(np.float16)
        return flat, flat, np.arange(len(flat) + 1, dtype=np.int64)

    def lanes(self) -> nullcontext[int]:
        return nullcontext(1)


# -- the command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `labelqueue pretext`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    images = parser.add_mutually_exclusive_group(required=True)
    images.add_argument("project", nargs="?", type=int, metavar="PROJECT", help="id of a connected project")
    images.add_argument("--images", type=Path, metavar="DIR", help="a folder instead, searched with its subfolders")
    parser.add_argument(
        "--size", type=image_side, default=SIZE, metavar="PX", help=f"side the images are squashed to (default: {SIZE})"
    )
    parser.add_argument(
        "--epochs", type=at_least(1), metavar="N", help=f"passes over the images (default: {EPOCHS}, or as before)"
    )
    parser.add_argument(
        "--seed", type=int, metavar="S", help="another seed, another network (default: 0, or as before)"
    )
    parser.add_argument("--retrain", action="store_true", help="train anew although a network is stored")
    parser.add_argument(
        "--cache", type=Path, metavar="DIR", help="with --images: where features are kept (default: LABELQUEUE_HOME)"
    )


def run(args: argparse.Namespace) -> int:
    """Run `labelqueue pretext`; errors and Ctrl-C are left to the caller.

    Returns
    -------
    int
        0.
    """
    deployment = Deployment.from_environment()
    options = Options(size=args.size, epochs=args.epochs, seed=args.seed, retrain=args.retrain)
    if args.images is not None:
        rows = pretext_folder(args.images, args.cache or deployment.home / "select", options)
        print(f"{args.images}: {len(rows)} images have rotation features")
        return 0
    runtime = Runtime(deployment)
    project = Project.find(runtime.store, deployment.label_studio_url, args.project)
    generation = pretext_project(runtime, project, options)
    count = len(runtime.cache(project, generation).rows())
    print(f"project {project.ref.id}: {count} images have rotation features")
    if project.settings()["bal_features"] != "rotation":
        print(f"BAL uses them after `labelqueue set {project.ref.id} bal_features=rotation`")
    return 0
