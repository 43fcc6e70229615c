"""Uncertainty sampling: the items a model is least sure of come first."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from poolselect.pool import Pool
from poolselect.selection import Selection
from poolselect.strategy import QueryStrategy
from poolselect.uncertainty import MEASURES, MeasureName, contenders, known_probabilities


class UncertaintySampling(QueryStrategy):
    """Base of the three strategies that rank candidates by one measure of `Pool.probabilities`; ties fall by the seed.

    Attributes
    ----------
    measure : str
        Name of a function of `poolselect.uncertainty`.
    """

    measure: ClassVar[MeasureName]

    def __init__(self, *, random_state: int = 0) -> None:
        super().__init__(random_state=random_state)

    def _query(self, pool: Pool, batch_size: int, rng: np.random.Generator) -> Selection:
        probabilities = known_probabilities(pool, type(self).__name__)
        candidates = np.flatnonzero(pool.candidates)
        scores = MEASURES[self.measure](probabilities[candidates], pool.multilabel)
        # Ties must not go to the oldest ids: a model that is equally unsure of everything would then walk along them.
        best = np.lexsort((rng.random(candidates.size), -scores))[:batch_size]
        rows = candidates[best]
        reasons = tuple(f"the model is unsure: {contenders(pool, row)}" for row in rows.tolist())
        return Selection(rows, scores[best], reasons)


class Margin(UncertaintySampling):
    """Choose the candidates whose two most likely classes are closest together.

        utility = 1 - (p_(1) - p_(2))           multi-label: mean over labels of 1 - |2 p - 1|

    Parameters
    ----------
    random_state : int, default 0
        Any integer; it decides ties and nothing else.

    Raises
    ------
    InvalidPoolError
        By `query`, if the pool has no probabilities.

    Notes
    -----
    Where we differ from the literature: nothing for one class per image; for independent labels the mean over labels
    stands for the image.

    References
    ----------
    Scheffer, Decomain, Wrobel: Active Hidden Markov Models for Information Extraction, IDA 2001.

    Examples
    --------
    >>> import numpy as np
    >>> from poolselect import Pool
    >>> pool = Pool(np.arange(3), np.eye(3), probabilities=[[0.9, 0.1], [0.55, 0.45], [0.7, 0.3]])
    >>> chosen = Margin().query(pool, batch_size=2)
    >>> chosen.indices.tolist(), chosen.reasons[0]
    ([1, 2], 'the model is unsure: class 0 0.55, class 1 0.45')
    """

    measure = "margin"


class LeastConfidence(UncertaintySampling):
    """Choose the candidates whose most likely class is least likely.

        utility = 1 - p_(1)                     multi-label: mean over labels of 1 - |2 p - 1|

    Parameters
    ----------
    random_state : int, default 0
        Any integer; it decides ties and nothing else.

    Raises
    ------
    InvalidPoolError
        By `query`, if the pool has no probabilities.

    Notes
    -----
    Where we differ from the literature: nothing for one class per image; for independent labels the mean over labels
    stands for the image, which makes it the same order as `Margin`'s.

    References
    ----------
    Lewis, Gale: A Sequential Algorithm for Training Text Classifiers, SIGIR 1994.

    Examples
    --------
    >>> import numpy as np
    >>> from poolselect import Pool
    >>> pool = Pool(np.arange(2), np.eye(2), probabilities=[[0.6, 0.4, 0.0], [0.5, 0.25, 0.25]])
    >>> [strategy().query(pool, batch_size=1).indices.tolist() for strategy in (LeastConfidence, Margin)]
    [[1], [0]]
    """

    measure = "least_confidence"


class Entropy(UncertaintySampling):
    """Choose the candidates whose predicted distribution has the largest entropy.

        utility = -(sum of p ln p) / ln c       multi-label: mean over labels of the binary entropy / ln 2

    Parameters
    ----------
    random_state : int, default 0
        Any integer; it decides ties and nothing else.

    Raises
    ------
    InvalidPoolError
        By `query`, if the pool has no probabilities.

    Notes
    -----
    Where we differ from the literature: divided by the largest entropy possible, which changes no order.

    References
    ----------
    Shannon: A Mathematical Theory of Communication, 1948.

    Examples
    --------
    >>> import numpy as np
    >>> from poolselect import Pool
    >>> pool = Pool(np.arange(2), np.eye(2), probabilities=[[0.5, 0.5, 0.0], [0.5, 0.25, 0.25]])
    >>> Entropy().query(pool, batch_size=2).utilities.round(3).tolist()
    [0.946, 0.631]
    """

    measure = "entropy"
