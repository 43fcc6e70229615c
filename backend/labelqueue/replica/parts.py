"""The parts of a copy: each holds what one of a project's hashes says, and takes over single fields of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..block import source_hash
from ..labels import NO_VALUE, Target, Verdicts
from ..state import PatternCache, parse_labels, parse_tasks, text
from .table import Table

__all__ = ["LabelPart", "Part", "SumPart", "TablePart", "ValuePart", "bad_part", "row_part", "task_part"]

Columns = tuple[NDArray[Any], ...]
Parse = Callable[[Sequence[bytes]], Columns]


class Part(Protocol):
    """What a copy holds of one hash.

    Attributes
    ----------
    name : str
        In the change stream.
    key : str
        Of the hash.
    """

    name: str
    key: str

    def fill(self, parts: Iterator[Mapping[bytes, bytes]]) -> None:
        """Take over the whole hash; see `store.scan_fields`."""

    def take(self, ids: NDArray[np.int64], raws: Sequence[bytes | None]) -> None:
        """Take over what some fields are now, None for one that is gone."""

    def field(self, number: int) -> str:
        """Return the name of the field that the change stream calls so."""

    def fits(self, fields: int) -> bool:
        """Tell whether the hash can have so many fields."""


class TablePart:
    """A hash with a field per task, as a table.

    Parameters
    ----------
    name, key : str
    parse : callable
        Turns the values of fields into columns.
    """

    def __init__(self, name: str, key: str, parse: Parse) -> None:
        self.name, self.key, self._parse = name, key, parse
        self.table = Table(np.empty(0, np.int64), parse([]))

    def fill(self, parts: Iterator[Mapping[bytes, bytes]]) -> None:
        """Take over the whole hash."""
        ids, found = [self.table.ids[:0]], [tuple(column[:0] for column in self.table.columns)]
        for part in parts:
            ids.append(np.fromiter(map(int, part), dtype=np.int64, count=len(part)))
            found.append(self._parse(list(part.values())))
        self.table = Table.of(np.concatenate(ids), [np.concatenate(column) for column in zip(*found, strict=True)])

    def take(self, ids: NDArray[np.int64], raws: Sequence[bytes | None]) -> None:
        """Take over what some fields are now."""
        here = np.array([raw is not None for raw in raws], dtype=np.bool_)
        found = Table(ids[here], self._parse([raw for raw in raws if raw is not None]))
        self.table = self.table.updated(ids, found)

    def field(self, number: int) -> str:
        """Return the name of a task's field."""
        return str(number)

    def fits(self, fields: int) -> bool:
        """Tell whether the hash can have so many fields."""
        return fields == len(self.table)


def task_part(key: str) -> TablePart:
    """Return the part of the tasks: columns states and sources."""
    return TablePart("tasks", key, parse_tasks)


def row_part(cache: PatternCache) -> TablePart:
    """Return the part that tells which images are embedded: column sources."""
    return TablePart(cache.rows_part, cache.rows_key, _parse_rows)


def bad_part(key: str) -> TablePart:
    """Return the part of the images that cannot be used: columns sources and reasons."""
    return TablePart("quarantine", key, _parse_bad)


def _parse_rows(raws: Sequence[bytes]) -> Columns:
    if all(len(raw) == 16 for raw in raws):
        return (np.frombuffer(bytes.fromhex(b"".join(raws).decode()), dtype=">u8").astype(np.uint64),)
    return (np.array([int(raw, 16) for raw in raws], dtype=np.uint64),)


def _parse_bad(raws: Sequence[bytes]) -> Columns:
    rows = [json.loads(raw) for raw in raws]
    sources = np.array([source_hash(row.get("uri", "")) for row in rows], dtype=np.uint64)
    reasons = np.empty(len(rows), dtype=object)
    reasons[:] = [row.get("reason", "") for row in rows]
    return sources, reasons


