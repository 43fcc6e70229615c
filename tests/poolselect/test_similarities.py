"""Remembered similarities: bounds that are never too low, hardly too high, and exact where similarities are 0 or 1."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolselect import Pool, similarities
from poolselect.herding import Ball, Gaussian, Herd, Sample
from poolselect.similarities import Similarities


@given(st.integers(0, 2**32), st.sampled_from([1.0, 1e-3, 1e-7]))
def test_bounds_are_never_too_low_and_hardly_too_high(seed, scale):
    rng = np.random.default_rng(seed)
    similar = (scale * rng.random((20, 50))).astype(np.float32)
    similar[rng.random(similar.shape) < 0.1] = 0.0
    similar[0] = 1.007  # what rounding may make of 1
    reached, weights = (rng.random(50).astype(np.float32) * scale, rng.random(50).astype(np.float32))
    kept = Similarities(30, 50, exact=False)
    places = rng.permutation(30)[:20]
    kept.keep(places, similar)
    assert kept.known(np.arange(30)).tolist() == np.isin(np.arange(30), places).tolist()
    found = kept.gains(places[::-1], reached, weights)[::-1]
    true = np.maximum(similar.astype(np.float64) - reached, 0.0) @ weights
    assert (found >= true * (1 - 1e-5)).all()
    # Two steps of rounding for each row of the sample: the similarity up, what is reached down.
    assert (found <= true * (1 + 1e-5) + 2 / 65000 * weights.sum()).all()


def test_zeros_and_ones_stay_exact():
    rng = np.random.default_rng(0)
    similar = rng.integers(2, size=(20, 50)).astype(np.float32)
    reached = rng.integers(2, size=50).astype(np.float32)
    kept = Similarities(20, 50, exact=True)
    kept.keep(np.arange(20), similar)
    found = kept.gains(np.arange(20), reached, np.ones(50, dtype=np.float32))
    assert found.tolist() == np.maximum(similar - reached, 0).sum(axis=1).tolist()


def test_room_is_bounded_and_what_comes_later_is_not_remembered(monkeypatch):
    monkeypatch.setattr(similarities, "_MOST", 95)
    kept = Similarities(20, 10, exact=False)
    assert not kept.holds_all
    for start in (0, 6, 12):
        kept.keep(np.arange(start, start + 6), np.full((6, 10), 0.5, dtype=np.float32))
    assert kept.known(np.arange(20)).tolist() == [True] * 9 + [False] * 11
    assert not Similarities(0, 10, exact=False).holds_all


def herded(kernel, *, picks=80, selected=0):
    rng = np.random.default_rng(0)
    groups = rng.standard_normal((50, 32))[rng.integers(50, size=4000)]
    x = (groups + 0.5 * rng.standard_normal((4000, 32))).astype(np.float32)
    pool = Pool(np.arange(4000), x, selected=np.arange(4000) < selected)
    herd = Herd(pool, Sample(pool, 500, rng), kernel)
    order = [move for move, _ in zip(herd, range(picks), strict=False)]
    return [row for row, _ in order], [gain for _, gain in order], herd.products


@pytest.mark.parametrize("kernel", [Gaussian(1.0), Gaussian(0.4), Ball(0.9)])
@pytest.mark.parametrize("room", [0, 1000 * 500])
def test_orders_do_not_depend_on_what_is_remembered(monkeypatch, kernel, room):
    rows, gains, products = herded(kernel)
    with monkeypatch.context() as patched:
        patched.setattr(similarities, "_MOST", room)
        the_same, equal, more = herded(kernel)
    assert (rows, gains) == (the_same, equal)
    assert products < more


def test_each_similarity_is_multiplied_once(monkeypatch):
    every, exact = 4000 * 500, 80 * (8 + 2) * 500
    *_, products = herded(Gaussian(1.0))
    assert every <= products <= every + exact
    monkeypatch.setattr(similarities, "_MOST", 0)
    *_, before = herded(Gaussian(1.0))
    assert before > 2.5 * every


def test_with_labels_nothing_is_remembered(monkeypatch):
    rows, gains, products = herded(Gaussian(1.0), selected=40)
    monkeypatch.setattr(similarities, "_MOST", 0)
    assert herded(Gaussian(1.0), selected=40) == (rows, gains, products)
