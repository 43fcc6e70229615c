"""What the model says of every embedded task, kept so that nobody has to load embeddings for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..exceptions import CacheError
from ..labels import Value
from ..records import pack, unpack
from .model import Model

__all__ = ["Predictions"]

TAG, FORMAT = "labelqueue_predictions", "1"


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions of one model for every row that was embedded when it was trained.

    Attributes
    ----------
    ids : ndarray of shape (n,), int64
        Task ids, ascending.
    probabilities : ndarray of shape (n, c), float16
        `Model.predict` of each task.
    """

    ids: NDArray[np.int64]
    probabilities: NDArray[np.float16]

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
