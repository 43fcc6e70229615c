"""Stored records: of another version, as much as is known here; of arrays, the same bytes and nothing damaged."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelqueue.exceptions import CacheError
from labelqueue.records import known_fields, pack, pack_ids, unpack, unpack_ids


@dataclass
class Row:
    name: str
    size: int = 3


def test_what_a_later_version_added_is_left_out_and_what_is_missing_has_its_default():
    assert Row(**known_fields(Row, {"name": "a", "color": "red"})) == Row("a", 3)


def test_arrays_and_their_note_come_back_the_same_bytes_each_time():
    arrays = {"ids": np.arange(3), "rows": np.ones((2, 3), np.float16).T}
    data = pack(arrays, "labelqueue_test", "1")
    assert data == pack(dict(reversed(arrays.items())), "labelqueue_test", "1")
    found, note = unpack(data, "labelqueue_test")
    assert note == "1" and found.keys() == arrays.keys()
    assert all(np.array_equal(found[name], arrays[name]) for name in arrays)
    assert unpack(data, "labelqueue_other")[1] is None


@pytest.mark.parametrize("cut", [0, 4, 40, -1])
def test_damaged_bytes_are_named(cut):
    data = pack({"ids": np.arange(3)}, "labelqueue_test", "1")
    with pytest.raises(CacheError, match=r"test: these .* bytes are damaged or not a test"):
        unpack(data[:cut], "labelqueue_test")


@given(st.lists(st.integers(0, 2**63 - 1) | st.integers(0, 300), max_size=40, unique=True).map(sorted))
def test_ids_come_back_from_little_room(numbers):
    assert unpack_ids(pack_ids(np.array(numbers, np.int64))).tolist() == numbers


def test_ids_in_a_row_take_next_to_nothing():
    assert len(pack_ids(np.arange(5, 100_005))) < 200
