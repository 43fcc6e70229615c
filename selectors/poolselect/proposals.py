"""FreeSel's step: patterns drawn by its law, of which the one is kept whose image covers most."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from poolselect.coverage import Coverage
from poolselect.metric import Metric
from poolselect.pool import Pool
from poolselect.reference import Reference
from poolselect.sampler import LazySampler


class Proposals:
    """Chooses one image after the other: the best of `trials` drawn by Eq. 5 of FreeSel.

    Parameters
    ----------
    pool : Pool
        Rows sorted by id; its selected rows count as chosen.
    metric : Metric
        The metric over `pool`'s patterns.
    trials : int
        Draws per step, at least 1. With 1 the draw is the choice, and nothing of the reference is computed.
    power : float
        Exponent of the distance in the law.
    reference_size : int
        Rows on which the potential is measured, see `Reference`.
    rng : numpy.random.Generator
    """

    def __init__(
        self,
        pool: Pool,
        metric: Metric,
        *,
        trials: int,
        power: float,
        reference_size: int,
        rng: np.random.Generator,
    ) -> None:
        self._rng, self._power, self._trials = rng, power, trials
        self._reference: Reference | None = None
        if trials > 1:
            self._reference = Reference(pool, metric, size=reference_size, rng=rng)
        self._coverage = Coverage(pool, metric)
        self._sampler: LazySampler | None = None

    @property
    def free(self) -> NDArray[np.bool_]:
        """Rows of the pool that can still be chosen, shape (n,)."""
        return self._coverage.free

    def weigh(self, weights: NDArray[np.float64]) -> None:
        """Let rows of the pool count by these weights, of shape (n,) and not negative; at first all count the same."""
        if self._reference is not None:
            self._reference.weigh(weights)

    def first(self) -> int:
        """Choose the first image of an empty selection, the best of as many uniform draws, and return its row."""
        candidates = np.flatnonzero(self._coverage.free)
        drawn = candidates[self._rng.integers(candidates.size, size=self._trials)]
        row = int(drawn[0] if self._reference is None else drawn[self._reference.best(drawn)])
        self._chosen(self._coverage.choose(row))
        return row

    def next(self, *, farthest: bool = False) -> tuple[int, float] | None:
        """Choose the next image.

        Parameters
        ----------
        farthest : bool, default False
            Keep the draw that is farthest from everything selected, not the one that covers most.

        Returns
        -------
        row : int
        distance : float
            Of the drawn pattern from everything selected before. None instead of both if nothing new is left.
        """
        if self._sampler is None:
            self._sampler = LazySampler(self._coverage, power=self._power, rng=self._rng)
        drawn, distances = self._sampler.draw(self._trials)
        if drawn.size == 0:
            return None
        place = 0
        if self._reference is not None:
            place = _farthest(drawn, distances) if farthest else self._reference.best(drawn)
        row = int(drawn[place])
        self._chosen(self._sampler.choose(row))
        return row, float(distances[place])

    def choose(self, row: int) -> None:
        """Count a row as chosen that somebody else chose."""
        sampler = self._sampler
        self._chosen(self._coverage.choose(row) if sampler is None else sampler.choose(row))

    def _chosen(self, patterns: NDArray[np.float32]) -> None:
        if self._reference is not None:
            self._reference.add(patterns)


def _farthest(rows: NDArray[np.int64], distances: NDArray[np.float64]) -> int:
    """Return the place of the largest distance; the lowest row of those that float32 cannot tell apart."""
    tied = np.flatnonzero(distances >= distances.max() * (1 - 1e-5))
    return int(tied[rows[tied].argmin()])
