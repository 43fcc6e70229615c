"""UHerding: coverage of what a model is unsure of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from poolselect.herding import Gaussian, Herd, Sample, check_positive, check_size
from poolselect.kmeans import sample_rows
from poolselect.maxherding import in_order
from poolselect.pool import Pool
from poolselect.selection import Selection
from poolselect.strategy import QueryStrategy
from poolselect.uncertainty import contenders, margin

# Selected rows that are compared with each other; of more than that, a draw.
_MOST_COMPARED = 4096
_ROWS = 512


class UHerding(QueryStrategy):
    """Choose the candidate that raises the coverage of uncertain rows most.

    With z the embeddings, scaled to unit length, S the rows chosen so far (labeled and selected ones included) and J
    a sample of the pool:

        k(x, y) = exp(-(|z(x) - z(y)| / h)^2),   m_j = max over s in S of k(s, j), 0 without any
        u_j     = 1 - (p_(1) - p_(2)) of p^(1/T), scaled to sum to 1     multi-label: mean over labels of 1 - |2 p - 1|
        next    = argmax over x of the sum over j in J of u_j max(k(x, j) - m_j, 0) / sum over j in J of u_j

    h is the smallest distance above 0 between two labeled or selected rows, but no smaller than `least_radius`; 1 while
    there are fewer than two. So the first labels are spread over the pool and later ones go where the model is unsure.
    Without a model, or when it is sure of every row, u = 1: that is MaxHerding.

    Parameters
    ----------
    radius : float, optional
        h, above 0. Default: as above.
    least_radius : float, optional
        What h does not fall below, above 0. Default: the median distance of a row of J to the nearest other row of J
        that is no copy of it. A narrower kernel would see nothing of the pool but J itself, and two copies among the
        labeled rows are enough to ask for it.
    temperature : float, default 1.0
        T, above 0. 1 takes the probabilities as they are.
    reference_size : int, default 1000
        Rows in J, drawn without replacement, at least 1. **All rows, that is a number no smaller than the pool, is the
        paper.**
    random_state : int, default 0
        Any integer; see `MaxHerding`.

    See Also
    --------
    MaxHerding : The cold start that goes with it.

    Notes
    -----
    `Selection.utilities` is the share of all uncertainty in J that the row newly covers. A tie goes to the lowest id.
    When nothing uncertain is left to cover, the rest is drawn uniformly.

    An image is one vector, its embedding; `Pool.patterns` are not looked at.

    Where we differ from the paper and its released code: J is a sample; h has a floor; T is a parameter, since fitting
    it takes predictions on labels that the model did not learn, which a pool does not hold: give it calibrated
    probabilities. For independent labels the mean over labels stands for the image. The order goes on to the last
    candidate.

    References
    ----------
    Bae, Oliveira, Sutherland: Uncertainty Herding: One Active Learning Method for All Label Budgets, ICLR 2025.

    Examples
    --------
    Three directions, two images each. The model is unsure of the last two alone, which MaxHerding has no reason to
    take first.

    >>> import numpy as np
    >>> from poolselect import Pool
    >>> sure, unsure = [0.99, 0.01], [0.55, 0.45]
    >>> pool = Pool(np.arange(6), np.eye(3)[[0, 0, 1, 1, 2, 2]], probabilities=4 * [sure] + 2 * [unsure])
    >>> chosen = UHerding().query(pool, batch_size=2)
    >>> chosen.indices.tolist(), chosen.reasons[0]
    ([4, 0], 'covers 0.973 of what the model is unsure of (class 0 0.55, class 1 0.45)')
    """

    def __init__(
        self,
        *,
        radius: float | None = None,
        least_radius: float | None = None,
        temperature: float = 1.0,
        reference_size: int = 1000,
        random_state: int = 0,
    ) -> None:
        super().__init__(random_state=random_state)
        self.radius = radius
        self.least_radius = least_radius
        self.temperature = temperature
        self.reference_size = reference_size

    def _validate(self) -> None:
        for name in ("radius", "least_radius"):
            if getattr(self, name) is not None:
                check_positive(name, getattr(self, name))
        check_positive("temperature", self.temperature)
        check_size("reference_size", self.reference_size)

    def _query(self, pool: Pool, batch_size: int, rng: np.random.Generator) -> Selection:
        sample = Sample(pool, int(self.reference_size), rng)
        radius = self.radius
        if radius is None:
            least = sample.spacing() if self.least_radius is None else float(self.least_radius)
            radius = adapted_radius(pool, sample, least, rng)
        doubt = None
        if pool.probabilities is not None:
            doubt = margin(
                tempered(pool.probabilities[sample.rows], self.temperature, pool.multilabel), pool.multilabel
            )
            doubt = np.clip(doubt, 0.0, 1.0)
            doubt = doubt if doubt.any() else None

        def reason(row: int, gain: float) -> str:
            if doubt is None:
                return f"adds {gain:.3f} to the coverage of the pool"
            return f"covers {gain:.3f} of what the model is unsure of ({contenders(pool, row)})"

        herd = Herd(pool, sample, Gaussian(float(radius)), weights=doubt)
        return in_order(pool, ((row, gain, reason(row, gain)) for row, gain in herd), batch_size, rng)


def tempered(probabilities: NDArray[np.float32], temperature: float, multilabel: bool = False) -> NDArray[np.float64]:
    """Return softmax(log p / T) by row; multi-label: the same of each p against 1 - p.

    Parameters
    ----------
    probabilities : ndarray of shape (n, c), float32
        Within [0, 1].
    temperature : float
        T, above 0. Above 1 brings the numbers of a row together, below 1 takes them apart.
    multilabel : bool, default False

    Returns
    -------
    ndarray of shape (n, c), float64

    Examples
    --------
    >>> tempered(np.array([[0.8, 0.2]], dtype=np.float32), 2.0).round(3).tolist()
    [[0.667, 0.333]]
    >>> tempered(np.array([[0.8, 0.2]], dtype=np.float32), 2.0, True).round(3).tolist()
    [[0.667, 0.333]]
    """
    p = probabilities.astype(np.float64)
    if temperature == 1:
        return p
    # Divided by the largest first: a power of a small number may be 0, but not of all of a row.
    largest = np.maximum(p, 1 - p) if multilabel else p.max(axis=1, keepdims=True)
    largest = np.where(largest > 0, largest, 1.0)
    up = (p / largest) ** (1 / temperature)
    total = up + ((1 - p) / largest) ** (1 / temperature) if multilabel else up.sum(axis=1, keepdims=True)
    result: NDArray[np.float64] = up / np.where(total > 0, total, 1.0)
    return result


def adapted_radius(pool: Pool, sample: Sample, least: float, rng: np.random.Generator) -> float:
    """Return the smallest distance between two selected rows that are no copies, at least `least`; 1 without two."""
    chosen = np.flatnonzero(pool.selected)
    if chosen.size < 2:
        return max(1.0, least)
    chosen = chosen[sample_rows(chosen.size, _MOST_COMPARED, rng)]
    points = sample.directions.of(chosen)
    nearest = np.inf
    for start in range(0, chosen.size, _ROWS):
        # Each pair once: the rows of a block against those after its first.
        squares = sample.directions.squares(chosen[start : start + _ROWS], points[start:])
        squares[squares <= sample.directions.noise] = np.inf
        nearest = min(nearest, float(squares.min()))
    return max(np.sqrt(nearest), least) if np.isfinite(nearest) else max(1.0, least)
