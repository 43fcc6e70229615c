"""MaxHerding: an order by hand, and what it owes a queue."""

from __future__ import annotations

import math

import numpy as np
import pytest

from poolselect import InvalidParameterError, MaxHerding, Pool

FAR = math.exp(-2)  # similarity of directions at a right angle


def query(pool, size, **parameters):
    return MaxHerding(**parameters).query(pool, batch_size=size)


def directions(counts):
    """Rows along the axes, so many each, in one row."""
    return np.eye(len(counts), dtype=np.float32)[np.repeat(np.arange(len(counts)), counts)]


def test_an_order_by_hand():
    # Three rows along the first axis, two along the second, one along the third; ids fall.
    pool = Pool([9, 8, 7, 6, 5, 4], directions([3, 2, 1]))
    found = query(pool, 3)
    assert pool.ids[found.indices].tolist() == [7, 5, 4]
    first = (3 + 3 * FAR) / 6
    assert found.utilities.tolist() == pytest.approx([first, 2 * (1 - FAR) / 6, (1 - FAR) / 6])
    assert found.reasons[0] == "adds 0.568 to the coverage of the pool"


def test_labeled_and_selected_rows_are_covered():
    labels = np.array([0, -1, -1, -1, -1, -1])
    selected = np.array([False, False, False, True, False, False])
    found = query(Pool(np.arange(6), directions([3, 2, 1]), labels=labels, selected=selected), 4)
    # The only direction without one, then copies, which add nothing and come as they are drawn.
    assert found.indices[0] == 5
    assert found.utilities.tolist() == pytest.approx([(1 - FAR) / 6, 0, 0, 0])
    assert found.reasons[1:] == ("nothing new is left: uniformly drawn",) * 3


def test_copies_are_drawn_at_last_and_not_by_their_ids():
    pool = Pool(np.arange(30), directions([30]))
    orders = {tuple(query(pool, 30, random_state=seed).indices[1:].tolist()) for seed in range(3)}
    assert len(orders) == 3
    assert {query(pool, 1, random_state=seed).indices[0] for seed in range(3)} == {0}


def test_the_radius_says_how_near_is_near():
    # A direction with three rows against a fan of four: a wide kernel sees the fan as one, a narrow one does not.
    fan = np.deg2rad([80, 90, 100, 110])
    x = np.vstack([np.tile([1.0, 0.0], (3, 1)), np.column_stack([np.cos(fan), np.sin(fan)])]).astype(np.float32)
    assert query(Pool(np.arange(7), x), 1, radius=1.0).indices[0] in (4, 5)
    assert query(Pool(np.arange(7), x), 1, radius=0.05).indices[0] == 0


def test_a_sample_larger_than_the_pool_is_the_pool():
    pool = Pool(np.arange(40), np.random.default_rng(0).standard_normal((40, 4)).astype(np.float32))
    one, other = (query(pool, 40, reference_size=size, random_state=size) for size in (40, 10**6))
    assert one.indices.tolist() == other.indices.tolist()


def test_a_small_sample_covers_nearly_as_much_of_all_rows():
    rng = np.random.default_rng(5)
    x = rng.standard_normal((30, 16))[rng.integers(30, size=2000)] + 0.4 * rng.standard_normal((2000, 16))
    pool = Pool(np.arange(2000), x.astype(np.float32))
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)

    def coverage(rows):
        return np.exp(2 * unit @ unit[rows].T - 2).max(axis=1).mean()

    all_rows, few, drawn = (
        coverage(rows)
        for rows in (
            query(pool, 30, reference_size=2000).indices,
            query(pool, 30, reference_size=200).indices,
            rng.choice(2000, 30, replace=False),
        )
    )
    assert all_rows >= few > all_rows - 0.02 > drawn


@pytest.mark.parametrize("parameters", [{"radius": 0}, {"radius": math.inf}, {"reference_size": 0}])
def test_impossible_parameters(parameters):
    with pytest.raises(InvalidParameterError, match=next(iter(parameters))):
        query(Pool([1], [[1.0]]), 1, **parameters)
