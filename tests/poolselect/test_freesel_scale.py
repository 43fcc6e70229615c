"""The lazy sampler where its blocks, looks and refreshes matter: hundreds of rows, many picks, the exact law beside it.

At every pick the law of Eq. 5 is worked out in float64 over the whole pool. Where the picked row falls in it, rows in
ascending order of weight, is uniform if the sampler follows the law. A row that was drawn although the selection has
covered it falls near zero, so a bound that is not brought up to date shows at once.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from poolselect import FreeSel, Pool, coverage, metric, sampler
from poolselect.metric import build_metric
from poolselect.rng import generator

ALPHA = 1e-4


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks so small that a few hundred rows and picks make many of each kind."""
    for module in (metric, coverage):
        monkeypatch.setattr(module, "ROWS_PER_BLOCK", 64)
    monkeypatch.setattr(metric, "_COLUMNS_PER_BLOCK", 16)
    monkeypatch.setattr(sampler, "_FIRST_LOOK", 4)


def clustered_pool(spread, n=300, centers=60, dim=8, seed=0, labeled=0):
    """Rows of one to three patterns, each near one of a few centers: most picks cover many other patterns."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 4, size=n)
    middle = rng.standard_normal((centers, dim)) + 0.5
    patterns = middle[rng.integers(centers, size=counts.sum())] + spread * rng.standard_normal((counts.sum(), dim))
    labels = np.full(n, -1)
    labels[rng.permutation(n)[:labeled]] = 0
    return Pool(np.arange(n), rng.standard_normal((n, dim)), patterns, np.append(0, np.cumsum(counts)), labels)


def places_in_the_law(pool, picks, *, name, power, rng):
    """Where each pick falls in the exact law of its moment, within [0, 1]."""
    patterns = pool.patterns.astype(np.float64)
    if name == "cosine":
        patterns = patterns / np.linalg.norm(patterns, axis=1, keepdims=True)
    owner = np.repeat(np.arange(len(pool)), np.diff(pool.offsets))
    nearest = np.full(len(patterns), np.inf)

    def cover(rows):
        for chosen in patterns[np.isin(owner, rows)]:
            gap = 1 - patterns @ chosen if name == "cosine" else np.linalg.norm(patterns - chosen, axis=1)
            np.minimum(nearest, gap, out=nearest)

    cover(np.flatnonzero(pool.selected))
    free, places = pool.candidates.copy(), []
    for row in picks:
        if np.isfinite(nearest).all():  # else this is the first pick of all, which is uniform
            weights = np.bincount(owner, np.maximum(nearest, 0) ** power * free[owner], minlength=len(pool))
            below, same = weights[weights < weights[row]].sum(), weights[row]
            places.append((below + rng.random() * same) / weights.sum())
        free[row] = False
        cover([row])
    return places


def p_value(pool, picks, *, seeds=4, name="cosine", power=2.0):
    rng = np.random.default_rng(99)
    places = []
    for seed in range(seeds):
        order = FreeSel(trials=1, metric=name, power=power)._query(pool, picks, generator(seed))
        assert order.reasons[-1].startswith("covers a new pattern")
        places += places_in_the_law(pool, order.indices.tolist(), name=name, power=power, rng=rng)
    return kstest(places, "uniform").pvalue


@pytest.mark.parametrize("patience", [0.0, 0.3, np.inf], ids=["refreshed always", "by the rule", "refreshed never"])
@pytest.mark.parametrize("name", ["cosine", "euclidean"])
def test_many_picks_follow_the_law(monkeypatch, small_blocks, name, patience):
    monkeypatch.setattr(coverage, "_PATIENCE", patience)
    # Without refreshes nearly every proposal fails in the end, which takes time but must not change the law.
    picks = 150 if patience < np.inf else 70
    assert p_value(clustered_pool(0.1), picks, name=name) > ALPHA


def test_many_picks_after_many_labels_follow_the_law(small_blocks):
    assert p_value(clustered_pool(0.1, labeled=100), 100) > ALPHA


def test_small_batches_of_proposals_follow_the_law(monkeypatch, small_blocks):
    monkeypatch.setattr(sampler, "_SMALLEST_BATCH", 1)
    monkeypatch.setattr(sampler, "_LARGEST_BATCH", 8)
    assert p_value(clustered_pool(0.1), 100, power=1.0) > ALPHA


def test_blocks_as_they_are(monkeypatch):
    # Not made small: more candidates' patterns than one block of rows, more selected ones than one of columns.
    monkeypatch.setattr(coverage, "_PATIENCE", 0.0)
    pool = clustered_pool(0.1, n=2600, centers=900, labeled=800)
    assert int(np.diff(pool.offsets)[pool.candidates].sum()) > 1.5 * metric.ROWS_PER_BLOCK
    assert int(np.diff(pool.offsets)[pool.selected].sum()) > metric._COLUMNS_PER_BLOCK
    assert p_value(pool, 200, seeds=1) > ALPHA


def test_images_that_are_nearly_alike_follow_the_law_too():
    # Frames of one video: every distance is about 1e-4, far above what float32 cannot tell from zero.
    rng = np.random.default_rng(3)
    x = 1 + 0.014 * rng.standard_normal((200, 16))
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    gaps = (1 - unit @ unit.T)[np.triu_indices(200, 1)]
    assert gaps.min() > 1e-5 and gaps.max() < 1e-3
    assert p_value(Pool(np.arange(200), x), 150) > ALPHA


def test_the_test_would_notice_another_power(small_blocks):
    pool, rng = clustered_pool(0.1), np.random.default_rng(0)
    order = FreeSel(trials=1, power=1.0)._query(pool, 150, generator(0)).indices.tolist()
    assert kstest(places_in_the_law(pool, order, name="cosine", power=2.0, rng=rng), "uniform").pvalue < ALPHA


@pytest.mark.parametrize("name", ["cosine", "euclidean"])
@pytest.mark.parametrize("dim", [64, 1536, 16_384])
def test_copies_have_no_weight_in_any_dimension(name, dim):
    x = 1 + np.random.default_rng(0).standard_normal((150, dim), dtype=np.float32) / 10
    pool = Pool(np.arange(150), x)
    measure = build_metric(name, pool)
    vectors = measure.vectors(slice(0, 150))
    closeness = np.diagonal(measure.affinity(vectors, vectors)).copy()
    assert not measure.gap(closeness, slice(0, 150)).any()


def test_the_potential_goes_by_embeddings_and_the_law_by_patterns():
    # Each row owns both directions, so patterns tell none from another; 60 rows lie where row 1 does.
    both = [[1.0, 0.0], [0.0, 1.0]]
    embeddings = np.array([[1.0, 0.0], [0.0, 1.0], *[[0.1, 1.0]] * 60])
    candidates = np.arange(62) < 2
    pool = Pool(np.arange(62), embeddings, both * 62, np.arange(0, 125, 2), candidates=candidates)
    for seed in range(5):
        found = FreeSel(trials=50, random_state=seed).query(pool, batch_size=2)
        assert found.indices.tolist() == [1, 0]
        # Its patterns are those of row 1, so nothing of row 0 is new to the law.
        assert found.reasons[1] == "nothing new is left: uniformly drawn"
