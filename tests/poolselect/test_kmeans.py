"""The door to scikit-learn's k-means: what it returns for odd inputs, and that it touches nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from threadpoolctl import threadpool_info

from poolselect.kmeans import (
    count_distinct,
    fit_kmeans,
    fit_kmeans_quickly,
    nearest_centroid,
    sample_rows,
    squared_distances,
)

small = hnp.arrays(
    np.float32, st.tuples(st.integers(1, 20), st.integers(1, 3)), elements=st.sampled_from([-1, 0, 2, 5])
)


@given(points=small, limit=st.integers(1, 25))
def test_distinct_rows_are_counted_up_to_a_limit(points, limit):
    assert count_distinct(points, limit) == min(len(np.unique(points, axis=0)), limit)


@given(points=small, k=st.integers(1, 25), seed=st.integers(0, 99))
def test_no_more_clusters_than_distinct_points_and_no_warning(points, k, seed):
    centroids = fit_kmeans(points, k, np.random.default_rng(seed))
    distinct = np.unique(points, axis=0)
    assert centroids.shape == (min(k, len(distinct)), points.shape[1])
    if k >= len(distinct):
        np.testing.assert_allclose(np.unique(centroids.round(3), axis=0), distinct)


@pytest.mark.parametrize("options", [{}, {"init": "random", "n_init": 10}])
def test_a_large_fit_finds_separate_groups(options):
    # More points than k-means++ draws its start from.
    middles = 40 * np.eye(8, dtype=np.float32)
    points = np.repeat(middles, 1000, axis=0) + np.random.default_rng(0).standard_normal((8000, 8), dtype=np.float32)
    centroids = fit_kmeans(points, 8, np.random.default_rng(0), **options)
    assert (squared_distances(middles, centroids).min(axis=1) < 1).all()


def test_a_quick_fit_is_nearly_as_good_as_a_full_one():
    points = np.random.default_rng(0).standard_normal((6000, 4)).astype(np.float32)

    def inertia(centroids):
        return squared_distances(points, centroids).min(axis=1).mean()

    quick = inertia(fit_kmeans_quickly(points.__getitem__, 6000, 80, np.random.default_rng(1)))
    assert quick < 1.05 * inertia(fit_kmeans(points, 80, np.random.default_rng(1)))


@given(n=st.integers(1, 300), size=st.integers(1, 400), seed=st.integers(0, 99))
def test_a_sample_is_in_order_and_without_repeats(n, size, seed):
    rows = sample_rows(n, size, np.random.default_rng(seed))
    assert rows.size == min(n, size) and (np.diff(rows) > 0).all() and rows[0] >= 0 and rows[-1] < n


def test_every_point_goes_to_its_nearest_centroid_however_many_there_are():
    rng = np.random.default_rng(0)
    points, centroids = (
        rng.standard_normal((5000, 3)).astype(np.float32),
        rng.standard_normal((7, 3)).astype(np.float32),
    )
    expected = np.linalg.norm(points[:, None] - centroids[None], axis=2).argmin(axis=1)
    assert (nearest_centroid(points, centroids) == expected).mean() > 0.999
    assert (nearest_centroid(points + 500, centroids + 500) == expected).mean() > 0.995


def test_thread_limits_are_as_they_were():
    before = threadpool_info()
    fit_kmeans(np.eye(4, dtype=np.float32), 2, np.random.default_rng(0))
    after = {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}
    assert all(after[pool["filepath"]] == pool["num_threads"] for pool in before)
