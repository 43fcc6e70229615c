"""BAL's orders worked out by hand, and its two modes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poolselect import BAL, InvalidParameterError, Pool, cluster_distance_difference, fit_centroids, subpool

# Between centroids at 0 and 10 the CDD of x is |10 - 2 x|. Ascending: ids 0, 1, 2, ... with CDD 0, 2, 3, 4, 5, 6, 7, 8.
LINE = [5.0, 4.0, 6.5, 3.0, 7.5, 2.0, 8.5, 1.0]
ENDS = [[0.0], [10.0]]
# Odd ids are less certain than the even ones before them; by margin: .2 .9 .2 .8 .2 .7 .2 .6.
TOP = [0.9, 0.55, 0.9, 0.6, 0.9, 0.65, 0.9, 0.7]


def line(probabilities=True, **more):
    table = np.stack([TOP, 1 - np.array(TOP)], axis=1) if probabilities else None
    return Pool(np.arange(8), np.array(LINE)[:, None], probabilities=table, class_names=["cat", "dog"], **more)


def order(pool, size=8, **settings):
    found = BAL(centroids=ENDS, **{"uncertainty": "margin", **settings}).query(pool, batch_size=size)
    return found.indices.tolist(), found


def labeled(*rows):
    labels = np.full(8, -1)
    labels[list(rows)] = 0
    return labels


class TestKnownBudget:
    def test_every_cycle_takes_the_least_certain_of_its_slot(self):
        # Slots of two: {0,1} {2,3} {4,5} {6,7}; the odd one of each first. Then from the start again, what is left.
        rows, found = order(line(), cycles=4, cycle_size=1)
        assert rows == [1, 3, 5, 7, 0, 2, 4, 6]
        assert found.utilities[:5].tolist() == pytest.approx([0.9, -0.2, -1.3, -2.4, -3.8])
        assert found.reasons[1] == "least certain of 2 in sub-pool 2 of 4 (cat 0.60, dog 0.40)"
        assert found.reasons[4] == "least certain of 1 in sub-pool 1 of 4 (cat 0.90, dog 0.10)"

    def test_starts_at_the_cycle_it_is_told(self):
        assert order(line(), cycles=4, cycle_size=1, cycle=2)[0] == [5, 7, 1, 3, 4, 6, 0, 2]

    def test_several_places_per_cycle_are_counted_in_the_reasons(self):
        rows, found = order(line(), size=4, cycles=2, cycle_size=2)
        assert rows == [1, 3, 5, 7]
        assert found.reasons[1] == "2nd least certain of 4 in sub-pool 1 of 2 (cat 0.60, dog 0.40)"

    def test_wide_slots_overlap(self):
        # A = 2, beta = 2: {0..3} {1..4} {3..6} {4..7}. 1 and 3 are gone when the third cycle looks, 5 is left.
        assert order(line(), size=4, cycles=4, cycle_size=1, balancing_factor=2.0)[0] == [1, 3, 5, 7]

    def test_labels_take_no_place_but_keep_theirs_in_the_order(self):
        # 1 and 3 are labeled; the slots stay where they are.
        assert order(line(labels=labeled(1, 3)), size=4, cycles=4, cycle_size=1)[0] == [0, 2, 5, 7]

    def test_a_slot_without_candidates_is_widened_on_both_sides(self):
        # Slot 2 = {2, 3} is labeled: one more on both sides is {1, 2, 3, 4}, where 1 is less certain than 4.
        rows, found = order(line(labels=labeled(2, 3)), size=1, cycles=4, cycle_size=1, cycle=1)
        assert rows == [1] and found.reasons[0].startswith("least certain of 2 in sub-pool 2 of 4")


class TestUnknownBudget:
    def test_narrow_windows_are_widened_to_hold_a_cycle(self):
        # C = 20 windows of 0.4 rows each: about places 0.2, 0.6, ...; the first with a row in it is {0}.
        rows, found = order(line(), size=3, cycle_size=1)
        assert rows[0] == 0 and found.reasons[0].startswith("least certain of 1 in sub-pool 1 of 20")

    def test_opens_up_to_uncertainty_sampling(self):
        everything = sorted(range(8), key=lambda row: abs(2 * TOP[row] - 1))
        rows, found = order(line(), size=4, cycle_size=4, balancing_factor=20.0)
        assert rows == everything[:4]
        assert found.reasons[3] == "4th least certain of 8 in sub-pool 1 of 20 (cat 0.70, dog 0.30)"

    def test_rolls_on_and_starts_over(self):
        n = 400
        pool = Pool(np.arange(n), np.linspace(5, 0, n)[:, None], probabilities=np.full((n, 2), 0.5))
        found = BAL(centroids=ENDS, cycle_size=2, uncertainty="margin").query(pool, batch_size=42)
        # C = 20 windows of 20 rows, in ascending CDD, which is ascending id; cycle 21 is back in the first.
        assert (found.indices // 20).tolist() == [*np.repeat(np.arange(20), 2).tolist(), 0, 0]
        assert found.reasons[-1].startswith("2nd least certain of 18 in sub-pool 1 of 20")


class TestWithoutAModel:
    def test_the_most_ambiguous_come_first(self):
        rows, found = order(line(probabilities=False), cycles=2, cycle_size=4)
        assert rows == [0, 1, 2, 3, 4, 5, 6, 7]
        assert found.reasons[1] == "2nd most ambiguous of 4 in sub-pool 1 of 2"

    def test_each_cycle_keeps_to_its_slot(self):
        assert order(line(probabilities=False), size=4, cycles=4, cycle_size=1)[0] == [0, 2, 4, 6]


class TestPaper:
    def test_the_first_cycle_ignores_the_model_and_the_others_least_confidence(self):
        # Cycle 0: the first K = 1 of X^. Then the less confident of {2,3}, {4,5}, {6,7}; then what is left, in X^.
        rows, found = order(line(), mode="paper", cycles=4, cycle_size=1)
        assert rows == [0, 3, 5, 7, 1, 2, 4, 6]
        assert found.reasons[0] == "most ambiguous of 8 in the pool"
        assert found.reasons[1] == "least certain of 2 in sub-pool 2 of 4 (cat 0.60, dog 0.40)"
        assert found.reasons[4] == "most ambiguous of 4 in what the last cycle left"

    def test_nothing_is_widened(self):
        # Slots of one with gaps between them: {0} {3} {5} {7}. Slot {3} is labeled and gives nothing.
        settings = {"mode": "paper", "cycles": 4, "cycle_size": 1, "balancing_factor": 0.5}
        assert [subpool(8, 4, cycle, 0.5) for cycle in range(4)] == [(0, 1), (3, 4), (5, 6), (7, 8)]
        assert order(line(labels=labeled(3)), cycle=1, **settings)[0][:3] == [5, 7, 0]

    def test_least_confidence_ranks_whatever_else_was_asked_for(self):
        # By margin row 1 is the less certain one, by confidence row 2 is.
        pool = Pool(np.arange(4), [[5.0], [4.0], [6.5], [3.0]], labels=[0, -1, -1, -1],
                    probabilities=[[1, 0, 0], [0.5, 0.5, 0], [0.4, 0.3, 0.3], [1, 0, 0]])  # fmt: skip
        asked = {"centroids": ENDS, "cycles": 2, "cycle": 1, "cycle_size": 1, "balancing_factor": 2.0}
        assert BAL(mode="paper", **asked).query(pool, batch_size=1).indices.tolist() == [2]
        assert BAL(uncertainty="margin", **asked).query(pool, batch_size=1).indices.tolist() == [1]
        assert BAL(uncertainty="least_confidence", **asked).query(pool, batch_size=1).indices.tolist() == [2]

    def test_one_clustering_fitted_on_everything(self):
        embeddings = np.random.default_rng(0).standard_normal((3000, 5)).astype(np.float32)
        centroids = fit_centroids(embeddings, 4, 1, random_state=6, full=True)
        expected = np.argsort(cluster_distance_difference(embeddings, centroids)[0], kind="stable")[:20]
        strategy = BAL(mode="paper", cycles=9, cycle_size=20, n_clusters=4, n_seeds=5, random_state=6)
        assert strategy.query(Pool(np.arange(3000), embeddings), batch_size=20).indices.tolist() == expected.tolist()

    def test_needs_a_budget(self):
        with pytest.raises(InvalidParameterError, match="needs cycles"):
            BAL(mode="paper").query(line(), batch_size=1)


class TestGeometry:
    def test_frozen_centroids_are_those_it_would_fit(self):
        embeddings = np.random.default_rng(0).standard_normal((500, 6)).astype(np.float32)
        pool = Pool(np.arange(500), embeddings, probabilities=np.random.default_rng(1).dirichlet(np.ones(4), size=500))
        frozen = fit_centroids(embeddings, 4, random_state=3)
        one, other = (BAL(centroids=c, random_state=3).query(pool, batch_size=60) for c in (None, frozen))
        assert one.indices.tolist() == other.indices.tolist()

    def test_the_place_is_the_mean_of_the_ranks(self):
        rng = np.random.default_rng(0)
        embeddings, centroids = rng.standard_normal((60, 3)).astype(np.float32), rng.standard_normal((3, 4, 3))
        ranks = cluster_distance_difference(embeddings, centroids).argsort(axis=1).argsort(axis=1).sum(axis=0)
        found = BAL(centroids=centroids, cycles=1, cycle_size=60).query(Pool(np.arange(60), embeddings), batch_size=60)
        assert (np.diff(ranks[found.indices]) >= 0).all()

    def test_copies_stay_together_and_their_ids_do_not_matter(self):
        # Three places, CDD 0, 4, 8, ten copies each, ids mixed; the seed orders the copies.
        places = np.random.default_rng(0).permutation(np.repeat([5.0, 3.0, 1.0], 10))
        pool = Pool(np.arange(30), places[:, None])
        orders = [
            BAL(centroids=ENDS, cycles=1, cycle_size=30, random_state=seed).query(pool, batch_size=30).indices
            for seed in range(3)
        ]
        for rows in orders:
            assert places[rows].tolist() == sorted(places, reverse=True)
        assert len({tuple(rows) for rows in orders}) == 3

    @pytest.mark.parametrize("bad", [[[0.0, 1.0]], "x", [[np.inf]]])
    def test_centroids_that_do_not_fit_are_refused(self, bad):
        with pytest.raises(InvalidParameterError, match="centroids"):
            BAL(centroids=bad).query(line(), batch_size=1)


@given(
    seed=st.integers(0, 10**6),
    cycles=st.none() | st.integers(1, 9),
    cycle=st.integers(0, 12),
    size=st.integers(1, 9),
    beta=st.floats(0.1, 30),
    mode=st.sampled_from(["live", "paper"]),
    model=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_whatever_the_settings_the_order_is_a_nested_permutation(seed, cycles, cycle, size, beta, mode, model):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 40))
    labels = np.where(rng.random(n) < 0.4, 0, -1)
    pool = Pool(
        np.arange(n),
        rng.integers(0, 4, size=(n, 2)).astype(float),
        labels=labels,
        probabilities=rng.dirichlet(np.ones(3), size=n) if model else None,
    )
    strategy = BAL(
        mode=mode,
        cycles=cycles if mode == "live" else cycles or 4,
        cycle=cycle,
        cycle_size=size,
        balancing_factor=beta,
        centroids=rng.standard_normal((2, 3, 2)),
    )
    whole = strategy.query(pool, batch_size=n)
    assert sorted(whole.indices.tolist()) == np.flatnonzero(labels < 0).tolist()
    for part in range(1, len(whole)):
        assert strategy.query(pool, batch_size=part).indices.tolist() == whole.indices[:part].tolist()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"mode": "fast"}, "mode='fast' must be 'live' or 'paper'"),
        ({"uncertainty": "doubt"}, "uncertainty='doubt' must be one of coverage, margin"),
        ({"cycle": -1}, "cycle=-1"),
        ({"cycles": 0}, "cycles=0"),
        ({"cycles": 2.5}, r"cycles=2\.5"),
        ({"cycle_size": True}, "cycle_size=True"),
        ({"cycle_size": None}, "cycle_size=None"),
        ({"balancing_factor": 0}, "balancing_factor=0"),
        ({"metric": "manhattan"}, "metric='manhattan' must be one of"),
        ({"trials": 0}, "trials=0"),
        ({"reference_size": 1.5}, r"reference_size=1\.5"),
        ({"n_clusters": 1}, "n_clusters=1 must be an integer of at least 2"),
        ({"n_seeds": 0}, "n_seeds=0"),
    ],
)
def test_impossible_settings_are_refused_by_name(setting, message):
    with pytest.raises(InvalidParameterError, match=message):
        BAL(**setting).query(line(), batch_size=1)
