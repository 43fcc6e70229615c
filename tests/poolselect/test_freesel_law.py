"""FreeSel with one trial draws exactly by Eq. 5 and Alg. 2: chi-square tests against the law written out in full."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import chisquare

from poolselect import FreeSel, Pool, coverage, sampler
from poolselect.metric import build_metric
from poolselect.rng import generator

RUNS = 2000
ALPHA = 1e-4


def distance(metric, p, s):
    """The paper's d, in float64, the plain way."""
    if metric == "euclidean":
        return np.linalg.norm(p - s)
    return max(0.0, 1 - p @ s / (np.linalg.norm(p) * np.linalg.norm(s)))


def law(pool, metric, power, picks):
    """Probability of every ordered sequence of `picks` rows, by walking the tree of Alg. 2."""
    mean = pool.patterns.mean(axis=0, dtype=np.float64) if metric == "centered" else 0.0
    patterns = [pool.patterns[a:b].astype(np.float64) - mean for a, b in itertools.pairwise(pool.offsets)]
    candidates = [int(row) for row in np.flatnonzero(pool.candidates)]
    start = [int(row) for row in np.flatnonzero(pool.selected)]
    probability = {}

    def walk(sequence, so_far):
        if len(sequence) == picks:
            probability[sequence] = so_far
            return
        chosen = start + list(sequence)
        rest = [row for row in candidates if row not in sequence]
        if chosen:
            selected = [s for row in chosen for s in patterns[row]]
            # An image's weight is the sum over its patterns of D^power.
            weights = np.array(
                [sum(min(distance(metric, p, s) for s in selected) ** power for p in patterns[r]) for r in rest]
            )
        else:
            weights = np.ones(len(rest))
        for row, weight in zip(rest, weights / weights.sum(), strict=True):
            walk((*sequence, row), so_far * weight)

    walk((), 1.0)
    assert sum(probability.values()) == pytest.approx(1)
    return probability


def p_value(pool, metric, power, picks, runs=RUNS):
    expected = law(pool, metric, power, picks)
    strategy = FreeSel(trials=1, metric=metric, power=power)
    seen = dict.fromkeys(expected, 0)
    for seed in range(runs):
        # Below `query`: its checks and the thread limit would take most of the time of this test.
        seen[tuple(strategy._query(pool, picks, generator(seed)).indices.tolist())] += 1
    counts = np.array([seen[key] for key in expected], dtype=float)
    means = np.array([expected[key] for key in expected]) * runs
    # Rare sequences are tested together: the chi-square law needs expected counts of some size.
    order = np.argsort(means)
    rare = int(np.searchsorted(np.cumsum(means[order]), 10)) + 1
    groups = np.append(means[order][rare:], means[order][:rare].sum())
    found = np.append(counts[order][rare:], counts[order][:rare].sum())
    return chisquare(found, groups * found.sum() / groups.sum()).pvalue


def tiny_pool(ragged=False, selected=0, n=6, seed=3):
    rng = np.random.default_rng(seed)
    embeddings = rng.standard_normal((n, 3)) + 0.3
    counts = rng.integers(1, 4, size=n) if ragged else np.ones(n, dtype=int)
    patterns = rng.standard_normal((counts.sum(), 3)) + 0.3 if ragged else embeddings
    labels = np.full(n, -1)
    labels[:selected] = 0
    return Pool(np.arange(n), embeddings, patterns, np.append(0, np.cumsum(counts)), labels)


@pytest.mark.parametrize("metric", ["cosine", "centered", "euclidean"])
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("selected", [0, 2])
def test_the_law_of_three_picks(metric, ragged, selected):
    assert p_value(tiny_pool(ragged, selected, n=5 + selected), metric, 2.0, 3) > ALPHA


def test_the_law_with_another_power():
    assert p_value(tiny_pool(selected=1), "cosine", 0.7, 2) > ALPHA


def test_the_test_would_notice_another_law():
    pool = tiny_pool(selected=1)
    right = law(pool, "cosine", 2.0, 2)
    wrong = law(pool, "cosine", 1.0, 2)
    means = np.array([right[key] for key in right]) * RUNS
    assert chisquare(np.array([wrong[key] for key in right]) * RUNS, means).pvalue < 1e-12


def test_rows_that_are_neither_candidate_nor_selected_have_no_weight():
    pool = tiny_pool(selected=1, n=7)
    candidates = pool.candidates.copy()
    candidates[3:5] = False
    part = Pool(pool.ids, pool.embeddings, labels=pool.labels, candidates=candidates)
    assert p_value(part, "cosine", 2.0, 2) > ALPHA


@pytest.mark.parametrize("patience", [0.0, np.inf])
@pytest.mark.parametrize("batch", [1, 3, 64])
def test_the_law_does_not_depend_on_the_cost_rule(monkeypatch, patience, batch):
    # Always a full pass between batches, or never; batches that end before, within and after the picks.
    monkeypatch.setattr(coverage, "_PATIENCE", patience)
    monkeypatch.setattr(sampler, "_SMALLEST_BATCH", batch)
    monkeypatch.setattr(sampler, "_LARGEST_BATCH", batch)
    assert p_value(tiny_pool(ragged=True, selected=1, n=5), "cosine", 2.0, 2, runs=300) > ALPHA


def test_many_draws_from_one_moment_are_independent():
    # What best-of-L draws from: pairs of draws must follow the product of the law with itself.
    pool = tiny_pool(ragged=True, selected=2, n=6)
    single = law(pool, "cosine", 2.0, 1)
    counts = dict.fromkeys(itertools.product([row for (row,) in single], repeat=2), 0)
    for seed in range(RUNS):
        lazy = sampler.LazySampler(
            coverage.Coverage(pool, build_metric("cosine", pool)), power=2.0, rng=generator(seed)
        )
        rows, _ = lazy.draw(2)
        counts[tuple(rows.tolist())] += 1
    means = np.array([single[(a,)] * single[(b,)] for a, b in counts]) * (RUNS)
    assert chisquare(np.array(list(counts.values())), means).pvalue > ALPHA
