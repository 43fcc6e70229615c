"""What is not computed: the choice is that of computing everything, and the products are counted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poolselect import BAL, FreeSel, Pool, proposals, reference
from poolselect.metric import build_metric
from poolselect.proposals import Proposals
from poolselect.reference import Reference


class Plain(Reference):
    """Every product of every draw, at every pick."""

    def best(self, rows):
        distinct, first = np.unique(rows, return_index=True)
        if distinct.size == 1:
            return 0
        affinity = self._metric.affinity(self._vectors, self._metric.vectors(distinct))
        self.products += affinity.size
        closeness = np.maximum(affinity, self._closeness[:, None])
        if self._weights is None:
            covered = closeness.sum(axis=0, dtype=np.float64)
        else:
            covered = self._weights @ closeness.astype(np.float64)
        return int(first[covered >= covered.max()].min())


def clustered(n, clusters=12, d=16, seed=0):
    rng = np.random.default_rng(seed)
    centers = rng.standard_normal((clusters, d))
    return (centers[rng.integers(clusters, size=n)] + 0.6 * rng.standard_normal((n, d))).astype(np.float32)


def both(monkeypatch, strategy, pool, size):
    quick = strategy.query(pool, batch_size=size)
    with monkeypatch.context() as patched:
        patched.setattr(proposals, "Reference", Plain)
        plain = strategy.query(pool, batch_size=size)
    return quick, plain


@pytest.mark.parametrize(
    ("metric", "few"), [("cosine", 0), ("cosine", 3), ("cosine", 64), ("centered", 64), ("euclidean", 64)]
)
@pytest.mark.parametrize("copies", [1, 3])
def test_orders_are_those_of_the_plain_version(monkeypatch, metric, copies, few):
    monkeypatch.setattr(reference, "_FEW", few)
    x = np.tile(clustered(240 // copies), (copies, 1))
    labels = np.where(np.arange(len(x)) < 5, 0, -1)
    for pool in (Pool(np.arange(len(x)), x), Pool(np.arange(len(x)), x, labels=labels)):
        for size in (50, 1000):
            strategy = FreeSel(metric=metric, trials=40, reference_size=size, random_state=size)
            quick, plain = both(monkeypatch, strategy, pool, 200)
            assert quick.indices.tolist() == plain.indices.tolist()
            assert quick.reasons == plain.reasons
            assert quick.utilities.tolist() == plain.utilities.tolist()


def test_the_warm_rule_too(monkeypatch):
    x = clustered(300)
    chances = np.random.default_rng(1).dirichlet(np.ones(3), 300)
    pool = Pool(np.arange(300), x, labels=np.where(np.arange(300) < 9, 0, -1), probabilities=chances)
    quick, plain = both(monkeypatch, BAL(cycle_size=8, balancing_factor=4.0, trials=60, n_clusters=3), pool, 80)
    assert quick.indices.tolist() == plain.indices.tolist() and quick.reasons == plain.reasons


def test_patterns_too(monkeypatch):
    flat = clustered(600, seed=3)
    pool = Pool(np.arange(200), clustered(200, d=7), flat, np.arange(201) * 3)
    quick, plain = both(monkeypatch, FreeSel(trials=60), pool, 200)
    assert quick.indices.tolist() == plain.indices.tolist()


def test_a_full_memory_only_costs_products(monkeypatch):
    monkeypatch.setattr(reference, "_MOST", 100)
    pool = Pool(np.arange(200), clustered(200))
    quick, plain = both(monkeypatch, FreeSel(trials=60), pool, 150)
    assert quick.indices.tolist() == plain.indices.tolist()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 90), st.integers(1, 120), st.sampled_from(["cosine", "euclidean"]))
def test_any_course_of_draws_and_weights_leads_to_the_same_choices(seed, n, size, name):
    rng = np.random.default_rng(seed)
    x = np.round(clustered(n, clusters=4, d=5, seed=seed) * 2) / 2 + 0.25  # many equal rows
    pool = Pool(np.arange(n), x)
    metric = build_metric(name, pool)
    quick, plain = (kind(pool, metric, size=size, rng=np.random.default_rng(seed)) for kind in (Reference, Plain))
    for step in range(30):
        if step % 7 == 3:
            weights = np.round(rng.random(n) * 8) / 8
            quick.weigh(weights)
            plain.weigh(weights)
        drawn = rng.integers(n, size=int(rng.integers(1, 60)))
        place = quick.best(drawn)
        assert place == plain.best(drawn)
        quick.add(int(drawn[place]))
        plain.add(int(drawn[place]))
    assert quick.products <= plain.products + 30 * (reference._SMALL + size)


def counted(pool, picks, kind=Reference, trials=200, monkeypatch=None):
    with monkeypatch.context() as patched:
        patched.setattr(proposals, "Reference", kind)
        chooser = Proposals(pool, "cosine", trials=trials, power=2.0, reference_size=500, rng=np.random.default_rng(0))
        chooser.first()
        for _ in range(picks - 1):
            assert chooser.next() is not None
    return chooser.products


def test_most_products_are_not_made(monkeypatch):
    pool = Pool(np.arange(3000), clustered(3000, clusters=40, d=24))
    (compared, quick), (the_same, plain) = (
        counted(pool, 300, kind, monkeypatch=monkeypatch) for kind in (Reference, Plain)
    )
    assert compared == the_same
    assert plain > 0.9 * 300 * 200 * 500
    # Each row once or twice, and more while the selection is small and a row may be close to many.
    assert quick < 1.6 * 3000 * 500 < plain / 11


def test_products_stop_growing_when_the_pool_is_known(monkeypatch):
    pool = Pool(np.arange(1000), clustered(1000, clusters=40, d=24))
    some, many = (counted(pool, picks, monkeypatch=monkeypatch)[1] for picks in (150, 300))
    assert many - some < 0.006 * 150 * 200 * 500


def test_the_paper_measures_no_potential():
    chooser = Proposals(
        Pool(np.arange(50), clustered(50)), "cosine", trials=1, power=2.0, reference_size=10,
        rng=np.random.default_rng(0),
    )  # fmt: skip
    chooser.first()
    assert chooser.products[1] == 0
