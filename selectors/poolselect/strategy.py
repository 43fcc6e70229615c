"""The interface of every query strategy."""

from __future__ import annotations

import numbers
from abc import ABC, abstractmethod

import numpy as np

from poolselect.exceptions import InvalidParameterError, InvalidSelectionError
from poolselect.pool import Pool
from poolselect.rng import generator
from poolselect.selection import Selection
from poolselect.threads import single_threaded_blas


class QueryStrategy(ABC):
    """Base class: a rule that chooses what to annotate next.

    A subclass stores its hyper-parameters verbatim in `__init__` (together with `random_state`) and implements
    `_query`. Everything every strategy owes its caller is done here, once:

    * rows are sorted by id first, so the order of the rows never matters;
    * the generator is built anew from `random_state` at each call, so equal pools give equal orders;
    * BLAS runs on one thread meanwhile, so the number of cores never matters;
    * asking for more rows than there are candidates gives all candidates, in order; no candidates, an empty answer.

    A cold start is simply a pool without labels.

    Parameters
    ----------
    random_state : int, default 0
        Any integer.

    Notes
    -----
    **The prefix rule.** `query(pool, batch_size=a)` must be the beginning of `query(pool, batch_size=b)` for every
    a < b: a live queue is read from the front and extended at the back. So `_query` must let `batch_size` decide only
    how far it goes, neither what it draws nor what it computes. The contract suite of the tests checks it.
    """

    def __init__(self, *, random_state: int = 0) -> None:
        self.random_state = random_state

    def query(self, pool: Pool, *, batch_size: int) -> Selection:
        """Choose candidates, best first.

        Parameters
        ----------
        pool : Pool
            All items; labeled and selected rows count as chosen already.
        batch_size : int
            How many rows to choose, at least 1. More than there are candidates means all of them.

        Returns
        -------
        Selection
            Its `indices` are row numbers of `pool` as given here.

        Raises
        ------
        InvalidParameterError
            If `batch_size`, `random_state` or a hyper-parameter is outside its range.
        InvalidPoolError
            If the strategy cannot work with this pool.
        """
        if isinstance(batch_size, bool | np.bool_) or not isinstance(batch_size, numbers.Integral) or batch_size < 1:
            raise InvalidParameterError(f"batch_size={batch_size!r} must be an integer of at least 1.")
        rng = generator(self.random_state)
        self._validate()
        wanted = min(int(batch_size), int(pool.candidates.sum()))
        if wanted == 0:
            return Selection.empty()
        in_order, rows = pool.sorted_by_id()
        with single_threaded_blas():
            found = self._query(in_order, wanted, rng)
        if len(found) != wanted or not in_order.candidates[found.indices].all():
            raise InvalidSelectionError(
                f"{type(self).__name__} returned {len(found)} rows where {wanted} candidates were asked for, or rows "
                "that are no candidates. This is a bug in the strategy."
            )
        return Selection(rows[found.indices], found.utilities, found.reasons)

    def _validate(self) -> None:  # noqa: B027 - a hook, not a duty: a strategy may have nothing to check
        """Check the hyper-parameters; raise `InvalidParameterError` naming the first bad one."""

    @abstractmethod
    def _query(self, pool: Pool, batch_size: int, rng: np.random.Generator) -> Selection:
        """Choose exactly `batch_size` candidates of a pool whose rows are sorted by id.

        `1 <= batch_size <= number of candidates` holds. Indices in the answer are rows of this sorted pool.
        """

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in sorted(vars(self).items()))
        return f"{type(self).__name__}({settings})"