class ValuePart(TablePart):
    """The tasks' values of the field that the setting `balance` names: column codes.

    Parameters
    ----------
    key : str
    """

    def __init__(self, key: str) -> None:
        self._code: dict[str, int] = {NO_VALUE: 0}  # as they came; they are told sorted
        super().__init__("balance", key, self._coded)

    def of(self, ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
        """Return the code of each task's value, and the values by code: those there are, sorted."""
        nothing = Table(ids, (np.zeros(ids.size, np.int64),))
        whole = nothing.updated(np.intersect1d(ids, self.table.ids), self._among(ids))
        (codes,) = whole.columns
        names = list(self._code)
        used = [code for code, count in enumerate(np.bincount(codes, minlength=len(names)).tolist()) if count]
        rank = {code: place for place, code in enumerate(sorted(used, key=lambda code: names[code]))}
        order = np.array([rank.get(code, -1) for code in range(len(names))], dtype=np.int64)
        return order[codes], tuple(sorted(names[code] for code in used))

    def _among(self, ids: NDArray[np.int64]) -> Table:
        here = np.isin(self.table.ids, ids, assume_unique=True)
        return Table(self.table.ids[here], tuple(column[here] for column in self.table.columns))

    def _coded(self, raws: Sequence[bytes]) -> Columns:
        code = self._code
        return (np.array([code.setdefault(text(raw), len(code)) for raw in raws], dtype=np.int64),)


class SumPart:
    """The checksums of a cache's blocks.

    Parameters
    ----------
    cache : PatternCache

    Attributes
    ----------
    mark : str
        How far the cache is filled, and with what.
    """

    def __init__(self, cache: PatternCache) -> None:
        self.name, self.key = cache.sums_part, cache.sums_key
        self._sums: dict[str, str] = {}
        self._mark = ""

    @property
    def mark(self) -> str:
        """The mark; worked out anew when a block came or went."""
        self._mark = self._mark or PatternCache.mark_of(self._sums)
        return self._mark

    def fill(self, parts: Iterator[Mapping[bytes, bytes]]) -> None:
        """Take over the whole hash."""
        self._sums = {text(name): text(digest) for part in parts for name, digest in part.items()}
        self._mark = ""

    def take(self, ids: NDArray[np.int64], raws: Sequence[bytes | None]) -> None:
        """Take over what some fields are now."""
        for name, raw in zip(map(self.field, ids.tolist()), raws, strict=True):
            if raw is None:
                self._sums.pop(name, None)
            else:
                self._sums[name] = text(raw)
        self._mark = ""

    def field(self, number: int) -> str:
        """Return the name of a block's field."""
        return PatternCache.block_name(number)

    def fits(self, fields: int) -> bool:
        """Tell whether the hash can have so many fields."""
        return fields == len(self._sums)


class LabelPart:
    """What the annotations come to.

    Parameters
    ----------
    key : str
    target : Target
        What the label config asks of an image.
    """

    name = "labels"

    def __init__(self, key: str, target: Target) -> None:
        self.key = key
        self.verdicts = Verdicts(target)

    def fill(self, parts: Iterator[Mapping[bytes, bytes]]) -> None:
        """Take over the whole hash."""
        for part in parts:
            for name, raw in part.items():
                if name.isdigit():  # else it tells of the book
                    self.verdicts.put(int(name), parse_labels(raw))

    def take(self, ids: NDArray[np.int64], raws: Sequence[bytes | None]) -> None:
        """Take over what some fields are now."""
        for task, raw in zip(ids.tolist(), raws, strict=True):
            if raw is None:
                self.verdicts.drop(task)
            else:
                self.verdicts.put(task, parse_labels(raw))

    def field(self, number: int) -> str:
        """Return the name of a task's field."""
        return str(number)

    def fits(self, fields: int) -> bool:
        """Tell whether the hash can have so many fields: one may tell whether the book is complete."""
        return fields - len(self.verdicts) in (0, 1)
