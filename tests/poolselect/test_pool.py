from __future__ import annotations

import numpy as np
import pytest

from poolselect import InvalidPoolError, InvalidSelectionError, Pool, Selection


def line(n=4, **more):
    return Pool(ids=np.arange(10, 10 + n), embeddings=np.arange(1.0, n + 1)[:, None], **more)


def test_defaults():
    pool = line()
    assert pool.labels.tolist() == [-1] * 4
    assert pool.candidates.all() and not pool.selected.any()
    assert pool.patterns is pool.embeddings and pool.offsets.tolist() == [0, 1, 2, 3, 4]
    assert pool.probabilities is None and pool.embeddings.dtype == np.float32
    assert pool.class_names is None and pool.multilabel is False


def test_labeled_rows_count_as_selected_and_are_no_candidates():
    pool = line(labels=[-1, 3, -1, -1], selected=[True, False, False, False])
    assert pool.selected.tolist() == [True, True, False, False]
    assert pool.candidates.tolist() == [False, False, True, True]


def test_float32_is_used_in_place_and_left_alone():
    mine = np.ones((3, 2), dtype=np.float32)
    pool = Pool([1, 2, 3], mine)
    assert np.shares_memory(pool.embeddings, mine)
    assert mine.flags.writeable and not pool.embeddings.flags.writeable
    with pytest.raises(ValueError):
        pool.embeddings[0] = 5


def test_memory_maps_are_not_read_into_memory(tmp_path):
    np.arange(1, 7, dtype=np.float32).tofile(tmp_path / "rows")
    rows = np.memmap(tmp_path / "rows", dtype=np.float32, mode="r", shape=(3, 2))
    assert np.shares_memory(Pool([1, 2, 3], rows).embeddings, rows)


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int32])
def test_other_numbers_are_converted(dtype):
    assert Pool([1, 2], np.array([[1], [2]], dtype=dtype)).embeddings.dtype == np.float32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ids": [1, 2, 2, 3, 3]}, "repeated: 2, 3"),
        ({"ids": [0.5, 1, 2, 3, 4]}, "ids have dtype float64"),
        ({"embeddings": np.ones((4, 2))}, "4 rows for 5 ids"),
        ({"embeddings": np.ones(5)}, "shape"),
        ({"embeddings": [[1.0], [np.nan], [1.0], [np.inf], [1.0]]}, "at ids 11, 13"),
        ({"embeddings": [[1.0], [1e300], [1.0], [1.0], [1.0]]}, "at ids 11"),
        ({"patterns": np.ones((5, 2))}, "without offsets"),
        ({"offsets": np.arange(6)}, "without patterns"),
        ({"patterns": np.ones((5, 2)), "offsets": [0, 1, 2, 2, 4, 5]}, "ids 12 own no pattern"),
        ({"patterns": np.ones((5, 2)), "offsets": [0, 1, 2, 3, 4, 6]}, "from 0 to 6"),
        ({"patterns": [[1.0]] * 5 + [[np.nan]], "offsets": [0, 1, 2, 3, 4, 6]}, "patterns hold NaN.* at ids 14"),
        ({"labels": [0, -1]}, r"shape \(2,\)"),
        ({"labels": [0, -1, -7, -1, -1]}, "below -1 at ids 12"),
        ({"candidates": [1, 0, 0, 0, 0]}, "boolean mask"),
        ({"candidates": [True] * 5, "labels": [-1, 0, -1, -1, 2]}, "ids 11, 14 are candidates although"),
        ({"candidates": [True] * 5, "selected": [True] + [False] * 4}, "ids 10 are candidates although"),
        ({"probabilities": np.full((5, 2), 1.5)}, r"outside \[0, 1\] at ids 10, 11, 12, 13, 14"),
        ({"probabilities": np.full((4, 2), 0.5)}, "4 rows"),
        ({"probabilities": np.full((5, 2), 0.5), "class_names": ["a"]}, "1 class_names were given for 2 probabilities"),
        ({"class_names": "cat"}, "class_names='cat' must be a sequence of strings"),
        ({"class_names": []}, "class_names"),
        ({"class_names": [1, 2]}, "class_names"),
        ({"multilabel": 1}, "multilabel=1"),
    ],
)
def test_contradictions_are_refused_by_name(arguments, message):
    with pytest.raises(InvalidPoolError, match=message):
        Pool(**({"ids": np.arange(10, 15), "embeddings": np.ones((5, 2))} | arguments))


