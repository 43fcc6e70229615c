"""k-center greedy (Core-Set): always the image farthest from everything selected."""

from __future__ import annotations

import itertools

import numpy as np

from poolselect.farthest import farthest_first
from poolselect.metric import build_metric
from poolselect.pool import Pool
from poolselect.selection import Selection
from poolselect.strategy import QueryStrategy


class KCenterGreedy(QueryStrategy):
    """Choose the candidate whose embedding is farthest from everything selected, again and again.

        next = argmax over x of min over s in S of |x - s|

    with S the labeled and selected rows and those chosen before. The largest distance of the pool to S is then at most
    twice the smallest that any selection of that size reaches.

    Parameters
    ----------
    random_state : int, default 0
        Any integer. It decides only the first row of an empty selection.

    See Also
    --------
    FreeSel : ``sampling="farthest", metric="euclidean"`` does the same with several patterns per image.

    Notes
    -----
    `Selection.utilities` is that distance; for the drawn first row twice the radius of the pool. A tie, to within
    float32's rounding, goes to the lowest id. The order is exact, though most distances are never computed
    (`poolselect.farthest`).

    Where we differ from the paper: only its greedy initialization is built, not the mixed integer program that allows
    outliers. Expect outliers early on: they are what is far from everything.

    References
    ----------
    Sener, Savarese: Active Learning for Convolutional Neural Networks: A Core-Set Approach, ICLR 2018. Alg. 1.
    Gonzalez: Clustering to Minimize the Maximum Intercluster Distance, 1985.

    Examples
    --------
    Row 0 is labeled; 100 is farthest from it, then 40 (40 away), then 95 (5 away).

    >>> from poolselect import Pool
    >>> pool = Pool([1, 2, 3, 4], [[0.0], [40.0], [100.0], [95.0]], labels=[0, -1, -1, -1])
    >>> chosen = KCenterGreedy().query(pool, batch_size=3)
    >>> chosen.indices.tolist(), chosen.utilities.tolist()
    ([2, 1, 3], [100.0, 40.0, 5.0])
    """

    def __init__(self, *, random_state: int = 0) -> None:
        super().__init__(random_state=random_state)

    def _query(self, pool: Pool, batch_size: int, rng: np.random.Generator) -> Selection:
        plain = Pool(pool.ids, pool.embeddings, candidates=pool.candidates, selected=pool.selected)
        order = farthest_first(plain, build_metric("euclidean", plain), rng)
        rows, distances, reasons = zip(*itertools.islice(order, batch_size), strict=True)
        return Selection(np.array(rows, dtype=np.int64), np.minimum.accumulate(np.array(distances)), tuple(reasons))
