"""The ledger of a copy: which rows of its files are which block, and whether the files are as they were left."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..files import write_atomically

__all__ = ["COLUMNS", "ENTRY", "Ledger", "files_of"]

FORMAT = 1
SEAL = "seal.json"
# Of a block: its name and checksum in Redis, where its rows and patterns begin, how many there are, and a checksum of
# them here.
ENTRY = np.dtype(
    [
        ("name", "S24"),
        ("digest", "S64"),
        ("start", "<i8"),
        ("rows", "<i8"),
        ("first", "<i8"),
        ("patterns", "<i8"),
        ("crc", "<u4"),
    ]
)
# Of a row: the task, hashes of its image's URI and of the image, and its patterns: where they begin, and how many.
COLUMNS = np.dtype([("id", "<i8"), ("source", "<u8"), ("hash", "<u8"), ("first", "<i8"), ("count", "<i8")])
PARTS = ("ledger", "columns", "embeddings", "patterns")


def files_of(folder: Path, serial: int) -> dict[str, Path]:
    """Return the files of one set, which only ever grow; another set has another number."""
    return {part: folder / f"{part}-{serial:06d}" for part in PARTS}


@dataclass(frozen=True, eq=False)
class Ledger:
    """What the files of a copy hold.

    Attributes
    ----------
    serial : int
        Number of the set of files.
    dimension : int
        Numbers of each vector; 0 while there are no rows.
    several : bool
        Whether patterns are kept; else each vector is its image's pattern.
    entries : ndarray of shape (b,), `ENTRY`
        The blocks, in the sequence in which they came.
    sealed : mapping
        What the files looked like when they were sealed: name to size, times and number.
    written : int
        Blocks that are in the ledger's file.
    """

    serial: int = 1
    dimension: int = 0
    several: bool = False
    entries: NDArray[Any] = field(default_factory=lambda: np.empty(0, ENTRY))
    sealed: Mapping[str, Any] = field(default_factory=dict)
    written: int = 0

    @classmethod
    def read(cls, folder: Path) -> Ledger:
        """Return what was sealed; an empty ledger where there is nothing that this version reads."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            facts = json.loads((folder / SEAL).read_bytes())
            if facts["format"] == FORMAT:
                serial, count = int(facts["serial"]), int(facts["blocks"])
                path = files_of(folder, serial)["ledger"]
                with path.open("rb") as file:
                    entries = np.frombuffer(file.read(count * ENTRY.itemsize), ENTRY)
                if len(entries) == count:
                    return cls(serial, int(facts["dimension"]), bool(facts["several"]), entries, facts["files"], count)
        # Somebody may still have mapped what is there.
        taken = [int(path.name[-6:]) for path in folder.glob(f"*-{6 * '[0-9]'}")]
        return cls(serial=max(taken, default=0) + 1)

    @property
    def rows(self) -> int:
        """Number of rows in the files, those of blocks that are no more included."""
        return int((self.entries["start"] + self.entries["rows"]).max(initial=0))

    @property
    def patterns(self) -> int:
        """Number of patterns in the files."""
        return int((self.entries["first"] + self.entries["patterns"]).max(initial=0))

    def sizes(self) -> dict[str, int]:
        """Return how many bytes of each file are used."""
        vector = 2 * self.dimension
        used = (len(self.entries) * ENTRY.itemsize, self.rows * COLUMNS.itemsize, self.rows * vector)
        return dict(zip(PARTS, (*used, self.patterns * vector if self.several else 0), strict=True))

    def intact(self, folder: Path) -> bool:
        """Tell whether nobody wrote the files since they were sealed: it reads none of them."""
        return bool(self.sealed) and _seen(folder, self.serial) == self.sealed

    def added(self, entries: Iterable[tuple[Any, ...]]) -> Ledger:
        """Return the ledger with more blocks."""
        return replace(self, entries=np.concatenate([self.entries, np.array(list(entries), ENTRY)]))

    def seal(self, folder: Path) -> Ledger:
        """Write it down: from here on these rows count. What it speaks of is on the disk already."""
        files = files_of(folder, self.serial)
        # Like all files of a copy: only its owner reads and writes it.
        with os.fdopen(os.open(files["ledger"], os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
            file.seek(self.written * ENTRY.itemsize)
            file.write(self.entries[self.written :].tobytes())
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
        seen = _seen(folder, self.serial)
        facts = {
            "format": FORMAT,
            "serial": self.serial,
            "blocks": len(self.entries),
            "dimension": self.dimension,
            "several": self.several,
            "files": seen,
        }
        write_atomically(folder / SEAL, json.dumps(facts).encode())
        return replace(self, sealed=seen, written=len(self.entries))


def _seen(folder: Path, serial: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part, path in files_of(folder, serial).items():
        with contextlib.suppress(FileNotFoundError):
            state = path.stat()
            found[part] = [state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino]
    return found
