"""The linear head behind predicted probabilities, found again from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from poolselect.kmeans import sample_rows
from poolselect.pool import Pool
from poolselect.standardized import Standardized
from poolselect.uncertainty import known_probabilities

_ROWS_PER_WEIGHT, _LEAST_ROWS = 4, 4096
# Keeps the equations solvable where rows are fewer than dimensions, or dimensions follow from others.
_RIDGE = 1e-8
# Probabilities of float32 closer to 0, and with independent labels closer to 1, say no more than this.
_SMALLEST, _CLOSEST = 1e-37, 1e-7


@dataclass(frozen=True, eq=False)
class Head:
    """A linear model on standardized embeddings z: scores = weights z + bias.

    Attributes
    ----------
    weights : ndarray of shape (c, d), float32
    bias : ndarray of shape (c,), float32
    multilabel : bool
    """

    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    multilabel: bool

    def decide(self, vectors: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return which classes hold for each vector (r, d): the likeliest, or every label above one half; (r, c)."""
        return decided(vectors @ self.weights.T + self.bias, self.multilabel, 0.0)


def decided(scores: NDArray[np.float32], multilabel: bool, half: float) -> NDArray[np.bool_]:
    """Return which classes hold: those above `half`, or the one with the largest score, the first of a tie; (r, c)."""
    if multilabel:
        return scores > half
    found: NDArray[np.bool_] = np.arange(scores.shape[1]) == scores.argmax(axis=1)[:, None]
    return found


def linear_head(pool: Pool, vectors: Standardized, rng: np.random.Generator, strategy: str) -> Head:
    """Return the linear head that predicts what the pool's probabilities say.

    Where a softmax, or one sigmoid per label, of a linear model made them, as with logistic regression on frozen
    embeddings, the logarithms are linear in the embedding and least squares finds that very model. Of any other model
    it is the linear stand-in.

    Parameters
    ----------
    pool : Pool
        With probabilities.
    vectors : Standardized
        Of its embeddings.
    rng : numpy.random.Generator
        Draws max(4096, 4 (d + 1)) rows that the head is fitted on.
    strategy : str
        Who asks, for the error.

    Raises
    ------
    InvalidPoolError
        If the pool has no probabilities.

    Examples
    --------
    >>> x = np.array([[-1.0], [0.0], [1.0]])
    >>> pool = Pool(np.arange(3), x, probabilities=1 / (1 + np.exp(-np.hstack([2 * x, -2 * x]))))
    >>> head = linear_head(pool, Standardized(pool.embeddings), np.random.default_rng(0), "an example")
    >>> round(float(head.weights[0, 0] - head.weights[1, 0]), 2)  # 2 times the standard deviation of x
    1.63
    """
    probabilities = known_probabilities(pool, strategy)
    rows = sample_rows(len(pool), max(_LEAST_ROWS, _ROWS_PER_WEIGHT * (pool.embeddings.shape[1] + 1)), rng)
    p = probabilities[rows].astype(np.float64)
    if pool.multilabel:
        p = np.clip(p, _CLOSEST, 1.0 - _CLOSEST)
        scores = np.log(p) - np.log1p(-p)
    else:
        scores = np.log(np.maximum(p, _SMALLEST))
        scores -= scores.mean(axis=1, keepdims=True)
    z = vectors.of(rows).astype(np.float64)
    center, level = z.mean(axis=0), scores.mean(axis=0)
    z -= center
    equations = z.T @ z + _RIDGE * rows.size * np.eye(z.shape[1])
    weights = np.linalg.solve(equations, z.T @ (scores - level)).T
    return Head(weights.astype(np.float32), (level - weights @ center).astype(np.float32), pool.multilabel)
