"""Which labels each image has: a CSV with a column of labels or a column per label, or a COCO file."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal

from ..exceptions import LabelQueueError
from ..labels import Value

__all__ = ["LabelFile", "Part", "Row", "check_classes", "listed", "part_of", "read_csv", "settled"]

Part = Literal["pool", "val", "test"]
# What a split may be called; COCO's have a year behind them.
PARTS: dict[str, Part] = {
    "": "pool", "train": "pool", "training": "pool", "pool": "pool",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
SEPARATOR = "|"
PRESENT = {"1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False}
NAMED = 8  # names that a note lists


@dataclass(frozen=True)
class Row:
    """One image.

    Attributes
    ----------
    file : str
        Path relative to the folder of images, with slashes.
    label : Value
        Its class, or the sorted labels that it shows, of which there may be none.
    part : {'pool', 'val', 'test'} or None
        What the file puts it to; None when the file names no split.
    """

    file: str
    label: Value
    part: Part | None = None


@dataclass(frozen=True)
class LabelFile:
    """What a file says of images.

    Attributes
    ----------
    rows : list of Row
        Each file once; marked val is none.
    multi : bool
        Whether an image may show several labels, or none.
    notes : tuple of str
        What was made of the file, for people: what nobody asked for must not happen in silence.
    """

    rows: list[Row]
    multi: bool
    notes: tuple[str, ...] = ()


def read_csv(path: Path, separator: str | None = None) -> LabelFile:
    """Read the columns `file`, `label` and, if there is one, `split`; or, without `label`, a column per label.

    Parameters
    ----------
    path : Path
    separator : str, optional
        What stands between the labels of one image; empty: a cell is one label, whatever is in it. Default: ``|``
        where some cell has one, else every image has one class.

    Notes
    -----
    Where several labels may hold, an empty cell is an image that shows none of them. Without a column `label`, every
    column that holds only 1 and 0 (or true and false) is a label. Other columns are left out.

    Raises
    ------
    LabelQueueError
        If the file cannot be read, a column or a value is missing or means nothing, a file comes twice and not with
        the same values, or there is nothing to tell apart.
    """
    names, every = _lines(path)
    lines, repeated = _once(every)
    files = _files(lines, path)
    parts = [
        part_of(line["split"] or "", f"{path}, line {number}") if "split" in names else None for number, line in lines
    ]
    several = True
    if "label" in names:
        labels, several, notes = _cells(lines, path, separator)
    elif separator:
        raise LabelQueueError(f"{path} has no column 'label' whose cells --separator could divide")
    else:
        labels, notes = _columns(names, lines, path)
    rows = [Row(*row) for row in zip(files, labels, parts, strict=True)]
    kept, more = settled(rows, path)
    found = LabelFile(kept, several, (*notes, *repeated, *more))
    check_classes(found.rows, str(path))
    return found


def _lines(path: Path) -> tuple[list[str], list[tuple[int, dict[str, str | None]]]]:
    """Return the names of the columns, and each line with its number."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            names = list(reader.fieldnames or [])
            lines = [(reader.line_num, line) for line in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LabelQueueError(f"{path} cannot be read as a CSV file: {error}") from error
    if "file" not in names:
        raise _lacks(path, names, "file")
    for name in names:
        if name and names.count(name) > 1:
            raise LabelQueueError(f"{path} has the column {name!r} twice: leave one of them out")
    for number, line in lines:
        if None in line:
            raise LabelQueueError(
                f"{path}, line {number}: more values than columns; put quotes around one with a comma"
            )
    return names, lines


def _once(
    lines: Sequence[tuple[int, dict[str, str | None]]],
) -> tuple[list[tuple[int, dict[str, str | None]]], list[str]]:
    """Return the lines without those that say the same as one before them, and a note of these."""
    first: dict[tuple[str | None, ...], int] = {}
    again = [number for number, line in lines if first.setdefault(tuple(line.values()), number) != number]
    if not again:
        return list(lines), []
    count = "1 line says" if len(again) == 1 else f"{len(again):,} lines say"
    note = f"note: {count} the same as one before, such as line {again[0]}; it counts once"
    kept = set(first.values())
    return [(number, line) for number, line in lines if number in kept], [note]


def _lacks(path: Path, names: Sequence[str], name: str) -> LabelQueueError:
    return LabelQueueError(
        f"{path} has no column {name!r}; its first line is {','.join(names)!r}, expected file,label (several labels of "
        "an image as a|b), or file and for each label a column of 1 and 0; and optionally split"
    )


def _files(lines: Iterable[tuple[int, dict[str, str | None]]], path: Path) -> list[str]:
    seen: dict[str, int] = {}
    for number, line in lines:
        if not (text := (line["file"] or "").strip()):
            raise LabelQueueError(f"{path}, line {number}: no file; give every image a file and a label")
        name = PurePosixPath(text).as_posix()
        if name in seen:
            raise LabelQueueError(f"{path}, line {number}: {name} is in line {seen[name]} already; one line per image")
        seen[name] = number
    return list(seen)


def _cells(
    lines: Sequence[tuple[int, dict[str, str | None]]], path: Path, separator: str | None
) -> tuple[list[Value], bool, list[str]]:
    """Return the labels of the column `label`, and whether several may hold."""
    cells = [(line["label"] or "").strip() for _, line in lines]
    several = bool(separator) or (separator is None and any(SEPARATOR in cell for cell in cells))
    if not several:
        for (number, _), cell in zip(lines, cells, strict=True):
            if not cell:
                raise LabelQueueError(
                    f"{path}, line {number}: no label; give every image a label, or say --separator '{SEPARATOR}' "
                    "where an image may show several of them or none"
                )
        return list(cells), False, []
    between = separator or SEPARATOR
    labels: list[Value] = [
        tuple(sorted({name.strip() for name in cell.split(between) if name.strip()})) for cell in cells
    ]
    names = sorted({name for label in labels for name in label})
    how = f"with '{between}' between them" if any(between in cell for cell in cells) else f"though none has '{between}'"
    return labels, True, [
        f"note: {path} has several labels for an image, {how}: {listed(names)}; where '{between}' belongs to the name "
        "of a class, say --separator none"
    ]  # fmt: skip


def _columns(
    names: Sequence[str], lines: Sequence[tuple[int, dict[str, str | None]]], path: Path
) -> tuple[list[Value], list[str]]:
    """Return the labels of a column each."""
    labels: list[str] = []
    others: list[str] = []
    for name in names:
        if name in ("file", "split", ""):
            continue
        cells = [(number, (line[name] or "").strip()) for number, line in lines]
        strange = [(number, cell) for number, cell in cells if cell.lower() not in PRESENT]
        if strange and 2 * len(strange) <= len(cells):
            number, cell = strange[0]
            raise LabelQueueError(
                f"{path}, line {number}: {cell or 'nothing'!r} in the column {name!r}; a column per label holds 1 or 0 "
                "everywhere: write one of them, or leave out the column if it is no label"
            )
        (others if strange or not cells else labels).append(name)
    if not labels and lines:
        raise _lacks(path, names, "label")
    found: list[Value] = [
        tuple(sorted(name for name in labels if PRESENT[(line[name] or "").strip().lower()])) for _, line in lines
    ]
    shown = {name for label in found for name in label}
    notes = [f"note: {path} has several labels for an image, a column for each: {listed(sorted(shown))}"]
    if others:
        notes.append(f"note: no labels, since they hold other values than 1 and 0: {listed(others)}")
    if never := [name for name in labels if name not in shown]:
        notes.append(f"note: left out, since no image shows them: {listed(never)}")
    return found, notes


def part_of(text: str, where: str) -> Part:
    """Return what a value of `split` means; a year behind it, as in ``train2017``, is COCO's and changes nothing.

    Raises
    ------
    LabelQueueError
        If it means nothing.
    """
    name = re.sub(r"[-_ ]?\d{4}$", "", text.strip().lower())
    if name not in PARTS:
        known = ", ".join(name for name in PARTS if name)
        raise LabelQueueError(
            f"{where}: split is {text.strip()!r}; known are {known}, and an empty one, which is train"
        )
    return PARTS[name]


def settled(rows: Sequence[Row], path: Path) -> tuple[list[Row], list[str]]:
    """Return the rows that take part, and what is to be said of those that are marked val.

    They are the test set where no other is marked, as in COCO, whose test set has no labels; else they are left out.
    """
    val = sum(row.part == "val" for row in rows)
    if not val:
        return list(rows), []
    images = f"{val:,} images" if val > 1 else "1 image"
    if any(row.part == "test" for row in rows):
        said = f"note: {images} of {path} marked split=val are left out: neither labeled nor tested on"
        return [row for row in rows if row.part != "val"], [said]
    said = (
        f"note: no image of {path} is marked test: the {images} marked split=val "
        f"{'count' if val > 1 else 'counts'} as it"
    )
    return [replace(row, part="test") if row.part == "val" else row for row in rows], [said]


def check_classes(rows: Sequence[Row], where: str) -> None:
    """Refuse rows of which no model can be trained.

    Raises
    ------
    LabelQueueError
        If there are fewer than two classes, or no label that some images show and others do not.
    """
    labels = [row.label for row in rows]
    found = sorted({label for label in labels if isinstance(label, str)})
    if any(isinstance(label, tuple) for label in labels):
        if len(set(labels)) < 2:
            raise LabelQueueError(f"{where} shows the same labels on every image; there is nothing to tell apart")
    elif len(found) < 2:
        what = f"only the class {found[0]!r}" if found else "no image"
        raise LabelQueueError(f"{where} has {what}; at least two classes are needed")


def listed(names: Sequence[str]) -> str:
    """Return names for people, the first few where there are many."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
