"""Shares of the images: together everything, each once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelqueue.collection.part import WHOLE, Part


@given(st.text(), st.integers(1, 40))
def test_each_image_is_in_one_part(uri, of):
    assert sum(Part(number, of).has(uri) for number in range(1, of + 1)) == 1
    assert WHOLE.has(uri)


def test_parts_are_about_equal():
    counts = [sum(Part(number, 16).has(f"s3://b/{name}.jpg") for name in range(16_000)) for number in range(1, 17)]
    assert sum(counts) == 16_000 and min(counts) > 850 and max(counts) < 1150


def test_a_part_is_read_as_it_is_written():
    assert Part.parse("3/16") == Part(3, 16) and str(Part(3, 16)) == "3/16"


@pytest.mark.parametrize("wrong", ["", "3", "3/", "/3", "0/4", "5/4", "-1/4", "1/0", "a/b", "1/2/3", "1.5/2", "²/3"])
def test_what_is_no_part_is_refused(wrong):
    with pytest.raises(ValueError, match="part"):
        Part.parse(wrong)
