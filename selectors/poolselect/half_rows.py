"""Vectors of float16 in a file, read as float32 a piece at a time: a pool that is larger than the memory."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["HalfRows"]

_HELD = 256 * 2**20  # bytes of the file that stay mapped, about; the system's cache keeps them all the same
_AROUND = 1 << 16  # bytes that the system maps around one that is asked for


def _on_the_whole(name: str) -> Any:
    """Return a method of arrays that works on float32."""

    def method(self: HalfRows, *inputs: Any, **options: Any) -> Any:
        return getattr(_widened(self), name)(*inputs, **options)

    return method


class HalfRows(np.ndarray[Any, np.dtype[np.float16]]):
    """A memory-mapped ``.npy`` of float16 that gives float32 wherever it is read. `Pool` takes it as it is.

    A piece, such as ``rows[a:b]`` or ``rows[indices]``, is an ordinary float32 array of that piece. Operations on the
    whole give the whole as float32, in memory. Pages that were read are let go again and again, so that a pass over the
    file does not count as memory of this process.

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

    @classmethod
    def open(cls, path: Path) -> HalfRows:
        """Map a file that `numpy.save` wrote, of shape (n, d) and dtype float16."""
        found = np.load(path, mmap_mode="r")
        if found.dtype != np.float16 or found.ndim != 2:
            raise ValueError(f"{path} holds {found.dtype} {found.shape}, must be float16 of two dimensions")
        rows: HalfRows = found.view(cls)
        rows._mapped = getattr(found, "_mmap", None)
        return rows

    def __array_finalize__(self, obj: Any) -> None:
        self._mapped = getattr(obj, "_mapped", None)

    def __getitem__(self, index: Any) -> Any:
        piece = np.asarray(self)[index]
        wide = piece.astype(np.float32)
        self._read += piece.nbytes if isinstance(index, slice) else piece.shape[0] * _AROUND if piece.ndim > 1 else 0
        if self._read > _HELD:
            self._read = 0
            self._let_go()
        return wide

    def _let_go(self) -> None:
        if self._mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._mapped.madvise(mmap.MADV_DONTNEED)

    def __array_ufunc__(self, ufunc: np.ufunc, method: Any, *inputs: Any, **options: Any) -> Any:
        return getattr(ufunc, method)(*map(_widened, inputs), **options)

    def __array_function__(self, function: Any, types: Any, inputs: Any, options: Any) -> Any:
        return function(*map(_widened, inputs), **{name: _widened(value) for name, value in options.items()})

    # What ndarray computes without asking either of the two above.
    sum, mean, std, var, cumsum, dot = map(_on_the_whole, ("sum", "mean", "std", "var", "cumsum", "dot"))


def _widened(value: Any) -> Any:
    if isinstance(value, HalfRows):
        wide: NDArray[np.float32] = np.asarray(value).astype(np.float32)
        return wide
    if isinstance(value, list | tuple):
        return type(value)(map(_widened, value))
    return value
