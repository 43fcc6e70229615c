"""What a strategy answers: an order, with a number and a sentence for each place in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from poolselect.exceptions import InvalidSelectionError, name_some


@dataclass(frozen=True, eq=False)
class Selection:
    """An ordered choice of rows of a pool.

    Parameters
    ----------
    indices : ndarray of shape (b,), int64
        Row numbers of the pool that was given to `QueryStrategy.query`, best first, without repeats. They are
        positions, not ids: `pool.ids[selection.indices]` are the ids.
    utilities : ndarray of shape (b,), float64
        Higher means sooner; finite and never increasing along the order. The scale belongs to the strategy.
    reasons : tuple of str, length b
        One short sentence for a person per row.

    Raises
    ------
    InvalidSelectionError
        If lengths differ, an index repeats or is negative, or the utilities increase or are not finite.

    Examples
    --------
    >>> import numpy as np
    >>> chosen = Selection(np.array([4, 1]), np.array([0.9, 0.2]), ("far from all", "a little new"))
    >>> len(chosen)
    2
    >>> chosen.indices.tolist()
    [4, 1]
    """

    indices: NDArray[np.int64]
    utilities: NDArray[np.float64]
    reasons: tuple[str, ...]

    def __post_init__(self) -> None:
        raw = np.asarray(self.indices)
        if raw.size and raw.dtype.kind not in "iu":
            raise InvalidSelectionError(f"indices have dtype {raw.dtype}; they are row numbers and must be integers.")
        indices = np.array(raw, dtype=np.int64)
        utilities = np.array(self.utilities, dtype=np.float64)
        reasons = tuple(self.reasons)
        if indices.ndim != 1 or utilities.shape != indices.shape or len(reasons) != indices.size:
            raise InvalidSelectionError(
                f"indices {indices.shape}, utilities {utilities.shape} and reasons ({len(reasons)},) must be "
                "one-dimensional and equally long."
            )
        if indices.size:
            if int(indices.min()) < 0:
                raise InvalidSelectionError(f"Index {int(indices.min())} is negative; rows count from 0.")
            values, counts = np.unique(indices, return_counts=True)
            if values.size < indices.size:
                raise InvalidSelectionError(f"Rows chosen more than once: {name_some(values[counts > 1].tolist())}.")
            if not np.isfinite(utilities).all():
                raise InvalidSelectionError("utilities hold NaN or infinities; give every row a finite number.")
            if (np.diff(utilities) > 0).any():
                place = int(np.argmax(np.diff(utilities) > 0))
                raise InvalidSelectionError(
                    f"utilities must not increase along the order, but {utilities[place]} is followed by "
                    f"{utilities[place + 1]} at place {place + 1}."
                )
        for array in (indices, utilities):
            array.flags.writeable = False
        object.__setattr__(self, "indices", indices)
        object.__setattr__(self, "utilities", utilities)
        object.__setattr__(self, "reasons", reasons)

    def __len__(self) -> int:
        return int(self.indices.size)

    @classmethod
    def empty(cls) -> Selection:
        """Return the selection of nothing."""
        return cls(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float64), ())
