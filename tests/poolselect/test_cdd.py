"""Cluster distance difference against its definition, and the centroids it is measured with."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from poolselect import InvalidParameterError, cluster_distance_difference, default_clusters, fit_centroids

places = st.floats(-100, 100, width=32)


@st.composite
def scenes(draw):
    width = draw(st.integers(1, 4))
    points = draw(hnp.arrays(np.float32, (draw(st.integers(1, 12)), width), elements=places))
    centroids = draw(hnp.arrays(np.float32, (draw(st.integers(2, 5)), width), elements=places))
    return points, centroids


def by_definition(points, centroids):
    apart = np.linalg.norm(points[:, None].astype(float) - centroids[None].astype(float), axis=2)
    apart.sort(axis=1)
    return apart[:, 1] - apart[:, 0]


@given(scene=scenes())
def test_is_the_difference_of_the_two_smallest_distances_and_never_negative(scene):
    points, centroids = scene
    found = cluster_distance_difference(points, centroids)
    assert found.shape == (len(points),) and found.dtype == np.float64
    assert (found >= 0).all()
    # float32 squares lose what is below their rounding; the square root of that is the tolerance.
    np.testing.assert_allclose(found, by_definition(points, centroids), atol=0.5)


def test_digits_survive_a_large_common_part():
    rng = np.random.default_rng(0)
    points, centroids = (
        rng.standard_normal((200, 16)).astype(np.float32),
        rng.standard_normal((6, 16)).astype(np.float32),
    )
    exact = by_definition(points, centroids)
    np.testing.assert_allclose(cluster_distance_difference(points, centroids), exact, atol=2e-5)
    np.testing.assert_allclose(cluster_distance_difference(points + 1000, centroids + 1000), exact, atol=2e-3)


@given(scene=scenes(), exponent=st.integers(-8, 8))
def test_scaling_everything_scales_it(scene, exponent):
    points, centroids = scene
    scale = np.float32(2.0**exponent)
    one = cluster_distance_difference(points, centroids)
    np.testing.assert_allclose(cluster_distance_difference(points * scale, centroids * scale), one * scale, rtol=1e-6)


@given(scene=scenes())
def test_the_order_of_the_centroids_does_not_matter(scene):
    points, centroids = scene
    one, other = (cluster_distance_difference(points, some) for some in (centroids, centroids[::-1].copy()))
    np.testing.assert_allclose(one, other, atol=0.5)


def test_known_answers_on_a_line():
    # Centroids 0, 4, 20. 1: 3 - 1. 2: 2 - 2. 4: 4 - 0. 12: 8 - 8. 30: 26 - 10.
    found = cluster_distance_difference([[1.0], [2.0], [4.0], [12.0], [30.0]], [[0.0], [4.0], [20.0]])
    assert found.tolist() == pytest.approx([2, 0, 4, 0, 16], abs=1e-5)


def test_several_clusterings_are_measured_at_once():
    rng = np.random.default_rng(0)
    points, several = rng.standard_normal((5000, 3)), rng.standard_normal((4, 7, 3))
    together = cluster_distance_difference(points, several)
    assert together.shape == (4, 5000)
    for row, centroids in zip(together, several, strict=True):
        np.testing.assert_allclose(row, cluster_distance_difference(points, centroids), atol=1e-5)


def test_one_cluster_has_no_second_one():
    assert cluster_distance_difference([[1.0], [2.0]], [[0.0]]).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("bad", [[[1.0, 2.0]], [1.0], [[np.nan]], [[1e20]], np.empty((0, 1)), [["a"]]])
def test_centroids_that_do_not_fit_are_refused(bad):
    with pytest.raises(InvalidParameterError, match="centroids"):
        cluster_distance_difference([[1.0]], bad)


@pytest.mark.parametrize("bad", [[[1e20], [0.0]], [[-1e20], [0.0]], [[np.nan], [0.0]], [1.0, 2.0]])
def test_embeddings_that_cannot_be_measured_are_refused(bad):
    with pytest.raises(InvalidParameterError, match="embeddings"):
        cluster_distance_difference(bad, [[0.0], [1.0]])
    if np.ndim(bad) == 2:
        with pytest.raises(InvalidParameterError, match="Scale the vectors down"):
            fit_centroids(np.array(bad), 2)


class TestCentroids:
    def test_find_separate_groups_from_every_seed(self):
        rng = np.random.default_rng(0)
        middles = np.array([[0, 0], [50, 0], [0, 50]])
        points = (middles[rng.integers(3, size=3000)] + rng.standard_normal((3000, 2))).astype(np.float32)
        found = fit_centroids(points, 3, n_seeds=4, random_state=1)
        assert found.shape == (4, 3, 2) and found.dtype == np.float32
        for centroids in found:
            apart = np.linalg.norm(middles[:, None] - centroids[None], axis=2)
            assert (apart.min(axis=1) < 0.3).all()

    def test_are_fixed_by_the_seed_and_differ_between_seeds(self):
        points = np.random.default_rng(0).standard_normal((4000, 8)).astype(np.float32)
        one, again, other = (fit_centroids(points, 5, n_seeds=2, random_state=seed) for seed in (3, 3, -3))
        assert (one == again).all()
        assert not np.allclose(np.sort(one, axis=1), np.sort(other, axis=1), atol=1e-3)
        assert not np.allclose(np.sort(one[0], axis=0), np.sort(one[1], axis=0), atol=1e-3)

    def test_a_full_fit_is_closer_to_all_points_than_one_on_a_sample(self):
        points = np.random.default_rng(0).standard_normal((20_000, 6)).astype(np.float32)

        def inertia(centroids):
            return ((points[:, None] - centroids[None]) ** 2).sum(axis=2).min(axis=1).mean()

        sampled, full = (fit_centroids(points, 4, n_seeds=3, full=full) for full in (False, True))
        assert min(map(inertia, full)) < min(map(inertia, sampled))

    @given(distinct=st.integers(1, 6), copies=st.integers(1, 5), k=st.integers(1, 8))
    @settings(max_examples=30, deadline=None)
    def test_are_no_more_than_the_distinct_rows(self, distinct, copies, k):
        points = np.repeat(np.arange(distinct, dtype=np.float32)[:, None], copies, axis=0)
        assert fit_centroids(points, k, n_seeds=2).shape == (2, min(k, distinct), 1)

    def test_rows_that_float32_cannot_tell_apart_raise_no_warning(self):
        near = np.full((40, 64), 3.0, dtype=np.float32)
        near[:, 0] = np.nextafter(np.float32(3.0), np.float32(4.0)) * (1 + np.arange(40) * 1e-7)
        assert np.isfinite(fit_centroids(near, 8)).all()

    @pytest.mark.parametrize("arguments", [{"n_clusters": 0}, {"n_clusters": 2, "n_seeds": 0}])
    def test_impossible_numbers_are_refused(self, arguments):
        with pytest.raises(InvalidParameterError, match="at least 1"):
            fit_centroids(np.eye(3, dtype=np.float32), **arguments)

    def test_nothing_cannot_be_clustered(self):
        with pytest.raises(InvalidParameterError, match="at least one row"):
            fit_centroids(np.empty((0, 3), dtype=np.float32), 2)


def test_the_usual_number_of_clusters():
    assert [default_clusters(800, classes) for classes in (7, 2, 1, None)] == [7, 2, 20, 20]
    assert [default_clusters(n) for n in (1, 200, 5000, 10**7)] == [10, 10, 50, 100]
