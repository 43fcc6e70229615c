"""BAIT: the passes against plain ones with whole matrices, variants, and what a model is sure of."""

from __future__ import annotations

import numpy as np
import pytest

from poolselect import BAIT, InvalidParameterError, InvalidPoolError, Pool, fisher


def a_pool(seed=0, n=30, classes=3, multilabel=False, taken=5, length=4):
    rng = np.random.default_rng(seed)
    p = rng.random((n, classes)) if multilabel else rng.dirichlet(np.ones(classes), size=n)
    x = rng.standard_normal((n, length)) * 4 + 10
    return Pool(np.arange(n), x, probabilities=p, multilabel=multilabel, selected=np.arange(n) < taken)


def information(pool, blocks=False):
    """What each row tells of all c d weights, in full: shape (n, c d, c d)."""
    x, p = pool.embeddings.astype(np.float64), pool.probabilities.astype(np.float64)
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    alone = pool.multilabel or blocks
    found = []
    for row in range(len(pool)):
        between = np.diag(p[row] * (1 - p[row])) if alone else np.diag(p[row]) - np.outer(p[row], p[row])
        found.append(np.kron(between, np.outer(z[row], z[row])))
    return np.array(found)


def plain(pool, size, ridge, blocks=False):
    """The order of all candidates, and by how much each of them lowered the variance, with an inverse at each step."""
    known = information(pool, blocks)
    target = known.mean(axis=0)

    def variance(rows):
        return np.trace(np.linalg.inv(ridge * np.eye(len(target)) + known[rows].sum(axis=0)) @ target)

    chosen = np.flatnonzero(pool.selected).tolist()
    start, order, shares = variance(chosen), [], []
    while len(chosen) < len(pool):
        left = [row for row in range(len(pool)) if row not in chosen]
        came, gains = [], {}
        for _ in range(min(2 * size, len(left))):
            after = {row: variance(chosen + came + [row]) for row in left if row not in came}
            best = min(after, key=after.get)
            gains[best] = variance(chosen + came) - after[best]
            came.append(best)
        while len(came) > size:
            after = {row: variance(chosen + [other for other in came if other != row]) for row in came}
            came.remove(min(after, key=after.get))
        chosen += came
        order += came
        shares += [gains[row] / start for row in came]
    return order, shares


@pytest.mark.parametrize("multilabel", [False, True])
@pytest.mark.parametrize("size", [1, 3, 7])
def test_it_is_the_plain_forward_and_backward_pass(multilabel, size):
    pool = a_pool(multilabel=multilabel)
    order, shares = plain(pool, size, 0.5)
    found = BAIT(cycle_size=size, ridge=0.5).query(pool, batch_size=25)
    assert found.indices.tolist() == order
    np.testing.assert_allclose(found.utilities, np.minimum.accumulate(shares), rtol=1e-4)


def test_two_classes_and_no_labels():
    pool = a_pool(classes=2, taken=0)
    assert BAIT(cycle_size=4).query(pool, batch_size=30).indices.tolist() == plain(pool, 4, 1.0)[0]


def test_where_the_matrix_would_be_too_large_it_is_one_block_per_class(monkeypatch):
    monkeypatch.setattr(fisher, "_LARGEST_WHOLE", 7)
    pool = a_pool()  # 2 x 4 weights
    order = BAIT(cycle_size=3).query(pool, batch_size=25).indices.tolist()
    assert order == plain(pool, 3, 1.0, blocks=True)[0] != plain(pool, 3, 1.0)[0]


def test_where_blocks_would_be_too_large_only_the_largest_components_count(monkeypatch):
    monkeypatch.setattr(fisher, "_LARGEST_BLOCKS", 3 * 2**2)
    pool = a_pool(multilabel=True)
    z = (pool.embeddings - pool.embeddings.mean(axis=0)) / pool.embeddings.std(axis=0)
    assert fisher.Factors(pool, pool.probabilities, np.arange(30)).length == 2
    # Two of four dimensions are copies of the others, so that two components are everything.
    x = np.repeat(pool.embeddings[:, :2], 2, axis=1)
    twice = Pool(pool.ids, x, probabilities=pool.probabilities, multilabel=True, selected=pool.selected)
    assert z.shape == (30, 4)
    assert BAIT(cycle_size=3).query(twice, batch_size=25).indices.tolist() == plain(twice, 3, 1.0)[0]


def test_samples_stand_for_the_pool():
    pool = a_pool(n=400, taken=20)
    whole = BAIT(candidate_size=400, reference_size=400).query(pool, batch_size=20)
    some = BAIT(candidate_size=200, reference_size=200).query(pool, batch_size=20)
    known = information(pool)

    def variance(rows):
        return np.trace(np.linalg.inv(np.eye(12) + known[[*range(20), *rows]].sum(axis=0)) @ known.mean(axis=0))

    drawn = np.median([variance(20 + np.random.default_rng(seed).permutation(380)[:20]) for seed in range(20)])
    assert variance(whole.indices) < variance(some.indices) < drawn


def test_what_the_model_is_sure_of_comes_last():
    pool = a_pool(n=20, taken=0)
    p = pool.probabilities.copy()
    p[5:] = [1.0, 0.0, 0.0]
    found = BAIT(cycle_size=2).query(Pool(pool.ids, pool.embeddings, probabilities=p), batch_size=20)
    assert sorted(found.indices[:5].tolist()) == list(range(5)) and (found.utilities[:5] > 0).all()
    assert found.reasons[5:] == ("nothing new is left: uniformly drawn",) * 15


def test_one_class_teaches_nothing():
    pool = Pool([1, 2], np.eye(2), probabilities=[[1.0], [1.0]])
    assert set(BAIT().query(pool, batch_size=2).reasons) == {"nothing new is left: uniformly drawn"}


def test_it_needs_a_model():
    with pytest.raises(InvalidPoolError, match="BAIT ranks rows by what a model predicts"):
        BAIT().query(Pool([1, 2], np.eye(2)), batch_size=1)


@pytest.mark.parametrize("settings", [{"ridge": 0.0}, {"ridge": "1"}, {"cycle_size": 0}, {"candidate_size": True}])
def test_settings_out_of_range_are_refused_by_name(settings):
    ((name, value),) = settings.items()
    with pytest.raises(InvalidParameterError, match=f"{name}={value!r}"):
        BAIT(**settings).query(a_pool(), batch_size=1)
