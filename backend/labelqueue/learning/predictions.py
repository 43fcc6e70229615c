"""What the model says of every embedded task, kept so that nobody has to load embeddings for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ..exceptions import CacheError, PredictionsError
from ..labels import Value
from ..records import pack, unpack
from .model import Model

__all__ = ["Predictions", "StoredPredictions"]

TAG, FORMAT = "labelqueue_predictions", "1"
GROUP = 64  # ids that stand together where a few tasks are looked up


class Predictions:
    """Predictions of one model for every row that was embedded when it was trained; never changed.

    Parameters
    ----------
    ids : ndarray of shape (n,), int64
        Task ids, ascending.
    probabilities : ndarray of shape (n, c), float16
        `Model.predict` of each task.
    """

    def __init__(self, ids: NDArray[np.int64], probabilities: NDArray[np.float16]) -> None:
        self._ids, self._probabilities = ids, probabilities

    @property
    def ids(self) -> NDArray[np.int64]:
        """Task ids, ascending, shape (n,)."""
        return self._ids

    @property
    def probabilities(self) -> NDArray[np.float16]:
        """What is said of each task, shape (n, c)."""
        return self._probabilities

    def __len__(self) -> int:
        return len(self._ids)

    def fetch(self, tasks: Sequence[int] | None = None) -> None:
        """Have what is said of these tasks, or of all, at hand: where it has to be read, it is read at once.

        Raises
        ------
        PredictionsError
            If it is lost or damaged.
        ReplacedError
            If there is another model by now.
        """

    def lookup(self, task: int) -> NDArray[np.float32] | None:
        """Return the probabilities of one task, shape (c,), or None when it is not here."""
        row = int(np.searchsorted(self.ids, task))
        if row == len(self.ids) or self.ids[row] != task:
            return None
        found: NDArray[np.float32] = self.probabilities[row].astype(np.float32)
        return found

    def decide(self, model: Model, task: int) -> Value | None:
        """Return what the model says of one task, or None when it is not here."""
        found = self.lookup(task)
        return None if found is None else model.decide(found[None])[0]

    def groups(self) -> Iterator[tuple[int, bytes]]:
        """Yield the rows in groups, each of which `from_groups` reads alone: those whose ids have the same quotient by
        64, which is the group's number.

        A group is the remainder of each id in one byte, then the probabilities in two bytes each: 1 + 2 c bytes a task.
        """
        numbers, rests = np.divmod(self.ids, GROUP)
        bounds = [*np.flatnonzero(np.diff(numbers, prepend=-1)).tolist(), len(numbers)]
        for first, end in pairwise(bounds):
            rows = self.probabilities[first:end].astype("<f2", copy=False)
            yield int(numbers[first]), rests[first:end].astype(np.uint8).tobytes() + rows.tobytes()

    @staticmethod
    def groups_of(tasks: Sequence[int]) -> list[int]:
        """Return the numbers of the groups in which these tasks are, if they are here; ascending, each once."""
        return sorted({task // GROUP for task in tasks})

    @classmethod
    def from_groups(cls, groups: Mapping[int, bytes], classes: int) -> Predictions:
        """Return the rows of groups that `groups` made.

        Parameters
        ----------
        groups : mapping of int to bytes
            By number.
        classes : int
            Columns of the probabilities.

        Raises
        ------
        PredictionsError
            If a group is damaged.
        """
        ids, rows = [np.empty(0, np.int64)], [np.empty((0, classes), np.float16)]
        for number in sorted(groups):
            data = groups[number]
            count, left = divmod(len(data), 1 + 2 * classes)
            if left:
                raise PredictionsError(f"predictions: the {len(data)} bytes of group {number} are damaged: train again")
            ids.append(number * GROUP + np.frombuffer(data, np.uint8, count).astype(np.int64))
            rows.append(np.frombuffer(data, "<f2", count * classes, offset=count).reshape(count, classes))
        return cls(np.concatenate(ids), np.concatenate(rows))

    def to_bytes(self) -> bytes:
        """Return the safetensors form."""
        return pack({"ids": self.ids, "probabilities": self.probabilities}, TAG, FORMAT)

    @classmethod
    def from_bytes(cls, data: bytes) -> Predictions:
        """Parse `to_bytes`'s form.

        Raises
        ------
        CacheError
            If the bytes are damaged, or of another format.
        """
        arrays, version = unpack(data, TAG)
        if version not in (None, FORMAT) or not {"ids", "probabilities"} <= arrays.keys():  # None: before it was noted
            raise CacheError(f"predictions: format {version!r}, this version reads format {FORMAT!r}: train again")
        return cls(arrays["ids"], arrays["probabilities"])


class StoredPredictions(Predictions):
    """Predictions that are stored elsewhere and read when they are asked for; what was read once is kept.

    Every method may raise what `fetch` raises.

    Parameters
    ----------
    rows : int
        How many tasks there are.
    read : callable
        Returns what is said of these tasks at least, or, of None, of all.
    """

    def __init__(self, rows: int, read: Callable[[Sequence[int] | None], Predictions]) -> None:
        self._rows, self._read = rows, read
        self._near: dict[int, NDArray[np.float32] | None] = {}

    @cached_property
    def _all(self) -> Predictions:
        return self._read(None)

    @property
    def ids(self) -> NDArray[np.int64]:
        """Task ids, ascending, shape (n,)."""
        return self._all.ids

    @property
    def probabilities(self) -> NDArray[np.float16]:
        """What is said of each task, shape (n, c)."""
        return self._all.probabilities

    def __len__(self) -> int:
        return self._rows

    def fetch(self, tasks: Sequence[int] | None = None) -> None:
        """Have what is said of these tasks, or of all, at hand; see `Predictions.fetch`."""
        if tasks is None:
            _ = self._all
        elif "_all" not in vars(self) and (unread := [task for task in tasks if task not in self._near]):
            found = self._read(unread)
            self._near |= {task: found.lookup(task) for task in unread}

    def lookup(self, task: int) -> NDArray[np.float32] | None:
        """Return the probabilities of one task, shape (c,), or None when it is not here."""
        if task not in self._near:
            if "_all" in vars(self):
                return self._all.lookup(task)
            self.fetch([task])
        return self._near[task]
