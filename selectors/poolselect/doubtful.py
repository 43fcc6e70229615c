"""Doubt that keeps coverage: FreeSel's potential, in which rows count more where a model is in doubt."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from poolselect.metric import MetricName
from poolselect.pool import Pool
from poolselect.proposals import Proposals
from poolselect.uncertainty import contenders

_POWER = 2.0  # of the distance in FreeSel's law


class DoubtfulCoverage:
    """Takes one image after the other, each the one that lowers the doubt-weighted potential most.

    The potential is the sum over a sample of the pool of ``w_j d_j``, with d_j the distance of row j to the nearest
    image that is labeled, selected or taken, and ``w_j = (1 + doubt_j) / 2`` in the stretch looked at, 1/2 elsewhere.

    Parameters
    ----------
    pool : Pool
        Rows sorted by id, with probabilities and at least one selected row.
    doubt : ndarray of shape (n,), float64
        How unsure the model is of each row, within [0, 1].
    trials, reference_size, metric
        See `FreeSel`.
    rng : numpy.random.Generator

    Notes
    -----
    Only the weights differ from FreeSel, where all are 1. Doubt makes up half of them: weights of doubt alone won as
    much on easy data and less where a model of 20 to 50 labels is sure of what it does not know.

    References
    ----------
    Bae, Oliveira, Sutherland: Uncertainty Herding: One Active Learning Method for All Label Budgets, ICLR 2025: the
    idea to weight a coverage by doubt, there with a Gaussian kernel and no proposals.
    """

    def __init__(
        self,
        pool: Pool,
        doubt: NDArray[np.float64],
        *,
        trials: int,
        reference_size: int,
        metric: MetricName,
        rng: np.random.Generator,
    ) -> None:
        self._pool, self._doubt = pool, doubt
        self._proposals = Proposals(pool, metric, trials=trials, power=_POWER, reference_size=reference_size, rng=rng)
        self._begun = bool(pool.selected.any())

    def take(self, stretch: NDArray[np.int64], count: int, name: str) -> list[tuple[int, float, str]]:
        """Take images, of all candidates.

        Parameters
        ----------
        stretch : ndarray of shape (r,), int64
            Rows of the pool whose doubt counts.
        count : int
            How many, at most as many as there are candidates left.
        name : str
            Of the stretch, for people.

        Returns
        -------
        list of tuple of int, float and str
            Row, distance from everything chosen before in units of the largest one possible and never rising, reason.
        """
        inside = np.zeros(len(self._pool), dtype=np.bool_)
        inside[stretch] = True  # the only array that is jumped about in: a byte a row
        self._proposals.weigh(np.where(inside, 0.5 + self._doubt / 2, 0.5))
        taken: list[tuple[int, float, str]] = []
        nearest = 1.0
        while len(taken) < count:
            found = self._proposals.next() if self._begun else (self._proposals.first(), self._proposals.ceiling)
            self._begun = True
            if found is None:
                break
            row, distance = found
            nearest = min(nearest, distance / (self._proposals.ceiling or 1.0))
            why = f"{distance:.2f} from anything selected ({contenders(self._pool, row)}), doubt counts in {name}"
            taken.append((row, nearest, why))
        left = np.flatnonzero(self._proposals.free)
        left = left[np.lexsort((left, -self._doubt[left]))][: count - len(taken)]
        for row in left.tolist():
            self._proposals.choose(row)
            taken.append((row, 0.0, f"looks like one selected already ({contenders(self._pool, row)})"))
        return taken
