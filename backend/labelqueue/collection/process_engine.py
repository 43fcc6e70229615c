"""Embedding in this process: images are read ahead of the model by threads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from ..images import Embedded, Embedder, Item, embed_stream
from .source import reader

__all__ = ["embed_here"]

READERS = {True: 4, False: 32}  # threads that read, from disks and over the network


def embed_here(work: Sequence[tuple[int, str]], embedder: Embedder, patterns: int) -> Iterator[Embedded]:
    """Embed images in this process.

    Parameters
    ----------
    work : sequence of (int, str)
        A number for each image, and its address.
    embedder : Embedder
    patterns : int

    Yields
    ------
    Embedded
        Ids are those numbers.
    """
    read = reader()
    items = [Item(number, uri, partial(read, uri)) for number, uri in work]
    local = "://" not in work[0][1]
    yield from embed_stream(embedder, items, n_patterns=patterns, readers=READERS[local])
