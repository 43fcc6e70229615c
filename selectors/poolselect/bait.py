"""BAIT: the rows that leave the model's answers the least room to vary, by Fisher information."""

from __future__ import annotations

import numbers
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from poolselect.exceptions import InvalidParameterError
from poolselect.fisher import Factors, Variance
from poolselect.herding import check_size
from poolselect.kmeans import sample_rows
from poolselect.maxherding import in_order
from poolselect.pool import Pool
from poolselect.selection import Selection
from poolselect.strategy import QueryStrategy
from poolselect.uncertainty import contenders, known_probabilities

# Rows that the model is surer of than this teach it nothing that numbers could tell.
_SURE, _LEAST_RIDGE = 1e-7, 1e-6


class BAIT(QueryStrategy):
    """Choose images whose labels would tell the model most about its answers to all images, by Fisher information.

    With z the embeddings, each dimension standardized over the pool, and p the model's probabilities, a label of x
    tells of the c d weights of the last layer

        I(x) = (diag(p) - p p^T) (x) z z^T               (independent labels: diag(p (1 - p)) (x) z z^T)

    With S the labeled, selected and chosen rows, M(S) = ridge Id + the sum over S of I(x), and F the mean of I(x) over
    the pool, what the model's answers could still vary by is

        variance(S) = tr(M(S)^-1 F)

    Rows are chosen `cycle_size` = K at a time. *Forward*: 2 K rows, one after the other, each the one that lowers the
    variance most. *Backward*: of these, K leave again, one after the other, each the one that raises it least. The K
    that stay follow in the order in which they came.

    Parameters
    ----------
    cycle_size : int, default 20
        K, at least 1.
    candidate_size : int, default 1000
        Rows drawn without replacement, anew for each cycle, from those that can be chosen and the model is not sure
        of: the forward pass looks at these, or at 4 K if that is more. **No smaller than the pool is the paper.**
    reference_size : int, default 4096
        Rows drawn without replacement on which F is measured, at least 1.
    ridge : float, default 1.0
        Strength of the L2 penalty that the model was trained with, per sum of losses; at least 1e-6.
    random_state : int, default 0
        Any integer.

    Raises
    ------
    InvalidPoolError
        By `query`, if the pool has no probabilities.

    See Also
    --------
    BADGE : Much cheaper, by the gradients of the model's own answers.

    Notes
    -----
    `Selection.utilities` is what the row took off the variance in the forward pass, as a share of the variance that
    the labeled and selected rows leave; made non-increasing by a running minimum. A tie goes to the lowest id. Rows
    that the model is sure of come last, drawn uniformly.

    A cycle is computed whole, however few of its rows are asked for, so that a shorter batch is the beginning of a
    longer one. Passes are exact: the inverse follows from k = c - 1 columns per row (`poolselect.fisher`), in float64.
    M is one matrix of (c - 1) d numbers on a side up to 4,096. **Beyond that, BAIT here is its block-diagonal
    variant**, one block per class: what an answer for one class says of another is left out. For independent labels
    blocks are exact. Where blocks together exceed 2^25 numbers, z is reduced to its largest principal components.

    Where we differ from the paper and its released code: the batch is cut into cycles; candidates and F are
    samples; a weighted sum of the information of labeled rows in the code is the plain sum of the paper; what an
    intercept tells is left out; features are standardized, as a linear model wants them.

    References
    ----------
    Ash, Goel, Krishnamurthy, Kakade: Gone Fishing: Neural Active Learning with Fisher Embeddings, NeurIPS 2021. Alg. 1.

    Examples
    --------
    The model is unsure of the last two images; the longer one tells more of the weight they share.

    >>> import numpy as np
    >>> from poolselect import Pool
    >>> sure, unsure = [1.0, 0.0], [0.5, 0.5]
    >>> pool = Pool(np.arange(4), [[1.0], [2.0], [4.0], [9.0]], probabilities=[sure, sure, unsure, unsure])
    >>> chosen = BAIT(cycle_size=1).query(pool, batch_size=1)
    >>> chosen.indices.tolist(), chosen.reasons[0]
    ([3], "takes 57 % off the variance of the model's answers (class 0 0.50, class 1 0.50)")
    """

    def __init__(
        self,
        *,
        cycle_size: int = 20,
        candidate_size: int = 1000,
        reference_size: int = 4096,
        ridge: float = 1.0,
        random_state: int = 0,
    ) -> None:
        super().__init__(random_state=random_state)
        self.cycle_size = cycle_size
        self.candidate_size = candidate_size
        self.reference_size = reference_size
        self.ridge = ridge

    def _validate(self) -> None:
        for name in ("cycle_size", "candidate_size", "reference_size"):
            check_size(name, getattr(self, name))
        ridge = self.ridge
        if isinstance(ridge, bool) or not isinstance(ridge, numbers.Real) or not _LEAST_RIDGE <= ridge < np.inf:
            raise InvalidParameterError(f"ridge={ridge!r} must be a finite number of at least {_LEAST_RIDGE:g}.")

    def _query(self, pool: Pool, batch_size: int, rng: np.random.Generator) -> Selection:
        probabilities = known_probabilities(pool, type(self).__name__)
        moves = (
            (row, share, f"takes {_percent(share)} off the variance of the model's answers ({contenders(pool, row)})")
            for row, share in self._cycles(pool, probabilities, rng)
        )
        return in_order(pool, moves, batch_size, rng)

    def _cycles(
        self, pool: Pool, probabilities: NDArray[np.float32], rng: np.random.Generator
    ) -> Iterator[tuple[int, float]]:
        """Yield rows and shares of the variance, until the model is sure of all rows that are left."""
        worth = (probabilities * (1.0 - probabilities)).max(axis=1) > _SURE
        free = pool.candidates & worth
        if not free.any():
            return
        reference = sample_rows(len(pool), int(self.reference_size), rng)
        factors = Factors(pool, probabilities, reference)
        known = factors.information(np.flatnonzero(pool.selected & worth))
        known += float(self.ridge) * np.eye(known.shape[1])
        variance = Variance(known, factors.information(reference) / reference.size)
        if not variance.total > 0:
            return
        size = int(self.cycle_size)
        while (left := np.flatnonzero(free)).size:
            some = left[sample_rows(left.size, max(int(self.candidate_size), 4 * size), rng)]
            variance.watch(*factors.of(some))
            places, gains = _forward(variance, min(2 * size, some.size), some.size)
            variance.keep(places)
            stay = _backward(variance, min(size, places.size), places.size)
            rows, gains = some[places[stay]], gains[stay]
            free[rows] = False
            yield from zip(rows.tolist(), (gains / variance.total).tolist(), strict=True)


def _forward(variance: Variance, count: int, size: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Let rows join, each the one that lowers the variance most; return their places and by how much."""
    places, gained, out = np.empty(count, dtype=np.int64), np.empty(count), np.zeros(size, dtype=np.bool_)
    for number in range(count):
        gains = np.where(out, -np.inf, variance.gains(1))
        place = int(gains.argmax())
        places[number], gained[number], out[place] = place, gains[place], True
        variance.change(place, 1)
    return places, gained


def _backward(variance: Variance, count: int, size: int) -> NDArray[np.int64]:
    """Let rows leave until `count` are left, each the one that raises the variance least; return the places left."""
    stay = np.ones(size, dtype=np.bool_)
    for _ in range(size - count):
        place = int(np.where(stay, variance.gains(-1), -np.inf).argmax())
        stay[place] = False
        variance.change(place, -1)
    return np.flatnonzero(stay)


def _percent(share: float) -> str:
    return f"{100 * share:.{0 if share > 0.1 else 1 if share > 0.01 else 2}f} %"
