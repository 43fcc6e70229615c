"""BAL: uncertainty inside a sub-pool that moves from ambiguous images to clear ones, and doubt that keeps coverage."""

from __future__ import annotations

import itertools
import math
import numbers
from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from poolselect.cdd import checked_centroids, cluster_distance_difference, default_clusters, fit_centroids
from poolselect.doubtful import DoubtfulCoverage
from poolselect.exceptions import InvalidParameterError
from poolselect.metric import METRICS, MetricName
from poolselect.pool import Pool
from poolselect.selection import Selection
from poolselect.strategy import QueryStrategy
from poolselect.subpool import check_window, rolling_cycles, rolling_subpool, subpool, widen
from poolselect.uncertainty import MEASURES, MeasureName, contenders, known_probabilities, margin

# The stretch's candidates as places, how many, whether the model has a say, its name -> rows, utilities, reasons
_Take = Callable[[NDArray[np.int64], int, bool, str], list[tuple[int, float, str]]]


class BAL(QueryStrategy):
    """Sort the pool by cluster distance difference; every cycle asks where one stretch of it is in doubt.

    With z the embeddings, mu_j the centroids of a k-means clustering, K images per cycle and C cycles:

        CDD(x) = d_(2)(x) - d_(1)(x),  d_j(x) = |z(x) - mu_j|                                    (Eq. 2)
        X^     = the pool in ascending CDD, most ambiguous first
        P_c    = a stretch of X^ about the place (c + 1/2) N / C, beta N / C wide, without L    (Eq. 6, 7)
        chosen in cycle c: the K images of P_c the model is least certain of                     (Eq. 8)

    where N counts all rows of the pool and L are its labeled and selected ones.

    ``mode="live"`` is for a queue. The place in X^ is a rank averaged over several clusterings. With `cycles` given the
    stretches are those of Eq. 6 (`subpool`); without, the window rolls over the pool and starts over
    (`rolling_subpool`). A stretch with fewer than K candidates is widened on both sides. Without probabilities the
    order inside a stretch is that of X^.

    ``uncertainty="coverage"``, the live default, takes doubt that keeps coverage instead of the K least certain, which
    are often look-alikes: each image is the best of `trials` proposals of FreeSel, the one that lowers

        sum over a sample of the pool of  w_j (distance of j to the nearest labeled, selected or chosen image)

        w_j = (1 + m_j) / 2 in the stretch P_c, 1/2 elsewhere,   m_j = 1 - (p_(1) - p_(2))

    the most. The stretch says where doubt counts, the potential where there is much to learn; proposals come from all
    candidates, because taking them from the stretch alone cost up to 3 points of balanced accuracy.

    ``mode="paper"`` is Algorithm 1: one clustering, fitted on all rows, least confidence, Eq. 6 with `cycles` required,
    cycle 0 = the first K of X^ whatever a model says, no widening.

    A batch of more than K images goes on with the stretch of the next cycle, and so on.

    Parameters
    ----------
    mode : {"live", "paper"}, default "live"
    cycle : int, default 0
        c of the first images chosen, from 0.
    cycles : int, optional
        C, if the budget is known. Default: unknown, max(20, N / (10 K)) cycles from one end to the other.
    cycle_size : int, default 10
        K, at least 1.
    balancing_factor : float, default 1.0
        beta, greater than 0: how wide a stretch is, in units of N / C. At beta = K C / N all of it is chosen; beta >= C
        makes it the whole pool when the window rolls.
    uncertainty : {"coverage", "margin", "least_confidence", "entropy"}, default "coverage"
        Used by ``mode="live"``; the paper's is "least_confidence". "coverage" measures doubt by the margin.
    trials : int, default 200
        Proposals per image of "coverage", at least 1.
    reference_size : int, default 1000
        Rows on which "coverage" measures the potential, at least 1; see `FreeSel`.
    metric : {"cosine", "centered", "euclidean"}, default "centered"
        Of "coverage"; see `FreeSel`.
    n_clusters : int, optional
        k, at least 2. Default: the number of classes if the pool says it, else round(sqrt(N / 2)) within [10, 100].
    n_seeds : int, default 5
        Clusterings to average over in ``mode="live"``, at least 1.
    centroids : array_like of shape (s, k, d) or (k, d), optional
        From `fit_centroids`, to keep the geometry still between queries. Default: fitted on the pool, and `n_clusters`
        and `n_seeds` say how.
    random_state : int, default 0
        Any integer; starts of k-means, and ties.

    Raises
    ------
    InvalidParameterError
        By `query`, also if the centroids do not fit the embeddings.

    See Also
    --------
    FreeSel : For the cold start. BAL's own first cycle trails other strategies in the paper's own tables.

    Notes
    -----
    With "coverage" and a model `Selection.utilities` is the distance from everything chosen before, as a share of the
    largest possible; else the uncertainty of the image (without a model: 1 - place in X^ / N) within [0, 1], minus
    the number of cycles begun in this batch before its own in both cases.

    Where we differ. From the paper, in ``mode="live"``: doubt that keeps coverage; a rank averaged over seeds, because
    one seed's order is not stable; the rolling window; widening; k-means fitted on a sample. From the released code, in
    both modes: cycle c works on slot c, not c + 1; the confidence is the true posterior, not a softmax of normalized
    logits; ties fall by the seed, not by file name; features come from the image as it is, not from a rotated copy; one
    k-means start. Where Algorithm 1 says nothing: a slot with fewer than K candidates gives what it has and the batch
    goes on with the next slot; behind the last slot the rest follows in ascending CDD; without a model a slot is taken
    in ascending CDD.

    References
    ----------
    Li, Wang, Chen, Tan: BAL: Balancing Diversity and Novelty for Active Learning, TPAMI 2023. Eq. 2-11, Alg. 1.

    Examples
    --------
    Four images on a line between two centroids: ids 3 and 4 lie between them. The first of two cycles chooses among
    those two, the second among the other two.

    >>> import numpy as np
    >>> from poolselect import Pool
    >>> pool = Pool([1, 2, 3, 4], [[0.0], [9.0], [4.0], [6.5]], class_names=["cat", "dog"],
    ...             probabilities=[[0.9, 0.1], [0.3, 0.7], [0.6, 0.4], [0.2, 0.8]])
    >>> strategy = BAL(cycles=2, cycle_size=1, centroids=[[0.0], [10.0]], uncertainty="margin")
    >>> chosen = strategy.query(pool, batch_size=2)
    >>> pool.ids[chosen.indices].tolist()
    [3, 2]
    >>> chosen.reasons[0]
    'least certain of 2 in sub-pool 1 of 2 (cat 0.60, dog 0.40)'
    """

    def __init__(
        self,
        *,
        mode: Literal["live", "paper"] = "live",
        cycle: int = 0,
        cycles: int | None = None,
        cycle_size: int = 10,
        balancing_factor: float = 1.0,
        uncertainty: MeasureName | Literal["coverage"] = "coverage",
        trials: int = 200,
        reference_size: int = 1000,
        metric: MetricName = "centered",
        n_clusters: int | None = None,
        n_seeds: int = 5,
        centroids: ArrayLike | None = None,
        random_state: int = 0,
    ) -> None:
        super().__init__(random_state=random_state)
        self.mode = mode
        self.cycle = cycle
        self.cycles = cycles
        self.cycle_size = cycle_size
        self.balancing_factor = balancing_factor
        self.uncertainty = uncertainty
        self.trials = trials
        self.reference_size = reference_size
        self.metric = metric
        self.n_clusters = n_clusters
        self.n_seeds = n_seeds
        self.centroids = centroids

    def _validate(self) -> None:
        if self.mode not in ("live", "paper"):
            raise InvalidParameterError(f"mode={self.mode!r} must be 'live' or 'paper'.")
        if self.uncertainty not in ("coverage", *MEASURES):
            names = ", ".join(("coverage", *MEASURES))
            raise InvalidParameterError(f"uncertainty={self.uncertainty!r} must be one of {names}.")
        if self.metric not in METRICS:
            raise InvalidParameterError(f"metric={self.metric!r} must be one of {', '.join(METRICS)}.")
        least = {"cycles": 1, "cycle_size": 1, "n_clusters": 2, "n_seeds": 1, "trials": 1, "reference_size": 1}
        for name, value in ((name, getattr(self, name)) for name in least):
            if value is None and name in ("cycles", "n_clusters"):
                continue
            if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least[name]:
                raise InvalidParameterError(f"{name}={value!r} must be an integer of at least {least[name]}.")
        if self.mode == "paper" and self.cycles is None:
            raise InvalidParameterError("mode='paper' needs cycles, the budget in cycles; mode='live' does without.")
        check_window(0, 1 if self.cycles is None else self.cycles, self.cycle, self.balancing_factor)

    def _query(self, pool: Pool, batch_size: int, rng: np.random.Generator) -> Selection:
        n, size = len(pool), int(self.cycle_size)
        # From here to the end a *place* is a position in X^; order[place] is the row of the pool.
        order = self._ascending(pool, rng)
        take = self._take_doubtful(pool, order, rng) if self._covers(pool) else self._take_ranked(pool, order, rng)
        free, place_of = pool.candidates[order], _ranks(order)
        found: list[tuple[int, float, str]] = []
        for begun, (start, stop, use_model, name) in enumerate(self._stretches(n)):
            if self.mode == "live":
                start, stop = widen(free, start, stop, size)
            inside = start + np.flatnonzero(free[start:stop])
            # A cycle does not know when the batch ends it: a shorter batch is the beginning of a longer one.
            taken = take(inside, min(size, batch_size - len(found)), use_model, name)
            found += [(row, utility - begun, reason) for row, utility, reason in taken]
            free[place_of[[row for row, _, _ in taken]]] = False
            if len(found) == batch_size:
                break
        rows, utilities, reasons = zip(*found, strict=True)
        return Selection(np.array(rows, dtype=np.int64), np.array(utilities), tuple(reasons))

    def _covers(self, pool: Pool) -> bool:
        return self.mode == "live" and self.uncertainty == "coverage" and pool.probabilities is not None

    def _take_doubtful(self, pool: Pool, order: NDArray[np.int64], rng: np.random.Generator) -> _Take:
        """Return what takes doubt that keeps coverage out of a stretch."""
        trials, size = int(self.trials), int(self.reference_size)
        doubt = np.clip(margin(known_probabilities(pool, "BAL"), pool.multilabel), 0.0, 1.0)
        cover = DoubtfulCoverage(pool, doubt, trials=trials, reference_size=size, metric=self.metric, rng=rng)
        # Rows that are chosen already are covered: their doubt counts nothing, in the stretch or not.
        return lambda inside, count, use_model, name: cover.take(order[inside], count, name)

    def _take_ranked(self, pool: Pool, order: NDArray[np.int64], rng: np.random.Generator) -> _Take:
        """Return what takes the least certain of a stretch, or, without a model, the most ambiguous."""
        n, informed = len(pool), pool.probabilities is not None
        clarity = np.arange(n, dtype=np.int64)
        doubt, scores = clarity, 1.0 - clarity / n
        if pool.probabilities is not None:
            ours = "least_confidence" if self.mode == "paper" else self.uncertainty
            measure = MEASURES["margin" if ours == "coverage" else ours]
            scores = np.clip(measure(pool.probabilities[order], pool.multilabel), 0.0, 1.0)
            doubt = _ranks(np.lexsort((rng.random(n), -scores)))

        def take(inside: NDArray[np.int64], count: int, use_model: bool, name: str) -> list[tuple[int, float, str]]:
            places = inside[_smallest((doubt if use_model else clarity)[inside], count)]
            utilities = (scores if use_model else 1.0 - clarity / n)[places].tolist()
            asks = use_model and informed
            what = "least certain" if asks else "most ambiguous"
            taken = []
            for number, (row, utility) in enumerate(zip(order[places].tolist(), utilities, strict=True), start=1):
                why = f" ({contenders(pool, row)})" if asks else ""
                taken.append((row, utility, f"{_ordinal(number)}{what} of {inside.size} in {name}{why}"))
            return taken

        return take

    def _ascending(self, pool: Pool, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return the rows of the pool in ascending CDD: X^. Equal ranks fall by lot."""
        paper = self.mode == "paper"
        if self.centroids is None:
            classes = len(pool.class_names) if pool.class_names is not None else None
            if classes is None and pool.probabilities is not None:
                classes = pool.probabilities.shape[1]
            k = default_clusters(len(pool), classes) if self.n_clusters is None else int(self.n_clusters)
            seeds = 1 if paper else int(self.n_seeds)
            centroids = fit_centroids(pool.embeddings, k, seeds, self.random_state, full=paper)
        else:
            centroids = checked_centroids(self.centroids, pool.embeddings.shape[1])
            centroids = centroids[None] if centroids.ndim == 2 else centroids[: 1 if paper else None]

        def ranked() -> NDArray[np.int64]:
            # Rows of equal CDD share a rank, so that copies of an image stay together whatever their ids.
            differences = cluster_distance_difference(pool.embeddings, centroids)
            return sum(map(_shared_ranks, differences), np.zeros(len(pool), dtype=np.int64))

        ranks = pool.fact(("ambiguity", centroids.shape, centroids.tobytes()), ranked)
        return np.lexsort((rng.random(len(pool)), ranks))

    def _stretches(self, n: int) -> Iterator[tuple[int, int, bool, str]]:
        """Yield start, stop, whether the model has a say, and the name of each stretch, from this cycle on."""
        first, beta = int(self.cycle), self.balancing_factor
        if self.mode == "paper" and self.cycles is not None:
            for cycle in range(first, self.cycles):
                start, stop = subpool(n, self.cycles, cycle, beta) if cycle else (0, n)
                yield start, stop, cycle > 0, f"sub-pool {cycle + 1} of {self.cycles}" if cycle else "the pool"
            while True:
                yield 0, n, False, "what the last cycle left"
        cycles = rolling_cycles(n, int(self.cycle_size)) if self.cycles is None else int(self.cycles)
        for cycle in itertools.count(first):
            if self.cycles is None:
                start, stop = rolling_subpool(n, cycles, cycle, beta)
            else:
                start, stop = subpool(n, int(self.cycles), cycle, beta)
            yield start, stop, True, f"sub-pool {int(cycle % cycles) + 1} of {math.ceil(cycles)}"


def _ranks(order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the place of every element in an order: the inverse permutation."""
    ranks = np.empty_like(order)
    ranks[order] = np.arange(order.size)
    return ranks


def _shared_ranks(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return how many values are smaller than each: equal ones share a rank."""
    order = np.argsort(values)
    ascending, ranks = values[order], np.empty(order.size, dtype=np.int64)
    begins = np.arange(order.size)
    begins[1:][ascending[1:] == ascending[:-1]] = 0  # it begins no run of equal ones
    ranks[order] = np.maximum.accumulate(begins)
    return ranks


def _smallest(values: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return where the `count` smallest of distinct values stand, ascending; all of them if there are fewer."""
    if values.size <= count:
        return np.argsort(values)
    few = np.argpartition(values, count)[:count]
    return few[np.argsort(values[few])]


def _ordinal(number: int) -> str:
    """Write what comes before a superlative: nothing, "2nd ", "3rd ", "4th ", ...

    Examples
    --------
    >>> [_ordinal(number) for number in (1, 2, 3, 11, 22, 112)]
    ['', '2nd ', '3rd ', '11th ', '22nd ', '112th ']
    """
    if number == 1:
        return ""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending} "
