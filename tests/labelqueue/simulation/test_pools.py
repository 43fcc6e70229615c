"""Pools and test sets: never an image in both, class by class, label by label; thinned classes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelqueue.simulation.pools import split, thinned

SEEDS = st.integers(-5, 5)


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), min_size=2, max_size=60), SEEDS, st.sampled_from([None, 1.0, 4.0]), st.booleans())
def test_no_image_is_in_pool_and_test_set(labels, seed, imbalance, marked):
    labels = np.array(labels)
    test = np.arange(labels.size) % 3 == 0 if marked else None
    found = split(labels, test, seed=seed, imbalance=imbalance)
    pool, held = found.pool.tolist(), found.test.tolist()
    assert pool == sorted(set(pool)) and held == sorted(set(held)) and not set(pool) & set(held)
    if marked:
        assert held == np.flatnonzero(test).tolist()
    if imbalance in (None, 1.0):
        assert sorted(pool + held) == list(range(labels.size))
    again = split(labels, test, seed=seed, imbalance=imbalance)
    assert again.pool.tolist() == pool and again.test.tolist() == held


@settings(deadline=None)
@given(st.lists(st.sets(st.integers(0, 4)), min_size=2, max_size=60), SEEDS, st.sampled_from([0.2, 0.5, 0.9]))
def test_where_several_labels_hold_each_is_divided(shown, seed, share):
    labels = np.array([[number in row for number in range(5)] for row in shown])
    found = split(labels, None, seed=seed, share=share)
    assert sorted([*found.pool, *found.test]) == list(range(len(shown)))
    # the rarest label comes first, and nothing that came before can spoil its share
    rarest = int(np.argmin(labels.sum(axis=0)))
    count = int(labels[:, rarest].sum())
    if count > 1:
        assert int(labels[found.test, rarest].sum()) == min(max(1, round(count * share)), count - 1)


def test_labels_of_several_are_about_as_frequent_in_both():
    rng = np.random.default_rng(0)
    labels = rng.random((1000, 6)) < np.array([0.5, 0.3, 0.1, 0.05, 0.02, 0.01])
    found = split(labels, None, seed=0)
    there = labels[found.test].sum(axis=0) / labels.sum(axis=0)
    assert np.all(np.abs(there - 0.2) < 0.08) and 150 < found.test.size < 250


def test_a_fifth_of_each_class_is_held_out():
    labels = np.repeat([0, 1, 2, 3], [50, 10, 2, 1])
    found = split(labels, None, seed=0)
    assert np.bincount(labels[found.test], minlength=4).tolist() == [10, 2, 1, 0]
    assert np.bincount(labels[found.pool], minlength=4).tolist() == [40, 8, 1, 1]
    assert split(labels, None, seed=1).test.tolist() != found.test.tolist()


def test_the_share_of_the_test_set_may_be_another_one_and_the_pool_keeps_an_image_of_each_class():
    labels = np.repeat([0, 1], [50, 2])
    assert np.bincount(labels[split(labels, None, seed=0, share=0.5).test]).tolist() == [25, 1]
    assert np.bincount(labels[split(labels, None, seed=0, share=0.99).pool]).tolist() == [1, 1]


def test_a_marked_test_set_is_kept_and_the_pool_is_the_rest():
    test = np.arange(40) < 10
    found = split(np.arange(40) % 2, test, seed=3)
    assert found.test.tolist() == list(range(10)) and found.pool.tolist() == list(range(10, 40))


def sizes(labels, kept):
    return np.bincount(labels[kept], minlength=labels.max() + 1).tolist()


def test_classes_are_thinned_by_size_to_the_ratio_asked_for():
    labels = np.repeat([0, 1, 2], 100)  # equal sizes: by number
    assert sizes(labels, thinned(labels, 4.0, 0)) == [100, 50, 25]
    labels = np.repeat([0, 1, 2], [50, 100, 80])  # the largest keeps all, the smallest has a tenth of it
    assert sizes(labels, thinned(labels, 10.0, 0)) == [10, 100, 32]
    labels = np.repeat([0, 1, 2], [3, 100, 80])  # one that has fewer keeps them
    assert sizes(labels, thinned(labels, 10.0, 0)) == [3, 100, 32]
    assert sizes(labels, thinned(labels, 1.0, 0)) == [3, 100, 80]


def test_an_image_of_each_class_stays_and_other_seeds_keep_others():
    labels = np.repeat([0, 1], 30)
    assert sizes(labels, thinned(labels, 1e6, 0)) == [30, 1]
    assert thinned(labels, 5.0, 0).tolist() != thinned(labels, 5.0, 1).tolist()
    assert sizes(np.zeros(4, int), thinned(np.zeros(4, int), 5.0, 0)) == [4]


@pytest.mark.parametrize("redrawn", [True, False])
def test_the_pool_is_thinned_and_not_the_test_set(redrawn):
    labels = np.repeat([0, 1, 2, 3], 100)
    test = None if redrawn else np.arange(400) % 2 == 0
    found = split(labels, test, seed=0, share=0.5, imbalance=8.0)
    assert sizes(labels, found.pool) == [50, 25, 12, 6] and sizes(labels, found.test) == [50, 50, 50, 50]
