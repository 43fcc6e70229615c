"""Vectors of float16 in a file, read as float32 a piece at a time: a pool that is larger than the memory."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["HalfRows"]

_HELD = 256 * 2**20  # bytes of the file that stay mapped, about; the system's cache keeps them all the same
_EXPONENT = np.uint16(0x7C00)  # all of it is set in NaN and infinities alone
_AROUND = 1 << 16  # bytes that the system maps around one that is asked for


def _on_the_whole(name: str) -> Any:
    """Return a method of arrays that works on float32."""

    def method(self: HalfRows, *inputs: Any, **options: Any) -> Any:
        return getattr(_widened(self), name)(*inputs, **options)

    return method


class HalfRows(np.ndarray[Any, np.dtype[np.float16]]):
    """Memory-mapped vectors of float16 that are float32 wherever they are read. `Pool` takes them as they are.

    A piece, such as ``rows[a:b]`` or ``rows[indices]``, is an ordinary float32 array of that piece. Operations on the
    whole give the whole as float32, in memory. Pages that were read are let go again and again, so that a pass over the
    file does not count as memory of this process.

    Of `picked` rows the array itself holds no vectors: numpy's own memory of it is NaN, so that what gets past the
    methods here is noticed by whoever looks for finite numbers, and is never another row.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/rows.npy", np.array([[0.5, 1.0], [2.0, 0.25]], dtype=np.float16))
    ...     rows = HalfRows.open(Path(folder) / "rows.npy")
    ...     piece = rows[1:]
    >>> piece.dtype.name, piece.tolist()
    ('float32', [[2.0, 0.25]])
    """

    _read: int = 0  # bytes since pages were let go
    _mapped: mmap.mmap | None = None
    _source: NDArray[np.float16] | None = None  # where picked rows come from
    _picks: NDArray[np.int64] | None = None

    @classmethod
    def open(cls, path: Path) -> HalfRows:
        """Map a file that `numpy.save` wrote, of shape (n, d) and dtype float16."""
        found = np.load(path, mmap_mode="r")
        if found.dtype != np.float16 or found.ndim != 2:
            raise ValueError(f"{path} holds {found.dtype} {found.shape}, must be float16 of two dimensions")
        return cls.of(found)

    @classmethod
    def of(cls, vectors: NDArray[np.float16]) -> HalfRows:
        """Return vectors of shape (n, d) as they are, mapped or in memory."""
        rows: HalfRows = vectors.view(cls)
        rows._mapped = getattr(vectors, "_mmap", None)
        return rows

    def picked(self, index: NDArray[np.int64]) -> HalfRows:
        """Return rows of these, in the sequence of `index` of shape (k,), without reading any."""
        source, picks = self._whole(), index if self._picks is None else self._picks[index]
        if picks.size and not 0 <= picks.min() <= picks.max() < len(source):
            raise IndexError(f"rows {picks.min()} to {picks.max()} of {len(source)}")
        rows: HalfRows = np.broadcast_to(np.float16(np.nan), (picks.size, source.shape[1])).view(HalfRows)
        rows._mapped, rows._source, rows._picks = self._mapped, source, picks
        return rows

    def half(self, index: Any = slice(None)) -> NDArray[np.float16]:
        """Return a piece as it is stored."""
        source = self._whole()
        if self._picks is None:
            piece: NDArray[np.float16] = source[index]
            self._note(piece.nbytes if isinstance(index, slice) else piece.shape[0] * _AROUND if piece.ndim > 1 else 0)
            return piece
        if self.shape != (self._picks.size, source.shape[1]):
            raise TypeError("picked rows cannot be reshaped or transposed: take a piece of them first, such as rows[:]")
        first, rest = (index[0], index[1:]) if isinstance(index, tuple) else (index, ())
        picks = self._picks[first]
        several = isinstance(picks, np.ndarray) and picks.size > 0
        span = int(np.ptp(picks)) + 1 if several else 0
        self._note(min(span * source.strides[0], picks.size * _AROUND))
        if span == picks.size and span > 1 and (picks[1:] > picks[:-1]).all():  # a run of rows is no gathering
            piece = source[int(picks[0]) : int(picks[0]) + span]
        else:
            piece = source[picks]
        return piece[(slice(None),) * (piece.ndim - 1) + rest] if rest else piece

    def are_finite(self, index: Any = slice(None)) -> bool:
        """Tell whether all numbers of a piece are finite, by the bits of their exponents: they are not converted."""
        bits = np.ascontiguousarray(self.half(index)).view(np.uint16)
        return not bool(((bits & _EXPONENT) == _EXPONENT).any())

    def _whole(self) -> NDArray[np.float16]:
        return np.asarray(self) if self._source is None else self._source

    def __array_finalize__(self, obj: Any) -> None:
        for name in ("_mapped", "_source", "_picks"):
            setattr(self, name, getattr(obj, name, None))

    def __getitem__(self, index: Any) -> Any:
        return self.half(index).astype(np.float32)

    def _note(self, read: int) -> None:
        """Note how much of the file was mapped; now and then it is let go."""
        self._read += read
        if self._read > _HELD:
            self._read = 0
            self._let_go()

    def _let_go(self) -> None:
        if self._mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._mapped.madvise(mmap.MADV_DONTNEED)

    def __array_ufunc__(self, ufunc: np.ufunc, method: Any, *inputs: Any, **options: Any) -> Any:
        return getattr(ufunc, method)(*map(_widened, inputs), **options)

    def __array_function__(self, function: Any, types: Any, inputs: Any, options: Any) -> Any:
        return function(*map(_widened, inputs), **{name: _widened(value) for name, value in options.items()})

    # What ndarray computes without asking either of the two above.
    sum, mean, std, var, cumsum, dot = map(_on_the_whole, ("sum", "mean", "std", "var", "cumsum", "dot"))
    min, max, astype, copy, tolist = map(_on_the_whole, ("min", "max", "astype", "copy", "tolist"))


def _widened(value: Any) -> Any:
    if isinstance(value, HalfRows):
        return value[:]
    if isinstance(value, list | tuple):
        return type(value)(map(_widened, value))
    return value
