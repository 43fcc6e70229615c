"""A trained model: what it predicts, and its bytes. Linear, so numpy is enough to use it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..exceptions import CacheError
from ..labels import Value
from ..records import known_fields, pack, unpack

__all__ = ["Model"]

TAG, FORMAT = "labelqueue_model", "1"
_CHUNK_ROWS = 4096
_ARRAYS = ("mean", "scale", "weights", "bias")
_FACTS = ("classes", "multi", "regularization", "labels", "searched_at", "fingerprint", "accuracy")
REQUIRED = set(_FACTS) - {"accuracy"}


@dataclass(frozen=True, eq=False)
class Model:
    """Logistic regression on standardized embeddings: multinomial, or one per label where several may hold.

    Attributes
    ----------
    classes : tuple of str
        What it can predict, in the order of the label config. Single choice: the classes seen so far. Several
        labels: all labels of the config.
    multi : bool
        Whether several labels may hold for one task.
    mean, scale : ndarray of shape (d,), float32
        Embeddings are standardized to ``(x - mean) / scale``; every scale is above 0.
    weights : ndarray of shape (c, d), float32
    bias : ndarray of shape (c,), float32
    regularization : float
        `C`, the inverse strength of the L2 penalty.
    labels : int
        Labels it was trained on.
    searched_at : int
        Labels there were when `regularization` was last searched; 0 when it was not.
    fingerprint : str
        Hex digest of the training data, see `learner.training_fingerprint`.
    accuracy : float or None, default None
        Prequential balanced accuracy when it was trained: of its predecessors, on the labels that came next. Low where
        tasks are chosen for being hard; kept for the record.
    shares : ndarray of shape (c,), float32, or None
        How frequent each class is among the labels it was trained on, within (0, 1); None from before that was noted.

    Raises
    ------
    CacheError
        If shapes or dtypes do not fit each other, a number is not finite, or a scale is not positive.
    """

    classes: tuple[str, ...]
    multi: bool
    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    regularization: float
    labels: int
    searched_at: int
    fingerprint: str
    accuracy: float | None = None
    shares: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        c, d = len(self.classes), self.mean.size
        for name, shape in zip(_ARRAYS, ((d,), (d,), (c, d), (c,)), strict=True):
            array = getattr(self, name)
            if array.shape != shape or array.dtype != np.float32:
                raise CacheError(
                    f"model: {name} is {array.dtype} of shape {array.shape}, must be float32 of shape {shape} for "
                    f"{c} classes and embeddings of {d} numbers"
                )
            if not np.isfinite(array).all():
                raise CacheError(f"model: {name} holds NaN or infinities: train again")
        if not (self.scale > 0).all():
            raise CacheError("model: every scale must be above 0: train again")
        if self.shares is not None and (self.shares.shape != (c,) or not ((self.shares > 0) & (self.shares < 1)).all()):
            raise CacheError(f"model: shares are {self.shares}, must be {c} numbers between 0 and 1: train again")

    @property
    def dim(self) -> int:
        """Numbers per embedding."""
        return int(self.mean.size)

    @property
    def digest(self) -> str:
        """Short digest of every number it predicts with."""
        numbers = b"".join(np.ascontiguousarray(array).tobytes() for array in self._arrays().values())
        return hashlib.sha256(json.dumps(self.classes).encode() + numbers).hexdigest()[:16]

    def predict(self, embeddings: ArrayLike) -> NDArray[np.float32]:
        """Return the probability of each class.

        Parameters
        ----------
        embeddings : array_like of shape (n, d)

        Returns
        -------
        ndarray of shape (n, c), float32
            Columns are `classes`. Single choice: each row sums to 1 (softmax). Several labels: each number stands
            for itself (sigmoid). They are what the model would say if all classes were equally frequent: classes are
            decided and doubt is ranked by them. How often an answer is right: `in_proportion`.

        Raises
        ------
        CacheError
            If the embeddings are not as long as those the model was trained on.
        """
        from poolselect.threads import single_threaded_blas  # the web process knows models too, and predicts nothing

        x = np.asanyarray(embeddings)
        if x.ndim != 2 or x.shape[1] != self.dim:
            raise CacheError(
                f"model: embeddings have shape {x.shape}, this model was trained on {self.dim} numbers each: train "
                "again on the present embeddings"
            )
        # Standardization is folded into the weights, and rows are converted a few MB at a time: a large pool is read
        # once and never copied as a whole.
        folded = self.weights / self.scale
        bias = self.bias - folded.astype(np.float64) @ self.mean
        said = np.empty((len(x), len(self.classes)), dtype=np.float32)
        with single_threaded_blas():  # the last bit of a sum must not depend on how many cores there are
            for start in range(0, len(x), _CHUNK_ROWS):
                logits = said[start : start + _CHUNK_ROWS]
                logits[:] = x[start : start + _CHUNK_ROWS].astype(np.float32, copy=False) @ folded.T + bias
                logits[:] = self._chances(logits)
        return said

    def _chances(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.multi:
            # The sigmoid by way of tanh: no overflow for logits of any size.
            return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)), dtype=np.float32)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(odds / odds.sum(axis=1, keepdims=True), dtype=np.float32)

    def in_proportion(self, probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return how often each class is right, by what the model says and how frequent the classes are.

        Parameters
        ----------
        probabilities : ndarray of shape (n, c), float32
            As `predict` returns them.

        Returns
        -------
        ndarray of shape (n, c), float32
            ``q sqrt(share)``, normalized; of several labels the odds of each times the root of the odds of its share.

        Notes
        -----
        Training weighs classes equally. Bayes' rule would take the whole share instead of its root (Saerens, Latinne,
        Decaestecker: Adjusting the outputs of a classifier to new a priori probabilities, Neural Computation 2002);
        but a penalized model of few labels knows less than its rule assumes. Calibration: benchmarks/calibration.md.
        """
        if self.shares is None:
            return probabilities
        if self.multi:
            odds, against = probabilities * np.sqrt(self.shares), (1 - probabilities) * np.sqrt(1 - self.shares)
            return np.asarray(odds / (odds + against), dtype=np.float32)
        weighted = probabilities * np.sqrt(self.shares)
        return np.asarray(weighted / weighted.sum(axis=-1, keepdims=True), dtype=np.float32)

    def decide(self, probabilities: ArrayLike) -> list[Value]:
        """Return the most probable label of each row.

        Parameters
        ----------
        probabilities : array_like of shape (n, c)
            As `predict` returns them.

        Returns
        -------
        list of str or list of tuple of str
            Single choice: the likeliest class, the earlier one of two equals. Several labels: those above one half,
            sorted.
        """
        p = np.asarray(probabilities)
        if self.multi:
            return [tuple(sorted(self.classes[k] for k in np.flatnonzero(row > 0.5))) for row in p]
        return [self.classes[k] for k in p.argmax(axis=1)]

    def to_bytes(self) -> bytes:
        """Return the model as a safetensors file, the same bytes for the same model."""
        facts = {"format": FORMAT, **{name: getattr(self, name) for name in _FACTS}}
        return pack(self._arrays(), TAG, json.dumps(facts))

    def _arrays(self) -> dict[str, NDArray[np.float32]]:
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        return arrays if self.shares is None else arrays | {"shares": self.shares}

    @classmethod
    def from_bytes(cls, data: bytes) -> Model:
        """Return the model that `to_bytes` wrote.

        Raises
        ------
        CacheError
            If the bytes are damaged, or are not a model of this format.
        """
        arrays, note = unpack(data, TAG)
        facts: dict[str, Any] = json.loads(note or "{}")
        version = facts.get("format")
        if version != FORMAT or not {*_ARRAYS} <= arrays.keys() or not facts.keys() >= REQUIRED:
            raise CacheError(
                f"model: format {version!r} with {', '.join(sorted(arrays)) or 'nothing'} inside, this version reads "
                f"format {FORMAT!r}: train again"
            )
        parts = {name: arrays[name] for name in (*_ARRAYS, "shares") if name in arrays} | known_fields(cls, facts)
        return cls(**{**parts, "classes": tuple(facts["classes"])})
