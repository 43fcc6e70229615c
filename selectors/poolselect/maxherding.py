"""MaxHerding: the image that raises the coverage of the pool under a kernel most, again and again."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import numpy as np

from poolselect.herding import Gaussian, Herd, Sample, check_positive, check_size
from poolselect.pool import Pool
from poolselect.selection import Selection
from poolselect.strategy import QueryStrategy

NOTHING_NEW = "nothing new is left: uniformly drawn"


class MaxHerding(QueryStrategy):
    """Choose the candidate that raises the mean similarity of the pool to its nearest chosen row most.

    With z the embeddings, scaled to unit length, S the rows chosen so far (labeled and selected ones included) and J
    a sample of the pool:

        k(x, y) = exp(-(|z(x) - z(y)| / h)^2),   m_j = max over s in S of k(s, j), 0 without any
        next    = argmax over x of the mean over j in J of max(k(x, j) - m_j, 0)

    The mean of m_j is the generalized coverage. It is submodular, so the greedy selection reaches 1 - 1/e of the best
    one's coverage, and every beginning of the order is such a selection. Dense places come first, odd images late:
    made for few labels.

    Parameters
    ----------
    radius : float, default 1.0
        h, above 0, as a distance of unit vectors.
    reference_size : int, default 1000
        Rows in J, drawn without replacement, at least 1. **All rows, that is a number no smaller than the pool, is the
        paper.**
    random_state : int, default 0
        Any integer. It draws J, and the rest when nothing new is left; with J = all rows it decides nothing before.

    See Also
    --------
    UHerding : The same, weighted by a model's uncertainty.
    ProbCover : The same with a ball for a kernel.

    Notes
    -----
    `Selection.utilities` is that mean: the share of the coverage that the row adds. A tie goes to the lowest id. When
    only copies of chosen rows are left, the rest is drawn uniformly.

    The order is that of a plain greedy on J, though most gains are never computed (`poolselect.herding`). An image is
    one vector, its embedding; `Pool.patterns` are not looked at. A zero vector stays one: it is as far from everything
    as a radius. Where nothing is selected yet, similarities to J are remembered: 2 bytes each, 256 MB at most.

    Where we differ from the paper and its released code: J is a sample, which makes a large pool affordable;
    rows that can be chosen are never sampled; the order goes on to
    the last candidate.

    References
    ----------
    Bae, Noh, Sutherland: Generalized Coverage for More Robust Low-Budget Active Learning, ECCV 2024.
    Minoux: Accelerated Greedy Algorithms for Maximizing Submodular Set Functions, 1978.

    Examples
    --------
    Three directions, 3, 2 and 1 images: the larger the group, the sooner it is covered.

    >>> import numpy as np
    >>> from poolselect import Pool
    >>> direction = np.array([2, 0, 1, 0, 1, 0])
    >>> chosen = MaxHerding().query(Pool(np.arange(6), np.eye(3)[direction]), batch_size=4)
    >>> chosen.indices[:3].tolist(), chosen.reasons[0]
    ([1, 2, 0], 'adds 0.568 to the coverage of the pool')
    """

    def __init__(self, *, radius: float = 1.0, reference_size: int = 1000, random_state: int = 0) -> None:
        super().__init__(random_state=random_state)
        self.radius = radius
        self.reference_size = reference_size

    def _validate(self) -> None:
        check_positive("radius", self.radius)
        check_size("reference_size", self.reference_size)

    def _query(self, pool: Pool, batch_size: int, rng: np.random.Generator) -> Selection:
        sample = Sample(pool, int(self.reference_size), rng)
        herd = Herd(pool, sample, Gaussian(float(self.radius)))
        moves = ((row, gain, f"adds {gain:.3f} to the coverage of the pool") for row, gain in herd)
        return in_order(pool, moves, batch_size, rng)


def in_order(
    pool: Pool, moves: Iterable[tuple[int, float, str]], batch_size: int, rng: np.random.Generator
) -> Selection:
    """Return the first `batch_size` moves (row, utility, reason), then the candidates that are left, drawn uniformly.

    Utilities are made non-increasing by a running minimum.
    """

    def endless() -> Iterator[tuple[int, float, str]]:
        free = pool.candidates.copy()
        for move in moves:
            free[move[0]] = False
            yield move
        for row in rng.permutation(np.flatnonzero(free)).tolist():
            yield row, 0.0, NOTHING_NEW

    rows, utilities, reasons = zip(*itertools.islice(endless(), batch_size), strict=True)
    return Selection(np.array(rows, dtype=np.int64), np.minimum.accumulate(np.array(utilities)), tuple(reasons))
