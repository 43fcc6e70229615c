"""The one door to scikit-learn's k-means: seeded, on one thread, on a sample where that is enough."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from poolselect.metric import ROWS_PER_BLOCK
from poolselect.threads import single_threaded_blas

# More points than this per centroid hardly move the centroids (0.2 % of inertia with k = 10, 3.8 % with k = 100).
POINTS_PER_CENTROID = 256
# What a fine clustering in the middle of an order can afford: with k = 256, 1.5 % more inertia in a fifth of the time.
_MANY_CLUSTERS, _FEW_POINTS_PER_CENTROID, _FEW_STEPS = 50, 64, 20
# k-means++ looks at all its points once per centroid and trial. On a few points per centroid it starts as well
# (8: within 1 % of the inertia with k = 64, 256 and 500), and a large fit takes a quarter of the time.
_LEAST_SEEDING_POINTS, _SEEDING_POINTS_PER_CENTROID = 2560, 8


def fit_kmeans(
    points: NDArray[np.float32],
    n_clusters: int,
    rng: np.random.Generator,
    *,
    init: str = "k-means++",
    n_init: int = 1,
    max_iter: int = 300,
) -> NDArray[np.float32]:
    """Fit centroids to all the points given: Lloyd's algorithm as scikit-learn does it.

    k-means++ draws its start from at most max(2560, 8 k) of the points.

    Parameters
    ----------
    points : ndarray of shape (n, d), float32
        At least one row.
    n_clusters : int
        k, at least 1. No more centroids are fitted than there are distinct points.
    rng : numpy.random.Generator
        Where starts come from.
    init : {"k-means++", "random"}, default "k-means++"
        How the start is drawn.
    n_init : int, default 1
        Starts; the best end is kept.
    max_iter : int, default 300
        Lloyd steps per start at most.

    Returns
    -------
    ndarray of shape (min(k, distinct points), d), float32

    Notes
    -----
    BLAS and OpenMP run on one thread: the sums over a cluster are added up in whatever order threads finish.

    Examples
    --------
    >>> import numpy as np
    >>> points = np.array([[0.0], [1.0], [10.0], [11.0]], dtype=np.float32)
    >>> sorted(fit_kmeans(points, 2, np.random.default_rng(0)).ravel().tolist())
    [0.5, 10.5]
    """
    from sklearn.cluster import KMeans, kmeans_plusplus
    from sklearn.exceptions import ConvergenceWarning

    k = count_distinct(points, n_clusters)
    number = int(rng.integers(2**31))
    seeding = max(_LEAST_SEEDING_POINTS, _SEEDING_POINTS_PER_CENTROID * k)
    start: str | NDArray[np.float32] = init
    # OpenMP's limit belongs to the calling thread, so blocks of several threads cannot undo each other's.
    with single_threaded_blas(), threadpool_limits(limits=1, user_api="openmp"), warnings.catch_warnings():
        # Distinct points that float32 distances cannot tell apart: some centroids coincide, which does no harm here.
        warnings.filterwarnings("ignore", message="Number of distinct clusters", category=ConvergenceWarning)
        if init == "k-means++" and n_init == 1 and points.shape[0] > seeding:
            few = points[sample_rows(points.shape[0], seeding, rng)]
            start = kmeans_plusplus(few, k, random_state=number)[0]
        model = KMeans(k, init=start, n_init=n_init, max_iter=max_iter, random_state=number)
        centroids: NDArray[np.float32] = model.fit(points).cluster_centers_.astype(np.float32)
    return centroids


def fit_kmeans_quickly(
    points: Callable[[NDArray[np.int64]], NDArray[np.float32]], n: int, n_clusters: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Fit centroids to a sample of n points in at most 20 steps: 256 points per centroid, or 64 beyond 50 centroids.

    Parameters
    ----------
    points : callable
        Given row numbers (r,), returns those points, (r, d), float32.
    n : int
        How many points there are.
    n_clusters : int
        k, at least 1. No more centroids are fitted than the sample has distinct points.
    rng : numpy.random.Generator
        Draws the sample and the start.

    Returns
    -------
    ndarray of shape (k or fewer, d), float32

    Examples
    --------
    >>> import numpy as np
    >>> line = np.arange(1000, dtype=np.float32)[:, None]
    >>> fit_kmeans_quickly(line.__getitem__, 1000, 60, np.random.default_rng(0)).shape
    (60, 1)
    """
    per_centroid = POINTS_PER_CENTROID if n_clusters <= _MANY_CLUSTERS else _FEW_POINTS_PER_CENTROID
    return fit_kmeans(points(sample_rows(n, per_centroid * n_clusters, rng)), n_clusters, rng, max_iter=_FEW_STEPS)


