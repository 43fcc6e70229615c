"""What is stored of every task of a project, as columns."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..block import find, source_hash
from ..labels import ANNOTATED, SKIPPED, UNLABELED
from ..store import get_fields, scan_fields
from .project import Project

__all__ = ["TaskColumns", "keep_values", "parse_tasks", "read_columns"]


@dataclass(frozen=True, eq=False)
class TaskColumns:
    """What is stored of every task, one row each.

    Attributes
    ----------
    ids : ndarray of shape (n,), int64
        Ascending.
    states : ndarray of shape (n,), uint8
        See `ordering.Tasks`.
    sources : ndarray of shape (n,), uint64
        `source_hash` of each image's URI.
    """

    ids: NDArray[np.int64]
    states: NDArray[np.uint8]
    sources: NDArray[np.uint64]

    def __len__(self) -> int:
        return int(self.ids.size)

    def counts(self, out: Collection[int] = ()) -> dict[str, int]:
        """Return how many tasks there are, and how many of them are labeled, only skipped, or neither and left out
        (`out`); ready for JSON."""
        counted = {"labeled": ANNOTATED, "skipped": SKIPPED}
        told = {name: int(np.count_nonzero(self.states == ord(state))) for name, state in counted.items()}
        at = find(self.ids, np.fromiter(out, dtype=np.int64, count=len(out)))
        left_out = np.count_nonzero(self.states[at[at >= 0]] == ord(UNLABELED))
        return {"tasks": len(self), **told, "left_out": int(left_out)}


def read_columns(project: Project) -> TaskColumns:
    """Return what is stored of every task of a project."""
    ids, columns = [np.empty(0, np.int64)], [parse_tasks([])]
    for part in scan_fields(project.store, project.name("tasks")):
        ids.append(np.fromiter(map(int, part), dtype=np.int64, count=len(part)))
        columns.append(parse_tasks(list(part.values())))
    found = np.concatenate(ids)
    here, last = np.unique(found[::-1], return_index=True)  # a task may come twice, the later row last
    states, sources = (np.concatenate(column)[found.size - 1 - last] for column in zip(*columns, strict=True))
    return TaskColumns(here, states, sources)


def parse_tasks(raws: Sequence[bytes]) -> tuple[NDArray[np.uint8], NDArray[np.uint64]]:
    """Return the states and the sources in stored rows of tasks; see `TaskRow.dump`."""
    states = np.fromiter((raw[0] for raw in raws), dtype=np.uint8, count=len(raws))
    uris = (raw[1:].decode("utf-8", "surrogatepass") for raw in raws)
    return states, np.fromiter((source_hash(uri) for uri in uris), dtype=np.uint64, count=len(raws))


def keep_values(project: Project, values: Mapping[int, str]) -> None:
    """Keep the value that each of these tasks has of the field that the setting `balance` names."""
    known = get_fields(project.store, project.name("balance"), [str(task) for task in values])
    rows = {str(task): value.encode(errors="replace") for task, value in values.items()}
    changed = {task: row for (task, row), before in zip(rows.items(), known, strict=True) if row != before}
    project.changes.put("balance", project.name("balance"), changed)
