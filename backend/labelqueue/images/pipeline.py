"""Images in, blocks out: reading and decoding run ahead of the model, so that it never waits for a disk or a server."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..block import Block, concatenate, source_hash
from ..exceptions import ImageError, LabelQueueError, TransientImageError
from ..pixels import decode, decode_with_thumbnail

READERS = 4
Layer = Literal["penultimate", "last"]
T = TypeVar("T")
Decoded = tuple[NDArray[np.uint8], np.uint64, bytes]  # the square that the model sees, its hash, a thumbnail or nothing

__all__ = ["Embedded", "Item", "Model", "embed_stream", "read_ahead"]


@dataclass(frozen=True)
class Item:
    """One image to embed.

    Attributes
    ----------
    id : int
        Whose image: a task id, or a place in a folder.
    uri : str
        Which image; its `source_hash` is stored with the row.
    load : callable
        Returns the file's bytes; raises ImageError. Called in a thread.
    """

    id: int
    uri: str
    load: Callable[[], bytes]


@dataclass(frozen=True)
class Embedded:
    """What became of some items; every item is in exactly one place.

    Attributes
    ----------
    block : Block
        Rows of the images that went well, in the order of the items; may be empty.
    failed : list of (int, str)
        Ids of bad images, each with its reason: for good.
    transient : list of (int, str)
        Ids of images that could not be fetched this time, each with its reason: try them again.
    thumbnails : dict of int to bytes
        Id to the image's thumbnail, a WebP file, where thumbnails are asked for and one could be made. Also of an image
        that is decoded and not embedded yet, or that the model fails at.
    """

    block: Block
    failed: list[tuple[int, str]] = field(default_factory=list)
    transient: list[tuple[int, str]] = field(default_factory=list)
    thumbnails: dict[int, bytes] = field(default_factory=dict)


class Model(Protocol):
    """What we need of an `Embedder`."""

    dim: int
    image_size: int
    minibatch_size: int

    def embed(
        self,
        pixels: NDArray[np.uint8],
        *,
        n_patterns: int,
        attention_ratio: float = ...,
        neighborhood: int = ...,
        layer: Layer = ...,
    ) -> tuple[NDArray[np.float16], NDArray[np.float16], NDArray[np.int64]]:
        """Embed images; see `Embedder.embed`."""

    def lanes(self) -> AbstractContextManager[int]:
        """Tell how many threads may embed at once; see `Embedder.lanes`."""


def embed_stream(
    embedder: Model,
    items: Iterable[Item],
    *,
    n_patterns: int = 1,
    attention_ratio: float = 0.5,
    neighborhood: int = 2,
    layer: Layer = "penultimate",
    readers: int | None = None,
    block_size: int = 64,
    thumbnails: bool = False,
) -> Iterator[Embedded]:
    """Read, decode and embed images.

    Parameters
    ----------
    embedder : Embedder
        The model.
    items : iterable of Item
        Consumed a bounded number of images ahead of the model.
    n_patterns, attention_ratio, neighborhood, layer
        See `Embedder.embed`.
    readers : int, optional
        Threads that read and decode. Default: as many as the model says that it needs (`readers`), else 4.
    block_size : int, default 64
        Rows in a block, or a few more: blocks end where minibatches end.
    thumbnails : bool, default False
        Whether to cut thumbnails, from the pixels that are decoded for the model.

    Yields
    ------
    Embedded
        As soon as a block is full, and once more for the rest.

    Notes
    -----
    An image that fails, or whose numbers are not finite, is reported with its reason; it never becomes a zero vector
    (which diversity sampling would pick first). Other errors of ours, such as LabelStudioError, end the stream.
    """
    options: dict[str, Any] = {"n_patterns": n_patterns}
    if n_patterns > 1:
        options |= {"attention_ratio": attention_ratio, "neighborhood": neighborhood, "layer": layer}
    threads: int = readers or int(getattr(embedder, "readers", READERS))
    ready = _Ready()
    batch: list[tuple[Item, NDArray[np.uint8], np.uint64]] = []
    running: deque[Future[tuple[Block, list[tuple[int, str]]]]] = deque()
    ahead = 2 * embedder.minibatch_size + threads
    with (
        closing(read_ahead(items, _decoder(embedder.image_size, thumbnails), threads, ahead)) as images,
        embedder.lanes() as lanes,
    ):
        models = ThreadPoolExecutor(lanes, thread_name_prefix="labelqueue-model")
        try:
            for item, found in images:
                if isinstance(found, ImageError):
                    ready.report(item, found)
                else:
                    pixels, seen, thumbnail = found
                    batch.append((item, pixels, seen))
                    if thumbnail:
                        ready.thumbnails[item.id] = thumbnail
                if len(batch) == embedder.minibatch_size:
                    running.append(models.submit(_embed, embedder, batch, options))
                    batch = []
                    if len(running) > lanes:
                        ready.add(*running.popleft().result())
                    if ready.rows >= block_size:
                        yield ready.take()
            if batch:
                running.append(models.submit(_embed, embedder, batch, options))
            while running:
                ready.add(*running.popleft().result())
                if ready.rows >= block_size:
                    yield ready.take()
            if ready:
                yield ready.take()
        finally:
            models.shutdown(wait=True, cancel_futures=True)


class _Ready:
    """What is done and not handed out yet."""

    def __init__(self) -> None:
        self._blocks: list[Block] = []
        self._failed: list[tuple[int, str]] = []
        self._transient: list[tuple[int, str]] = []
        self.thumbnails: dict[int, bytes] = {}

    def __bool__(self) -> bool:
        return bool(self._blocks or self._failed or self._transient or self.thumbnails)

    @property
    def rows(self) -> int:
        return sum(map(len, self._blocks))

    def report(self, item: Item, error: ImageError) -> None:
        (self._transient if isinstance(error, TransientImageError) else self._failed).append((item.id, str(error)))

    def add(self, block: Block, failed: list[tuple[int, str]]) -> None:
        self._blocks.append(block)
        self._failed.extend(failed)

    def take(self) -> Embedded:
        done = Embedded(concatenate(self._blocks), self._failed, self._transient, self.thumbnails)
        self._blocks, self._failed, self._transient, self.thumbnails = [], [], [], {}
        return done


def _decoder(size: int, thumbnails: bool) -> Callable[[bytes], Decoded]:
    """Return what turns a file into a square of this size and its hash, and into a thumbnail if these are asked for.

    All of it in the threads that read: what the model's thread does besides, the next minibatch waits for.
    """
    from poolselect.perceptual_hash import perceptual_hash  # the command line knows images too, and embeds none at once

    def decoder(data: bytes) -> Decoded:
        pixels, thumbnail = decode_with_thumbnail(data, size) if thumbnails else (decode(data, size), b"")
        return pixels, perceptual_hash(pixels), thumbnail

    return decoder


def read_ahead(
    items: Iterable[Item], decoder: Callable[[bytes], T], readers: int, ahead: int
) -> Generator[tuple[Item, T | ImageError], None, None]:
    """Read and decode images in threads, some of them ahead of whoever takes them.

    Parameters
    ----------
    items : iterable of Item
    decoder : callable
        Gets a file's bytes; raises ImageError.
    readers : int
        Threads.
    ahead : int
        Decoded images that are held at most.

    Yields
    ------
    (Item, object or ImageError)
        Every item, in order, with what the decoder made of it or what is wrong. Other errors of ours end it.
    """

    def load(item: Item) -> T | ImageError:
        try:
            return decoder(item.load())
        except ImageError as error:
            return error
        except LabelQueueError:
            raise  # not the image's fault: without Label Studio or with a refused key no image can be read
        except Exception as error:
            # Whatever is odd about one image or address, however it shows, the others need not suffer from it.
            reason = " ".join(str(error).split())[:300]
            return ImageError(f"reading the image failed with {type(error).__name__}: {reason}")

    waiting: deque[tuple[Item, Future[T | ImageError]]] = deque()
    pool = ThreadPoolExecutor(readers, thread_name_prefix="labelqueue-reader")
    try:
        for item in items:
            waiting.append((item, pool.submit(load, item)))
            # The model need not wait for an item that is slow to come, only for the turn of those that are here.
            while waiting and (len(waiting) >= ahead or waiting[0][1].done()):
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
    finally:
        # Also reached when the caller stops early or Ctrl-C ends the program: what has not begun is dropped.
        pool.shutdown(wait=False, cancel_futures=True)


def _embed(
    embedder: Model, batch: list[tuple[Item, NDArray[np.uint8], np.uint64]], options: dict[str, Any]
) -> tuple[Block, list[tuple[int, str]]]:
    embeddings, patterns, offsets = embedder.embed(np.stack([pixels for _, pixels, _ in batch]), **options)
    counts = np.diff(offsets)
    # reduceat needs at least one pattern per image, which `embed` promises.
    good = np.isfinite(embeddings).all(axis=1)
    good &= np.logical_and.reduceat(np.isfinite(patterns).all(axis=1), offsets[:-1])
    bad = [
        (item.id, f"the model {getattr(embedder, 'name', '')!r} gives numbers that are not finite for this image")
        for (item, _, _), fine in zip(batch, good, strict=True)
        if not fine
    ]
    block = Block(
        ids=np.array([item.id for item, _, _ in batch], dtype=np.int64)[good],
        sources=np.array([source_hash(item.uri) for item, _, _ in batch], dtype=np.uint64)[good],
        embeddings=embeddings[good],
        patterns=patterns[np.repeat(good, counts)],
        offsets=np.concatenate([[0], np.cumsum(counts[good])]).astype(np.int64),
        hashes=np.array([seen for _, _, seen in batch], dtype=np.uint64)[good],
    )
    return block, bad
