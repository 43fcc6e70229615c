"""Parquet files of vectors as people make them, read some rows at a time; what is wrong is named with its row."""

import sys

import numpy as np
import pytest

from labelqueue.exceptions import TableError
from labelqueue.exchange import table

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def write(tmp_path):
    def write(columns, **options):
        made = columns if isinstance(columns, pa.Table) else pa.table(columns)
        parquet.write_table(made, tmp_path / "v.parquet", **options)
        return tmp_path / "v.parquet"

    return write


def read(path):
    with table.TableReader(path) as reader:
        return list(reader.rows())


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.float32()),
        pa.list_(pa.float64()),
        pa.list_(pa.float16()),
        pa.large_list(pa.float32()),
        pa.list_(pa.float32(), 3),
        pa.list_(pa.int8()),
    ],
    ids=str,
)
def test_lists_of_every_kind_of_number(write, kind):
    vectors = [[1, 2, 3], None, [4, 5, 6]]
    numbers = [row and [np.float16(x) for x in row] for row in vectors] if kind == pa.list_(pa.float16()) else vectors
    (part,) = read(write({"task": [7, 8, 9], "vector": pa.array(numbers, kind)}))
    assert part.tasks == [7, 8, 9] and part.files == [None] * 3 and part.vectors[1] == "it has no vector"
    assert part.vectors[0].dtype == np.float16 and part.vectors[2].tolist() == [4, 5, 6]
    assert part.patterns[0].tolist() == [[1, 2, 3]], "the vector stands for the whole image"


@pytest.mark.parametrize(
    ("vector", "why"),
    [
        ([1.0, float("nan")], "NaN"),
        ([1.0, None], "NaN"),
        ([float("inf"), 0.0], "infinities"),
        ([7e4, 0.0], "70000, float16 ends at 65504"),
        ([1e-9, 0.0], "all zeros in float16"),
        ([], "no vector"),
    ],
)
def test_numbers_that_cannot_be_stored_leave_out_their_row_alone(write, vector, why):
    (part,) = read(write({"file": ["a", "b"], "vector": [vector, [1.0, 2.0]]}))
    assert why in part.vectors[0] and part.vectors[1].tolist() == [1, 2]


def test_patterns(write):
    patterns = [[[1.0, 0.0], [0.0, 1.0]], None, [], [[1.0, float("nan")]]]
    (part,) = read(write({"task": [1, 2, 3, 4], "vector": [[1.0, 1.0]] * 4, "patterns": patterns}))
    assert [rows.tolist() for rows in part.patterns[:3]] == [[[1, 0], [0, 1]], [[1, 1]], [[1, 1]]]
    assert "of one of its patterns, its vector holds NaN" in part.vectors[3]


def test_rows_come_in_parts_that_keep_their_places(write, monkeypatch):
    monkeypatch.setattr(table, "BATCH", 4)
    parts = read(write({"task": list(range(10)), "vector": [[float(n + 1)] for n in range(10)]}, row_group_size=3))
    assert [row for part in parts for row in range(part.start, part.start + len(part.vectors))] == list(range(10))
    assert [task for part in parts for task in part.tasks] == list(range(10))
    assert [float(vector[0]) for part in parts for vector in part.vectors] == [n + 1 for n in range(10)]


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"task": [1]}, "has the columns task: `vector`"),
        ({"vector": [[1.0]], "id": [1]}, "`task` .its id. or `file`"),
        ({"task": ["1"], "vector": [[1.0]]}, "'task' holds string, it must hold whole numbers"),
        ({"task": [1.5], "vector": [[1.0]]}, "task of row 1 is 1.5"),
        ({"file": [1], "vector": [[1.0]]}, "'file' holds int64, it must hold text"),
        ({"task": [1], "vector": [1.0]}, "'vector' holds double, it must hold lists of numbers"),
        ({"task": [1], "vector": [["a"]]}, "'vector' holds list.*must hold lists of numbers"),
        ({"task": [1], "vector": [[1.0]], "patterns": [[1.0]]}, "'patterns' holds list.* lists of lists of numbers"),
        ({"task": [1, 2], "vector": [[1.0, 2.0], [1.0]]}, "vector of row 2 has 1 numbers, those before have 2"),
        ({"task": [1], "vector": [[1.0, 2.0]], "patterns": [[[1.0]]]}, "row 1 has 1 numbers"),
    ],
)
def test_files_of_another_form_are_refused(write, columns, why):
    with pytest.raises(TableError, match=why):
        read(write(columns))


def test_a_task_that_pandas_made_a_float_because_some_are_missing(write):
    (part,) = read(write({"task": [1.0, None], "file": [None, "a"], "vector": [[1.0], [2.0]]}))
    assert part.tasks == [1, None] and part.files == [None, "a"]


def test_what_is_no_parquet_file(tmp_path):
    with pytest.raises(TableError, match=r"none\.parquet cannot be read as a Parquet file"):
        table.TableReader(tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("task,vector\n")
    with pytest.raises(TableError, match=r"text\.parquet cannot be read as a Parquet file"):
        table.TableReader(tmp_path / "text.parquet")


def test_without_pyarrow_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(TableError, match=r"the extra `parquet`: pip install -c constraints.txt \"\.\[parquet\]\""):
        table.TableReader(tmp_path / "v.parquet")


@pytest.mark.parametrize("several", [False, True])
def test_what_is_written_is_read_again(tmp_path, several, monkeypatch):
    monkeypatch.setattr(table, "GROUP", 20)
    rng, path = np.random.default_rng(0), tmp_path / "v.parquet"
    vectors = rng.normal(size=(7, 4)).astype(np.float16)
    counts = rng.integers(1, 4, 7) if several else np.ones(7, int)
    patterns = rng.normal(size=(counts.sum(), 4)).astype(np.float16) if several else vectors
    offsets = np.cumsum([0, *counts]).astype(np.int64)
    with table.TableWriter(path, patterns=several, note={"a": 1}) as writer:
        for some in (slice(0, 3), slice(3, 7)):
            first, last = offsets[some.start], offsets[some.stop]
            ids = np.arange(some.start, some.stop, dtype=np.int64)
            part = offsets[some.start : some.stop + 1] - first
            writer.write(ids, ["/a.jpg", *[None] * (len(ids) - 1)], vectors[some], patterns[first:last], part)
    found = read(path)
    assert np.array_equal([vector for part in found for vector in part.vectors], vectors)
    assert np.array_equal(np.concatenate([rows for part in found for rows in part.patterns]), patterns)
    assert oct(path.stat().st_mode & 0o777) == "0o600" and list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_not_finished_leaves_nothing(tmp_path):
    path = tmp_path / "v.parquet"
    with pytest.raises(KeyboardInterrupt), table.TableWriter(path, patterns=False, note={}):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    with (
        pytest.raises(TableError, match=r"cannot be written .*: name another file"),
        table.TableWriter(tmp_path / "v.parquet" / "x" if path.write_text("a file") else path, patterns=False, note={}),
    ):
        pass
