"""The list of chosen images: what `labelqueue select` printed, as csv, json or plain lines."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..exceptions import LabelQueueError

__all__ = ["Chosen", "read_chosen", "replaced"]

COLUMN = "path"
# What a browser of Label Studio can be sent to.
_SERVED = ("data:", "/data/upload/", "/data/local-files/", "/storage-data/")
_WAY_OUT = (
    "Label Studio shows addresses such as s3://… and https://…, or /data/local-files/?d=… of its local storage: "
    "say which one stands for the folder, such as --replace /mnt/photos=/data/local-files/?d=photos"
)


@dataclass(frozen=True)
class Chosen:
    """Images that shall become tasks.

    Attributes
    ----------
    addresses : list of str
        In the order of the list, each once.
    repeated : int
        How many rows named an image again.
    """

    addresses: list[str]
    repeated: int


def read_chosen(file: Path) -> Chosen:
    """Read a list of images.

    Parameters
    ----------
    file : Path
        A csv with a column ``path``, a json list of objects with ``path``, or one address a line; ``-`` is standard
        input. Other columns are not looked at.

    Raises
    ------
    LabelQueueError
        If it cannot be read, names no image, or a row has none.
    """
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise LabelQueueError(f"{file} cannot be read: {error}") from error
    rows = _json_rows(file, text) if text.lstrip().startswith("[") else _csv_rows(file, text)
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, str) or not row.strip():
            raise LabelQueueError(f"row {number:,} of {file} names no image")
    if not rows:
        raise LabelQueueError(f"{file} names no image")
    addresses = list(dict.fromkeys(str(row) for row in rows))
    return Chosen(addresses, len(rows) - len(addresses))


def _json_rows(file: Path, text: str) -> list[object]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise LabelQueueError(f"{file} is not JSON: {error}") from error
    return [row.get(COLUMN) if isinstance(row, dict) else row for row in found]


def _csv_rows(file: Path, text: str) -> list[object]:
    lines = [line for line in text.splitlines() if line.strip()]
    names = next(csv.reader(lines[:1]), [])
    if COLUMN in names:
        try:
            return [row[COLUMN] for row in csv.DictReader(io.StringIO(text), strict=True)]
        except csv.Error as error:
            raise LabelQueueError(f"{file} is not a whole csv file: {error}") from error
    if file.suffix.lower() == ".csv" or len(names) > 1:
        columns = ", ".join(names)
        raise LabelQueueError(f"{file} has the columns {columns} and no {COLUMN!r}, which `labelqueue select` writes")
    return [*lines]


def replaced(addresses: Sequence[str], changes: Sequence[tuple[str, str]]) -> list[str]:
    """Return addresses as Label Studio shall have them.

    Parameters
    ----------
    addresses : sequence of str
    changes : sequence of (str, str)
        A beginning and what takes its place; the first that fits counts.

    Raises
    ------
    LabelQueueError
        If Label Studio could not show one of them, a change fits none, or two become one.
    """
    found, used = [], set()
    for address in addresses:
        for old, new in changes:
            if address.startswith(old):
                address = new + address[len(old) :]
                used.add(old)
                break
        if "://" not in address and not address.startswith(_SERVED):
            raise LabelQueueError(f"{address} is a path on this machine, which Label Studio cannot show. {_WAY_OUT}")
        found.append(address)
    if idle := [old for old, _ in changes if old not in used]:
        raise LabelQueueError(f"--replace {idle[0]}=…: no image begins so; the first one is {addresses[0]}")
    if len(set(found)) < len(found):
        raise LabelQueueError("--replace makes one address of two images: nothing was imported")
    return found
