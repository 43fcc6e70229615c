"""How far apart two patterns are: the metrics of FreeSel, written so that one matrix product does the work.

All of them are computed from a *closeness*, which is a scalar product plus a term of the selected pattern alone. The
nearest selected pattern is the one with the largest closeness, so a running maximum is all that must be remembered
per pattern, and new selected patterns only ever raise it:

    cosine      closeness(x, s) = <x/|x|, s/|s|>                       gap = 1 - closeness  = D
    centered    the same with x - mu and s - mu in place of x and s
    euclidean   closeness(x, s) = 2 <x - mu, s - mu> - |s - mu|^2      gap = |x - mu|^2 - closeness = D^2

`mu` is the mean of the pool; in `euclidean`, taking it off only loses fewer digits when vectors share a large common
part.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from poolselect.exceptions import InvalidPoolError, name_some
from poolselect.pool import Pool

# Blocks of a matrix product: small enough for the cache and for a pool of any size, large enough for BLAS.
ROWS_PER_BLOCK = 2048
_COLUMNS_PER_BLOCK = 1024

# A gap below `noise` is rounding: without the cut a copy of a selected image would keep a tiny weight for ever, and
# "nothing new is left" would never be noticed. A float32 scalar product of unit vectors adds d numbers one by one; the
# errors make a random walk of about 2e-8 sqrt(d) (copies were found at 1.1e-6 with d = 1536). The cut is five of that.
_NOISE = 1e-7
_LEAST_NOISE = 1e-6
# Lengths whose squares stay inside float32's range with room to spare.
_SHORTEST, LONGEST = 1e-15, 1e15

MetricName = Literal["cosine", "centered", "euclidean"]


def noise(dimensions: int) -> float:
    """Return the gap of unit vectors below which float32 cannot tell them apart."""
    return max(_LEAST_NOISE, _NOISE * math.sqrt(dimensions))


class Metric(ABC):
    """Distances between the patterns of one pool.

    Parameters
    ----------
    pool : Pool
        Its `patterns` are read in place, block by block; no prepared copy of them is kept.

    Attributes
    ----------
    ceiling : float
        No distance in this pool exceeds it.
    """

    ceiling: float

    def __init__(self, pool: Pool) -> None:
        self._patterns = pool.patterns
        self._noise = np.float32(noise(pool.patterns.shape[1]))

    @abstractmethod
    def vectors(self, index: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the patterns at flat positions `index`, prepared for `affinity`: shape (b, p)."""

    @abstractmethod
    def affinity(self, vectors: NDArray[np.float32], selected: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the closeness of every prepared vector (b, p) to every selected one (s, p): shape (b, s)."""

    @abstractmethod
    def loosest(self, index: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        """Return for the patterns at `index` a closeness that no selected pattern of this pool undercuts."""

    @abstractmethod
    def gap(self, closeness: NDArray[np.float32], index: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        """Turn the closeness of the patterns at `index` into their gap, exactly 0 where it is noise."""

    @abstractmethod
    def distance(self, gap: NDArray[np.float32]) -> NDArray[np.float64]:
        """Turn gaps into distances."""

    def closeness(self, vectors: NDArray[np.float32], selected: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the closeness of each prepared vector (b, p) to the nearest of selected (s >= 1, p): shape (b,)."""
        best: NDArray[np.float32] = self.affinity(vectors, selected[:_COLUMNS_PER_BLOCK]).max(axis=1)
        for start in range(_COLUMNS_PER_BLOCK, selected.shape[0], _COLUMNS_PER_BLOCK):
            block = self.affinity(vectors, selected[start : start + _COLUMNS_PER_BLOCK])
            np.maximum(best, block.max(axis=1), out=best)
        return best


class Cosine(Metric):
    """Cosine distance, 1 - cos, within [0, 2]: half the squared chord between the unit vectors."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool)
        self.ceiling = 2.0
        norms = np.sqrt(_squared_norms(self._patterns))
        bad = (norms < _SHORTEST) | (norms > LONGEST)
        if bad.any():
            raise InvalidPoolError(
                f"The cosine distance needs a direction, but patterns of ids {_owners(pool, bad)} are zero vectors "
                f"or have a length outside [{_SHORTEST:g}, {LONGEST:g}]. Leave them out or use metric='euclidean'."
            )
        self._scale = (1.0 / norms).astype(np.float32)

    def vectors(self, index: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        return _scaled(self._patterns[index], self._scale[index, None])

    def affinity(self, vectors: NDArray[np.float32], selected: NDArray[np.float32]) -> NDArray[np.float32]:
        affinity: NDArray[np.float32] = vectors @ selected.T
        return affinity

    def loosest(self, index: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        return np.full(self._scale[index].shape, -1.0, dtype=np.float32)

    def gap(self, closeness: NDArray[np.float32], index: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        gap = np.float32(1.0) - closeness
        gap[gap < self._noise] = 0.0
        return gap

    def distance(self, gap: NDArray[np.float32]) -> NDArray[np.float64]:
        return gap.astype(np.float64)


class Centered(Cosine):
    """Cosine distance of what is left of the patterns when the pool's mean is taken off, within [0, 2].

    Embeddings of one network share a large common part, which makes every cosine similar and hides what images differ
    in. A pattern at the mean itself has no direction; it is the most ordinary one, so its distance to anything is 0.
    """

    def __init__(self, pool: Pool) -> None:
        Metric.__init__(self, pool)
        self.ceiling = 2.0
        self._center = center = pool.fact("mean", lambda: _mean(self._patterns))
        lengths, apart = pool.fact("lengths", lambda: [*map(np.sqrt, _squares(self._patterns, (None, center)))])
        bad = ~(lengths <= LONGEST)
        if bad.any():
            raise InvalidPoolError(
                f"Patterns of ids {_owners(pool, bad)} are longer than {LONGEST:g}, where float32 cannot measure "
                "directions. Scale the vectors down or leave these rows out."
            )
        # Below this, the difference from the mean is rounding.
        self._ordinary = apart <= np.maximum(self._noise * lengths, _SHORTEST)
        self._scale = (1.0 / np.where(self._ordinary, 1.0, apart)).astype(np.float32)

    def vectors(self, index: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        return _scaled(self._patterns[index] - self._center, self._scale[index, None])

    def gap(self, closeness: NDArray[np.float32], index: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        gap = np.float32(1.0) - closeness
        gap[(gap < self._noise) | self._ordinary[index]] = 0.0
        return gap


class Euclidean(Metric):
    """Euclidean distance, |x - s|."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool)
        self._center = center = pool.fact("mean", lambda: _mean(self._patterns))
        self._squares = pool.fact("squares", lambda: _squared_norms(self._patterns, center))
        bad = ~(self._squares <= LONGEST**2)
        if bad.any():
            raise InvalidPoolError(
                f"Patterns of ids {_owners(pool, bad)} lie farther than {LONGEST:g} from the mean of the pool, where "
                "float32 cannot measure distances. Scale the vectors down or leave these rows out."
            )
        self._radius = float(np.sqrt(self._squares.max(initial=0.0)))
        self.ceiling = 2.0 * self._radius

    def vectors(self, index: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        return self._patterns[index] - self._center

    def affinity(self, vectors: NDArray[np.float32], selected: NDArray[np.float32]) -> NDArray[np.float32]:
        squares = np.einsum("ij,ij->i", selected, selected)
        affinity: NDArray[np.float32] = (vectors @ selected.T) * np.float32(2.0) - squares
        return affinity

    def loosest(self, index: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        # |x - s| <= |x - mu| + radius, solved for the closeness; a hair looser, because float32 rounds.
        radius = np.float32(self._radius * (1.0 + 1e-5))
        return -radius * (np.float32(2.0) * np.sqrt(self._squares[index]) + radius)

    def gap(self, closeness: NDArray[np.float32], index: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        squares = self._squares[index]
        gap = squares - closeness
        gap[gap <= 2 * self._noise * squares] = 0.0
        np.maximum(gap, np.float32(0.0), out=gap)
        return gap

    def distance(self, gap: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.sqrt(gap.astype(np.float64))


METRICS: dict[str, type[Metric]] = {"cosine": Cosine, "centered": Centered, "euclidean": Euclidean}


def build_metric(name: MetricName, pool: Pool) -> Metric:
    """Return the named metric over the patterns of `pool`."""
    return METRICS[name](pool)


def _scaled(vectors: NDArray[np.float32], scale: NDArray[np.float32]) -> NDArray[np.float32]:
    """Multiply vectors, in place where they are nobody else's."""
    scaled: NDArray[np.float32] = np.multiply(vectors, scale, out=vectors if vectors.base is None else None)
    return scaled


def _squared_norms(patterns: NDArray[np.float32], center: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    return _squares(patterns, (center,))[0]


def _squares(patterns: NDArray[np.float32], centers: Sequence[NDArray[np.float32] | None]) -> list[NDArray[np.float32]]:
    """Return the squared distances of patterns from each center, None being zero; patterns are read once."""
    squares = [np.empty(patterns.shape[0], dtype=np.float32) for _ in centers]
    for start in range(0, patterns.shape[0], ROWS_PER_BLOCK):
        rows = np.asarray(patterns[start : start + ROWS_PER_BLOCK])
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            # An overflow is an infinity, which the caller refuses by name.
            for center, found in zip(centers, squares, strict=True):
                block = rows if center is None else rows - center
                np.einsum("ij,ij->i", block, block, out=found[start : start + ROWS_PER_BLOCK])
    return squares


def _mean(patterns: NDArray[np.float32]) -> NDArray[np.float32]:
    total = np.zeros(patterns.shape[1], dtype=np.float64)
    for start in range(0, patterns.shape[0], ROWS_PER_BLOCK):
        total += patterns[start : start + ROWS_PER_BLOCK].sum(axis=0, dtype=np.float64)
    mean: NDArray[np.float32] = (total / max(patterns.shape[0], 1)).astype(np.float32)
    return mean


def _owners(pool: Pool, bad: NDArray[np.bool_]) -> str:
    rows = np.unique(np.searchsorted(pool.offsets, np.flatnonzero(bad), side="right") - 1)
    return name_some(pool.ids[rows].tolist())
