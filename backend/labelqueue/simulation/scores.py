"""How good a model is on the test set: two scores for images of one class, two for images of several labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..labels import Value
from ..learning import Model

__all__ = [
    "MULTI",
    "SINGLE",
    "Score",
    "accuracy",
    "average_precision",
    "balanced_accuracy",
    "judged",
    "measure",
    "scores_of",
]

Chances = NDArray[np.float32]


@dataclass(frozen=True)
class Score:
    """A score within [0, 1].

    Attributes
    ----------
    column : str
        Its name in curves.csv.
    key : str
        Its name before ``_area`` and ``_gain`` in the summary.
    name : str
        For people.
    of : callable
        Takes what is true, what the model decides, both as `Dataset.labels`, and its chances of shape (n, c).
    """

    column: str
    key: str
    name: str
    of: Callable[[Any, Any, Chances], float]


def accuracy(actual: NDArray[np.int64], predicted: NDArray[np.int64]) -> float:
    """Return the share of equal classes; both of shape (n,), n > 0."""
    return float(np.mean(actual == predicted))


def balanced_accuracy(actual: NDArray[Any], predicted: NDArray[Any]) -> float:
    """Return the mean over the classes of `actual` of the share found; both of shape (n,), n > 0."""
    return float(np.mean([np.mean(predicted[actual == number] == number) for number in np.unique(actual)]))


def average_precision(actual: NDArray[np.bool_], chances: NDArray[np.floating[Any]]) -> float:
    """Return the precision at each image that shows a label, averaged, images being ranked by their chance.

    Parameters
    ----------
    actual : ndarray of shape (n,), bool
        Which images show the label; at least one does.
    chances : ndarray of shape (n,)
        Images of equal chance share a rank, so that a constant earns the share of images that show the label.
    """
    order = np.argsort(-chances, kind="stable")
    hits = np.cumsum(actual[order])
    last = np.append(np.flatnonzero(np.diff(chances[order])), len(order) - 1)  # of each group of equal chances
    found = hits[last]
    return float(np.sum(np.diff(found, prepend=0) * found / (last + 1)) / hits[-1])


def judged(actual: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which labels of a test set, of shape (n, c), can be scored: some images show them and some do not."""
    return np.asarray(actual.any(axis=0) & ~actual.all(axis=0))


def _mean(actual: NDArray[np.bool_], score: Callable[[int], float]) -> float:
    """Return the mean of a score over the labels that can be scored."""
    return float(np.mean([score(label) for label in np.flatnonzero(judged(actual)).tolist()]))


# The first one decides which strategy is better.
SINGLE = (
    Score(
        "balanced_accuracy", "balanced", "balanced accuracy", lambda actual, said, _: balanced_accuracy(actual, said)
    ),
    Score("accuracy", "accuracy", "accuracy", lambda actual, said, _: accuracy(actual, said)),
)
MULTI = (
    Score(
        "average_precision",
        "precision",
        "mean average precision",
        lambda actual, _, chances: _mean(actual, lambda k: average_precision(actual[:, k], chances[:, k])),
    ),
    Score(
        "balanced_accuracy",
        "balanced",
        "balanced accuracy",
        lambda actual, said, _: _mean(actual, lambda k: balanced_accuracy(actual[:, k], said[:, k])),
    ),
)


def scores_of(multi: bool) -> tuple[Score, ...]:
    """Return the scores of a data set, the one that decides first."""
    return MULTI if multi else SINGLE


def measure(
    model: Model | None,
    embeddings: NDArray[np.float32],
    actual: NDArray[np.int64] | NDArray[np.bool_],
    classes: tuple[str, ...],
    only: Value,
) -> tuple[float, ...]:
    """Examine a model.

    Parameters
    ----------
    model : Model or None
        None where all labels so far are the same.
    embeddings : ndarray of shape (n, d), float32
        The test set.
    actual : ndarray of shape (n,), int64, or (n, c), bool
        See `Dataset.labels`.
    classes : tuple of str, length c
    only : Value
        What is said of every image without a model.

    Returns
    -------
    tuple of float
        In the order of `scores_of`.
    """
    number = {name: place for place, name in enumerate(classes)}
    chances = np.zeros((len(embeddings), len(classes)), dtype=np.float32)
    if model is None:
        said = [only] * len(embeddings)
        chances[:, [number[name] for name in ((only,) if isinstance(only, str) else only)]] = 1
    else:
        predicted = model.predict(embeddings)
        said = model.decide(predicted)
        chances[:, [number[name] for name in model.classes]] = predicted
    multi, decided = actual.ndim == 2, np.zeros_like(actual)
    for row, value in enumerate(said):
        if isinstance(value, str):
            decided[row] = number[value]
        else:
            decided[row, [number[name] for name in value]] = True
    return tuple(score.of(actual, decided, chances) for score in scores_of(multi))
