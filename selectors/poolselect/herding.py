"""Greedy coverage of a sample of the pool under a kernel, lazily: what MaxHerding, UHerding and ProbCover share."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from poolselect.exceptions import InvalidParameterError
from poolselect.kmeans import sample_rows
from poolselect.metric import noise
from poolselect.pool import Pool
from poolselect.similarities import Similarities

# A vector shorter than this has no direction that float32 can tell.
_SHORTEST = 1e-30
_ROWS = 2048
# Kernel values at once: what the cache of one core holds.
_VALUES = 2**19
# Picks whose effect on an older bound is remembered.
_MEMORY = 256
# Bounds brought up to date before they are compared again, and gains computed in float64 at first.
_FIRST_LOOK, _LAST_LOOK, _FINALISTS = 64, 4096, 8
# Gains closer together than this share of the larger one, or less than this much of the sample, are a tie.
_TIE, _NOTHING = 1e-9, 1e-12
_DONE = -1.0

Floats = NDArray[np.floating[Any]]


class Kernel(Protocol):
    """A similarity that falls with the distance of two unit vectors, from 1 for equal ones.

    Attributes
    ----------
    exact : bool
        Whether its values, and so their sums, are whole numbers, which float32 adds up without an error.
    """

    exact: ClassVar[bool]

    def of(self, squares: Floats) -> Floats:
        """Turn squared distances, 0 or more, into similarities of the same dtype; may write to its argument."""


@dataclass(frozen=True)
class Gaussian:
    """k = exp(-(|x - y| / radius)^2).

    Examples
    --------
    >>> Gaussian(2.0).of(np.array([0.0, 4.0])).round(3).tolist()
    [1.0, 0.368]
    """

    radius: float
    exact: ClassVar[bool] = False

    def of(self, squares: Floats) -> Floats:
        squares *= -1.0 / self.radius**2
        return np.exp(squares, out=squares)


@dataclass(frozen=True)
class Ball:
    """k = 1 where |x - y| <= radius, else 0.

    Examples
    --------
    >>> Ball(2.0).of(np.array([0.0, 4.0, 4.1])).tolist()
    [1.0, 1.0, 0.0]
    """

    radius: float
    exact: ClassVar[bool] = True

    def of(self, squares: Floats) -> Floats:
        return (squares <= self.radius**2).astype(squares.dtype)


class Directions:
    """The embeddings of a pool as unit vectors, made where they are needed; a zero vector stays one.

    Parameters
    ----------
    embeddings : ndarray of shape (n, d), float32

    Attributes
    ----------
    noise : float
        Of a squared distance in float32.
    """

    def __init__(self, embeddings: NDArray[np.float32]) -> None:
        self._embeddings = embeddings
        self._scale = np.zeros(embeddings.shape[0])
        for start in range(0, embeddings.shape[0], _ROWS):
            block = embeddings[start : start + _ROWS].astype(np.float64)
            lengths = np.sqrt(np.einsum("ij,ij->i", block, block))
            np.divide(1.0, lengths, out=self._scale[start : start + _ROWS], where=lengths > _SHORTEST)
        self._narrow_scale = self._scale.astype(np.float32)
        self.noise = 4.0 * noise(embeddings.shape[1])

    def of(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the unit vectors of some rows, shape (r, d)."""
        return self._embeddings[rows] * self._scale[rows, None]

    def squares(self, rows: NDArray[np.int64], points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the squared distances of rows to unit vectors (p, d): shape (r, p), never below 0."""
        vectors = self.of(rows)
        squares = vectors @ points.T
        squares *= -2.0
        squares += np.einsum("ij,ij->i", vectors, vectors)[:, None]
        squares += np.einsum("ij,ij->i", points, points)
        return np.maximum(squares, 0.0, out=squares)

    def rough_squares(
        self, rows: NDArray[np.int64], halves: NDArray[np.float32], lengths: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return the same in float32, up to the noise, from points times -2 (p, d) and their squared lengths (p,)."""
        vectors: NDArray[np.float32] = self._embeddings[rows] * self._narrow_scale[rows, None]
        # OpenBLAS works on whole registers: what lies beside a small matrix may be no number, and only warn of itself.
        with np.errstate(invalid="ignore", over="ignore"):
            squares: NDArray[np.float32] = vectors @ halves.T
        np.add(squares, lengths + np.float32(1.0), out=squares)
        if not (there := self._narrow_scale[rows] > 0).all():
            squares[~there] -= np.float32(1.0)
        return squares


class Sample:
    """Rows of the pool that stand for all of them: what a selection is to cover.

    Parameters
    ----------
    pool : Pool
        Rows sorted by id. Any row can be drawn, chosen or not.
    size : int
        Rows drawn without replacement; all rows if there are no more than that.
    rng : numpy.random.Generator

    Attributes
    ----------
    rows : ndarray of shape (r,), int64
        Ascending rows of the pool.
    directions : Directions
        Of the whole pool.
    points : ndarray of shape (r, d), float64
        Their unit vectors.
    """

    def __init__(self, pool: Pool, size: int, rng: np.random.Generator) -> None:
        self.directions = Directions(pool.embeddings)
        self.rows = sample_rows(len(pool), size, rng)
        self.points = self.directions.of(self.rows)

    def nearest(self, groups: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """Return the distance of each sampled row to the nearest one of another group, by default to one that is no
        copy of it: shape (r,), infinite without any."""
        nearest = np.empty(self.rows.size)
        for start in range(0, self.rows.size, _ROWS):
            block = slice(start, start + _ROWS)
            squares = self.directions.squares(self.rows[block], self.points)
            same = squares <= self.directions.noise if groups is None else groups[block, None] == groups
            squares[same] = np.inf
            nearest[block] = np.sqrt(squares.min(axis=1))
        return nearest

    def spacing(self) -> float:
        """Return the median distance of a sampled row to the nearest that is no copy of it; 1 if all are copies."""
        nearest = self.nearest()
        return float(np.median(nearest[np.isfinite(nearest)])) if np.isfinite(nearest).any() else 1.0


class Herd:
    """The greedy selection: always the candidate that raises the coverage of the sample most.

        coverage(S) = sum over j of u_j m_j / sum over j of u_j,      m_j = max over s in S of k(s, j), 0 without any
        gain(i | S) = sum over j of u_j max(k(i, j) - m_j, 0) / sum over j of u_j

    Coverage is submodular: a gain computed for a smaller selection is an upper bound of the present one. So bounds
    are brought up to date from the largest down, only until no other can be larger; and what brings one up to date
    is the rows j alone whose m_j rose meanwhile. That is done in float32, rounded up; what is left is decided in
    float64. The choice is that of a plain greedy. Gains that differ by less than 1e-9 of themselves are a tie, which
    the lowest row wins. Where nothing was chosen before, each similarity is multiplied once and remembered
    (`poolselect.similarities`).

    Parameters
    ----------
    pool : Pool
        Rows sorted by id. Its selected rows count as chosen already.
    sample : Sample
    kernel : Kernel
    weights : ndarray of shape (r,), float64, optional
        u, 0 or more and not all 0. Default: 1 each.
    free : ndarray of shape (n,), bool, optional
        Rows to choose from. Default: the pool's candidates.
    chosen : ndarray of shape (s,), int64, optional
        Rows that count as chosen already. Default: the pool's selected rows.

    Attributes
    ----------
    products : int
        Scalar products of a row of the pool with one of the sample so far.
    """

    def __init__(
        self,
        pool: Pool,
        sample: Sample,
        kernel: Kernel,
        *,
        weights: NDArray[np.float64] | None = None,
        free: NDArray[np.bool_] | None = None,
        chosen: NDArray[np.int64] | None = None,
    ) -> None:
        self._directions, self._kernel, self._points = sample.directions, kernel, sample.points
        self._weights = np.ones(sample.rows.size) if weights is None else weights / weights.max()
        self._total = float(self._weights.sum())
        self._halves = (-2.0 * self._points).astype(np.float32)
        self._lengths = np.einsum("ij,ij->i", self._points, self._points).astype(np.float32)
        self._narrow_weights = self._weights.astype(np.float32)
        self._block = int(np.clip(_VALUES // sample.rows.size, 16, 512))
        # Relative errors of a sum of so many similarities, and of one number, in float32.
        self._rough = 0.0 if kernel.exact else 1e-6 + 1e-8 * sample.rows.size
        self._nudge = np.float32(0.0 if kernel.exact else 1.2e-7)
        self.products = 0
        self._reached = np.zeros(sample.rows.size)  # m
        already = np.flatnonzero(pool.selected) if chosen is None else chosen
        for start in range(0, already.size, self._block):
            self._cover(already[start : start + self._block])
        self._rows = np.flatnonzero(pool.candidates if free is None else free)
        # The first picks of all make nearly every bound stale, later ones few: then remembering would cost more.
        self._remembered = Similarities(
            self._rows.size if already.size == 0 else 0, sample.rows.size, exact=kernel.exact
        )
        self._upper = self._bounds(np.arange(self._rows.size), keep=self._remembered.holds_all)
        # Picks that each bound knows of, what m was after each of the last picks, and the last pick that raised each m.
        self._picks = 0
        self._knows = np.zeros(self._rows.size, dtype=np.int64)
        self._past = np.zeros((_MEMORY, sample.rows.size), dtype=np.float32)
        self._past[0] = self._reached.astype(np.float32) * (1 + self._nudge)
        self._raised = np.zeros(sample.rows.size, dtype=np.int64)

    def __iter__(self) -> Iterator[tuple[int, float]]:
        """Yield rows and gains, the largest first, until no row has a gain."""
        for _ in range(self._rows.size):
            place, gain = self._best()
            if gain <= _NOTHING:
                return
            self._upper[place] = _DONE
            before = self._reached.copy()
            row = self._rows[place : place + 1]
            self._cover(row)
            self._picks += 1
            self._raised[self._reached > before] = self._picks
            self._past[self._picks % _MEMORY] = self._reached.astype(np.float32) * (1 + self._nudge)
            yield int(row[0]), gain

    def _best(self) -> tuple[int, float]:
        """Return the place in `_rows` of the candidate with the largest gain, and that gain."""
        upper, now = self._upper, self._picks
        exact = np.zeros(upper.size, dtype=np.bool_)
        # First a good idea of the best: bring bounds up to date until the largest ones are.
        look, highest = _FIRST_LOOK, _DONE
        while (stale := np.flatnonzero((upper > highest) & (self._knows < now))).size:
            batch = _largest(upper, stale, look)
            self._update(batch)
            highest, look = max(highest, float(upper[batch].max())), 4 * look
        best, winner = 0.0, upper.size
        waiting = _largest(upper, np.flatnonzero((upper > _NOTHING) & (self._knows == now)), _FINALISTS)
        while waiting.size:
            if (stale := waiting[self._knows[waiting] < now]).size:
                self._update(stale)
            else:
                upper[waiting] = self._gains(waiting)
                exact[waiting] = True
                best = max(best, float(upper[waiting].max()))
                tie = max(best - _TIE * best, _NOTHING)
                winner = int(np.flatnonzero(exact & (upper >= tie)).min(initial=upper.size))
            # One that comes later in a tie need not be known: it would lose it.
            rivals = ~exact & (upper > max(best + _TIE * best, _NOTHING))
            rivals[:winner] |= ~exact[:winner] & (upper[:winner] >= max(best - _TIE * best, _NOTHING))
            waiting = _largest(upper, np.flatnonzero(rivals), _LAST_LOOK)
        return winner, best

    def _bounds(self, places: NDArray[np.int64], *, keep: bool) -> NDArray[np.float64]:
        """Return upper bounds of the present gains of some candidates, from nothing; keep what was multiplied."""
        bounds = np.empty(places.size)
        reached = self._reached.astype(np.float32) * (1 - self._nudge)
        lengths = self._lengths - np.float32(self._directions.noise)
        for start in range(0, places.size, self._block):
            block = slice(start, start + self._block)
            rows = self._rows[places[block]]
            similar = self._kernel.of(self._directions.rough_squares(rows, self._halves, lengths))
            self.products += similar.size
            if keep:
                self._remembered.keep(places[block], similar)
            similar -= reached
            bounds[block] = np.maximum(similar, np.float32(0), out=similar) @ self._narrow_weights
        return bounds * ((1.0 + self._rough) / self._total)

    def _update(self, places: NDArray[np.int64]) -> None:
        """Bring bounds up to date: take off at most what the gain lost, or begin anew where that is as cheap."""
        above = self._reached.astype(np.float32) * (1 - self._nudge)
        here = self._remembered.known(places)
        if (cheap := places[here]).size:
            gains = self._remembered.gains(cheap, above, self._narrow_weights)
            self._upper[cheap] = np.minimum(self._upper[cheap], gains * ((1.0 + self._rough) / self._total))
        dear = places[~here]
        by_age = dear[np.argsort(self._knows[dear], kind="stable")]
        for start in range(0, by_age.size, self._block):
            block = by_age[start : start + self._block]
            known = self._knows[block]
            columns = np.flatnonzero(self._raised > known[0])
            if 2 * columns.size > above.size or known[0] <= self._picks - _MEMORY:
                self._upper[block] = np.minimum(self._upper[block], self._bounds(block, keep=True))
                continue
            lengths = self._lengths[columns] + np.float32(self._directions.noise)
            squares = self._directions.rough_squares(self._rows[block], self._halves[columns], lengths)
            self.products += squares.size
            similar = np.minimum(self._kernel.of(squares), above[columns])
            similar -= self._past[(known % _MEMORY)[:, None], columns]
            lost = np.maximum(similar, np.float32(0), out=similar) @ self._narrow_weights[columns]
            # In float64: the counts of a ball are exact, and so must be what is taken off.
            self._upper[block] -= lost.astype(np.float64) * ((1.0 - self._rough) / self._total)
        self._knows[places] = self._picks

    def _gains(self, places: NDArray[np.int64]) -> NDArray[np.float64]:
        gains = np.empty(places.size)
        for start in range(0, places.size, self._block):
            block = slice(start, start + self._block)
            more = self._similar(self._rows[places[block]]) - self._reached
            gains[block] = np.maximum(more, 0.0, out=more) @ self._weights / self._total
        return np.where(gains > _NOTHING, gains, 0.0)

    def _cover(self, rows: NDArray[np.int64]) -> None:
        np.maximum(self._reached, self._similar(rows).max(axis=0), out=self._reached)

    def _similar(self, rows: NDArray[np.int64]) -> Floats:
        """Return the similarity of rows of the pool to the sample in float64, shape (b, r)."""
        squares = self._directions.squares(rows, self._points)
        self.products += squares.size
        return self._kernel.of(squares)


def _largest(values: NDArray[np.float64], places: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return the `count` of ascending places with the largest values; of equal ones the first."""
    if places.size <= count:
        return places
    at = values[places]
    edge = np.partition(at, at.size - count)[at.size - count]
    above = np.flatnonzero(at > edge)
    level = np.flatnonzero(at == edge)[: count - above.size]
    found: NDArray[np.int64] = places[np.sort(np.concatenate([above, level]))]
    return found


def check_size(name: str, value: object) -> None:
    """Refuse what is no integer of at least 1."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
        raise InvalidParameterError(f"{name}={value!r} must be an integer of at least 1.")


def check_positive(name: str, value: object) -> None:
    """Refuse what is no finite number above 0."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 < float(value) < math.inf:
        raise InvalidParameterError(f"{name}={value!r} must be a finite number greater than 0.")
