"""Cluster distance difference: how ambiguous an item is between its two nearest clusters (BAL, Eq. 2)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from poolselect.exceptions import InvalidParameterError
from poolselect.half_rows import HalfRows
from poolselect.kmeans import POINTS_PER_CENTROID, count_distinct, fit_kmeans, sample_rows, squared_distances
from poolselect.metric import LONGEST, ROWS_PER_BLOCK
from poolselect.rng import generator
from poolselect.threads import single_threaded_blas

_FEWEST_CLUSTERS, _MOST_CLUSTERS = 10, 100


def cluster_distance_difference(embeddings: ArrayLike, centroids: ArrayLike) -> NDArray[np.float64]:
    """Measure for every row how much farther the second nearest centroid is than the nearest.

        d_j(x) = |x - mu_j| ;  d_(1) <= d_(2) <= ...  ;  CDD(x) = d_(2)(x) - d_(1)(x) >= 0        (BAL, Eq. 2)

    Parameters
    ----------
    embeddings : array_like of shape (n, d), floats
        Read in blocks, so a memory map is never held in memory.
    centroids : array_like of shape (k, d) or (s, k, d), floats
        One clustering, or several with equally many centroids (`fit_centroids`).

    Returns
    -------
    ndarray of shape (n,) or (s, n), float64
        Small = between two clusters = hard. All zero for k = 1: nothing is nearer to one cluster than to another.

    Raises
    ------
    InvalidParameterError
        If the centroids are not finite, or of another width than the embeddings, or a number is beyond 1e15.

    Notes
    -----
    Where we differ: the difference is computed as (d_(2)^2 - d_(1)^2) / (d_(1) + d_(2)), which is the same number and
    keeps the digits that a difference of two square roots loses. Scaling both arguments scales the result.

    References
    ----------
    Li, Wang, Chen, Tan: BAL: Balancing Diversity and Novelty for Active Learning, TPAMI 2023. Eq. 2.

    Examples
    --------
    On a line with centroids at 0 and 10, 5 lies right between them and 1 clearly belongs to the first.

    >>> cluster_distance_difference([[0.0], [1.0], [5.0], [12.0]], [[0.0], [10.0]]).tolist()
    [10.0, 8.0, 0.0, 10.0]
    """
    points = np.asanyarray(embeddings)
    if points.ndim != 2 or points.dtype.kind not in "fiu":
        raise InvalidParameterError(
            f"embeddings have dtype {points.dtype} and shape {points.shape}; they must be numbers of shape (n, d)."
        )
    _refuse_far(points)
    centers = checked_centroids(centroids, points.shape[-1])
    several = centers.ndim == 3
    stacked = centers if several else centers[None]
    seeds, k, width = stacked.shape
    flat = stacked.reshape(-1, width)
    middle = flat.mean(axis=0)
    flat = flat - middle
    found = np.zeros((seeds, points.shape[0]), dtype=np.float64)
    with single_threaded_blas():
        for start in range(0, points.shape[0] if k > 1 else 0, ROWS_PER_BLOCK):
            block = np.asarray(points[start : start + ROWS_PER_BLOCK], dtype=np.float32) - middle
            squares = squared_distances(block, flat).reshape(block.shape[0], seeds, k)
            first, second = _two_smallest(squares)
            sums = np.sqrt(first) + np.sqrt(second)
            gap = np.divide(second - first, sums, out=np.zeros_like(sums), where=sums > 0)
            found[:, start : start + ROWS_PER_BLOCK] = gap.T
    return found if several else found[0]


def fit_centroids(
    embeddings: NDArray[np.float32], n_clusters: int, n_seeds: int = 5, random_state: int = 0, *, full: bool = False
) -> NDArray[np.float32]:
    """Fit k-means several times over, each time from another seed and on another sample.

    Parameters
    ----------
    embeddings : ndarray of shape (n, d), float32
        At least one row, in an order of their own (by id): samples are drawn by row number.
    n_clusters : int
        k, at least 1; `default_clusters` gives the usual number. Fewer are fitted if there are fewer distinct rows.
    n_seeds : int, default 5
        Clusterings. The order of one seed is not stable (rank correlation 0.40-0.81 between seeds), their mean is.
    random_state : int, default 0
        Any integer.
    full : bool, default False
        Fit on all rows, as the paper does, instead of on at most 256 per centroid.

    Returns
    -------
    ndarray of shape (n_seeds, k, d), float32

    Examples
    --------
    >>> import numpy as np
    >>> points = np.array([[0.0], [1.0], [10.0], [11.0]], dtype=np.float32)
    >>> np.sort(fit_centroids(points, 2, n_seeds=2)[:, :, 0]).tolist()
    [[0.5, 10.5], [0.5, 10.5]]
    """
    for name, value in (("n_clusters", n_clusters), ("n_seeds", n_seeds)):
        if value < 1:
            raise InvalidParameterError(f"{name}={value!r} must be an integer of at least 1.")
    n = embeddings.shape[0]
    if n == 0:
        raise InvalidParameterError("k-means needs at least one row of embeddings; there are none.")
    _refuse_far(embeddings)
    streams = generator(random_state).spawn(n_seeds)
    samples = [np.arange(n) if full else sample_rows(n, POINTS_PER_CENTROID * n_clusters, stream) for stream in streams]
    # Equally many centroids from every seed: as many as the poorest sample has distinct points.
    k = min(count_distinct(embeddings[rows], n_clusters) for rows in samples)
    fits = [fit_kmeans(embeddings[rows], k, stream) for rows, stream in zip(samples, streams, strict=True)]
    return np.stack(fits)


def default_clusters(n: int, classes: int | None = None) -> int:
    """Return the usual k: the number of classes, else round(sqrt(n / 2)) within [10, 100].

    Parameters
    ----------
    n : int
        Rows of the pool.
    classes : int, optional
        Classes of the labeling task; below 2 it says nothing.

    Examples
    --------
    >>> default_clusters(5000, classes=7), default_clusters(5000), default_clusters(10**6)
    (7, 50, 100)
    """
    if classes is not None and classes >= 2:
        return classes
    return min(max(round(math.sqrt(n / 2)), _FEWEST_CLUSTERS), _MOST_CLUSTERS)


def checked_centroids(centroids: ArrayLike, width: int) -> NDArray[np.float32]:
    """Return centroids as float32 of shape (k, d) or (s, k, d); raise `InvalidParameterError` if they do not fit."""
    array = np.asarray(centroids)
    if array.dtype.kind not in "fiu" or array.ndim not in (2, 3) or 0 in array.shape or array.shape[-1] != width:
        raise InvalidParameterError(
            f"centroids have dtype {array.dtype} and shape {array.shape}; for these embeddings they must be numbers of "
            f"shape (k, {width}) or (seeds, k, {width})."
        )
    if not (np.abs(array) <= LONGEST).all():
        raise InvalidParameterError(f"centroids hold NaN or numbers beyond {LONGEST:g}; fit them with fit_centroids.")
    return array.astype(np.float32)


def _refuse_far(embeddings: NDArray[np.generic]) -> None:
    # By blocks, for memory maps; and by the extremes, which takes no copy.
    for start in range(0, embeddings.shape[0], ROWS_PER_BLOCK):
        piece = slice(start, start + ROWS_PER_BLOCK)
        if isinstance(embeddings, HalfRows) and embeddings.are_finite(piece):
            continue  # no number of float16 is so large
        block = embeddings[piece]
        if not -LONGEST <= float(block.min()) <= float(block.max()) <= LONGEST:
            raise InvalidParameterError(
                f"embeddings hold NaN or numbers beyond {LONGEST:g}, between which float32 cannot measure distances. "
                "Scale the vectors down or leave these rows out."
            )


def _two_smallest(squares: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the smallest and the second smallest along the last axis, which has at least two entries."""
    lowest = np.partition(squares, 1, axis=-1)[..., :2].astype(np.float64)
    return lowest[..., 0], lowest[..., 1]
