"""A sorted table: what is kept of many tasks, one row each, in columns that are never changed but replaced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..block import find

__all__ = ["Table"]


@dataclass(frozen=True, eq=False)
class Table:
    """Rows by id.

    Attributes
    ----------
    ids : ndarray of shape (n,), int64
        Ascending, each once.
    columns : tuple of ndarray of shape (n,)
        One value of each row.
    """

    ids: NDArray[np.int64]
    columns: tuple[NDArray[Any], ...]

    def __len__(self) -> int:
        return int(self.ids.size)

    @classmethod
    def of(cls, ids: NDArray[np.int64], columns: Sequence[NDArray[Any]]) -> Table:
        """Return a table of rows in any order; of rows with one id the last one stays."""
        here, last = np.unique(ids[::-1], return_index=True)
        rows = ids.size - 1 - last
        return cls(here, tuple(column[rows] for column in columns))

    def updated(self, touched: NDArray[np.int64], found: Table) -> Table:
        """Return the table with some rows as they are now.

        Parameters
        ----------
        touched : ndarray of shape (k,), int64
            Ids of the rows that may be others, or gone.
        found : Table
            Those of them that are there.

        Returns
        -------
        Table
            A column in which nothing differs is the same object as before, and so are the ids.
        """
        gone = np.setdiff1d(touched, found.ids)
        at = find(self.ids, found.ids)
        known, lost = at >= 0, find(self.ids, gone)
        lost = lost[lost >= 0]
        if known.all() and not lost.size:
            pairs = zip(self.columns, found.columns, strict=True)
            return Table(self.ids, tuple(_with(column, at, values) for column, values in pairs))
        kept = np.delete(self.ids, lost)
        new, at = found.ids[~known], find(kept, found.ids)
        places = np.searchsorted(kept, new)
        columns = (
            np.insert(_with(np.delete(column, lost), at[known], values[known]), places, values[~known])
            for column, values in zip(self.columns, found.columns, strict=True)
        )
        return Table(np.insert(kept, places, new), tuple(columns))


def _with(column: NDArray[Any], at: NDArray[np.int64], values: NDArray[Any]) -> NDArray[Any]:
    """Return a column with other values at some places."""
    differ = column[at] != values
    if not np.any(differ):
        return column
    column = column.copy()
    column[at[differ]] = values[differ]
    return column
