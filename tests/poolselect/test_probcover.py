"""ProbCover: balls by hand, the radius by purity, narrower balls when nothing is left."""

from __future__ import annotations

import numpy as np
import pytest

from poolselect import InvalidParameterError, Pool, ProbCover
from poolselect.probcover import pure_radius


def query(degrees, size, **parameters):
    angles = np.deg2rad(degrees)
    x = np.column_stack([np.cos(angles), np.sin(angles)]).astype(np.float32)
    labels = parameters.pop("labels", None)
    return ProbCover(**parameters).query(Pool(np.arange(len(degrees)), x, labels=labels), batch_size=size)


def test_an_order_by_hand():
    # 10 degrees are .174 apart. The middle of three covers them; then one each, ties by id; then nothing is left and
    # balls of .1 find the two outer ones of the three uncovered.
    found = query([0, 10, 20, 90, 180], 5, radius=0.2)
    assert found.indices.tolist() == [1, 3, 4, 0, 2]
    assert found.utilities.tolist() == pytest.approx([0.6, 0.2, 0.2, 0.2, 0.2])
    assert found.reasons[0] == "its ball of radius 0.20 covers 0.600 of the pool anew"
    assert found.reasons[3] == "its ball of radius 0.10 covers 0.200 of the pool anew"


def test_labeled_rows_have_their_balls():
    found = query([0, 10, 20, 90, 180], 2, radius=0.2, labels=[-1, 0, -1, -1, -1])
    assert found.indices.tolist() == [3, 4]


def test_copies_come_last_whatever_the_radius():
    found = query([0, 0, 0, 40, 40, 90], 6, radius=0.3)
    assert found.indices[:3].tolist() == [0, 3, 5]
    assert found.reasons[3:] == ("nothing new is left: uniformly drawn",) * 3


def test_the_radius_keeps_all_but_one_ball_of_twenty_pure():
    assert pure_radius(np.linspace(0.1, 2.0, 20)) == pytest.approx(0.2)  # one of 20 may be impure
    assert pure_radius(np.array([0.3, 0.4])) == pytest.approx(0.3)
    assert pure_radius(np.array([0.3, 0.4])) < 0.3
    assert pure_radius(np.full(5, np.inf)) == 2.0


def test_the_radius_follows_the_clusters_of_the_pool():
    # Two bundles of directions, 60 degrees apart at their nearest: a ball reaches across one of them, not to the other.
    degrees = [*range(0, 30, 3), *range(90, 120, 3)]
    found = query(degrees, 2, n_clusters=2)
    assert sorted(int(row) // 10 for row in found.indices) == [0, 1]
    assert found.utilities.tolist() == pytest.approx([0.5, 0.5])


def test_one_cluster_is_covered_by_one_ball():
    assert query([0, 10, 20], 3, n_clusters=1).utilities[0] == 1.0


@pytest.mark.parametrize("name", ["radius", "n_clusters", "reference_size"])
def test_impossible_parameters(name):
    with pytest.raises(InvalidParameterError, match=f"{name}=-1"):
        query([0], 1, **{name: -1})
