"""Embeddings with mean 0 and variance 1 in every dimension, made block by block."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from poolselect.metric import ROWS_PER_BLOCK


class Standardized:
    """Embeddings, each dimension standardized over the pool; no standardized copy of a large pool is kept.

    Parameters
    ----------
    embeddings : ndarray of shape (n, d), float32

    Attributes
    ----------
    mean, scale : ndarray of shape (d,), float32
        ``(x - mean) * scale`` is the standardized x; scale is 1 where a dimension is constant.

    Examples
    --------
    >>> Standardized(np.array([[1.0, 5.0], [3.0, 5.0]], dtype=np.float32)).of(slice(None)).tolist()
    [[-1.0, 0.0], [1.0, 0.0]]
    """

    def __init__(self, embeddings: NDArray[np.float32]) -> None:
        self._embeddings = embeddings
        self.mean, self.scale = _moments(embeddings)

    def of(self, index: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        """Return some rows, shape (r, d)."""
        return (self._embeddings[index] - self.mean) * self.scale


def _moments(embeddings: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the mean and 1 / standard deviation of every dimension (1 where it is constant), in two passes."""
    n = embeddings.shape[0]
    blocks = [slice(start, start + ROWS_PER_BLOCK) for start in range(0, n, ROWS_PER_BLOCK)]
    mean = sum(embeddings[block].sum(axis=0, dtype=np.float64) for block in blocks) / n
    variance = sum(((embeddings[block] - mean) ** 2).sum(axis=0) for block in blocks) / n
    # A dimension that varies by rounding alone is constant: blowing it up would make noise count like the others.
    constant = variance <= np.maximum((1e-6 * mean) ** 2, 1e-60)
    scale = 1.0 / np.sqrt(np.where(constant, 1.0, variance))
    return mean.astype(np.float32), scale.astype(np.float32)
