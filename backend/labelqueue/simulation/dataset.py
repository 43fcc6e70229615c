"""Labeled, embedded images to replay an annotation campaign on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..block import Block
from ..exceptions import LabelQueueError
from ..labels import Value
from ..offline import File, find_images
from .labels_file import Row

__all__ = ["Dataset", "Truth", "encode", "half_of", "locate"]

# Which labels hold: of shape (n,), int64, the class of each row, or of shape (n, c), bool, where several may.
Truth = NDArray[np.int64] | NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labeled, embedded images.

    Attributes
    ----------
    classes : tuple of str, length c
        Sorted by name.
    labels : ndarray of shape (n,), int64, or (n, c), bool
        Index into `classes` of each row; or, where several labels may hold, which of them do.
    test : ndarray of shape (n,), bool, or None
        The test set of the label file, if it names one.
    rows : Block
        Embeddings, row `i` being that of `labels[i]`; ids ascend.
    """

    classes: tuple[str, ...]
    labels: Truth
    test: NDArray[np.bool_] | None
    rows: Block

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def multi(self) -> bool:
        """Whether several labels may hold for an image."""
        return self.labels.ndim == 2

    def answer(self, row: int) -> Value:
        """Return what an annotator says who knows."""
        if self.multi:
            return tuple(self.classes[number] for number in np.flatnonzero(self.labels[row]))
        return self.classes[int(self.labels[row])]

    @classmethod
    def load(cls, rows: Sequence[Row], files: Sequence[File], embed: Callable[[Sequence[File]], Block]) -> Dataset:
        """Embed the files.

        Parameters
        ----------
        rows : sequence of Row
        files : sequence of File
            The file of each row; see `locate`.
        embed : callable
            Returns the rows of all readable files, ids being their places in `files`.
        """
        block = embed(files)
        return cls(*encode([rows[place] for place in block.ids.tolist()]), block)


def encode(rows: Sequence[Row]) -> tuple[tuple[str, ...], Truth, NDArray[np.bool_] | None]:
    """Return classes, labels and test set of some rows, as `Dataset` holds them."""
    unmarked = any(row.part is None for row in rows)
    test = None if unmarked else np.array([row.part == "test" for row in rows], dtype=np.bool_)
    if any(isinstance(row.label, tuple) for row in rows):
        names = tuple(sorted({name for row in rows for name in row.label}))
        shown = [[name in row.label for name in names] for row in rows]
        return names, np.array(shown, dtype=np.bool_).reshape(len(rows), len(names)), test
    classes = tuple(sorted({str(row.label) for row in rows}))
    index = {name: number for number, name in enumerate(classes)}
    return classes, np.array([index[str(row.label)] for row in rows], dtype=np.int64), test


def half_of(name: str) -> int:
    """Return 0 or 1: the half an image belongs to, by the hash of its path alone."""
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()[0] & 1


def locate(rows: Sequence[Row], directory: Path) -> tuple[list[File], int]:
    """Find the file of each row.

    Returns
    -------
    files : list of File
        One per row.
    others : int
        Images of the folder that no row names.

    Raises
    ------
    LabelQueueError
        If a row's file does not exist or is no image by its suffix; the first are named.
    """
    found = {file.uri.split("\0")[0]: file for file in find_images(directory)}
    missing = [row.file for row in rows if row.file not in found]
    if missing:
        some = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
        raise LabelQueueError(
            f"{len(missing)} of {len(rows)} files of the label file are no images in {directory}: {some}; "
            "paths are relative to the folder"
        )
    return [found[row.file] for row in rows], len(found) - len(rows)
