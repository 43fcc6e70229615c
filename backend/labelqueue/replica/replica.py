"""A worker's copy of what is stored of every task: read once, and kept up to date by what changed."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ..block import find
from ..labels import Labels, Target, Verdicts
from ..state import LabelBook, PatternCache, Pins, Project, TaskColumns, Wish, get_fields, scan_fields
from .parts import LabelPart, Part, SumPart, TablePart, ValuePart, bad_part, row_part, task_part

__all__ = ["Replica"]

log = logging.getLogger(__name__)

P = TypeVar("P", bound=Part)
Wishes = Mapping[int, Wish]


class Replica:
    """A copy of a project's columns in memory. It can be lost at any time: whoever takes over reads its own.

    Parameters
    ----------
    project : Project

    Notes
    -----
    What `refresh` finds in the change stream is read again, field by field; everything is read again where the stream
    does not reach back, and where a hash has not as many fields as were copied, although nothing was told: a Redis that
    lost something, or somebody who writes without telling.
    """

    def __init__(self, project: Project) -> None:
        self._project, self._changes = project, project.changes
        self._version = ""
        self._parts: dict[str, Part] = {}
        self._columns: tuple[object, TaskColumns] | None = None
        self._embedded: dict[str, tuple[tuple[object, ...], NDArray[np.bool_]]] = {}
        self._wishes: tuple[tuple[object, ...], Wishes, Wishes] | None = None
        self.handed = np.empty(0, np.int64)

    def __len__(self) -> int:
        return sum(len(part.table) for part in self._parts.values() if isinstance(part, TablePart))

    def refresh(self, *, trusted: bool = True) -> None:
        """Bring the copy up to date.

        Parameters
        ----------
        trusted : bool
            Whether all who write tell what they write. A worker of the version before does not.
        """
        parts, version = list(self._parts.values()), self._version
        self._version = ""  # of what is interrupted in between nothing is kept
        changed = self._changes.since(version, [part.key for part in parts]) if version else None
        if not trusted or changed is None:
            self.renew()
            return
        odd = [part.name for part in parts if part.key in changed.lengths and not part.fits(changed.lengths[part.key])]
        if odd:
            log.warning("%s: its %s changed without a word; they are read again", self._project.key, ", ".join(odd))
            self.renew()
            return
        for name in changed.renewed:
            self._parts.pop(name, None)
        for name, ids in changed.fields.items():
            if (part := self._parts.get(name)) is not None:
                part.take(ids, get_fields(self._project.store, part.key, [part.field(one) for one in ids.tolist()]))
        self._version = changed.version

    def renew(self) -> None:
        """Forget everything; it is read again as it is asked for."""
        self._parts, self._embedded, self._columns, self._wishes = {}, {}, None, None
        self.handed = np.empty(0, np.int64)
        self._version = self._changes.begin()

    @property
    def columns(self) -> TaskColumns:
        """The tasks."""
        table = self._part(task_part(self._project.name("tasks"))).table
        if self._columns is None or self._columns[0] is not table:
            self._columns = table, TaskColumns(table.ids, *table.columns)
        return self._columns[1]

    def embedded(self, cache: PatternCache) -> NDArray[np.bool_]:
        """Return which tasks have a row in a cache, of the image that they have now; aligned with `columns`."""
        columns, rows = self.columns, self._part(row_part(cache)).table
        (sources,) = rows.columns
        of = (columns.ids, columns.sources, rows.ids, sources)
        known = self._embedded.get(cache.generation)
        if known is None or any(a is not b for a, b in zip(known[0], of, strict=True)):
            self._embedded[cache.generation] = known = of, _present(*of)
        return known[1]

    def mark(self, cache: PatternCache) -> str:
        """Return how far a cache is filled, and with what."""
        return self._part(SumPart(cache)).mark

    def bad(self) -> dict[int, str]:
        """Return the tasks whose present image cannot be used, and why."""
        columns, table = self.columns, self._part(bad_part(self._project.name("quarantine"))).table
        sources, reasons = table.columns
        at = find(columns.ids, table.ids)
        now = (at >= 0) & (columns.sources[at] == sources) if len(columns) else at >= 0
        return dict(zip(table.ids[now].tolist(), reasons[now].tolist(), strict=True))

    def pinned(self) -> Wishes:
        """Return the tasks that admins want first."""
        return self._read_wishes()[1]

    def left_out(self) -> Wishes:
        """Return the tasks that admins want left out."""
        return self._read_wishes()[2]

    def _read_wishes(self) -> tuple[tuple[object, ...], Wishes, Wishes]:
        """Return what admins wish, read again when there was another act, or tasks went."""
        pins = Pins(self._project)
        at = (self._project.get("act_number"), *pins.counts())
        if self._wishes is None or self._wishes[0] != at:
            self._wishes = at, pins.pins(), pins.exclusions()
        return self._wishes

    def labels(self, target: Target) -> Labels:
        """Return the labels that the annotations come to."""
        return self._verdicts(target).labels()

    def tasks_of(self, target: Target, annotations: Iterable[int]) -> set[int]:
        """Return the tasks of annotations of these ids, as far as they are known."""
        return self._verdicts(target).tasks_of(annotations)

    def _verdicts(self, target: Target) -> Verdicts:
        known = self._parts.get(LabelPart.name)
        if isinstance(known, LabelPart) and known.verdicts.target != target:
            del self._parts[LabelPart.name]
        return self._part(LabelPart(LabelBook(self._project).key, target)).verdicts

    def values(self) -> tuple[NDArray[np.int64], tuple[str, ...]]:
        """Return the code of each task's value of the field that the setting `balance` names, and the values by code;
        aligned with `columns`."""
        return self._part(ValuePart(self._project.name("balance"))).of(self.columns.ids)

    def _part(self, fresh: P) -> P:
        """Return the part of this kind and name, read when it is asked for first."""
        known = self._parts.get(fresh.name)
        if known is None:
            if not self._version:
                self._version = self._changes.begin()
            fresh.fill(scan_fields(self._project.store, fresh.key))
            self._parts[fresh.name] = known = fresh
        assert isinstance(known, type(fresh))
        return known


def _present(
    ids: NDArray[np.int64], sources: NDArray[np.uint64], there: NDArray[np.int64], of: NDArray[np.uint64]
) -> NDArray[np.bool_]:
    """Return which ids are there, with the same source."""
    if np.array_equal(ids, there):
        return np.equal(sources, of)
    at = find(there, ids)
    return (at >= 0) & (of[at] == sources) if there.size else at >= 0
