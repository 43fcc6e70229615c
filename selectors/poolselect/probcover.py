"""ProbCover: the image whose ball covers most of what no chosen ball covers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from poolselect.cdd import default_clusters
from poolselect.herding import Ball, Herd, Sample, check_positive, check_size
from poolselect.kmeans import fit_kmeans, nearest_centroid
from poolselect.maxherding import in_order
from poolselect.pool import Pool
from poolselect.selection import Selection
from poolselect.strategy import QueryStrategy

_IMPURE = 0.05  # share of balls that may hold rows of another cluster
_WIDEST = 2.0  # no two unit vectors are farther apart
_ROWS = 512
_HAIR = 1e-9  # more than a distance is rounded, so that a radius below one stays below it


class ProbCover(QueryStrategy):
    """Choose the candidate whose ball covers most rows that no ball covers yet.

    With z the embeddings, scaled to unit length, S the rows chosen so far (labeled and selected ones included) and J
    a sample of the pool:

        next = argmax over x of | { j in J : |z(x) - z(j)| <= delta, and |z(s) - z(j)| > delta for all s in S } |

    delta is the largest radius at which 95 % of the balls about rows of J are pure: they hold rows of one k-means
    cluster alone, with as many clusters as there are classes. When no ball adds anything, delta is halved until one
    does, and so on.

    Parameters
    ----------
    radius : float, optional
        The first delta, above 0, as a distance of unit vectors. Default: as above.
    n_clusters : int, optional
        Clusters that take the part of classes, at least 1. Default: the number of classes if the pool says it, else
        round(sqrt(N / 2)) within [10, 100].
    reference_size : int, default 1000
        Rows in J, drawn without replacement, at least 1. **All rows, that is a number no smaller than the pool, is the
        paper.**
    random_state : int, default 0
        Any integer: J, the clusters, and the rest when nothing new is left.

    See Also
    --------
    MaxHerding : The same with a kernel that falls off gently, and no radius to be guessed.

    Notes
    -----
    `Selection.utilities` is the share of J that the ball newly covers, made non-increasing by a running minimum (a
    narrower ball may cover more new rows than the last wide one did). A tie goes to the lowest id. When every row of J
    is a copy of a chosen one, the rest is drawn uniformly. An image is one vector, its embedding; `Pool.patterns` are
    not looked at.

    Where we differ from the paper and its released code: J is a sample, and purity is measured on it; delta is halved
    where the paper's order has no more to say; the order goes on to the last candidate.

    References
    ----------
    Yehuda, Dekel, Hacohen, Weinshall: Active Learning Through a Covering Lens, NeurIPS 2022. Alg. 1, Sec. 3.

    Examples
    --------
    Three directions, 3, 2 and 1 images: the larger the group, the sooner it is covered.

    >>> import numpy as np
    >>> from poolselect import Pool
    >>> direction = np.array([2, 0, 1, 0, 1, 0])
    >>> chosen = ProbCover(radius=0.5).query(Pool(np.arange(6), np.eye(3)[direction]), batch_size=3)
    >>> chosen.indices.tolist(), chosen.reasons[0]
    ([1, 2, 0], 'its ball of radius 0.50 covers 0.500 of the pool anew')
    """

    def __init__(
        self,
        *,
        radius: float | None = None,
        n_clusters: int | None = None,
        reference_size: int = 1000,
        random_state: int = 0,
    ) -> None:
        super().__init__(random_state=random_state)
        self.radius = radius
        self.n_clusters = n_clusters
        self.reference_size = reference_size

    def _validate(self) -> None:
        if self.radius is not None:
            check_positive("radius", self.radius)
        if self.n_clusters is not None:
            check_size("n_clusters", self.n_clusters)
        check_size("reference_size", self.reference_size)

    def _query(self, pool: Pool, batch_size: int, rng: np.random.Generator) -> Selection:
        sample = Sample(pool, int(self.reference_size), rng)
        radius = self.radius
        if radius is None:
            k = self._clusters(pool)
            points = sample.points.astype(np.float32)
            radius = pure_radius(sample.nearest(nearest_centroid(points, fit_kmeans(points, k, rng))))
        return in_order(pool, _covering(pool, sample, float(radius)), batch_size, rng)

    def _clusters(self, pool: Pool) -> int:
        if self.n_clusters is not None:
            return int(self.n_clusters)
        classes = len(pool.class_names) if pool.class_names is not None else None
        if classes is None and pool.probabilities is not None:
            classes = pool.probabilities.shape[1]
        return default_clusters(len(pool), classes)


def pure_radius(reaches: NDArray[np.float64]) -> float:
    """Return the largest radius at which 95 % of the balls hold points of one cluster alone.

    Parameters
    ----------
    reaches : ndarray of shape (r,), float64
        Distance of each point to the nearest point of another cluster, infinite without any: below it the point's ball
        is pure.

    Returns
    -------
    float
        At most 2, the diameter of the unit sphere.

    Examples
    --------
    >>> round(pure_radius(np.array([0.5, 0.4, 0.4, 0.9])), 6), pure_radius(np.array([np.inf]))
    (0.4, 2.0)
    """
    edge = float(np.sort(reaches)[int(_IMPURE * reaches.size)])
    return min(edge * (1.0 - _HAIR), _WIDEST)


def _covering(pool: Pool, sample: Sample, radius: float) -> Iterator[tuple[int, float, str]]:
    """Yield row, share newly covered, and reason, with narrower and narrower balls."""
    chosen = np.flatnonzero(pool.selected)
    free = pool.candidates.copy()
    nearest = np.full(sample.rows.size, np.inf)
    for rows in _blocks(chosen):
        np.minimum(nearest, sample.directions.squares(rows, sample.points).min(axis=0), out=nearest)
    least = np.sqrt(sample.directions.noise)
    while free.any() and radius > least:
        found = []
        for row, share in Herd(pool, sample, Ball(radius), free=free, chosen=chosen):
            found.append(row)
            yield row, share, f"its ball of radius {radius:.2f} covers {share:.3f} of the pool anew"
        free[found] = False
        for rows in _blocks(np.array(found, dtype=np.int64)):
            np.minimum(nearest, sample.directions.squares(rows, sample.points).min(axis=0), out=nearest)
        chosen = np.concatenate([chosen, np.array(found, dtype=np.int64)])
        farthest = float(np.sqrt(nearest.max()))
        radius /= 2.0
        while farthest <= radius and radius > least:
            radius /= 2.0


def _blocks(rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    for start in range(0, rows.size, _ROWS):
        yield rows[start : start + _ROWS]
