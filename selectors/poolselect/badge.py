"""BADGE: k-means++ on the gradients that the model's own answers would cause."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from poolselect.head import decided
from poolselect.maxherding import in_order
from poolselect.pool import Pool
from poolselect.selection import Selection
from poolselect.standardized import Standardized
from poolselect.strategy import QueryStrategy
from poolselect.uncertainty import contenders, known_probabilities

_ROWS, _COLUMNS = 4096, 256
# Squared distances below this share of the squared lengths are rounding.
_NOISE = 1e-5


class BADGE(QueryStrategy):
    """Choose images whose gradients are long and unlike, by k-means++ on them.

    With z the embeddings, each dimension standardized over the pool, p the model's probabilities and y^ its answer
    (the likeliest class; of independent labels those above one half), the gradient of the loss with respect to the
    last layer's weights, were that answer true, is

        g(x) = (p(x) - e_y^(x)) (x) z(x)           (outer product, c d numbers)

    Rows are drawn one after the other with probability in proportion to D(x)^2, the squared distance of g(x) to the
    nearest g of a labeled or selected row or one drawn before. Without any, the first is the one with the longest g.
    Rows that the model is sure of have a g near 0: one of them stands for all.

    Parameters
    ----------
    random_state : int, default 0
        Any integer.

    Raises
    ------
    InvalidPoolError
        By `query`, if the pool has no probabilities.

    Notes
    -----
    `Selection.utilities` is D of the row when it was drawn, made non-increasing by a running minimum. When all D are 0
    the rest is drawn uniformly. k-means++ goes from one draw to the next, so a shorter batch is the beginning of a
    longer one.

    No g is ever built: <g(x), g(y)> is the product of <p(x) - e, p(y) - e> and <z(x), z(y)>.

    Where we differ from the paper and its released code: labeled and selected rows count as drawn, since a queue is
    continued; features are standardized, as a linear model wants them; for independent labels g is that of the sum of
    their losses.

    References
    ----------
    Ash, Zhang, Krishnamurthy, Langford, Agarwal: Deep Batch Active Learning by Diverse, Uncertain Gradient Lower
    Bounds, ICLR 2020. Alg. 1.

    Examples
    --------
    The model is sure of the first three images, so their gradients are short.

    >>> import numpy as np
    >>> from poolselect import Pool
    >>> sure, unsure = [1.0, 0.0], [0.5, 0.5]
    >>> pool = Pool(np.arange(4), [[1.0], [2.0], [4.0], [5.0]], probabilities=[sure, sure, sure, unsure])
    >>> chosen = BADGE().query(pool, batch_size=1)
    >>> chosen.indices.tolist(), chosen.reasons[0]
    ([3], 'its gradient is 0.89 from that of anything selected: class 0 0.50, class 1 0.50')
    """

    def __init__(self, *, random_state: int = 0) -> None:
        super().__init__(random_state=random_state)

    def _query(self, pool: Pool, batch_size: int, rng: np.random.Generator) -> Selection:
        gradients = _Gradients(pool, known_probabilities(pool, type(self).__name__))
        moves = (
            (row, distance, f"its gradient is {distance:.2f} from that of anything selected: {contenders(pool, row)}")
            for row, distance in _seeding(pool, gradients, rng)
        )
        return in_order(pool, moves, batch_size, rng)


class _Gradients:
    """The gradients of all rows, as the two factors of each.

    Attributes
    ----------
    squares : ndarray of shape (n,), float64
        Squared lengths.
    """

    def __init__(self, pool: Pool, probabilities: NDArray[np.float32]) -> None:
        self._vectors = Standardized(pool.embeddings)
        self._errors = probabilities - decided(probabilities, pool.multilabel, 0.5)
        self.squares = np.einsum("ij,ij->i", self._errors, self._errors).astype(np.float64)
        for start in range(0, len(pool), _ROWS):
            z = self._vectors.of(slice(start, start + _ROWS))
            self.squares[start : start + _ROWS] *= np.einsum("ij,ij->i", z, z)

    def approach(self, nearest: NDArray[np.float64], rows: NDArray[np.int64]) -> None:
        """Lower squared distances (n,) to the nearest gradient by those to the gradients of some rows."""
        for begin in range(0, rows.size, _COLUMNS):
            some = rows[begin : begin + _COLUMNS]
            directions, errors, squares = self._vectors.of(some).T, self._errors[some].T, self.squares[some]
            for start in range(0, nearest.size, _ROWS):
                block = slice(start, start + _ROWS)
                products = (self._vectors.of(block) @ directions) * (self._errors[block] @ errors)
                sums = self.squares[block, None] + squares
                apart = sums - 2.0 * products
                apart[apart <= _NOISE * sums] = 0.0
                np.minimum(nearest[block], apart.min(axis=1), out=nearest[block])


def _seeding(pool: Pool, gradients: _Gradients, rng: np.random.Generator) -> Iterator[tuple[int, float]]:
    """Yield rows and the distance of each gradient to the nearest before it, until all that is left are copies."""
    free = pool.candidates.copy()
    chosen = np.flatnonzero(pool.selected)
    nearest = np.full(len(pool), np.inf)
    gradients.approach(nearest, chosen)
    while True:
        if chosen.size:
            weights = np.where(free, nearest, 0.0)
            sums = np.cumsum(weights)
            if not sums[-1] > 0:
                return
            # Rounding must not lead beyond the last row that has a weight.
            row = int(np.searchsorted(sums, min(rng.random() * sums[-1], np.nextafter(sums[-1], 0)), side="right"))
            distance = float(np.sqrt(nearest[row]))
        else:
            row = int(np.where(free, gradients.squares, -1.0).argmax())
            distance = float(np.sqrt(gradients.squares[row]))
        chosen = np.array([row])
        free[row] = False
        yield row, distance
        gradients.approach(nearest, chosen)
