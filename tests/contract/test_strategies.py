"""What every strategy owes its caller, whoever wrote it. A new strategy is covered as soon as it has a name."""

from __future__ import annotations

import inspect
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poolselect import (
    BAIT,
    BAL,
    DropQuery,
    FreeSel,
    InvalidParameterError,
    MaxHerding,
    Pool,
    ProbCover,
    QueryStrategy,
    UHerding,
    strategies,
)

# Modes that take another path than the defaults do.
VARIANTS = {
    "bait, several cycles": partial(BAIT, cycle_size=3, candidate_size=12, reference_size=20),
    "bal, known budget": partial(BAL, cycles=4, cycle_size=3, balancing_factor=1.5),
    "dropquery, everything doubtful": partial(DropQuery, dropout=0.99, n_clusters=4),
    "maxherding, few stand for all": partial(MaxHerding, reference_size=7),
    "probcover, narrow": partial(ProbCover, radius=0.1),
    "uherding, few stand for all": partial(UHerding, reference_size=7, temperature=0.5),
    "bal, paper": partial(BAL, mode="paper", cycles=5, cycle_size=4),
    "freesel, farthest": partial(FreeSel, sampling="farthest"),
    "freesel, paper": partial(FreeSel, trials=1),
    "freesel, centered": partial(FreeSel, metric="centered"),
}
NAMES = sorted(strategies())
SEEDS = [0, 1, -1, -(2**70), 2**200, np.int64(7)]


def some_pool(seed=0, n=40, labeled=0, skipped=0, patterns=1, duplicates=False, classes=3):
    rng = np.random.default_rng(seed)
    ids = rng.permutation(10 * n)[:n]
    rows = rng.integers(0, min(4, n), size=n) if duplicates else np.arange(n)
    embeddings = rng.standard_normal((n, 6)).astype(np.float32)[rows]
    counts = rng.integers(1, patterns + 1, size=n)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    flat = np.repeat(embeddings, counts, axis=0)
    if patterns > 1 and not duplicates:
        flat = flat + rng.standard_normal(flat.shape).astype(np.float32)
    labels = np.full(n, -1)
    taken = rng.permutation(n)
    labels[taken[:labeled]] = np.arange(labeled) % classes
    selected = np.zeros(n, dtype=bool)
    selected[taken[labeled : labeled + skipped]] = True
    probabilities = rng.dirichlet(np.ones(classes), size=n)
    return Pool(ids, embeddings, flat, offsets, labels, probabilities, selected=selected)


def build(name, seed=0) -> QueryStrategy:
    return (VARIANTS.get(name) or strategies()[name])(random_state=seed)


def pools():
    yield "cold", some_pool()
    yield "warm", some_pool(labeled=12, skipped=3)
    yield "ragged", some_pool(labeled=5, patterns=4)
    yield "duplicates", some_pool(labeled=3, duplicates=True)
    yield "almost done", some_pool(labeled=37, skipped=2)


POOLS = dict(pools())


