"""Gray values of more than 8 bits become 8 by the image's own range: order kept, unit and zero point without effect."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from labelqueue.exceptions import ImageError
from labelqueue.pixels.levels import CONSTANT, TAIL, Range, find_range

DTYPES = [np.int8, np.uint16, np.int16, ">u2", np.uint32, np.int32, np.float32]


def scaled(values, parts=1):
    """The values in 8 bits, their range found in so many parts."""
    pieces = np.array_split(values.ravel(), parts)
    return find_range(lambda: iter(pieces)).scale(values)


def values_of(dtype):
    """Images of a type; floats without what is not finite."""
    elements = {"allow_nan": False, "allow_infinity": False} if np.dtype(dtype).kind == "f" else {}
    shapes = st.tuples(st.integers(1, 30), st.integers(1, 30))
    return shapes.flatmap(lambda size: arrays.arrays(dtype, size, elements=elements))


@settings(max_examples=200, deadline=None)
@given(st.data(), st.sampled_from(DTYPES))
def test_order_is_kept_and_the_ends_are_the_quantiles(data, dtype):
    values = data.draw(values_of(dtype))
    pixels = scaled(values, data.draw(st.integers(1, 3)))
    assert pixels.dtype == np.uint8 and pixels.shape == values.shape
    order = np.argsort(values, axis=None, kind="stable")
    assert (np.diff(pixels.ravel()[order].astype(int)) >= 0).all()
    ordered, tail = np.sort(values, axis=None), int(TAIL * (values.size - 1))
    low, high = ordered[tail], ordered[-1 - tail]
    if low == high:
        low, high = ordered[0], ordered[-1]
    assert find_range(lambda: [values.ravel()]) == Range(float(low), float(high))
    if low == high:
        assert (pixels == CONSTANT).all()
    else:
        assert (pixels[values <= low] == 0).all() and (pixels[values >= high] == 255).all()


@settings(max_examples=100, deadline=None)
@given(values_of(np.uint16), st.integers(-(2**30), 2**30), st.integers(1, 2**14))
def test_neither_a_constant_nor_a_positive_factor_changes_integers(values, constant, factor):
    expected = scaled(values)
    assert np.array_equal(scaled(values.astype(np.int32) + constant), expected)
    assert np.array_equal(scaled(values.astype(np.int32) * factor), expected)
    assert np.array_equal(scaled(values.astype(np.float32) - 2**15), expected)


@settings(max_examples=100, deadline=None)
@given(values_of(np.int16), st.floats(-1e4, 1e4), st.floats(1e-3, 1e3))
def test_floats_of_any_unit_differ_by_rounding_at_most(values, constant, factor):
    span = int(values.max()) - int(values.min())
    constant *= factor * max(span, 1) / 1e4  # else float32 itself would swallow the picture
    moved = (values * factor + constant).astype(np.float32)
    assert np.abs(scaled(moved).astype(int) - scaled(values)).max() <= 1


@settings(max_examples=100, deadline=None)
@given(values_of(np.float32), st.data())
def test_values_that_are_not_finite_change_nothing_but_themselves(values, data):
    kinds = st.lists(st.sampled_from([np.nan, np.inf, -np.inf]), min_size=1, max_size=9)
    others = np.array(data.draw(kinds), np.float32)
    pixels = scaled(np.concatenate([others, values.ravel()]))
    assert np.array_equal(pixels[others.size :], scaled(values).ravel())
    assert np.array_equal(pixels[: others.size], np.where(others == np.inf, 255, 0))


def test_hot_and_dead_pixels_do_not_set_the_range():
    values = np.linspace(1000, 1200, 10_000).astype(np.uint16)
    spoiled = values.copy()
    spoiled[::500], spoiled[250::500] = 65_535, 0
    assert np.abs(scaled(spoiled).astype(int) - scaled(values))[1::500].max() <= 2


def test_few_bright_pixels_on_one_value_are_the_picture():
    values = np.zeros(10_000, np.uint16)
    values[:20] = np.arange(1, 21) * 100
    pixels = scaled(values)
    assert pixels[:20].tolist() == np.rint(np.arange(1, 21) * 12.75).astype(int).tolist() and not pixels[20:].any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_constant_is_mid_gray(dtype):
    assert (scaled(np.full((5, 5), 7, dtype)) == CONSTANT).all()
    assert (scaled(np.zeros((1, 1), dtype)) == CONSTANT).all()


def test_without_a_finite_value_there_is_no_picture():
    with pytest.raises(ImageError, match="no finite pixel"):
        scaled(np.array([np.nan, np.inf, -np.inf], np.float32))


def test_the_widest_ranges_hold():
    largest = np.finfo(np.float32).max
    assert scaled(np.array([-largest, 0, largest], np.float32)).tolist() == [0, 128, 255]
    assert scaled(np.array([0, 1e-45], np.float32)).tolist() == [0, 255]
    assert scaled(np.array([0, 2**31, 2**32 - 1], np.uint32)).tolist() == [0, 128, 255]
    assert scaled(np.array([-1e300, 0, 1.0])).tolist()[1:] == [0, 255], "float32 has no such number: it is infinite"
