"""Places on the map: like stays with like, the same each time, whatever the images are."""

import numpy as np
import pytest
from sklearn.manifold import trustworthiness

from labelqueue.pagework import projection
from labelqueue.pagework.projection import choose_landmarks, fit_plane, fit_tsne, near_landmarks, on_plane, unit

GROUPS = 6


@pytest.fixture(scope="module")
def groups():
    """Unit vectors of six groups, the group of each, and where t-SNE puts them."""
    rng = np.random.default_rng(0)
    group = np.arange(180) % GROUPS
    vectors = unit(rng.normal(size=(GROUPS, 64))[group] + 0.5 * rng.normal(size=(180, 64)))
    return vectors, group, fit_tsne(vectors, on_plane(vectors, *fit_plane(vectors)))


def purity(points, group):
    """Return the share of the five nearest on the map that are of the same group."""
    apart = np.linalg.norm(points[:, None].astype(float) - points, axis=2)
    np.fill_diagonal(apart, np.inf)
    return (group[np.argsort(apart, axis=1)[:, :5]] == group[:, None]).mean()


def test_what_is_alike_stands_together(groups):
    vectors, group, places = groups
    assert purity(places, group) > 0.99
    assert trustworthiness(vectors, places, n_neighbors=10) > 0.85
    assert places.min() > 0 and places.max() < projection.WIDTH
    assert np.ptp(places, axis=0).max() > 0.9 * projection.WIDTH, "it fills the map"


def test_later_images_stand_beside_their_like(groups):
    vectors, group, places = groups
    rng = np.random.default_rng(1)
    later = unit(vectors + 0.05 * rng.normal(size=vectors.shape))
    points = near_landmarks(later, vectors, places)
    assert purity(np.concatenate([places, points]), np.concatenate([group, group])) > 0.99
    same = near_landmarks(vectors, vectors, places)
    assert np.abs(same - places).max() < 30, "the same image at the same place"


def test_one_between_two_groups_stands_in_one_of_them():
    rng = np.random.default_rng(0)
    group = np.arange(200) % 2
    anchors = unit(np.eye(4)[group] + 0.1 * rng.normal(size=(200, 4)))
    places = (np.array([[5_000, 30_000], [60_000, 30_000]])[group] + rng.normal(size=(200, 2)) * 1_000).astype(
        np.float32
    )
    between = unit(np.array([1.0, 1, 0, 0]) + 0.02 * rng.normal(size=(100, 4)))
    across = near_landmarks(between, anchors, places)[:, 0].astype(int)
    assert (np.minimum(abs(across - 5_000), abs(across - 60_000)) < 5_000).all()
    assert {one > 30_000 for one in across.tolist()} == {True, False}


def test_it_is_the_same_again(groups):
    vectors, _, places = groups
    assert np.array_equal(fit_tsne(vectors, on_plane(vectors, *fit_plane(vectors))), places)
    mean, axes = fit_plane(vectors)
    turned = fit_plane(vectors[::-1])
    assert np.allclose(on_plane(vectors, mean, axes), on_plane(vectors, *turned), atol=2), "not its mirror image"


def test_a_new_map_resembles_the_one_before(groups):
    vectors, group, places = groups
    again = fit_tsne(vectors, near_landmarks(vectors, vectors, places), again=True)
    assert purity(again, group) > 0.99
    centers = [np.stack([where[group == one].mean(axis=0) for one in range(GROUPS)]) for where in (places, again)]
    apart = np.linalg.norm(centers[0][:, None] - centers[1], axis=2)
    assert (apart.argmin(axis=1) == np.arange(GROUPS)).all()


@pytest.mark.parametrize("count", [1, 2, 5, 9, 10, 11])
@pytest.mark.parametrize("dim", [1, 2, 192])
def test_any_number_of_images_has_places(count, dim):
    vectors = unit(np.random.default_rng(0).normal(size=(count, dim)))
    points = on_plane(vectors, *fit_plane(vectors))
    places = fit_tsne(vectors, points)
    assert points.shape == places.shape == (count, 2) and np.isfinite(places).all()
    assert near_landmarks(vectors, vectors, places).shape == (count, 2)
    if count == 1:
        assert points.tolist() == [[32768, 32768]], "in the middle"
    if count > 1 and dim > 1:
        assert len(np.unique(points, axis=0)) == count


@pytest.mark.parametrize("count", [1, 3, 50])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_images_that_are_all_alike_stand_at_one_place(count, value):
    vectors = unit(np.full((count, 8), value, np.float16))
    points = on_plane(vectors, *fit_plane(vectors))
    places = fit_tsne(vectors, points)
    assert len(np.unique(points, axis=0)) == 1 and np.isfinite(places).all() and len(np.unique(places, axis=0)) == 1
    assert near_landmarks(vectors, vectors, places).tolist() == points.tolist()


def test_copies_among_others_do_not_upset_it():
    rng = np.random.default_rng(0)
    vectors = unit(np.concatenate([np.tile(rng.normal(size=(1, 16)), (40, 1)), rng.normal(size=(40, 16))]))
    places = fit_tsne(vectors, on_plane(vectors, *fit_plane(vectors)))
    assert np.isfinite(places).all() and np.ptp(places[:40], axis=0).max() < np.ptp(places, axis=0).max() / 2


def test_an_image_far_from_all_stands_at_the_edge():
    vectors = unit(np.random.default_rng(0).normal(size=(50, 3)) * 0.1 + [1, 0, 0])
    far = unit(np.array([[-1.0, 5, 0]]))
    points = on_plane(far, *fit_plane(vectors))
    assert set(points[0].tolist()) & {0, projection.WIDTH}


class TestLandmarks:
    """Who is laid out, when not all are."""

    def test_of_few_images_all(self):
        assert choose_landmarks(np.array([3, 5, 9])).tolist() == [0, 1, 2]

    def test_of_many_those_that_stand_for_all_and_others_at_random(self):
        ids, first = np.arange(10, 1010), np.array([500, 77, 4, 12, *range(600, 900)])
        rows = choose_landmarks(ids, first, count=100)
        assert rows.size == 100 == np.unique(rows).size and rows.tolist() == sorted(rows)
        chosen = set(ids[rows].tolist())
        assert {500, 77, 12, *range(600, 646)} <= chosen, "the first half of the count, of those that are there"
        rest = np.array(sorted(chosen - set(first[:50].tolist())))
        assert rest.size == 51 and rest.min() < 150 and rest.max() > 850
        assert (choose_landmarks(ids, first, count=100) == rows).all()
        assert (choose_landmarks(ids, count=100) != rows).any()

    def test_more_images_leave_most_landmarks_what_they_were(self):
        before = choose_landmarks(np.arange(1000), count=500)
        after = choose_landmarks(np.arange(1100), count=500)
        assert np.isin(before, after).mean() > 0.85
