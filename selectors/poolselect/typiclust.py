"""TypiClust: the most typical image of each cluster that has none yet."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from poolselect.kmeans import fit_kmeans_quickly, nearest_centroid, sample_rows, squared_distances
from poolselect.metric import ROWS_PER_BLOCK
from poolselect.pool import Pool
from poolselect.selection import Selection
from poolselect.strategy import QueryStrategy

_MOST_CLUSTERS = 500
_NEIGHBORS = 20
_SMALL_CLUSTER = 5
_FIRST_STAGE = 20
# Members of one cluster that are compared with each other; more than that are represented by a draw of them.
_MOST_MEMBERS = 1024


class TypiClust(QueryStrategy):
    """Cluster the pool, then choose the most typical image of the largest cluster that has no chosen one, and so on.

    With z the embeddings, scaled to unit length, S the rows chosen so far (labeled and selected ones included), and the
    pool cut by k-means into min(|S| + B, 500) clusters for B images wanted:

        Typicality(x) = ( mean of |z(x) - z(x')| over the 20 nearest x' )^-1        (Eq. 4, within the cluster)
        next          = the most typical candidate of the cluster with the fewest chosen rows, the largest of a tie

    Since |S| + B clusters cannot all be covered by |S| rows, B clusters are uncovered. Dense places are typical, so
    odd images are avoided: made for few labels.

    Parameters
    ----------
    random_state : int, default 0
        Any integer; starts and samples of k-means.

    See Also
    --------
    FreeSel : The other cold start; it needs no clustering and orders a large pool faster.

    Notes
    -----
    `Selection.utilities` is the share of the pool in the image's cluster, divided by one more than the images already
    chosen from it, made non-increasing by a running minimum.

    Where we differ. From the paper: B cannot be the batch size, since a longer batch must begin like a shorter one. So
    the order is made in stages, B = max(20, |S|), each with a new clustering; a batch ends wherever it ends. From the
    released code: clusters with up to 5 members come last instead of never, so that the order includes every candidate;
    members are compared once per stage, so that a second image of a cluster is the next typical one; of a cluster with
    more than 1,024 candidates a draw of 1,024 is compared; k-means is fitted on at most 256 rows per centroid, or 64
    beyond 50 clusters, where the released code uses mini-batches.

    References
    ----------
    Hacohen, Dekel, Weinshall: Active Learning on a Budget: Opposite Strategies Suit High and Low Budgets, ICML 2022.

    Examples
    --------
    Three directions, 10, 7 and 6 images each; one of the first is labeled. The larger of the other two comes first.

    >>> import numpy as np
    >>> from poolselect import Pool
    >>> direction = np.repeat([0, 1, 2], [10, 7, 6])
    >>> pool = Pool(np.arange(23), np.eye(3)[direction], labels=[0] + 22 * [-1])
    >>> chosen = TypiClust().query(pool, batch_size=4)
    >>> direction[chosen.indices].tolist(), chosen.reasons[0]
    ([1, 2, 0, 1], 'typical of a cluster of 7, none of them selected')
    """

    def __init__(self, *, random_state: int = 0) -> None:
        super().__init__(random_state=random_state)

    def _query(self, pool: Pool, batch_size: int, rng: np.random.Generator) -> Selection:
        rows, shares, reasons = zip(*itertools.islice(_stages(pool, rng), batch_size), strict=True)
        return Selection(np.array(rows, dtype=np.int64), np.minimum.accumulate(np.array(shares)), tuple(reasons))


def typicality(points: NDArray[np.float32], neighbors: int = _NEIGHBORS) -> NDArray[np.float64]:
    """Return the inverse of the mean distance to the nearest other points (TypiClust, Eq. 4).

    Parameters
    ----------
    points : ndarray of shape (n, d), float32
        At least one.
    neighbors : int, default 20
        At most; in small sets half of the points, but at least one, as in the released code.

    Returns
    -------
    ndarray of shape (n,), float64
        Higher = denser; 1e5 where the neighbors are copies. A single point gets 0.

    Examples
    --------
    >>> import numpy as np
    >>> typicality(np.array([[0.0], [1.0], [1.5], [3.5]], dtype=np.float32)).round(2).tolist()
    [0.8, 1.33, 1.0, 0.44]
    """
    n = points.shape[0]
    if n == 1:
        return np.zeros(1)
    k = min(neighbors, max(n // 2, 1))
    squares = squared_distances(points - points.mean(axis=0), points - points.mean(axis=0))
    # A point is no neighbor of its own, whatever rounding makes of its distance to itself.
    np.fill_diagonal(squares, np.inf)
    nearest = np.partition(squares, k - 1, axis=1)[:, :k].astype(np.float64)
    result: NDArray[np.float64] = 1.0 / (np.sqrt(nearest).mean(axis=1) + 1e-5)
    return result


def _stages(pool: Pool, rng: np.random.Generator) -> Iterator[tuple[int, float, str]]:
    """Yield row, share of the pool it stands for, and reason, for every candidate."""
    known = np.flatnonzero(pool.candidates | pool.selected)
    points = _unit(pool.embeddings, known)
    chosen = pool.selected[known]
    while not chosen.all():
        size = max(_FIRST_STAGE, int(chosen.sum()))
        for place, share, reason in itertools.islice(_stage(points, chosen.copy(), size, rng), size):
            chosen[place] = True
            yield int(known[place]), share, reason


def _stage(
    points: NDArray[np.float32], chosen: NDArray[np.bool_], size: int, rng: np.random.Generator
) -> Iterator[tuple[int, float, str]]:
    """Yield places in `points`, at least one: those of the least covered cluster first."""
    n = points.shape[0]
    k = min(int(chosen.sum()) + size, _MOST_CLUSTERS, n)
    clusters = nearest_centroid(points, fit_kmeans_quickly(points.__getitem__, n, k, rng))
    k = int(clusters.max()) + 1
    sizes = np.bincount(clusters, minlength=k)
    covered = np.bincount(clusters[chosen], minlength=k)
    by_cluster = np.argsort(clusters, kind="stable")
    members = np.split(by_cluster, np.cumsum(sizes)[:-1])
    waiting = [
        (int(sizes[c]) <= _SMALL_CLUSTER, int(covered[c]), -int(sizes[c]), c)
        for c in range(k)
        if not chosen[members[c]].all()
    ]
    heapq.heapify(waiting)
    orders: dict[int, Iterator[int]] = {}
    while waiting:
        small, held, negative, c = heapq.heappop(waiting)
        if c not in orders:
            orders[c] = iter(_most_typical_first(points, members[c][~chosen[members[c]]], rng))
        place = next(orders[c], None)
        if place is not None:
            heapq.heappush(waiting, (small, held + 1, negative, c))
            few = "none" if held == 0 else str(held)
            yield place, -negative / n / (held + 1), f"typical of a cluster of {-negative}, {few} of them selected"


def _most_typical_first(points: NDArray[np.float32], members: NDArray[np.int64], rng: np.random.Generator) -> list[int]:
    """Order the members of one cluster, or a draw of them if they are many, by typicality; ties by row."""
    compared = members[sample_rows(members.size, _MOST_MEMBERS, rng)]
    order: list[int] = compared[np.argsort(-typicality(points[compared]), kind="stable")].tolist()
    return order


def _unit(embeddings: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return some rows scaled to unit length; a zero vector stays one."""
    unit = np.empty((rows.size, embeddings.shape[1]), dtype=np.float32)
    for start in range(0, rows.size, ROWS_PER_BLOCK):
        block = embeddings[rows[start : start + ROWS_PER_BLOCK]].astype(np.float64)
        lengths = np.sqrt(np.einsum("ij,ij->i", block, block))[:, None]
        unit[start : start + ROWS_PER_BLOCK] = np.divide(block, lengths, out=block, where=lengths > 0)
    return unit
