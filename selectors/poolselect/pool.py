"""All items of a project that could be annotated, as arrays with one row per item."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from poolselect.exceptions import InvalidPoolError, name_some
from poolselect.half_rows import HalfRows

# Rows looked at together when values are checked: a few MB, so that a memory-mapped pool is never held in memory.
_CHUNK_ROWS = 4096


Fact = TypeVar("Fact")


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Pool:
    """The items of a project: what is known of each, and which may be chosen.

    Row `i` of every array speaks of the same item. Float arrays are converted to float32 if they are not already
    (float32 arrays, memory maps and `HalfRows` are used as they are, never copied and never written to); every array
    held by the pool is read-only.

    Parameters
    ----------
    ids : array_like of shape (n,), integers
        Unique. Strategies order rows by id before they do anything, so an order never depends on row positions.
    embeddings : array_like of shape (n, d), floats
        One vector per item, finite.
    patterns : array_like of shape (m, p), floats, optional
        Semantic patterns of all items, one item's after the other's. Default: each item's embedding is its pattern
        (FreeSel with K = 1).
    offsets : array_like of shape (n + 1,), integers, optional
        Item `i` owns `patterns[offsets[i]:offsets[i + 1]]`, at least one row. Required with `patterns`.
    labels : array_like of shape (n,), integers, optional
        Class of each item, -1 where there is no label. Default: no labels.
    probabilities : array_like of shape (n, c), floats, optional
        What a model predicts for each item, within [0, 1]. Rows need not sum to one (multi-label).
    candidates : array_like of shape (n,), bool, optional
        Rows that may be chosen. Default: rows that are neither labeled nor selected.
    selected : array_like of shape (n,), bool, optional
        Rows that count as chosen already though they have no label: skipped items, items still open in a live queue.
        Labeled rows are always added to it.
    class_names : sequence of str of length c, optional
        Names of the columns of `probabilities`, for the sentences people read. Default: "class 0", "class 1", ...
    multilabel : bool, default False
        True: the columns of `probabilities` are independent labels, each present or absent. False: one class per row.
    facts : dict, optional
        What was worked out of embeddings and patterns alone. Pools of the very same rows may share one, whatever is
        labeled, selected or predicted: what one strategy worked out the next one finds. Default: a new one.

    Attributes
    ----------
    ids : ndarray of shape (n,), int64
    embeddings : ndarray of shape (n, d), float32
    patterns : ndarray of shape (m, p), float32
    offsets : ndarray of shape (n + 1,), int64
    labels : ndarray of shape (n,), int64
    probabilities : ndarray of shape (n, c), float32, or None
    candidates : ndarray of shape (n,), bool
    selected : ndarray of shape (n,), bool
    class_names : tuple of str of length c, or None
    multilabel : bool
    facts : dict

    Raises
    ------
    InvalidPoolError
        If shapes differ, `facts` are of another number of rows, ids repeat, a value is NaN or infinite (the ids are
        named), an item has no pattern, a row is a candidate and labeled or selected at once, or there are more or
        fewer class names than columns.

    Examples
    --------
    >>> pool = Pool(ids=[10, 11, 12], embeddings=[[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], labels=[0, -1, -1])
    >>> pool
    Pool(3 rows, 2-d embeddings, 3 patterns, 2 candidates, 1 selected)
    >>> pool.candidates.tolist()
    [False, True, True]
    """

    ids: NDArray[np.int64]
    embeddings: NDArray[np.float32]
    patterns: NDArray[np.float32]
    offsets: NDArray[np.int64]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float32] | None
    candidates: NDArray[np.bool_]
    selected: NDArray[np.bool_]
    class_names: tuple[str, ...] | None
    multilabel: bool
    facts: dict[Hashable, Any]

    def __init__(
        self,
        ids: ArrayLike,
        embeddings: ArrayLike,
        patterns: ArrayLike | None = None,
        offsets: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        probabilities: ArrayLike | None = None,
        candidates: ArrayLike | None = None,
        selected: ArrayLike | None = None,
        class_names: Sequence[str] | None = None,
        multilabel: bool = False,
        facts: dict[Hashable, Any] | None = None,
    ) -> None:
        id_array = _integers("ids", ids)
        n = id_array.size
        values, counts = np.unique(id_array, return_counts=True)
        if values.size < n:
            raise InvalidPoolError(f"ids must be unique; repeated: {name_some(values[counts > 1].tolist())}.")

        vectors = _floats("embeddings", embeddings)
        if vectors.shape[0] != n:
            raise InvalidPoolError(f"embeddings have {vectors.shape[0]} rows for {n} ids.")
        facts = {} if facts is None else facts
        if facts.setdefault("rows", n) != n:
            raise InvalidPoolError(f"facts are of a pool of {facts['rows']} rows, and this one has {n}.")
        if not facts.get("finite"):
            _refuse_non_finite("embeddings", vectors, id_array, None)
        if patterns is None:
            if offsets is not None:
                raise InvalidPoolError("offsets were given without patterns; give both or neither.")
            pattern_array, offset_array = vectors, np.arange(n + 1, dtype=np.int64)
        else:
            if offsets is None:
                raise InvalidPoolError(
                    "patterns were given without offsets; row i owns patterns[offsets[i]:offsets[i+1]]."
                )
            pattern_array = _floats("patterns", patterns)
            offset_array = _checked_offsets(offsets, id_array, pattern_array.shape[0])
            if patterns is not embeddings and not facts.get("finite"):
                _refuse_non_finite("patterns", pattern_array, id_array, offset_array)
        facts["finite"] = True

        label_array = np.full(n, -1, dtype=np.int64) if labels is None else _integers("labels", labels, n)
        if (label_array < -1).any():
            bad = id_array[label_array < -1].tolist()
            raise InvalidPoolError(f"labels below -1 at ids {name_some(bad)}; classes count from 0 and -1 means none.")
        probability_array = None if probabilities is None else _checked_probabilities(probabilities, id_array)

        names = None if class_names is None else _checked_names(class_names, probability_array)
        if not isinstance(multilabel, bool):
            raise InvalidPoolError(f"multilabel={multilabel!r} must be True or False.")

        taken = (np.zeros(n, dtype=np.bool_) if selected is None else _mask("selected", selected, n)) | (
            label_array >= 0
        )
        if candidates is None:
            free = ~taken
        else:
            free = _mask("candidates", candidates, n)
            if (free & taken).any():
                raise InvalidPoolError(
                    f"ids {name_some(id_array[free & taken].tolist())} are candidates although they are labeled or "
                    "selected; leave such rows out of candidates."
                )

        kept = _read_only(vectors)
        object.__setattr__(self, "ids", _read_only(id_array))
        object.__setattr__(self, "embeddings", kept)
        # The same object, not just the same memory: this is how `take` knows that patterns follow the embeddings.
        object.__setattr__(self, "patterns", kept if pattern_array is vectors else _read_only(pattern_array))
        object.__setattr__(self, "offsets", _read_only(offset_array))
        object.__setattr__(self, "labels", _read_only(label_array))
        object.__setattr__(self, "probabilities", None if probability_array is None else _read_only(probability_array))
        object.__setattr__(self, "candidates", _read_only(free))
        object.__setattr__(self, "selected", _read_only(taken))
        object.__setattr__(self, "class_names", names)
        object.__setattr__(self, "multilabel", multilabel)
        object.__setattr__(self, "facts", facts)

    def __len__(self) -> int:
        return int(self.ids.size)

    def __repr__(self) -> str:
        return (
            f"Pool({len(self)} rows, {self.embeddings.shape[1]}-d embeddings, {self.patterns.shape[0]} patterns, "
            f"{int(self.candidates.sum())} candidates, {int(self.selected.sum())} selected)"
        )

    def fact(self, name: Hashable, work_out: Callable[[], Fact]) -> Fact:
        """Return what embeddings and patterns alone come to, worked out once for all pools that share `facts`."""
        if name not in self.facts:
            self.facts[name] = work_out()
        found: Fact = self.facts[name]
        return found

    def take(self, rows: ArrayLike) -> Pool:
        """Return a pool of some rows, in the order given.

        Parameters
        ----------
        rows : array_like of shape (r,), integers
            Row numbers of this pool, from 0, without repeats.

        Returns
        -------
        Pool
            Row `j` of it is row `rows[j]` of this one; patterns move with their rows.

        Examples
        --------
        >>> pool = Pool([7, 8, 9], [[1.0], [2.0], [3.0]], patterns=[[1.0], [2.0], [2.5], [3.0]], offsets=[0, 1, 3, 4])
        >>> part = pool.take([2, 1])
        >>> part.ids.tolist(), part.patterns[:, 0].tolist(), part.offsets.tolist()
        ([9, 8], [3.0, 2.0, 2.5], [0, 1, 3])
        """
        index = _integers("rows", rows)
        if index.size and (index.min() < 0 or index.max() >= len(self)):
            raise InvalidPoolError(
                f"rows must lie within [0, {len(self)}); got {int(index.min())} to {int(index.max())}."
            )
        whole: dict[str, Any] = {
            "ids": self.ids[index],
            "embeddings": self.embeddings[index],
            "labels": self.labels[index],
            "probabilities": None if self.probabilities is None else self.probabilities[index],
            "candidates": self.candidates[index],
            "selected": self.selected[index],
            "class_names": self.class_names,
            "multilabel": self.multilabel,
        }
        if self.patterns is self.embeddings:
            return Pool(**whole)
        flat, offsets = ragged_rows(self.offsets, index)
        return Pool(patterns=self.patterns[flat], offsets=offsets, **whole)

    def sorted_by_id(self) -> tuple[Pool, NDArray[np.int64]]:
        """Return this pool with its rows in ascending order of id, and where they came from.

        Returns
        -------
        pool : Pool
            This very object if the rows are in order already.
        rows : ndarray of shape (n,), int64
            Row `j` of the sorted pool is row `rows[j]` of this one.

        Examples
        --------
        >>> in_order, rows = Pool([5, 3], [[1.0], [2.0]]).sorted_by_id()
        >>> in_order.ids.tolist(), rows.tolist()
        ([3, 5], [1, 0])
        """
        if (np.diff(self.ids) > 0).all():
            return self, np.arange(len(self), dtype=np.int64)
        rows = np.argsort(self.ids, kind="stable").astype(np.int64)
        return self.take(rows), rows


def ragged_rows(offsets: NDArray[np.int64], rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """List the flat positions owned by some rows of a ragged array.

    Parameters
    ----------
    offsets : ndarray of shape (n + 1,), int64
        Row `i` owns the flat positions `offsets[i]` up to but excluding `offsets[i + 1]`.
    rows : ndarray of shape (r,), int64
        Rows, in any order; repeats are allowed.

    Returns
    -------
    flat : ndarray of shape (s,), int64
        The positions of `rows[0]`, then those of `rows[1]`, and so on.
    starts : ndarray of shape (r + 1,), int64
        Where each row begins in `flat`: the offsets of the ragged array made of `rows`.

    Examples
    --------
    >>> import numpy as np
    >>> flat, starts = ragged_rows(np.array([0, 2, 3, 6]), np.array([2, 0]))
    >>> flat.tolist(), starts.tolist()
    ([3, 4, 5, 0, 1], [0, 3, 5])
    """
    counts = offsets[rows + 1] - offsets[rows]
    starts = np.zeros(rows.size + 1, dtype=np.int64)
    np.cumsum(counts, out=starts[1:])
    flat = np.repeat(offsets[rows] - starts[:-1], counts) + np.arange(starts[-1], dtype=np.int64)
    return flat, starts


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    # A view, because the caller's own array must stay writable for the caller.
    view = array.view()
    view.flags.writeable = False
    return view


def _integers(name: str, values: ArrayLike, length: int | None = None) -> NDArray[np.int64]:
    array = np.asarray(values)
    if array.size and array.dtype.kind not in "iu":
        raise InvalidPoolError(f"{name} have dtype {array.dtype}; they must be integers.")
    if array.ndim != 1 or (length is not None and array.size != length):
        expected = "one-dimensional" if length is None else f"of shape ({length},)"
        raise InvalidPoolError(f"{name} have shape {array.shape}; they must be {expected}.")
    if array.dtype.kind == "u" and array.size and int(array.max()) > np.iinfo(np.int64).max:
        raise InvalidPoolError(f"{name} hold {int(array.max())}, which does not fit into 64 bits with a sign.")
    return array.astype(np.int64)


def _mask(name: str, values: ArrayLike, length: int) -> NDArray[np.bool_]:
    array = np.asarray(values)
    if array.dtype != np.bool_ or array.shape != (length,):
        raise InvalidPoolError(
            f"{name} have dtype {array.dtype} and shape {array.shape}; pass a boolean mask of shape ({length},)."
        )
    return array.astype(np.bool_)


def _floats(name: str, values: ArrayLike) -> NDArray[np.float32]:
    array = np.asanyarray(values)
    if array.dtype.kind not in "fiu" or array.ndim != 2 or array.shape[1] == 0:
        raise InvalidPoolError(
            f"{name} have dtype {array.dtype} and shape {array.shape}; they must be numbers of shape (rows, d >= 1)."
        )
    if array.dtype == np.float32 or isinstance(array, HalfRows):
        return array
    with np.errstate(over="ignore"):
        # A float64 value beyond float32's range becomes an infinity here and is refused, by id, a moment later.
        return array.astype(np.float32)


def _chunks(rows: int) -> Iterator[slice]:
    for start in range(0, rows, _CHUNK_ROWS):
        yield slice(start, min(start + _CHUNK_ROWS, rows))


def _refuse_non_finite(
    name: str, array: NDArray[np.float32], ids: NDArray[np.int64], offsets: NDArray[np.int64] | None
) -> None:
    bad = [
        piece.start + np.flatnonzero(~np.isfinite(array[piece]).all(axis=1))
        for piece in _chunks(array.shape[0])
        if not (array.are_finite(piece) if isinstance(array, HalfRows) else np.isfinite(array[piece]).all())
    ]
    if not bad:
        return
    rows = np.concatenate(bad)
    if offsets is not None:
        rows = np.unique(np.searchsorted(offsets, rows, side="right") - 1)
    raise InvalidPoolError(
        f"{name} hold NaN or infinities (in float32) at ids {name_some(ids[rows].tolist())}; leave these rows out."
    )


def _checked_offsets(offsets: ArrayLike, ids: NDArray[np.int64], flat_rows: int) -> NDArray[np.int64]:
    array = _integers("offsets", offsets, ids.size + 1)
    if array[0] != 0 or array[-1] != flat_rows:
        raise InvalidPoolError(
            f"offsets run from {int(array[0])} to {int(array[-1])}; they must run from 0 to {flat_rows}, the number of "
            "patterns."
        )
    counts = np.diff(array)
    if (counts < 1).any():
        raise InvalidPoolError(
            f"ids {name_some(ids[counts < 1].tolist())} own no pattern; every row needs at least one."
        )
    return array


def _checked_probabilities(probabilities: ArrayLike, ids: NDArray[np.int64]) -> NDArray[np.float32]:
    array = _floats("probabilities", probabilities)
    if array.shape[0] != ids.size:
        raise InvalidPoolError(f"probabilities have {array.shape[0]} rows for {ids.size} ids.")
    _refuse_non_finite("probabilities", array, ids, None)
    outside = ((array < 0) | (array > 1)).any(axis=1)
    if outside.any():
        raise InvalidPoolError(f"probabilities outside [0, 1] at ids {name_some(ids[outside].tolist())}.")
    return array


def _checked_names(names: Sequence[str], probabilities: NDArray[np.float32] | None) -> tuple[str, ...]:
    # A bare string is a sequence of its letters.
    found = () if isinstance(names, str) else tuple(names)
    if not found or not all(isinstance(name, str) for name in found):
        raise InvalidPoolError(f"class_names={names!r} must be a sequence of strings, one per class.")
    if probabilities is not None and len(found) != probabilities.shape[1]:
        raise InvalidPoolError(
            f"{len(found)} class_names were given for {probabilities.shape[1]} probabilities per row."
        )
    return found
