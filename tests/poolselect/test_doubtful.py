"""Doubt that keeps coverage: by hand, against a plain loop, and where doubt may count."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poolselect import BAL, Pool
from poolselect.doubtful import DoubtfulCoverage


def vectors(n, d=6, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)


def cover(pool, doubt, trials=20_000, size=1000, seed=0):
    rng = np.random.default_rng(seed)
    return DoubtfulCoverage(pool, doubt, trials=trials, reference_size=size, metric="cosine", rng=rng)


def pool_of(x, labeled=(0,), **more):
    labels = np.full(len(x), -1)
    labels[list(labeled)] = 0
    certain = np.tile(np.float32([0.75, 0.25]), (len(x), 1))
    return Pool(np.arange(len(x)), x, labels=labels, **{"probabilities": certain, **more})


def test_of_two_equally_large_groups_the_doubtful_one_comes_first():
    # Row 0 is labeled; three images point along each other axis.
    x = np.repeat(np.eye(3, dtype=np.float32), [1, 3, 3], axis=0)
    for sure, unsure in (([1, 2, 3], [4, 5, 6]), ([4, 5, 6], [1, 2, 3])):
        doubt = np.zeros(7)
        doubt[unsure] = 1.0
        taken = cover(pool_of(x), doubt).take(np.arange(7), 6, "the pool")
        assert taken[0][0] in unsure and taken[1][0] in sure
        # Copies of what is chosen teach nothing new: what is left follows by doubt, then by id.
        assert {row for row, _, _ in taken[2:4]} < set(unsure) and {row for row, _, _ in taken[4:]} < set(sure)
        assert "from anything selected (class 0 0.75, class 1 0.25), doubt counts in the pool" in taken[0][2]
        assert taken[4][2] == "looks like one selected already (class 0 0.75, class 1 0.25)"
        assert [utility for _, utility, _ in taken] == pytest.approx([0.5, 0.5, 0, 0, 0, 0])


def test_a_large_sure_group_comes_before_a_small_doubtful_one():
    # Doubt is half of a weight: three sure images (3 x 1/2) outweigh one of full doubt (1), two (1) do not.
    for sure, first in ((3, 1), (1, 2)):
        x = np.repeat(np.eye(3, dtype=np.float32), [1, sure, 1], axis=0)
        doubt = np.zeros(len(x))
        doubt[-1] = 1.0
        row, _, _ = cover(pool_of(x), doubt).take(np.arange(len(x)), 1, "")[0]
        assert int(x[row].argmax()) == first


def test_doubt_outside_the_stretch_does_not_count():
    x = np.repeat(np.eye(3, dtype=np.float32), [1, 2, 3], axis=0)
    doubt = np.array([0, 1, 1, 0, 0, 0.0])
    assert cover(pool_of(x), doubt).take(np.arange(6), 1, "")[0][0] in (1, 2)  # 2 x 1 against 3 x 1/2
    assert cover(pool_of(x), doubt).take(np.array([3, 4, 5]), 1, "")[0][0] in (3, 4, 5)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 14), st.integers(0, 3))
def test_with_many_trials_it_is_the_plain_greedy_choice(seed, n, labeled):
    x = vectors(n, seed=seed)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    random = np.random.default_rng(seed)
    doubt, stretch = random.random(n), np.flatnonzero(random.random(n) < 0.6)
    labeled = sorted(random.choice(n, size=min(labeled, n - 1), replace=False).tolist())
    taken = cover(pool_of(x, labeled), doubt).take(stretch, n - len(labeled), "")
    assert sorted([*labeled, *(row for row, _, _ in taken)]) == list(range(n))
    weights = np.full(n, 0.5)
    weights[stretch] += doubt[stretch] / 2
    gaps = 1 - unit @ unit.T
    chosen = list(labeled)
    for row, utility, _ in taken[: max(n - len(labeled) - 3, 1)]:  # the last ones are few: the law may miss the best
        nearest = gaps[:, chosen].min(axis=1) if chosen else np.full(n, 2.0)
        potential = [weights @ np.minimum(nearest, gaps[:, other]) for other in range(n)]
        best = min(potential[other] for other in range(n) if other not in chosen)
        # A proposal's chance may be tiny where it lies close to the selection; then it covers next to nothing more.
        assert potential[row] <= best + 0.02 * weights.sum()
        assert 0 <= utility <= 1
        chosen.append(row)


class TestInBAL:
    def bal(self, **settings):
        return BAL(**{"cycle_size": 4, "trials": 50, **settings})

    def pool(self, n=60, seed=0):
        random = np.random.default_rng(seed)
        chances = random.dirichlet(np.ones(3), n).astype(np.float32)
        labels = np.full(n, -1)
        labels[:5] = 0
        return Pool(np.arange(n), vectors(n, seed=seed), labels=labels, probabilities=chances)

    def test_it_is_the_default_and_says_where_doubt_counts(self):
        found = self.bal(balancing_factor=20.0).query(self.pool(), batch_size=9)
        assert found.reasons[0].endswith("doubt counts in sub-pool 1 of 20")
        assert found.reasons[4].endswith("doubt counts in sub-pool 2 of 20")
        assert (found.utilities[:4] >= 0).all() and (found.utilities[4:8] <= 0).all() and found.utilities[8] <= -1

    def test_doubt_matters(self):
        pool = self.pool()
        sure = Pool(pool.ids, pool.embeddings, labels=pool.labels, probabilities=np.tile([1.0, 0, 0], (60, 1)))
        asked = {"balancing_factor": 20.0, "centroids": vectors(3, seed=9)}
        by_doubt = self.bal(**asked).query(pool, batch_size=20).indices
        assert by_doubt.tolist() != self.bal(**asked).query(sure, batch_size=20).indices.tolist()

    def test_without_a_model_it_is_the_order_of_ambiguity(self):
        pool = self.pool()
        bare = Pool(pool.ids, pool.embeddings, labels=pool.labels)
        asked = {"cycles": 2, "centroids": vectors(3, seed=9)}
        plain = BAL(cycle_size=4, uncertainty="margin", **asked).query(bare, batch_size=10)
        assert self.bal(**asked).query(bare, batch_size=10).indices.tolist() == plain.indices.tolist()

    def test_nothing_selected_yet_begins_with_what_covers_most(self):
        pool = self.pool()
        fresh = Pool(pool.ids, pool.embeddings, probabilities=pool.probabilities)
        found = self.bal().query(fresh, batch_size=60)
        assert sorted(found.indices.tolist()) == list(range(60))
