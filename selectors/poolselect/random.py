"""The baseline, and the control group of a live queue: uniform draws without replacement."""

from __future__ import annotations

import numpy as np

from poolselect.pool import Pool
from poolselect.selection import Selection
from poolselect.strategy import QueryStrategy


class Random(QueryStrategy):
    """Choose uniformly at random, without replacement.

    Every candidate draws a number from [0, 1); the highest numbers come first. The number is the row's utility.

    Parameters
    ----------
    random_state : int, default 0
        Any integer; the same seed and pool give the same order.

    Examples
    --------
    >>> import numpy as np
    >>> from poolselect import Pool
    >>> pool = Pool(ids=np.arange(5), embeddings=np.eye(5))
    >>> order = Random(random_state=3).query(pool, batch_size=5).indices
    >>> sorted(order.tolist())
    [0, 1, 2, 3, 4]
    """

    def __init__(self, *, random_state: int = 0) -> None:
        super().__init__(random_state=random_state)

    def _query(self, pool: Pool, batch_size: int, rng: np.random.Generator) -> Selection:
        candidates = np.flatnonzero(pool.candidates)
        keys = rng.random(candidates.size)
        # Stable, so that two equal numbers (possible, if hardly) are ordered by id.
        best = np.argsort(-keys, kind="stable")[:batch_size]
        return Selection(candidates[best], keys[best], ("uniformly drawn",) * batch_size)
