"""Parquet files of vectors, row group by row group. The one door for pyarrow."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..exceptions import TableError
from ..files import replacing

__all__ = ["Rows", "TableReader", "TableWriter"]

BATCH = 512  # rows that are held at a time
GROUP = 4 * 2**20  # numbers in a row group that is written
LARGEST = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class Rows:
    """Some rows of a file.

    Attributes
    ----------
    start : int
        Place of the first one in the file, from 0.
    tasks : sequence of int or None
        Task ids.
    files : sequence of str or None
        Names of images.
    vectors : sequence of ndarray of shape (d,), float16, or str
        One each; text says why there is none.
    patterns : sequence of ndarray of shape (k, d), float16
        At least one each, the vector itself where the file has no others.
    """

    start: int
    tasks: Sequence[int | None]
    files: Sequence[str | None]
    vectors: Sequence[NDArray[np.float16] | str]
    patterns: Sequence[NDArray[np.float16]]


class TableReader:
    """Reads a file that people made, and says what is wrong with it. Context manager.

    Parameters
    ----------
    path : Path
        Columns ``task`` (whole numbers) or ``file`` (text) or both, ``vector`` (lists of numbers), and if it likes
        ``patterns`` (lists of such lists).

    Attributes
    ----------
    count : int
        Rows.

    Raises
    ------
    TableError
        If it cannot be read, or has other columns.
    """

    def __init__(self, path: Path) -> None:
        self._arrow, parquet = _arrow()
        self._path = path
        try:
            # Column by column from the disk, in small pieces: a row group may be as large as the file.
            self._file = parquet.ParquetFile(path, pre_buffer=False, buffer_size=2**20)
        except (OSError, self._arrow.ArrowException) as error:
            raise TableError(f"{path} cannot be read as a Parquet file: {_brief(error)}") from error
        self.count = int(self._file.metadata.num_rows)
        self._names = self._check(self._file.schema_arrow)

    def __enter__(self) -> TableReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def _check(self, schema: Any) -> list[str]:
        types = self._arrow.types
        have = ", ".join(schema.names) or "none"
        if "vector" not in schema.names or not {"task", "file"} & set(schema.names):
            raise TableError(
                f"{self._path} has the columns {have}: `vector` (a list of numbers) is needed, and `task` (its id) or "
                "`file` (the image's address or name)"
            )

        def is_list(kind: Any) -> bool:
            return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))

        def is_text(kind: Any) -> bool:
            kind = kind.value_type if types.is_dictionary(kind) else kind
            return bool(types.is_string(kind) or types.is_large_string(kind))

        def is_numbers(kind: Any) -> bool:
            return is_list(kind) and bool(types.is_floating(kind.value_type) or types.is_integer(kind.value_type))

        wanted: dict[str, tuple[Callable[[Any], bool], str]] = {
            "task": (lambda kind: types.is_integer(kind) or types.is_floating(kind), "whole numbers"),
            "file": (is_text, "text"),
            "vector": (is_numbers, "lists of numbers"),
            "patterns": (lambda kind: is_list(kind) and is_numbers(kind.value_type), "lists of lists of numbers"),
        }
        names = [name for name in wanted if name in schema.names]
        for name in names:
            fits, what = wanted[name]
            kind = schema.field(name).type
            if types.is_null(kind) and name in ("task", "file", "patterns"):
                continue
            if not fits(kind):
                raise TableError(f"{self._path}: the column {name!r} holds {kind}, it must hold {what}")
        return names

    def rows(self) -> Iterator[Rows]:
        """Yield all rows, some at a time.

        Raises
        ------
        TableError
            If the file is damaged, or two of its vectors are not equally long.
        """
        dimension, start = 0, 0
        try:
            for batch in self._file.iter_batches(batch_size=BATCH, columns=self._names):
                columns = {name: batch.column(name) for name in self._names}
                vectors: list[NDArray[np.float16] | str] = []
                for row, numbers in enumerate(_lists(columns["vector"]), start + 1):
                    if numbers is None or not numbers.size:
                        vectors.append("it has no vector")
                        continue
                    dimension = dimension or numbers.size
                    self._same(numbers.size, dimension, row)
                    vectors.append(_halved(numbers))
                patterns = self._patterns(columns.get("patterns"), vectors, dimension, start + 1)
                tasks, files = self._tasks(columns.get("task"), start), _texts(columns.get("file"))
                nothing = [None] * len(vectors)
                yield Rows(start, tasks or nothing, files or nothing, vectors, patterns)
                start += len(vectors)
        except (OSError, self._arrow.ArrowException) as error:
            raise TableError(f"{self._path} is damaged after row {start:,}: {_brief(error)}") from error

    def _same(self, found: int, dimension: int, row: int) -> None:
        if found != dimension:
            raise TableError(
                f"{self._path}: a vector of row {row:,} has {found:,} numbers, those before have {dimension:,}: one "
                "model gives vectors of one length"
            )

    def _patterns(
        self, column: Any, vectors: list[NDArray[np.float16] | str], dimension: int, first: int
    ) -> list[NDArray[np.float16]]:
        """Return each row's patterns; one of which a number cannot be stored leaves its row without a vector."""
        found: list[NDArray[np.float16]] = []
        for at, (vector, lists) in enumerate(zip(vectors, _nested(column, len(vectors)), strict=True)):
            if isinstance(vector, str) or not lists:
                found.append(np.empty((0, 0), np.float16) if isinstance(vector, str) else vector[None])
                continue
            halves = []
            for numbers in lists:
                self._same(numbers.size, dimension, first + at)
                halves.append(_halved(numbers))
            if why := next((half for half in halves if isinstance(half, str)), ""):
                vectors[at] = f"of one of its patterns, {why}"
            found.append(np.stack([half for half in halves if not isinstance(half, str)]) if not why else vector[None])
        return found

    def _tasks(self, column: Any, start: int) -> list[int | None]:
        values = [] if column is None else column.to_pylist()
        for row, value in enumerate(values, start + 1):
            if isinstance(value, float) and value == value and value % 1:
                raise TableError(f"{self._path}: the task of row {row:,} is {value}, it must be a whole number")
        return [None if value is None or value != value else int(value) for value in values]


