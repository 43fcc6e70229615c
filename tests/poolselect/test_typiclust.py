"""TypiClust: typicality by hand, uncovered clusters first, and every prefix of a staged order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolselect import Pool, TypiClust, typicality


def query(pool, size, seed=0):
    return TypiClust(random_state=seed).query(pool, batch_size=size)


def twenty_directions(seed=0, least=25):
    """Clusters that cannot be missed: noise about twenty axes, 25, 27, 29, ... points each, rows mixed."""
    rng = np.random.default_rng(seed)
    groups = rng.permutation(np.repeat(np.arange(20), least + 2 * np.arange(20)))
    return groups, 10 * np.eye(20)[groups] + 0.2 * rng.standard_normal((groups.size, 20))


def test_typicality_is_the_inverse_mean_distance_to_the_nearest():
    # Half of four points: two neighbors. From 0: 1 and 3, from 1: 1 and 2, from 3: 2 and 3, from 7: 4 and 6.
    found = typicality(np.array([[0], [1], [3], [7]], dtype=np.float32))
    assert found.tolist() == pytest.approx([1 / 2, 1 / 1.5, 1 / 2.5, 1 / 5], rel=1e-4)
    one_neighbor = typicality(np.array([[0], [1], [3], [7]], dtype=np.float32), neighbors=1)
    assert one_neighbor.tolist() == pytest.approx([1, 1, 1 / 2, 1 / 4], rel=1e-4)


def test_typicality_of_copies_is_large_but_finite():
    assert typicality(np.ones((6, 3), dtype=np.float32)).tolist() == pytest.approx([1e5] * 6)
    assert typicality(np.ones((1, 3), dtype=np.float32)).tolist() == [0.0]


@given(shift=st.floats(-50, 50), n=st.integers(2, 60))
def test_typicality_does_not_depend_on_where_the_points_are(shift, n):
    points = np.random.default_rng(n).standard_normal((n, 3)).astype(np.float32)
    np.testing.assert_allclose(typicality(points + np.float32(shift)), typicality(points), rtol=1e-2)


class TestStage:
    def test_covers_every_cluster_once_the_largest_first_by_its_most_typical_row(self):
        groups, embeddings = twenty_directions()
        found = query(Pool(np.arange(groups.size), embeddings), 20)
        assert groups[found.indices].tolist() == list(range(19, -1, -1))
        unit = (embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)).astype(np.float32)
        for row in found.indices:
            members = np.flatnonzero(groups == groups[row])
            apart = np.sort(np.linalg.norm(unit[members][:, None] - unit[row][None, None], axis=2)[:, 0])
            others = np.sort(np.linalg.norm(unit[members][:, None] - unit[members][None], axis=2), axis=1)
            near = min(20, members.size // 2) + 1
            assert apart[:near].mean() == pytest.approx(others[:, :near].mean(axis=1).min(), rel=1e-4)
        assert found.utilities.tolist() == pytest.approx(np.sort(np.bincount(groups))[::-1] / groups.size)
        assert found.reasons[0] == "typical of a cluster of 63, none of them selected"

    def test_leaves_out_clusters_that_have_one_already(self):
        groups, _ = twenty_directions()
        # Copies of twenty directions, which k-means cannot split: labels cover all but three.
        places = np.eye(20)[groups]
        labels = np.full(groups.size, -1)
        for group in set(range(20)) - {4, 11, 17}:
            labels[np.flatnonzero(groups == group)[0]] = group
        found = query(Pool(np.arange(groups.size), places, labels=labels), 4)
        assert groups[found.indices[:3]].tolist() == [17, 11, 4]
        # All are covered by one now: the largest of them gets a second.
        assert groups[found.indices[3]] == 19 and found.reasons[3].endswith("1 of them selected")

    def test_small_clusters_come_last(self):
        groups = np.repeat([0, 1, 2, 3], [8, 7, 5, 2])
        found = query(Pool(np.arange(22), np.eye(4)[groups]), 22)
        # 8 and 7 members take turns until both are used up; then those with up to 5.
        assert groups[found.indices].tolist() == [0, 1] * 7 + [0] + [2, 3, 2, 3, 2, 2, 2]

    def test_large_clusters_are_represented_by_a_draw(self):
        rng = np.random.default_rng(0)
        # One direction with 3,000 copies cannot be split, and one with 10.
        groups = np.repeat([0, 1], [3000, 10])
        found = query(Pool(np.arange(3010), np.eye(2)[rng.permutation(groups)]), 3010)
        assert sorted(found.indices.tolist()) == list(range(3010))


def test_later_stages_cut_finer():
    groups, embeddings = twenty_directions()
    found = query(Pool(np.arange(groups.size), embeddings), 80)
    sizes = [int(reason.split()[5].rstrip(",")) for reason in found.reasons]
    # 20 clusters, then 40, then 80: about 44, 22 and 11 members each.
    assert np.mean(sizes[:20]) > 1.5 * np.mean(sizes[20:40]) > 2 * np.mean(sizes[40:80])
    # Most clusters have no selected row yet; where too many of those are small, a second one of a larger cluster.
    assert sum(reason.endswith("none of them selected") for reason in found.reasons) > 60


def test_the_length_of_a_vector_does_not_matter_and_a_zero_vector_does_no_harm():
    groups, embeddings = twenty_directions()
    lengths = np.random.default_rng(1).uniform(0.5, 2.0, size=(groups.size, 1))
    one, other = (query(Pool(np.arange(groups.size), x), 20) for x in (embeddings, embeddings * lengths))
    assert one.indices.tolist() == other.indices.tolist()
    assert len(query(Pool(np.arange(3), np.zeros((3, 2))), 3)) == 3


def test_selected_rows_and_labels_are_the_same_to_it():
    groups, embeddings = twenty_directions()
    taken = np.arange(groups.size) % 9 == 0
    one = query(Pool(np.arange(groups.size), embeddings, selected=taken), 30)
    other = query(Pool(np.arange(groups.size), embeddings, labels=np.where(taken, 0, -1)), 30)
    assert one.indices.tolist() == other.indices.tolist()


def test_beats_random_at_covering_many_classes_early():
    covered = []
    for seed in range(3):
        groups, embeddings = twenty_directions(seed, least=3)
        found = query(Pool(np.arange(groups.size), embeddings), 20, seed)
        covered.append(len(set(groups[found.indices])))
    # Uniform draws of 20 from these sizes cover about 12 of the 20.
    assert min(covered) >= 17
