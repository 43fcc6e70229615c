"""Random controls: which positions they take, and which tasks stand there."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelqueue.learning.random_controls import START, control_order, is_control, places_for, shares

ids = st.lists(st.integers(-(2**63), 2**63 - 1), max_size=40, unique=True)
seeds = st.integers(-(2**80), 2**80)


@given(ids, seeds, st.integers(0, 10**9), st.randoms())
def test_the_permutation_depends_on_the_ids_only(tasks, seed, first, random):
    shuffled = random.sample(tasks, len(tasks))
    drawn = np.array(tasks, np.int64)[control_order(np.array(tasks, np.int64), seed, first)]
    again = np.array(shuffled, np.int64)[control_order(np.array(shuffled, np.int64), seed, first)]
    assert drawn.tolist() == again.tolist()
    assert sorted(drawn.tolist()) == sorted(tasks)


@given(ids, seeds)
def test_without_some_tasks_the_others_keep_their_sequence(tasks, seed):
    drawn = np.array(tasks, np.int64)[control_order(np.array(tasks, np.int64), seed)].tolist()
    fewer = np.array(tasks[::2], np.int64)
    assert fewer[control_order(fewer, seed)].tolist() == [task for task in drawn if task in set(tasks[::2])]


@given(seeds, st.integers(0, 10**6), st.integers(0, 50), st.integers(0, 50), st.floats(0, 1))
def test_whether_a_position_is_a_control_depends_on_its_number_only(seed, first, count, more, share):
    whole = is_control(seed, first, count + more, share)
    assert whole[:count].tolist() == is_control(seed, first, count, share).tolist()
    assert whole[count:].tolist() == is_control(seed, first + count, more, share).tolist()


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 1.0])
@pytest.mark.parametrize("seed", [0, 1, -7])
def test_the_share_of_controls_is_the_one_wanted(share, seed):
    found = is_control(seed, 0, 20_000, share).mean()
    assert abs(found - share) <= 4 * math.sqrt(share * (1 - share) / 20_000)


@pytest.mark.parametrize("what", ["seed", "first"])
def test_every_task_is_equally_likely_to_be_first(what):
    n, draws = 8, 4000
    tasks = np.arange(100, 100 + n)
    places = [control_order(tasks, *((k, 0) if what == "seed" else (0, k))) for k in range(draws)]
    for place in (0, 3):
        counts = np.bincount([order[place] for order in places], minlength=n)
        chi_square = ((counts - draws / n) ** 2 / (draws / n)).sum()
        assert chi_square < 24.3  # p = 0.001 with 7 degrees of freedom


def test_tasks_that_arrive_later_are_drawn_no_more_often():
    old, new = np.arange(200), np.arange(200, 400)
    from_new = 0
    for seed in range(300):
        left = np.setdiff1d(old, old[control_order(old, seed, 0)[:100]])
        pool = np.concatenate([left, new])
        from_new += int((pool[control_order(pool, seed, 100)[:10]] >= 200).sum())
    assert abs(from_new / 3000 - 2 / 3) < 0.035  # four standard deviations; one permutation for all would give nearly 1


# -- the first hundred


def test_the_first_hundred_positions_may_have_a_share_of_their_own():
    assert shares(98, 4, 0.05, 0.3).tolist() == [0.3, 0.3, 0.05, 0.05]
    assert shares(98, 4, 0.05, None).tolist() == [0.05] * 4
    assert shares(0, 2, 0.05, 0.0).tolist() == [0.0, 0.0]


@given(seeds, st.integers(0, 300), st.integers(0, 300))
def test_later_positions_do_not_depend_on_the_share_of_the_first_ones(seed, first, count):
    early = is_control(seed, first, count, shares(first, count, 0.1, 0.4))
    plain = is_control(seed, first, count, 0.1)
    at = np.arange(first, first + count)
    assert (early[at >= START] == plain[at >= START]).all() and (early | ~plain).all()


@pytest.mark.parametrize(
    ("controls", "first", "share", "start", "expected"),
    [
        (10, 0, 0.1, None, 100),
        (10, 500, 0.05, 0.5, 200),
        (10, 0, 0.05, 0.2, 50),
        (30, 0, 0.05, 0.2, 300),
        (30, 60, 0.05, 0.2, 480),
        (5, 0, 0.0, 0.1, 50),
        (30, 0, 0.0, 0.1, None),
        (1, 200, 0.0, 0.1, None),
    ],
)
def test_after_how_many_places_so_many_controls_are_expected(controls, first, share, start, expected):
    found = places_for(controls, first, share, start)
    assert found == expected
    if found:
        chance = shares(first, found, share, start).sum()
        assert controls <= chance + 1e-9 < controls + 1
