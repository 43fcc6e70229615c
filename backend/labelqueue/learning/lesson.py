"""A lesson: what a model was taught, so that the same one can be trained again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..block import Block, Origin
from ..exceptions import CacheError
from ..labels import Value
from .learner import Searched, train, training_fingerprint
from .model import Model

__all__ = ["BEFORE", "Lesson", "Recall"]

BEFORE = "before inputs were recorded"

Recall = Callable[[NDArray[np.int64], Origin], Block]  # the rows of these ids; CacheError when they cannot be had


@dataclass(frozen=True, eq=False)
class Lesson:
    """What the model was taught: trained on it again, it is the same to the bit.

    Attributes
    ----------
    ids : ndarray of shape (m,), int64
        Tasks that it was trained on, ascending.
    codes : ndarray of shape (m,), int64
        Row of each one's label in `values`.
    values : tuple of Value
    classes : tuple of str
        Of the label config then.
    multi : bool
        Whether a task may have several labels.
    seed : int
        Of the folds in the search for `C`.
    searched : Searched
        `C`, and when it was searched.
    origin : Origin or None
        Which embeddings; None from before that was noted.
    fingerprint, digest : str
        Of the labels, and of the model that came of it.
    """

    ids: NDArray[np.int64]
    codes: NDArray[np.int64]
    values: tuple[Value, ...]
    classes: tuple[str, ...]
    multi: bool
    seed: int
    searched: Searched
    origin: Origin | None
    fingerprint: str
    digest: str

    @classmethod
    def of(
        cls,
        labels: Mapping[int, Value],
        model: Model,
        *,
        classes: tuple[str, ...],
        seed: int,
        origin: Origin | None,
    ) -> Lesson:
        """Return what a model was taught.

        Parameters
        ----------
        labels : mapping
            Label of each task that it was trained on.
        model : Model
        classes, seed, origin
            See above.
        """
        ids = sorted(labels)
        code = {value: number for number, value in enumerate(dict.fromkeys(labels[task] for task in ids))}
        return cls(
            ids=np.array(ids, dtype=np.int64),
            codes=np.array([code[labels[task]] for task in ids], dtype=np.int64),
            values=tuple(code),
            classes=classes,
            multi=model.multi,
            seed=seed,
            searched=Searched(model.regularization, model.searched_at),
            origin=origin,
            fingerprint=model.fingerprint,
            digest=model.digest,
        )

    def model(self, recall: Recall) -> Model:
        """Train it again; raises CacheError when the embeddings, or what else it takes, cannot be had."""
        if self.origin is None:
            raise CacheError(f"its model was trained {BEFORE}")
        values = [self.values[code] for code in self.codes.tolist()]
        if training_fingerprint(self.ids.tolist(), values, self.origin.generation) != self.fingerprint:
            raise CacheError("the labels of its model are not all on record")
        model = train(
            recall(self.ids, self.origin).embeddings.astype(np.float32),
            values,
            classes=self.classes,
            multi=self.multi,
            seed=self.seed,
            fingerprint=self.fingerprint,
            previous=None if self.searched.searched_at == len(self.ids) else self.searched,
        )
        if model is None:
            raise CacheError("the labels of its model teach none")
        return model

    def facts(self) -> dict[str, Any]:
        """Return everything but the columns, ready for JSON."""
        facts = {name: value for name, value in vars(self).items() if name not in ("ids", "codes")}
        origin = None if self.origin is None else asdict(self.origin)
        return facts | {"searched": asdict(self.searched), "origin": origin}

    @classmethod
    def parse(cls, facts: Mapping[str, Any], ids: NDArray[np.int64], codes: NDArray[np.int64]) -> Lesson:
        """Return the lesson of `facts` and its columns."""
        values = tuple(value if isinstance(value, str) else tuple(value) for value in facts["values"])
        origin = None if facts["origin"] is None else Origin(**facts["origin"])
        parsed = {"values": values, "classes": tuple(facts["classes"]), "searched": Searched(**facts["searched"])}
        return cls(ids=ids, codes=codes, **{**facts, **parsed, "origin": origin})
