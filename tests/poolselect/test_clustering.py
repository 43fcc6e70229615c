"""Foundation-model clustering: nested orders by hand, the released procedure, refills."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from poolselect import FoundationClustering, InvalidParameterError, Pool
from poolselect.rng import generator

TWO_GROUPS = [[0.0], [1.0], [2.0], [10.0], [11.0], [12.0]]


def query(pool, size, **settings):
    return FoundationClustering(**settings).query(pool, batch_size=size)


@pytest.mark.parametrize("seed", range(5))
def test_the_middles_of_two_groups_come_first(seed):
    found = query(Pool(np.arange(6), TWO_GROUPS), 6, random_state=seed)
    assert sorted(found.indices[:2].tolist()) == [1, 4]
    assert found.utilities[:2].tolist() == [0.5, 0.5]
    # Then four clusters; eight would be more than there are rows, so what four leave follows farthest first.
    assert set(found.utilities[2:].tolist()) <= {0.25, 0.0}
    assert all(
        ("of 4" in reason) == (utility == 0.25)
        for reason, utility in zip(found.reasons[2:], found.utilities[2:], strict=True)
    )
    assert sorted(found.indices.tolist()) == list(range(6))


@pytest.mark.parametrize("taken", [{"labels": [-1, 3, -1, -1, -1, -1]}, {"selected": [False, True] + 4 * [False]}])
def test_a_cluster_whose_middle_is_taken_adds_nothing(taken):
    found = query(Pool(np.arange(6), TWO_GROUPS, **taken), 1)
    assert found.indices.tolist() == [4] and found.reasons == ("nearest to the center of one of 2 clusters",)


def test_rows_that_may_not_be_chosen_stand_for_no_cluster():
    candidates = [True, False, True, True, True, True]
    found = query(Pool(np.arange(6), TWO_GROUPS, candidates=candidates), 5)
    assert set(found.indices[:2].tolist()) <= {0, 2, 4}


def test_of_one_clustering_the_farthest_from_what_is_chosen_comes_first():
    # Four groups at 0, 10, 30, 100, the first one labeled in its middle and too big to be split. Of the four centers
    # 100 is the farthest from 0; then 30; then 10. The two clusters before split the line into {0, 10, 30} and {100}.
    places = np.concatenate([np.linspace(-1, 1, 31), [9, 10, 11], [29, 30, 31], [99, 100, 101]])
    labels = np.full(places.size, -1)
    labels[15] = 0
    rows = query(Pool(np.arange(places.size), places[:, None], labels=labels), 12).indices
    by_four = [places[row] for row in rows if places[row] in (10, 30, 100)]
    assert by_four == [100, 30, 10]


def test_dimensions_count_equally_whatever_their_unit():
    rng = np.random.default_rng(0)
    embeddings = rng.standard_normal((200, 4))
    one = query(Pool(np.arange(200), embeddings), 30)
    other = query(Pool(np.arange(200), embeddings * [1e-3, 1, 64, 1e4] + [5, -7, 0, 3]), 30)
    assert one.indices.tolist() == other.indices.tolist()


def test_a_constant_dimension_does_no_harm():
    embeddings = np.random.default_rng(0).standard_normal((50, 2))
    constant = np.concatenate([embeddings, np.full((50, 1), 0.1)], axis=1)
    one, other = (query(Pool(np.arange(50), x), 20) for x in (embeddings, constant))
    assert one.indices.tolist() == other.indices.tolist()


@given(seed=st.integers(0, 10**6), first=st.integers(1, 60), labeled=st.integers(0, 30))
@settings(max_examples=15, deadline=None)
def test_a_refill_goes_on_where_the_last_batch_stopped(seed, first, labeled):
    rng = np.random.default_rng(seed)
    pool = {"ids": np.arange(150), "embeddings": rng.standard_normal((150, 3))}
    selected = np.arange(150) < labeled
    whole = query(Pool(**pool, selected=selected), 70, random_state=seed).indices
    chosen = selected.copy()
    chosen[whole[:first]] = True
    refill = query(Pool(**pool, selected=chosen), 70 - first, random_state=seed).indices
    assert refill.tolist() == whole[first:].tolist()


def test_the_paper_mode_is_the_released_procedure():
    # Enough rows that no cluster has two members, between which the nearest to the center would be a tie.
    embeddings = np.random.default_rng(0).standard_normal((1500, 2)).astype(np.float32)
    scaled = StandardScaler().fit_transform(embeddings.astype(float)).astype(np.float32)
    # Our seeds in place of its fixed one; the rest as released: one growing list, duplicates dropped.
    seeds = generator(9)
    expected: list[int] = []
    for k in range(2, 13):
        model = KMeans(k, init="random", n_init=10, random_state=int(seeds.integers(2**31)))
        # On small data the threads of OpenMP mostly wait for each other.
        with threadpool_limits(limits=1):
            model.fit(scaled)
        nearest = np.argsort(model.transform(scaled), axis=0)[0]
        expected += [row for row in dict.fromkeys(nearest.tolist()) if row not in expected]
    assert len(expected) > 50
    found = query(Pool(np.arange(1500), embeddings), len(expected), mode="paper", random_state=9)
    assert found.indices.tolist() == expected


def test_the_paper_mode_goes_on_by_doubling_and_ends_with_the_last_row():
    pool = Pool(np.arange(300), np.random.default_rng(0).standard_normal((300, 2)))
    found = query(pool, 300, mode="paper")
    ks = [round(1 / utility) if utility else 0 for utility in found.utilities]
    assert ks[:2] == [2, 2] and set(ks) <= {*range(2, 51), 64, 128, 256, 0} and {3, 50, 64, 256, 0} <= set(ks)
    assert sorted(found.indices.tolist()) == list(range(300))


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_the_paper_mode_orders_tiny_pools(n):
    assert sorted(query(Pool(np.arange(n), np.ones((n, 2))), n, mode="paper").indices.tolist()) == list(range(n))


def test_unknown_modes_are_refused():
    with pytest.raises(InvalidParameterError, match="mode='fast' must be 'doubling' or 'paper'"):
        query(Pool([1], [[0.0]]), 1, mode="fast")
