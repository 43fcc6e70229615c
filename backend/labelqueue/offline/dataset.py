"""Labeled images to replay an annotation campaign on: the CSV, the rows, pool and test set."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from ..block import Block
from ..exceptions import LabelQueueError
from .folder import File, find_images

__all__ = ["Dataset", "Row", "Split", "check_classes", "encode", "half_of", "locate", "read_rows", "split"]

TEST = "test"  # value of the column `split`
HELD_OUT = 5  # one image in so many is held out where the CSV names no test set


@dataclass(frozen=True)
class Row:
    """One line of the CSV.

    Attributes
    ----------
    file : str
        Path relative to the folder of images, with slashes.
    label : str
        The class, not empty.
    test : bool or None
        Whether it belongs to the test set; None when the CSV has no column `split`.
    """

    file: str
    label: str
    test: bool | None


@dataclass(frozen=True, eq=False)
class Split:
    """Which rows are annotated and which measure the model; rows of one dataset, ascending, never in both.

    Attributes
    ----------
    pool : ndarray of shape (p,), int64
    test : ndarray of shape (t,), int64
    """

    pool: NDArray[np.int64]
    test: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labeled, embedded images.

    Attributes
    ----------
    classes : tuple of str
        Sorted by name.
    labels : ndarray of shape (n,), int64
        Index into `classes` of each row.
    test : ndarray of shape (n,), bool, or None
        The test set of the CSV, if it names one.
    rows : Block
        Embeddings, row `i` being that of `labels[i]`; ids ascend.
    """

    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    test: NDArray[np.bool_] | None
    rows: Block

    def __len__(self) -> int:
        return int(self.labels.size)

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


def read_rows(path: Path) -> list[Row]:
    """Read the CSV: the columns `file` and `label`, and `split` if there is one; other columns are ignored.

    Raises
    ------
    LabelQueueError
        If the file cannot be read, a column or a value is missing, a file comes twice, all labels are the same, or
        there is a column `split` in which no row says `test`.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            names = reader.fieldnames or []
            missing = [name for name in ("file", "label") if name not in names]
            if missing:
                raise LabelQueueError(
                    f"{path} has no column {missing[0]!r}; its first line is {','.join(names)!r}, expected file,label "
                    "and optionally split"
                )
            lines = [(reader.line_num, line) for line in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LabelQueueError(f"{path} cannot be read as a CSV file: {error}") from error
    rows: list[Row] = []
    seen: dict[str, int] = {}
    for number, line in lines:
        if None in line:
            raise LabelQueueError(
                f"{path}, line {number}: more values than columns; put quotes around one with a comma"
            )
        for name in ("file", "label"):
            if not (line[name] or "").strip():
                raise LabelQueueError(f"{path}, line {number}: no {name}; give every image a file and a label")
        name = PurePosixPath(line["file"].strip()).as_posix()
        if name in seen:
            raise LabelQueueError(f"{path}, line {number}: {name} is in line {seen[name]} already; one line per image")
        seen[name] = number
        # A line that ends early has None here.
        test = (line["split"] or "").strip().lower() == TEST if "split" in names else None
        rows.append(Row(name, line["label"].strip(), test))
    if rows and "split" in names and not any(row.test for row in rows):
        raise LabelQueueError(
            f"{path} has a column split and no row says {TEST!r} there: mark the test set, or leave the column out and "
            "a fifth is held out"
        )
    check_classes(rows, str(path))
    return rows


def check_classes(rows: Sequence[Row], where: str) -> None:
    """Refuse rows of which no model can be trained.

    Raises
    ------
    LabelQueueError
        If the pool has fewer than two classes.
    """
    found = sorted({row.label for row in rows if not row.test})
    if len(found) < 2:
        what = f"only the class {found[0]!r}" if found else "no image"
        raise LabelQueueError(f"the pool of {where} has {what}; at least two classes are needed")


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
            f"{len(missing)} of {len(rows)} files of the CSV are no images in {directory}: {some}; "
            "paths are relative to the folder"
        )
    return [found[row.file] for row in rows], len(found) - len(rows)


def encode(rows: Sequence[Row]) -> tuple[tuple[str, ...], NDArray[np.int64], NDArray[np.bool_] | None]:
    """Return classes, labels and test set of some rows, as `Dataset` holds them."""
    classes = tuple(sorted({row.label for row in rows}))
    index = {name: number for number, name in enumerate(classes)}
    labels = np.array([index[row.label] for row in rows], dtype=np.int64)
    unmarked = any(row.test is None for row in rows)
    return classes, labels, None if unmarked else np.array([row.test for row in rows], dtype=np.bool_)


def split(labels: NDArray[np.int64], test: NDArray[np.bool_] | None, *, seed: int, imbalance: float = 1.0) -> Split:
    """Divide a dataset into pool and test set.

    Parameters
    ----------
    labels : ndarray of shape (n,), int64
        Classes from 0.
    test : ndarray of shape (n,), bool, or None
        The test set; None: a fifth of each class is drawn, at least one where the class has two.
    seed : int
        Of what is drawn.
    imbalance : float, default 1.0
        R in (0, 1]: class `r` keeps `R ** r` of its images in the pool, at least one. The test set stays as it is.
    """
    pool, held = [], []
    for number in range(int(labels.max()) + 1):
        # One stream per class: a class's images do not depend on how many another has.
        rng = np.random.default_rng([seed % 2**63, number])
        rows = np.flatnonzero(labels == number)
        if test is None:
            rows = rng.permutation(rows)
            count = max(1, round(rows.size / HELD_OUT)) if rows.size > 1 else 0
            held.append(rows[:count])
            rows = rows[count:]
        else:
            held.append(rows[test[rows]])
            rows = rng.permutation(rows[~test[rows]])
        pool.append(rows[: max(1, round(rows.size * imbalance**number))])
    return Split(np.sort(np.concatenate(pool)), np.sort(np.concatenate(held)))