@pytest.mark.parametrize("name", [*NAMES, *VARIANTS])
class TestEveryStrategy:
    @pytest.mark.parametrize("kind", POOLS)
    def test_chooses_candidates_without_repeats(self, name, kind):
        pool = POOLS[kind]
        found = build(name).query(pool, batch_size=9)
        assert len(found) == min(9, pool.candidates.sum())
        assert pool.candidates[found.indices].all()
        assert np.unique(found.indices).size == len(found)
        assert (np.diff(found.utilities) <= 0).all() and np.isfinite(found.utilities).all()
        assert all(reason.strip() for reason in found.reasons)

    @pytest.mark.parametrize("kind", POOLS)
    def test_every_prefix_is_a_smaller_selection(self, name, kind):
        pool = POOLS[kind]
        whole = build(name).query(pool, batch_size=len(pool))
        for size in (1, 2, 7, 23):
            part = build(name).query(pool, batch_size=size)
            assert part.indices.tolist() == whole.indices[:size].tolist()
            assert part.utilities.tolist() == whole.utilities[:size].tolist()
            assert part.reasons == whole.reasons[:size]

    @pytest.mark.parametrize("patterns", [1, 4])
    def test_what_is_known_of_the_vectors_changes_nothing(self, name, patterns):
        """Whatever was selected, labeled and predicted when it was worked out."""
        before, now = (
            some_pool(patterns=patterns, **taken).sorted_by_id()[0] for taken in ({}, {"labeled": 9, "skipped": 2})
        )
        assert (before.patterns == now.patterns).all()
        for strategy in (name, "freesel", "bal", "freesel, centered"):
            build(strategy, seed=5).query(before, batch_size=5)
        rows = {"ids": now.ids, "embeddings": now.embeddings, "patterns": now.patterns, "offsets": now.offsets}
        rest = {"labels": now.labels, "probabilities": now.probabilities[::-1], "selected": now.selected}
        alone, among = (
            build(name).query(Pool(**rows, **rest, **more), batch_size=15) for more in ({}, {"facts": before.facts})
        )
        assert among.indices.tolist() == alone.indices.tolist() and among.reasons == alone.reasons
        assert among.utilities.tolist() == alone.utilities.tolist() and len(before.facts) > 4

    @pytest.mark.parametrize("kind", POOLS)
    def test_asking_for_too_many_gives_a_permutation_of_the_candidates(self, name, kind):
        pool = POOLS[kind]
        found = build(name).query(pool, batch_size=10**9)
        assert sorted(found.indices.tolist()) == np.flatnonzero(pool.candidates).tolist()

    @pytest.mark.parametrize("kind", POOLS)
    def test_the_order_of_the_rows_does_not_matter(self, name, kind):
        pool = POOLS[kind]
        shuffled = pool.take(np.random.default_rng(5).permutation(len(pool)))
        one = build(name).query(pool, batch_size=15)
        other = build(name).query(shuffled, batch_size=15)
        assert pool.ids[one.indices].tolist() == shuffled.ids[other.indices].tolist()
        assert one.utilities.tolist() == other.utilities.tolist()

    @pytest.mark.parametrize("seed", SEEDS)
    def test_any_integer_is_a_seed_and_fixes_the_order(self, name, seed):
        strategy = build(name, seed)
        first, again = (strategy.query(POOLS["warm"], batch_size=10) for _ in range(2))
        fresh = build(name, seed).query(POOLS["warm"], batch_size=10)
        assert first.indices.tolist() == again.indices.tolist() == fresh.indices.tolist()

    @given(data_seed=st.integers(0, 2**32), seed=st.integers(), n=st.integers(1, 30), patterns=st.integers(1, 3))
    @settings(max_examples=15, deadline=None)
    def test_holds_for_any_pool(self, name, data_seed, seed, n, patterns):
        pool = some_pool(data_seed, n=n, labeled=data_seed % n, patterns=patterns, duplicates=bool(data_seed % 2))
        found = build(name, seed).query(pool, batch_size=n)
        assert sorted(found.indices.tolist()) == np.flatnonzero(pool.candidates).tolist()

    def test_nothing_to_choose_gives_nothing(self, name):
        pool = Pool([1, 2, 3], np.eye(3), labels=[0, 1, 0])
        assert len(build(name).query(pool, batch_size=5)) == 0

    def test_a_single_candidate_is_chosen(self, name):
        probabilities = [[0.5, 0.5], [0.9, 0.1], [0.2, 0.8]]
        pool = Pool([4, 2, 3], np.eye(3), probabilities=probabilities, candidates=[False, True, False])
        assert build(name).query(pool, batch_size=5).indices.tolist() == [1]

    @pytest.mark.parametrize("batch_size", [0, -1, 1.0, "3", None, True])
    def test_impossible_batch_sizes_are_refused(self, name, batch_size):
        with pytest.raises(InvalidParameterError, match="batch_size"):
            build(name).query(POOLS["cold"], batch_size=batch_size)

    @pytest.mark.parametrize("seed", [None, 1.5, "1", True])
    def test_seeds_that_are_no_integers_are_refused(self, name, seed):
        with pytest.raises(InvalidParameterError, match="random_state"):
            build(name, seed).query(POOLS["cold"], batch_size=1)

    def test_the_pool_is_left_alone(self, name):
        pool = some_pool(labeled=5)
        before = {key: np.copy(value) for key, value in vars(pool).items()}
        build(name).query(pool, batch_size=20)
        for key, value in before.items():
            np.testing.assert_array_equal(value, getattr(pool, key))


@pytest.mark.parametrize("name", NAMES)
class TestEveryClass:
    def test_hyper_parameters_are_stored_verbatim(self, name):
        marks = {key: object() for key in inspect.signature(strategies()[name].__init__).parameters if key != "self"}
        strategy = strategies()[name](**marks)
        assert {key: getattr(strategy, key) for key in marks} == marks

    def test_is_documented(self, name):
        documentation = strategies()[name].__doc__
        for key in inspect.signature(strategies()[name].__init__).parameters:
            assert key == "self" or f"{key} :" in documentation
        assert ">>>" in documentation
