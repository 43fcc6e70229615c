"""Embedding what a collection lacks: what is done is left alone, and all that is done is kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..block import Block, concatenate
from ..exceptions import CollectionError
from ..images import Embedded, Embedder
from ..progress import Progress, write_line
from .directory import Collection, Failure
from .part import WHOLE, Part
from .process_engine import embed_here
from .shards import read_sources, write_shard
from .source import Picture, find_pictures, nameable

__all__ = ["Options", "embed"]

ROWS, SECONDS = 4096, 60.0  # of a shard, and between two of them: what a kill can cost
HOPELESS = 1000  # images in a row that could not be fetched: it is not the images
SHOWN = 5  # bad images that are named
_NO_TEXT = "its name is no valid text (UTF-8): rename it"


@dataclass(frozen=True)
class Options:
    """How to embed.

    Attributes
    ----------
    patterns : int
        Semantic patterns per image.
    part : Part
        Which share of the images.
    weights : Path, optional
        The model's file, for the actors of Ray.
    engine : {'process', 'ray'}
        Who does the work: this process, or actors on a Ray cluster.
    actors : int, optional
        Of Ray; default: one for each GPU of the cluster, else one for each CPU.
    column : str
        Of a manifest, where the addresses are.
    retry : bool
        Whether images that are known to be bad are tried again.
    progress : bool
        Whether to show progress on standard error.
    say : callable
        Gets notes for people, one line each.
    """

    patterns: int = 1
    part: Part = WHOLE
    weights: Path | None = None
    engine: str = "process"
    actors: int | None = None
    column: str = "uri"
    retry: bool = False
    progress: bool = True
    say: Callable[[str], None] = write_line


def embed(source: str, directory: Path, embedder: Embedder, options: Options) -> dict[str, Any]:
    """Embed the images of a source that a collection lacks.

    Parameters
    ----------
    source : str
        See `find_pictures`.
    directory : Path
        Of the collection; made when it is missing.
    embedder : Embedder
        The model.
    options : Options

    Returns
    -------
    dict
        JSON: what became of the part's images. ``images`` is the sum of ``here`` (before), ``embedded`` (now), ``bad``
        and ``again``, those that could not be fetched this time.

    Raises
    ------
    CollectionError
        If there is no such source, the directory is another model's or cannot be written, or nothing can be fetched.
    """
    begin, part = time.monotonic(), options.part
    pictures = find_pictures(source, column=options.column, part=part, say=options.say)
    collection = Collection.make(directory, embedder.card, options.patterns, embedder.dim)
    if part != WHOLE and not pictures:
        options.say(f"note: part {part} has no images")
    record = {"source": source, "images": len(pictures)}
    collection.note(part, {**record, "complete": False})
    missing, here, bad = _missing(collection, pictures, retry=options.retry)
    writer = _Writer(collection, missing)
    with Progress(len(missing), "images", enabled=options.progress) as bar:
        try:
            for done in _engine(missing, embedder, options):
                writer.add(done)
                bar.add(len(done.block) + len(done.failed) + len(done.transient))
        except KeyboardInterrupt:
            writer.flush()
            options.say(
                f"\nstopped: {bar.done:,} of {len(missing):,} images are done and kept, the same command goes on"
            )
            raise
        finally:
            writer.flush()
    told = {
        **record,
        "collection": str(directory),
        "part": str(part),
        "engine": options.engine,
        "here": here,
        "embedded": writer.embedded,
        "bad": bad + len(writer.bad),
        "again": len(writer.again),
        "reasons": [f"{failure.uri}: {failure.reason}" for failure in [*writer.bad, *writer.again][:SHOWN]],
        "model": collection.told,
        "fingerprint": collection.fingerprint,
        "dimension": collection.dimension,
        "patterns": collection.n_patterns,
        "seconds": round(time.monotonic() - begin, 1),
    }
    kept = ("here", "embedded", "bad", "again", "engine", "seconds")
    collection.note(part, {**record, "complete": not writer.again, **{name: told[name] for name in kept}})
    return told


def _missing(collection: Collection, pictures: Sequence[Picture], *, retry: bool) -> tuple[list[Picture], int, int]:
    """Return what is neither embedded nor known to be bad, and how many are each."""
    done = read_sources(collection)
    sources = np.fromiter((picture.source for picture in pictures), np.uint64, len(pictures))
    here = np.isin(sources, done)
    known = set() if retry else {Picture(one.uri, one.version) for one in collection.failures() if not one.again}
    lacking = [picture for picture, there in zip(pictures, here.tolist(), strict=True) if not there]
    missing = [picture for picture in lacking if picture not in known]
    return missing, int(here.sum()), len(lacking) - len(missing)


def _engine(missing: Sequence[Picture], embedder: Embedder, options: Options) -> Iterator[Embedded]:
    """Yield what becomes of the images, ids being places in `missing`."""
    odd = [(place, _NO_TEXT) for place, picture in enumerate(missing) if not nameable(picture.uri)]
    if odd:
        yield Embedded(concatenate([]), odd)
    work = [(place, picture.uri) for place, picture in enumerate(missing) if nameable(picture.uri)]
    if not work:
        return
    if options.engine == "ray":
        from .ray_engine import embed_on_ray

        yield from embed_on_ray(work, embedder, options.patterns, weights=options.weights, actors=options.actors)
    else:
        yield from embed_here(work, embedder, options.patterns)


class _Writer:
    """Gathers rows into shards and writes them when there are enough, or a minute went by."""

    def __init__(self, collection: Collection, pictures: Sequence[Picture]) -> None:
        self._collection, self._pictures = collection, pictures
        self._blocks: list[Block] = []
        self._failures: list[Failure] = []
        self._rows = self._lost = self.embedded = 0
        self._written = time.monotonic()
        self.bad: list[Failure] = []
        self.again: list[Failure] = []

    def add(self, done: Embedded) -> None:
        """Take what was done."""
        for found, again in ((done.failed, False), (done.transient, True)):
            rows = [self._failure(place, reason, again=again) for place, reason in found]
            (self.again if again else self.bad).extend(rows)
            self._failures.extend(rows)
        if len(done.block):
            self._blocks.append(done.block)
            self._rows += len(done.block)
        self._lost = 0 if len(done.block) or done.failed else self._lost + len(done.transient)
        if self._rows >= ROWS or time.monotonic() >= self._written + SECONDS:
            self.flush()
        if self._lost >= HOPELESS:
            raise CollectionError(
                f"the last {self._lost:,} images could not be fetched, such as {self.again[-1].uri}: "
                f"{self.again[-1].reason}; what was embedded before is kept, and the same command goes on"
            )

    def _failure(self, place: int, reason: str, *, again: bool) -> Failure:
        picture = self._pictures[place]
        return Failure(picture.uri, picture.version, reason, again)

    def flush(self) -> None:
        """Write what there is."""
        self._written = time.monotonic()
        failures, self._failures = self._failures, []
        self._collection.fail(failures)
        if not self._rows:
            return
        block, self._blocks, self._rows = concatenate(self._blocks), [], 0
        pictures = [self._pictures[place] for place in block.ids.tolist()]
        block = replace(block, sources=np.array([picture.source for picture in pictures], np.uint64))
        uris, versions = [picture.uri for picture in pictures], [picture.version for picture in pictures]
        write_shard(self._collection, uris, versions, block)
        self.embedded += len(block)