def sample_rows(n: int, size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw `size` of n rows without replacement, ascending; all of them if there are no more.

    Examples
    --------
    >>> import numpy as np
    >>> sample_rows(1000, 512, np.random.default_rng(0)).size, sample_rows(5, 512, np.random.default_rng(0)).tolist()
    (512, [0, 1, 2, 3, 4])
    """
    if n <= size:
        return np.arange(n, dtype=np.int64)
    return np.sort(rng.choice(n, size=size, replace=False, shuffle=False)).astype(np.int64)


def count_distinct(points: NDArray[np.float32], limit: int) -> int:
    """Count distinct rows, up to `limit`: no further row is looked at then.

    Examples
    --------
    >>> import numpy as np
    >>> count_distinct(np.array([[0.0], [-0.0], [1.0], [2.0]], dtype=np.float32), 10)
    3
    """
    seen: set[bytes] = set()
    for row in points:
        # Adding zero turns -0 into 0, which equals it but has other bytes.
        seen.add((row + np.float32(0.0)).tobytes())
        if len(seen) >= limit:
            break
    return len(seen)


def squared_distances(points: NDArray[np.float32], centroids: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return squared Euclidean distances of points (b, d) to centroids (k, d): shape (b, k), never below 0.

    Both should be centered near 0, since a large common part costs digits.

    Examples
    --------
    >>> import numpy as np
    >>> squared_distances(np.eye(2, dtype=np.float32), np.zeros((1, 2), dtype=np.float32)).tolist()
    [[1.0], [1.0]]
    """
    squares = points @ (centroids.T * np.float32(-2.0))
    squares += np.einsum("ij,ij->i", points, points)[:, None]
    squares += np.einsum("ij,ij->i", centroids, centroids)
    result: NDArray[np.float32] = np.maximum(squares, np.float32(0.0), out=squares)
    return result


def nearest_centroid(points: NDArray[np.float32], centroids: NDArray[np.float32]) -> NDArray[np.int64]:
    """Assign every point (n, d) to the nearest centroid (k, d), the lowest of a tie: shape (n,). In chunks.

    Examples
    --------
    >>> import numpy as np
    >>> points, centroids = np.array([[0], [4]], dtype=np.float32), np.array([[5], [1]], dtype=np.float32)
    >>> nearest_centroid(points, centroids).tolist()
    [1, 0]
    """
    middle = centroids.mean(axis=0)
    shifted = centroids - middle
    labels = np.empty(points.shape[0], dtype=np.int64)
    for start in range(0, points.shape[0], ROWS_PER_BLOCK):
        block = slice(start, start + ROWS_PER_BLOCK)
        labels[block] = squared_distances(points[block] - middle, shifted).argmin(axis=1)
    return labels


def nearest_rows(
    points: Callable[[NDArray[np.int64]], NDArray[np.float32]], rows: NDArray[np.int64], centroids: NDArray[np.float32]
) -> NDArray[np.int64]:
    """Return for every centroid (k, d) the nearest of some rows, the first of a tie: shape (k,).

    Parameters
    ----------
    points : callable
        Given row numbers (r,), returns those points, (r, d), float32.
    rows : ndarray of shape (r,), int64
        At least one.
    centroids : ndarray of shape (k, d), float32

    Examples
    --------
    >>> line = np.arange(9, dtype=np.float32)[:, None]
    >>> nearest_rows(line.__getitem__, np.array([0, 3, 8]), np.array([[4], [7]], dtype=np.float32)).tolist()
    [3, 8]
    """
    best = np.full(centroids.shape[0], np.inf, dtype=np.float32)
    found = np.zeros(centroids.shape[0], dtype=np.int64)
    columns = np.arange(centroids.shape[0])
    for start in range(0, rows.size, ROWS_PER_BLOCK):
        block = rows[start : start + ROWS_PER_BLOCK]
        squares = squared_distances(points(block), centroids)
        places = squares.argmin(axis=0)
        closer = squares[places, columns] < best
        best[closer] = squares[places, columns][closer]
        found[closer] = block[places[closer]]
    return found
