"""How unsure a model is of an item: three measures of its predicted probabilities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from poolselect.exceptions import InvalidParameterError, InvalidPoolError
from poolselect.pool import Pool

_ROWS = 8192

MeasureName = Literal["margin", "least_confidence", "entropy"]


def margin(probabilities: ArrayLike, multilabel: bool = False) -> NDArray[np.float64]:
    """Return 1 - (p_(1) - p_(2)), the largest and second largest probability; multi-label: mean of 1 - |2 p - 1|.

    Parameters
    ----------
    probabilities : array_like of shape (n, c), floats
        Within [0, 1]. A single column has a second probability of 0.
    multilabel : bool, default False
        Columns are independent labels.

    Returns
    -------
    ndarray of shape (n,), float64
        Higher = less certain: 0 for a sure answer, 1 for a tie between the two best.

    References
    ----------
    Scheffer, Decomain, Wrobel: Active Hidden Markov Models for Information Extraction, IDA 2001.

    Examples
    --------
    >>> margin([[0.5, 0.5, 0.0], [0.75, 0.25, 0.0]]).tolist()
    [1.0, 0.5]
    >>> margin([[0.5, 1.0], [0.75, 0.0]], multilabel=True).tolist()
    [0.5, 0.25]
    """
    return _by_rows(_both_ways if multilabel else _margin, probabilities)


def least_confidence(probabilities: ArrayLike, multilabel: bool = False) -> NDArray[np.float64]:
    """Return 1 - p_(1), the largest probability; multi-label: mean of 1 - |2 p - 1|, as for `margin`.

    Ranking by it is ranking by the smallest maximal probability (BAL, Eq. 8).

    Parameters
    ----------
    probabilities : array_like of shape (n, c), floats
        Within [0, 1].
    multilabel : bool, default False
        Columns are independent labels.

    Returns
    -------
    ndarray of shape (n,), float64
        Higher = less certain: from 0 to 1 - 1/c.

    References
    ----------
    Lewis, Gale: A Sequential Algorithm for Training Text Classifiers, SIGIR 1994.

    Examples
    --------
    >>> least_confidence([[0.5, 0.5, 0.0], [0.75, 0.25, 0.0]]).tolist()
    [0.5, 0.25]
    """
    return _by_rows(_both_ways if multilabel else _least_confidence, probabilities)


def entropy(probabilities: ArrayLike, multilabel: bool = False) -> NDArray[np.float64]:
    """Return the entropy in units of the largest one possible: -sum of p ln p / ln c; multi-label: mean binary entropy.

    Parameters
    ----------
    probabilities : array_like of shape (n, c), floats
        Within [0, 1].
    multilabel : bool, default False
        Columns are independent labels: the mean over them of -(p ln p + (1 - p) ln(1 - p)) / ln 2.

    Returns
    -------
    ndarray of shape (n,), float64
        Higher = less certain: 0 for a sure answer, 1 if all classes (or presence and absence) are equally likely.

    Notes
    -----
    Where we differ: divided by ln c, which changes no ranking and makes pools with few and with many classes
    comparable. 0 ln 0 is 0.

    References
    ----------
    Shannon: A Mathematical Theory of Communication, 1948.

    Examples
    --------
    >>> entropy([[0.25, 0.25, 0.25, 0.25], [0.5, 0.5, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]]).tolist()
    [1.0, 0.5, 0.0]
    """
    return _by_rows(_binary_entropy if multilabel else _entropy, probabilities)


MEASURES: dict[MeasureName, Callable[[ArrayLike, bool], NDArray[np.float64]]] = {
    "margin": margin,
    "least_confidence": least_confidence,
    "entropy": entropy,
}


def known_probabilities(pool: Pool, strategy: str) -> NDArray[np.float32]:
    """Return the pool's probabilities, or raise `InvalidPoolError` saying what a strategy without them can do."""
    if pool.probabilities is None:
        raise InvalidPoolError(
            f"{strategy} ranks rows by what a model predicts, but this pool has no probabilities. Give the pool "
            "probabilities, or use a strategy that needs none, such as FreeSel, until there is a model."
        )
    return pool.probabilities


def contenders(pool: Pool, row: int) -> str:
    """Name the two classes a row hesitates between: the most likely ones, or the labels nearest to one half.

    Examples
    --------
    >>> pool = Pool([1], [[0.0]], probabilities=[[0.39, 0.2, 0.41]], class_names=["dog", "owl", "cat"])
    >>> contenders(pool, 0)
    'cat 0.41, dog 0.39'
    """
    probabilities = known_probabilities(pool, "contenders")[row].astype(np.float64)
    doubt = -np.abs(probabilities - 0.5) if pool.multilabel else probabilities
    names = pool.class_names
    return ", ".join(
        f"{f'class {column}' if names is None else names[column]} {probabilities[column]:.2f}"
        for column in np.argsort(-doubt, kind="stable")[:2].tolist()
    )


def _by_rows(
    measure: Callable[[NDArray[np.float64]], NDArray[np.float64]], probabilities: ArrayLike
) -> NDArray[np.float64]:
    array = np.asarray(probabilities)
    if array.ndim != 2 or array.shape[1] == 0 or array.dtype.kind not in "fiu":
        raise InvalidParameterError(
            f"probabilities have dtype {array.dtype} and shape {array.shape}; they must be numbers of shape (n, c)."
        )
    result = np.empty(array.shape[0], dtype=np.float64)
    # In blocks, so that float64 copies of a large pool with many classes are never all in memory.
    for start in range(0, array.shape[0], _ROWS):
        block = slice(start, start + _ROWS)
        result[block] = measure(array[block].astype(np.float64))
    return result


def _margin(block: NDArray[np.float64]) -> NDArray[np.float64]:
    if block.shape[1] == 1:
        return 1.0 - block[:, 0]
    best = np.partition(block, block.shape[1] - 2, axis=1)
    gap: NDArray[np.float64] = best[:, -1] - best[:, -2]
    return 1.0 - gap


def _least_confidence(block: NDArray[np.float64]) -> NDArray[np.float64]:
    best: NDArray[np.float64] = block.max(axis=1)
    return 1.0 - best


def _both_ways(block: NDArray[np.float64]) -> NDArray[np.float64]:
    mean: NDArray[np.float64] = (1.0 - np.abs(2.0 * block - 1.0)).mean(axis=1)
    return mean


def _entropy(block: NDArray[np.float64]) -> NDArray[np.float64]:
    if block.shape[1] == 1:
        return np.zeros(block.shape[0])
    total: NDArray[np.float64] = _surprise(block).sum(axis=1) / np.log(block.shape[1])
    return total


def _binary_entropy(block: NDArray[np.float64]) -> NDArray[np.float64]:
    mean: NDArray[np.float64] = (_surprise(block) + _surprise(1.0 - block)).mean(axis=1) / np.log(2.0)
    return mean


def _surprise(block: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return -p ln p, and 0 for p = 0."""
    logarithms = np.log(block, out=np.zeros_like(block), where=block > 0)
    # Subtracted from 0, not negated: a sure answer is 0, not -0.
    return 0.0 - block * logarithms
