"""Farthest-first traversal (k-center greedy) over candidates' patterns, lazily."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from poolselect.coverage import COST_PER_PROPOSAL, Coverage
from poolselect.metric import Metric
from poolselect.pool import Pool

_FIRST_LOOK = 64
# Gaps closer together than this share of the largest possible one are a tie, which the lowest id wins. Without it the
# rounding of a matrix product would decide between two copies of one image.
_TIE = 2e-6


class FarthestFirst:
    """Finds the candidate's pattern that is farthest from the selection, again and again.

    Bounds only shrink (see `poolselect.coverage`), so the farthest pattern is among those with the largest bounds:
    look at the largest few, make them exact, and stop as soon as the best exact value beats every bound not looked at.

    Parameters
    ----------
    coverage : Coverage
        The candidates against the selection, which must not be empty.
    """

    def __init__(self, coverage: Coverage) -> None:
        self._coverage = coverage
        coverage.full_pass()
        self._bounds = coverage.metric.gap(coverage.stale, coverage.flat)
        self._tie = _TIE * (coverage.metric.ceiling or 1.0)

    def next(self) -> tuple[int, float]:
        """Return the row of the pool that owns the farthest pattern, and its distance; at least one must be free."""
        coverage = self._coverage
        if coverage.pass_is_due():
            coverage.full_pass()
            self._bounds = coverage.metric.gap(coverage.stale, coverage.flat)
        self._bounds[~coverage.free[coverage.owner]] = -1.0
        look = min(_FIRST_LOOK, coverage.size)
        while True:
            top = np.argpartition(self._bounds, coverage.size - look)[coverage.size - look :]
            edge = float(self._bounds[top].min())
            alive = top[self._bounds[top] >= 0]
            _, closeness = coverage.exact(alive)
            coverage.stale[alive] = closeness
            exact = coverage.metric.gap(closeness, coverage.flat[alive])
            self._bounds[alive] = exact
            coverage.spend((alive.size - 1) * (coverage.pending.shape[0] + COST_PER_PROPOSAL))
            best = float(exact.max()) if alive.size else -1.0
            if alive.size and (look == coverage.size or best - self._tie > edge or edge < 0):
                break
            look = min(4 * look, coverage.size)
        winner = int(alive[exact >= best - self._tie].min())
        distance = coverage.metric.distance(self._bounds[winner : winner + 1])
        return int(coverage.owner[winner]), float(distance[0])

    def choose(self, row: int) -> None:
        """Choose a row of the pool: all of its patterns join the selection."""
        self._coverage.choose(row)


def farthest_first(pool: Pool, metric: Metric, rng: np.random.Generator) -> Iterator[tuple[int, float, str]]:
    """Yield every candidate, the one that owns the farthest pattern first.

    Parameters
    ----------
    pool : Pool
        Rows sorted by id. Its selected rows count as chosen; if there are none, the first row is drawn uniformly.
    metric : Metric
        The metric over `pool`'s patterns.
    rng : numpy.random.Generator
        Used for that first row only.

    Yields
    ------
    row : int
        Row of the pool.
    distance : float
        Of its farthest pattern from everything chosen before; the largest distance possible for a drawn first row.
    reason : str

    Examples
    --------
    >>> import numpy as np
    >>> from poolselect.metric import build_metric
    >>> line = Pool([1, 2, 3, 4], [[0.0], [40.0], [100.0], [95.0]], labels=[0, -1, -1, -1])
    >>> [row for row, _, _ in farthest_first(line, build_metric("euclidean", line), np.random.default_rng(0))]
    [2, 1, 3]
    """
    coverage = Coverage(pool, metric)
    if not pool.selected.any():
        candidates = np.flatnonzero(pool.candidates)
        first = int(candidates[rng.integers(candidates.size)])
        coverage.choose(first)
        yield first, metric.ceiling, "first pick: uniformly drawn"
    search = FarthestFirst(coverage)
    while coverage.free.any():
        row, distance = search.next()
        search.choose(row)
        yield row, distance, f"farthest from everything selected: {distance:.2f}"