def test_take_moves_everything():
    pool = Pool(
        ids=[5, 6, 7],
        embeddings=[[1.0], [2.0], [3.0]],
        patterns=[[1.0], [1.5], [2.0], [3.0]],
        offsets=[0, 2, 3, 4],
        labels=[2, -1, -1],
        probabilities=[[0.1], [0.2], [0.3]],
        candidates=[False, True, False],
        selected=[False, False, True],
        class_names=["cat"],
        multilabel=True,
    )
    part = pool.take([2, 0])
    assert part.class_names == ("cat",) and part.multilabel
    assert part.ids.tolist() == [7, 5]
    assert part.patterns[:, 0].tolist() == [3.0, 1.0, 1.5] and part.offsets.tolist() == [0, 1, 3]
    assert part.labels.tolist() == [-1, 2] and part.selected.all() and not part.candidates.any()
    assert part.probabilities[:, 0].tolist() == pytest.approx([0.3, 0.1])
    with pytest.raises(InvalidPoolError, match="within"):
        pool.take([3])


def test_sorted_by_id_undoes_any_order():
    pool = line(5, class_names=["cat", "dog"], multilabel=True)
    shuffled = pool.take([3, 0, 4, 1, 2])
    in_order, rows = shuffled.sorted_by_id()
    assert in_order.ids.tolist() == pool.ids.tolist()
    assert shuffled.ids[rows].tolist() == pool.ids.tolist()
    assert in_order.class_names == ("cat", "dog") and in_order.multilabel
    assert pool.sorted_by_id()[0] is pool


def test_an_empty_pool_is_a_pool():
    assert len(Pool(np.empty(0, dtype=int), np.empty((0, 3)))) == 0


@pytest.mark.parametrize(
    ("indices", "utilities", "reasons", "message"),
    [
        ([1, 1], [2.0, 1.0], ("a", "b"), "more than once: 1"),
        ([1, 2], [1.0, 2.0], ("a", "b"), "1.0 is followed by 2.0"),
        ([1, 2], [1.0, np.nan], ("a", "b"), "NaN"),
        ([1, 2], [1.0], ("a", "b"), "equally long"),
        ([1, 2], [1.0, 1.0], ("a",), "equally long"),
        ([-1], [1.0], ("a",), "negative"),
        ([0.5], [1.0], ("a",), "integers"),
    ],
)
def test_broken_selections_are_refused(indices, utilities, reasons, message):
    with pytest.raises(InvalidSelectionError, match=message):
        Selection(np.array(indices), np.array(utilities), reasons)


def test_facts_are_worked_out_once_for_pools_that_share_them_and_belong_to_their_rows_alone():
    asked, one = [], Pool([1, 2, 3], np.eye(3))
    assert one.fact("sum", lambda: asked.append(1) or 3.0) == one.fact("sum", lambda: asked.append(1) or 4.0) == 3.0
    other = Pool([1, 2, 3], np.eye(3), labels=[0, -1, -1], facts=one.facts)
    assert other.fact("sum", lambda: asked.append(1) or 5.0) == 3.0 and asked == [1]
    assert "sum" not in other.take([0, 1]).facts and "sum" not in other.take([2, 1, 0]).facts
    with pytest.raises(InvalidPoolError, match="of a pool of 3 rows, and this one has 2"):
        Pool([1, 2], np.eye(2), facts=one.facts)
