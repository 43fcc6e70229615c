"""Orders that can be worked out by hand, and edge cases of FreeSel."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from poolselect import FreeSel, InvalidParameterError, InvalidPoolError, Pool


def order(pool, **settings):
    found = FreeSel(**settings).query(pool, batch_size=len(pool))
    return pool.ids[found.indices].tolist(), found


def on_a_line(*places, **more):
    return Pool(np.arange(len(places)), np.array(places, dtype=float)[:, None], **more)


def on_a_circle(*degrees, **more):
    angles = np.deg2rad(degrees)
    return Pool(np.arange(len(degrees)), np.stack([np.cos(angles), np.sin(angles)], axis=1), **more)


def first_is_labeled(n):
    return [0] + [-1] * (n - 1)


def test_farthest_first_on_a_line():
    # Labeled: 0. Distances: 1, 4, 10, 6 -> id 3 (at 10). Then 1, 4, -, min(6, 4) = 4: a tie, the lower id 2 wins.
    # Then 1, -, -, min(4, 2) = 2 -> id 4. Last id 1, at 1 from 0.
    ids, found = order(on_a_line(0, 1, 4, 10, 6, labels=first_is_labeled(5)), sampling="farthest", metric="euclidean")
    assert ids == [3, 2, 4, 1]
    assert found.utilities.tolist() == pytest.approx([10, 4, 2, 1])
    assert found.reasons[0] == "farthest from everything selected: 10.00"


def test_farthest_first_on_a_circle():
    # Labeled: 0 degrees. 1 - cos: 2 at 180, 1 at 90 and 270, 0.29 at 45. 180 first; 90 and 270 stay at 1 and tie, the
    # lower id is 270's; choosing it leaves 90 at 1 (it is opposite); 45 is 1 - cos 45 = 0.293 from both 0 and 90.
    pool = on_a_circle(0, 270, 45, 180, 90, labels=first_is_labeled(5))
    ids, found = order(pool, sampling="farthest")
    assert ids == [3, 1, 4, 2]
    assert found.utilities.tolist() == pytest.approx([2, 1, 1, 1 - np.sqrt(0.5)], abs=1e-6)


def test_a_tie_between_copies_goes_to_the_lowest_id():
    rng = np.random.default_rng(0)
    x = np.repeat(rng.standard_normal((20, 33)), 5, axis=0)
    pool = Pool(np.arange(100), x, labels=first_is_labeled(100))
    ids, found = order(pool, sampling="farthest")
    assert all(chosen % 5 == 0 for chosen in ids[:19])
    assert found.utilities[19:].max() == 0 and ids[19:] == sorted(ids[19:])


def test_farthest_first_looks_at_single_patterns():
    # Row 1 is near on average, but one of its patterns is opposite to the labeled one; row 2 is 1 away throughout.
    patterns = [[1, 0], [1, 0], [-1, 0], [0, 1], [0, 1]]
    pool = Pool([0, 1, 2], np.ones((3, 2)), patterns, [0, 1, 3, 5], labels=[0, -1, -1])
    assert order(pool, sampling="farthest")[0] == [1, 2]


def test_farthest_first_equals_the_plain_procedure_on_a_larger_pool():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((400, 5)) * 5
    pool = Pool(np.arange(400), x, labels=first_is_labeled(400))
    nearest, expected = np.linalg.norm(x - x[0], axis=1), []
    for _ in range(399):
        expected.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, np.linalg.norm(x - x[expected[-1]], axis=1))
    assert order(pool, sampling="farthest", metric="euclidean")[0] == expected


@pytest.mark.parametrize("trials", [1, 100])
@pytest.mark.parametrize("seed", range(5))
def test_only_one_pick_is_possible(trials, seed):
    # Labeled: row 0 with direction A, row 5 with direction B. Rows 1, 3 and 4 hold A alone (scaled, repeated): weight
    # 0. Row 2 holds B, which is covered, and C, which is new: it must be first, at distance 1. The rest is not new.
    a, b, c = np.eye(3)
    patterns = [a, 3 * a, b, c, a, a, 0.1 * a, b]
    pool = Pool(np.arange(6), np.ones((6, 3)), patterns, [0, 1, 2, 4, 6, 7, 8], labels=[0, -1, -1, -1, -1, 0])
    ids, found = order(pool, trials=trials, random_state=seed)
    assert ids[0] == 2 and sorted(ids[1:]) == [1, 3, 4]
    assert found.utilities.tolist() == pytest.approx([1, 0, 0, 0])
    assert found.reasons[0] == "covers a new pattern: 1.00 from anything selected"
    assert set(found.reasons[1:]) == {"nothing new is left: uniformly drawn"}


@pytest.mark.parametrize("trials", [1, 100])
def test_what_is_left_of_duplicates_is_uniform(trials):
    pool = Pool(np.arange(4), np.ones((4, 7)), labels=first_is_labeled(4))
    orders = [tuple(order(pool, trials=trials, random_state=seed)[0]) for seed in range(300)]
    counts = [orders.count(possible) for possible in itertools.permutations([1, 2, 3])]
    assert sum(counts) == 300 and min(counts) > 25


@pytest.mark.parametrize("metric", ["cosine", "centered", "euclidean"])
def test_copies_come_last(metric):
    # 30 directions, each 4 times, in 384 dimensions, where rounding is at its worst.
    rng = np.random.default_rng(2)
    x = rng.permutation(np.repeat(rng.standard_normal((30, 384)), 4, axis=0))
    chosen = FreeSel(metric=metric, trials=1).query(Pool(np.arange(120), x), batch_size=120)
    assert np.unique(x[chosen.indices[:30]], axis=0).shape[0] == 30
    assert (chosen.utilities[30:] == 0).all() and (chosen.utilities[:30] > 0).all()


def test_the_seed_matters():
    pool = Pool(np.arange(50), np.random.default_rng(0).standard_normal((50, 4)))
    assert len({tuple(order(pool, trials=1, random_state=seed)[0]) for seed in (-3, 0, 3, 2**80)}) == 4


def test_skipped_rows_count_as_selected():
    # Both -1 directions are skipped, so the only new direction is row 3's, whatever the seed.
    pool = on_a_circle(
        0, 180, 180, 90, 0, 180, labels=first_is_labeled(6), selected=[False, True, True, False, False, False]
    )
    assert {order(pool, trials=1, random_state=seed)[0][0] for seed in range(10)} == {3}


def test_many_trials_choose_what_lowers_the_potential_most():
    # With so many draws every candidate of any weight is among them, so each step is the greedy one.
    rng = np.random.default_rng(4)
    x = (rng.standard_normal((12, 3)) + np.array([1, 0, 0])).astype(np.float32)
    unit = x.astype(np.float64) / np.linalg.norm(x, axis=1, keepdims=True)
    gaps = 1 - unit @ unit.T
    nearest, expected = np.full(12, 2.0), []
    for _ in range(4):
        potential = np.minimum(nearest[:, None], gaps).sum(axis=0)
        potential[expected] = np.inf
        expected.append(int(potential.argmin()))
        nearest = np.minimum(nearest, gaps[:, expected[-1]])
    for seed in range(5):
        chosen = FreeSel(trials=50_000, random_state=seed).query(Pool(np.arange(12), x), batch_size=4)
        assert chosen.indices.tolist() == expected


@pytest.mark.parametrize("metric", ["cosine", "centered", "euclidean"])
@pytest.mark.parametrize("reference_size", [200, 1000])
def test_more_trials_cover_the_pool_better(metric, reference_size):
    rng = np.random.default_rng(5)
    x = rng.standard_normal((400, 8)) + 3 * rng.standard_normal((12, 8))[rng.integers(12, size=400)]
    shifted = {"cosine": x, "centered": x - x.mean(axis=0)}
    directions = {name: y / np.linalg.norm(y, axis=1, keepdims=True) for name, y in shifted.items()}
    pool = Pool(np.arange(400), x)

    def potential(trials, seed):
        strategy = FreeSel(trials=trials, metric=metric, reference_size=reference_size, random_state=seed)
        rows = strategy.query(pool, batch_size=15).indices
        if metric != "euclidean":
            unit = directions[metric]
            return (1 - (unit @ unit[rows].T).max(axis=1)).sum()
        return ((x[:, None] - x[rows]) ** 2).sum(axis=2).min(axis=1).sum()

    means = [np.mean([potential(trials, seed) for seed in range(12)]) for trials in (1, 10, 100)]
    assert means[0] > means[1] > means[2]


@pytest.mark.parametrize("trials", [1, 100])
def test_no_vector_can_break_it(trials):
    # Lengths from one end of float32's comfortable range to the other.
    rng = np.random.default_rng(6)
    x = rng.standard_normal((60, 4)) * 10.0 ** rng.uniform(-14, 14, size=(60, 1))
    pool = Pool(np.arange(60), x)
    for metric in ("cosine", "centered", "euclidean"):
        for power in (0.01, 2.0, 50.0):
            found = FreeSel(trials=trials, metric=metric, power=power).query(pool, batch_size=60)
            assert sorted(found.indices.tolist()) == list(range(60))


def test_centered_means_that_a_common_part_does_not_matter():
    x = np.random.default_rng(3).integers(-8, 9, size=(64, 5)).astype(np.float32)
    plain, moved = Pool(np.arange(64), x), Pool(np.arange(64), x + 100)  # both exact in float32
    centered = Pool(np.arange(64), x - x.mean(axis=0, dtype=np.float64).astype(np.float32))
    one, other = (FreeSel(metric="centered").query(pool, batch_size=64) for pool in (plain, moved))
    assert one.indices.tolist() == other.indices.tolist()
    assert one.indices.tolist() == FreeSel().query(centered, batch_size=64).indices.tolist()
    assert FreeSel().query(moved, batch_size=64).utilities[1] < 0.1 < one.utilities[1]


def test_the_pool_mean_itself_is_nothing_new():
    pool = Pool([5, 6, 7], [[2.0, 1], [1, 1], [0, 1]])
    found = FreeSel(metric="centered", trials=1, random_state=4).query(pool, batch_size=3)
    assert 6 in pool.ids[found.indices[[0, 2]]].tolist() and found.utilities[2] == 0
    assert FreeSel(metric="centered").query(Pool([5, 6], [[1.0, 1], [1, 1]]), batch_size=2).utilities[1] == 0
    with pytest.raises(InvalidPoolError, match="ids 6 are longer than"):
        FreeSel(metric="centered").query(Pool([5, 6], [[1.0], [1e30]]), batch_size=1)


def test_zero_vectors_have_no_direction():
    pool = Pool([5, 6, 7], [[1.0, 0], [0, 0], [0, 1]])
    with pytest.raises(InvalidPoolError, match="ids 6 are zero vectors"):
        FreeSel().query(pool, batch_size=1)
    assert len(FreeSel(metric="euclidean").query(pool, batch_size=3)) == 3


def test_far_away_vectors_are_refused_for_euclid():
    with pytest.raises(InvalidPoolError, match="ids 7, 8, 9 lie farther"):
        FreeSel(metric="euclidean").query(Pool([7, 8, 9], [[0.0], [1.0], [1e30]]), batch_size=1)


@pytest.mark.parametrize(
    "settings",
    [
        {"trials": 0}, {"trials": 1.5}, {"trials": True}, {"reference_size": 0}, {"sampling": "best"},
        {"metric": "manhattan"}, {"power": 0}, {"power": np.nan}, {"power": np.inf}, {"power": "2"},
    ],
)  # fmt: skip
def test_settings_out_of_range_are_refused_by_name(settings):
    ((name, value),) = settings.items()
    with pytest.raises(InvalidParameterError, match=f"{name}={value!r}"):
        FreeSel(**settings).query(on_a_circle(0, 90), batch_size=1)


class TestCorners:
    """Every seventh of the first images is the farthest of those drawn."""

    X = np.random.default_rng(8).standard_normal((40, 5)).astype(np.float32)

    def pool(self, labeled):
        labels = np.full(40, -1)
        labels[:labeled] = 0
        return Pool(np.arange(40), self.X, labels=labels)

    def farthest(self, pool, chosen=()):
        unit = self.X / np.linalg.norm(self.X, axis=1, keepdims=True)
        taken = [*np.flatnonzero(pool.selected).tolist(), *chosen]
        return int((unit @ unit[taken].T).max(axis=1).argmin())

    @pytest.mark.parametrize("labeled", [6, 13])
    def test_labels_count(self, labeled):
        pool = self.pool(labeled)
        for seed in range(5):
            one = FreeSel(trials=50_000, random_state=seed).query(pool, batch_size=1)
            assert one.indices[0] == self.farthest(pool)

    def test_without_them_the_same_place_covers(self):
        pool = self.pool(6)
        assert FreeSel(trials=50_000, corners=6).query(pool, batch_size=1).indices[0] != self.farthest(pool)

    @pytest.mark.parametrize("labeled", [5, 7, 20, 27])
    def test_the_others_cover(self, labeled):
        pool = self.pool(labeled)
        asked = {"trials": 50_000, "random_state": 3}
        with_corners = FreeSel(**asked).query(pool, batch_size=1).indices
        assert with_corners.tolist() == FreeSel(corners=0, **asked).query(pool, batch_size=1).indices.tolist()

    def test_from_nothing_the_seventh_image_is_one(self):
        pool = self.pool(0)
        chosen = FreeSel(trials=50_000).query(pool, batch_size=7).indices.tolist()
        assert chosen[6] == self.farthest(pool, chosen[:6])

    def test_the_paper_has_none(self):
        pool = self.pool(0)
        assert (
            FreeSel(trials=1, random_state=5).query(pool, batch_size=30).indices.tolist()
            == FreeSel(trials=1, corners=0, random_state=5).query(pool, batch_size=30).indices.tolist()
        )
