"""UHerding: weights by hand, the radius and its floor, temperature, several labels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolselect import InvalidParameterError, MaxHerding, Pool, UHerding, margin
from poolselect.herding import Sample
from poolselect.uherding import adapted_radius, tempered

FAR = math.exp(-2)
AXES = np.eye(3, dtype=np.float32)[[0, 0, 0, 1, 1, 2]]  # three rows, two rows, one row


def query(pool, size=3, **parameters):
    return UHerding(**{"radius": 1.0} | parameters).query(pool, batch_size=size)


def circle(degrees):
    angles = np.deg2rad(degrees)
    return np.column_stack([np.cos(angles), np.sin(angles)]).astype(np.float32)


def test_an_order_by_hand():
    # Doubt: .1 each along the first axis, .6 along the second, .9 along the third; 2.4 in all.
    p = np.array([[0.95, 0.05]] * 3 + [[0.7, 0.3]] * 2 + [[0.55, 0.45]])
    found = query(Pool(np.arange(6), AXES, probabilities=p))
    assert found.indices.tolist() == [3, 5, 0]
    gains = [(1.2 + 1.2 * FAR) / 2.4, 0.9 * (1 - FAR) / 2.4, 0.3 * (1 - FAR) / 2.4]
    assert found.utilities.tolist() == pytest.approx(gains, abs=1e-6)
    assert found.reasons[0] == f"covers {gains[0]:.3f} of what the model is unsure of (class 0 0.70, class 1 0.30)"


def test_several_labels_are_weighed_by_their_mean_doubt():
    # 1 - |2 p - 1|: .2 and 0, 1 and .8, .4 and .4.
    p = np.array([[0.1, 0.0]] * 3 + [[0.5, 0.6]] * 2 + [[0.2, 0.8]])
    found = query(Pool(np.arange(6), AXES, probabilities=p, multilabel=True))
    doubt = np.array([0.1] * 3 + [0.9] * 2 + [0.4])
    assert found.indices.tolist() == [3, 5, 0]
    assert found.utilities[0] == pytest.approx((1.8 + 0.7 * FAR) / doubt.sum(), abs=1e-6)


@pytest.mark.parametrize("probabilities", [None, np.tile([1.0, 0.0], (6, 1))])
def test_without_doubt_it_is_maxherding(probabilities):
    pool = Pool(np.arange(6), AXES, probabilities=probabilities)
    found, expected = query(pool, 6), MaxHerding().query(pool, batch_size=6)
    assert found.indices.tolist() == expected.indices.tolist() and found.reasons == expected.reasons


class TestRadius:
    def radius(self, degrees, chosen, least=1e-3):
        selected = np.isin(np.arange(len(degrees)), chosen)
        pool = Pool(np.arange(len(degrees)), circle(degrees), selected=selected)
        sample = Sample(pool, 100, np.random.default_rng(0))
        return adapted_radius(pool, sample, least, np.random.default_rng(0))

    def test_is_the_smallest_distance_of_two_chosen_rows(self):
        assert self.radius([0, 20, 50, 51], [0, 1, 2]) == pytest.approx(2 * math.sin(math.radians(10)), rel=1e-5)

    def test_does_not_see_copies(self):
        assert self.radius([0, 0, 40, 90], [0, 1, 2]) == pytest.approx(2 * math.sin(math.radians(20)), rel=1e-5)

    def test_is_one_until_two_are_told_apart(self):
        assert self.radius([0, 20, 50], []) == self.radius([0, 20, 50], [1]) == self.radius([7, 7, 50], [0, 1]) == 1.0

    def test_has_a_floor(self):
        assert self.radius([0, 0.5, 60, 90], [0, 1], least=0.25) == 0.25
        assert self.radius([0, 60], [], least=3.0) == 3.0

    def test_near_copies_among_the_labels_do_not_collapse_it(self):
        # Two labels of one scene. Without a floor the kernel would see single rows, and the order is by doubt alone.
        degrees = [0, 0.3, *np.linspace(90, 100, 10), 180]
        p = np.full((13, 2), 0.5)
        p[:-1] = [0.6, 0.4]
        labels = np.array([0, 0, *[-1] * 11])
        pool = Pool(np.arange(13), circle(degrees), labels=labels, probabilities=p)
        assert UHerding().query(pool, batch_size=1).indices[0] in range(2, 12)
        assert UHerding(least_radius=1e-4).query(pool, batch_size=1).indices[0] == 12

    def test_of_many_chosen_rows_is_found_block_by_block(self):
        degrees = np.linspace(0, 180, 1500)
        step = 2 * math.sin(math.radians(180 / 1499) / 2)
        assert self.radius(degrees, np.arange(1500), 1e-9) == pytest.approx(step, rel=0.02)


class TestTemperature:
    def test_by_hand(self):
        assert tempered(np.array([[0.64, 0.36]], dtype=np.float32), 2.0).tolist() == [pytest.approx([8 / 14, 6 / 14])]
        both = tempered(np.array([[0.64, 0.0, 1.0]], dtype=np.float32), 2.0, multilabel=True)
        assert both.tolist() == [pytest.approx([8 / 14, 0, 1])]

    @given(seed=st.integers(0, 2**32), temperature=st.floats(0.05, 20))
    def test_keeps_the_order_of_classes_and_sums_to_one(self, seed, temperature):
        p = np.random.default_rng(seed).dirichlet(np.ones(4), size=5).astype(np.float32)
        found = tempered(p, temperature)
        assert np.isfinite(found).all() and found.sum(axis=1) == pytest.approx(1)
        assert (found.argmax(axis=1) == p.argmax(axis=1)).all()
        harder = margin(tempered(p, temperature / 2))
        assert (harder <= margin(found) + 1e-9).all()

    def test_tiny_probabilities_do_no_harm(self):
        found = tempered(np.array([[1e-30, 1e-35], [0.0, 0.0]], dtype=np.float32), 0.01)
        assert found.tolist() == [[1.0, 0.0], [0.0, 0.0]]

    def test_changes_what_counts_as_unsure(self):
        p = np.array([[0.75, 0.25]] * 3 + [[0.6, 0.4]] * 2 + [[0.51, 0.49]])
        cold = query(Pool(np.arange(6), AXES, probabilities=p), 1, temperature=0.02)
        warm = query(Pool(np.arange(6), AXES, probabilities=p), 1, temperature=20.0)
        assert (cold.indices[0], warm.indices[0]) == (5, 0)


@pytest.mark.parametrize("name", ["radius", "least_radius", "temperature", "reference_size"])
def test_impossible_parameters(name):
    with pytest.raises(InvalidParameterError, match=f"{name}=-1"):
        query(Pool([1], [[1.0]]), 1, **{name: -1})
