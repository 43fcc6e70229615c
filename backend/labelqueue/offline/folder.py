"""Embeddings of a folder's images, kept between runs of `labelqueue select` and `labelqueue simulate`."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..block import Block, concatenate, source_hash
from ..exceptions import CacheError, LabelQueueError
from ..files import read_file, write_atomically
from ..images import SUFFIXES, describe_left_out, list_images

__all__ = ["File", "FolderCache", "find_images"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class File:
    """One image file.

    Attributes
    ----------
    path : Path
        Where it is.
    uri : str
        Relative path, size and time of the last change: another file, or another content, is another URI.
    """

    path: Path
    uri: str

    def read(self) -> bytes:
        """Return the content.

        Raises
        ------
        ImageError
            If it cannot be read (any more); whether it is an image is not looked at.
        """
        return read_file(self.path)

    @property
    def source(self) -> int:
        """The 64-bit hash of the URI, as stored with the file's row."""
        return source_hash(self.uri)


def find_images(directory: Path, say: Callable[[str], None] | None = None) -> list[File]:
    """Return the image files below a directory, sorted by relative path; hidden files and folders are left out.

    Parameters
    ----------
    directory : Path
        The folder.
    say : callable, optional
        Gets one line about the files that are no images by their suffix, if there are such.

    Raises
    ------
    LabelQueueError
        If the directory does not exist or holds no image file.
    """
    if not directory.is_dir():
        raise LabelQueueError(f"{directory} is not a folder")
    listing = list_images(directory)
    left_out = describe_left_out(listing.left_out)
    found = []
    for name in listing.images:
        with contextlib.suppress(OSError):  # removed meanwhile
            facts = (directory / name).stat()
            found.append(File(directory / name, f"{name.as_posix()}\0{facts.st_size}\0{facts.st_mtime_ns}"))
    if not found:
        suffixes = ", ".join(sorted(SUFFIXES))
        raise LabelQueueError(f"{directory} holds no images; looked for {suffixes}{left_out and f' ({left_out})'}")
    if say and left_out:
        say(left_out)
    return found


class FolderCache:
    """Block files of one folder under one generation.

    Parameters
    ----------
    root : Path
        The cache directory.
    directory : Path
        The folder of images.
    generation : str
        Fingerprint of model, weights and parameters.
    """

    def __init__(self, root: Path, directory: Path, generation: str) -> None:
        owner = hashlib.sha256(os.fsencode(directory.resolve())).hexdigest()[:16]
        self.path = root / owner / generation

    def load(self) -> Block:
        """Return all rows; a damaged file is removed, its images count as not embedded."""
        blocks = []
        for file in sorted(self.path.glob("*.block")):
            try:
                blocks.append(Block.from_bytes(file.read_bytes()))
            except (CacheError, OSError) as error:
                log.warning("%s is not used, its images are embedded again: %s", file, error)
                file.unlink(missing_ok=True)
        return concatenate(blocks)

    def put(self, block: Block) -> None:
        """Store a block: the file appears whole or not at all.

        Raises
        ------
        LabelQueueError
            If the cache directory cannot be written to.
        """
        if not len(block):
            return
        data = block.to_bytes()
        try:
            write_atomically(self.path / f"{hashlib.sha256(data).hexdigest()[:32]}.block", data)
        except OSError as error:
            raise LabelQueueError(
                f"the cache {self.path} cannot be written ({error}): choose another with --cache DIR"
            ) from error