class TableWriter:
    """Writes a file that appears whole, or not at all; only its owner may read it. Context manager.

    Parameters
    ----------
    path : Path
        The file.
    patterns : bool
        Whether there is a column of patterns.
    note : mapping
        JSON, kept as the file's metadata ``labelqueue``.
    """

    def __init__(self, path: Path, *, patterns: bool, note: Mapping[str, Any]) -> None:
        self._arrow, self._parquet = _arrow()
        self._path, self._with_patterns, self._note = path, patterns, note
        self._parts: list[Any] = []
        self._numbers = 0
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> TableWriter:
        pa = self._arrow
        numbers = pa.list_(pa.float32())
        fields = [("task", pa.int64()), ("file", pa.string()), ("vector", numbers)]
        fields += [("patterns", pa.list_(numbers))] if self._with_patterns else []
        self._schema = pa.schema(fields, metadata={"labelqueue": json.dumps(self._note)})
        try:
            stream = self._stack.enter_context(replacing(self._path))
        except OSError as error:
            raise self._unwritable(error) from error
        self._file = self._parquet.ParquetWriter(stream, self._schema, compression="zstd")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._flush()
                self._file.close()
            else:
                with contextlib.suppress(Exception):
                    self._file.close()  # what there is becomes no file
            self._stack.__exit__(kind, error, trace)
        except OSError as failed:
            if error is None:
                self._stack.__exit__(type(failed), failed, None)
            raise self._unwritable(failed) from failed

    def _unwritable(self, error: OSError) -> TableError:
        return TableError(f"{self._path} cannot be written ({error.strerror or error}): name another file")

    def write(
        self,
        tasks: NDArray[np.int64],
        files: Sequence[str | None],
        vectors: NDArray[np.float16],
        patterns: NDArray[np.float16],
        offsets: NDArray[np.int64],
    ) -> None:
        """Add rows; vectors (n, d), patterns (m, d) and offsets (n + 1,) as in a `Block`."""
        pa = self._arrow
        columns = [pa.array(tasks), pa.array(files, pa.string()), self._lists(vectors)]
        if self._with_patterns:
            columns.append(pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), self._lists(patterns)))
        self._parts.append(pa.record_batch(columns, schema=self._schema))
        self._numbers += vectors.size + (patterns.size if self._with_patterns else 0)
        if self._numbers >= GROUP:
            self._flush()

    def _lists(self, rows: NDArray[np.float16]) -> Any:
        pa = self._arrow
        ends = np.arange(len(rows) + 1, dtype=np.int32) * rows.shape[1]
        return pa.ListArray.from_arrays(pa.array(ends), pa.array(rows.astype(np.float32).ravel()))

    def _flush(self) -> None:
        if self._parts:
            self._file.write_table(self._arrow.Table.from_batches(self._parts, self._schema))
        self._parts, self._numbers = [], 0


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise TableError(
            f'Parquet files need pyarrow ({error}), the extra `parquet`: pip install -c constraints.txt ".[parquet]"'
        ) from error
    return pyarrow, pyarrow.parquet


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _halved(numbers: NDArray[np.float64]) -> NDArray[np.float16] | str:
    """Return numbers as they are stored, or why they cannot be."""
    if not np.isfinite(numbers).all():
        return "its vector holds NaN or infinities"
    if np.abs(numbers).max() > LARGEST:
        return f"its vector holds {np.abs(numbers).max():g}, float16 ends at {LARGEST:g}"
    half = numbers.astype(np.float16)
    return half if half.any() else "its vector is all zeros in float16"


def _lists(column: Any) -> list[NDArray[np.float64] | None]:
    """Return the lists of a column; missing numbers are NaN, missing lists None."""
    numbers = np.asarray(column.flatten().to_numpy(zero_copy_only=False), dtype=np.float64)
    lengths = [int(length or 0) for length in column.value_lengths().to_pylist()]
    ends = np.cumsum([0, *lengths])
    valid = column.is_valid().to_pylist()
    return [numbers[start:end] if there else None for start, end, there in zip(ends[:-1], ends[1:], valid, strict=True)]


def _nested(column: Any, count: int) -> list[list[NDArray[np.float64]]]:
    """Return the lists of lists of a column, those that are missing left out."""
    if column is None or not hasattr(column, "value_lengths"):
        return [[] for _ in range(count)]
    inner = _lists(column.flatten())
    lengths = [int(length or 0) for length in column.value_lengths().to_pylist()]
    ends = np.cumsum([0, *lengths]).tolist()
    return [[numbers for numbers in inner[start:end] if numbers is not None] for start, end in pairwise(ends)]


def _texts(column: Any) -> list[str | None]:
    return [] if column is None else column.to_pylist()
