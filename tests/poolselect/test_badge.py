"""BADGE: distances of gradients that are never built, and the law of the draws."""

from __future__ import annotations

import numpy as np
import pytest

from poolselect import BADGE, InvalidPoolError, Pool


def query(pool, size, seed=0):
    return BADGE(random_state=seed).query(pool, batch_size=size)


def a_pool(seed=0, n=40, classes=3, multilabel=False, **fields):
    rng = np.random.default_rng(seed)
    p = rng.random((n, classes)) if multilabel else rng.dirichlet(np.ones(classes), size=n)
    x = rng.standard_normal((n, 6)) * 4 + 10
    return Pool(np.arange(n), x, probabilities=p, multilabel=multilabel, **fields)


def gradients(pool):
    """Every gradient in full, shape (n, c d)."""
    x, p = pool.embeddings.astype(np.float64), pool.probabilities.astype(np.float64)
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    answers = p > 0.5 if pool.multilabel else np.arange(p.shape[1]) == p.argmax(axis=1)[:, None]
    return ((p - answers)[:, :, None] * z[:, None]).reshape(len(pool), -1)


@pytest.mark.parametrize("multilabel", [False, True])
@pytest.mark.parametrize("taken", [0, 7])
def test_utilities_are_distances_of_the_gradients_in_full(multilabel, taken):
    pool = a_pool(multilabel=multilabel, selected=np.arange(40) < taken)
    g, found = gradients(pool), query(pool, 40 - taken)
    chosen, expected = list(range(taken)), []
    for row in found.indices.tolist():
        apart = np.linalg.norm(g[chosen] - g[row], axis=1).min() if chosen else np.linalg.norm(g[row])
        expected.append(apart)
        chosen.append(row)
    np.testing.assert_allclose(found.utilities, np.minimum.accumulate(expected), rtol=1e-3, atol=1e-3)
    if not taken:
        assert found.indices[0] == np.linalg.norm(g, axis=1).argmax()


def test_rows_are_drawn_in_proportion_to_the_squared_distance():
    pool = a_pool(n=8)
    g = gradients(pool)
    first = int(np.linalg.norm(g, axis=1).argmax())
    squares = ((g - g[first]) ** 2).sum(axis=1)
    drawn = np.bincount([query(pool, 2, seed).indices[1] for seed in range(600)], minlength=8)
    expected = 600 * squares / squares.sum()
    assert drawn[first] == 0
    others = np.arange(8) != first
    chi_square = ((drawn - expected)[others] ** 2 / expected[others]).sum()
    assert chi_square < 22.5  # the 99.8 % quantile with 6 degrees of freedom is 20.8


def test_sure_and_equal_rows_come_last():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((20, 3)).astype(np.float32)
    p = np.tile([1.0, 0.0], (20, 1))
    p[:4] = [0.55, 0.45]
    x[3], p[3] = x[2], p[2]  # a copy
    found = query(Pool(np.arange(20), x, probabilities=p), 20)
    # Two unsure rows, one of two copies, and one that stands for all that the model is sure of.
    first = set(found.indices[:4].tolist())
    assert {0, 1} <= first and len(first & {2, 3}) == 1 and len(first - {0, 1, 2, 3}) == 1
    assert found.reasons[4:] == ("nothing new is left: uniformly drawn",) * 16
    assert sorted(found.indices.tolist()) == list(range(20))


def test_it_needs_a_model():
    with pytest.raises(InvalidPoolError, match="BADGE ranks rows by what a model predicts"):
        query(Pool([1, 2], np.eye(2)), 1)
