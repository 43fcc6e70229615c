"""The lazy greedy over a sample: the plain one's order and gains, whatever the pool, the kernel and the weights."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poolselect import InvalidParameterError, Pool
from poolselect.herding import Ball, Directions, Gaussian, Herd, Sample, check_positive, check_size


def plain(pool, rows, kernel, weights):
    """Every gain anew at every pick, in float64, from the definition; a tie goes to the lowest row."""
    x = pool.embeddings.astype(np.float64)
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    unit = np.divide(x, lengths, out=np.zeros_like(x), where=lengths > 0)
    squares = ((unit[:, None] - unit[None, rows]) ** 2).sum(axis=2)
    similar = (
        np.exp(-squares / kernel.radius**2) if isinstance(kernel, Gaussian) else 1.0 * (squares <= kernel.radius**2)
    )
    reached = similar[pool.selected].max(axis=0, initial=0.0)
    free = np.flatnonzero(pool.candidates)
    while free.size:
        gains = np.maximum(similar[free] - reached, 0.0) @ weights / weights.sum()
        best = gains.max()
        if best <= 1e-12:
            return
        row = int(free[gains >= best - 1e-9 * best][0])
        yield row, gains[free == row].item()
        reached = np.maximum(reached, similar[row])
        free = free[free != row]


def a_pool(seed, n, grid):
    """A pool some of whose rows are selected, some neither; on a grid there are copies, ties and zero vectors."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-1, 2, size=(n, 3)) if grid else rng.standard_normal((n, 5))
    fate = rng.choice(["candidate", "selected", "neither"], size=n, p=[0.7, 0.2, 0.1])
    return Pool(np.arange(n), x.astype(np.float32), candidates=fate == "candidate", selected=fate == "selected")


@given(
    seed=st.integers(0, 2**32),
    n=st.integers(1, 120),
    size=st.integers(1, 150),
    grid=st.booleans(),
    kernel=st.sampled_from([Gaussian(1.0), Gaussian(0.3), Ball(0.9), Ball(0.2)]),
    doubt=st.sampled_from(["none", "some", "much"]),
)
@settings(max_examples=60, deadline=None)
def test_the_lazy_greedy_is_the_plain_one(seed, n, size, grid, kernel, doubt):
    pool = a_pool(seed, n, grid)
    sample = Sample(pool, size, np.random.default_rng(seed))
    weights = np.ones(sample.rows.size)
    if doubt != "none" and isinstance(kernel, Gaussian):
        weights = np.random.default_rng(seed + 1).random(sample.rows.size)
        weights[weights < 0.5 * (doubt == "some")] = 0.0
        weights[0] = 0.7
    found = list(Herd(pool, sample, kernel, weights=weights))
    expected = list(plain(pool, sample.rows, kernel, weights))
    assert [row for row, _ in found] == [row for row, _ in expected]
    np.testing.assert_allclose([gain for _, gain in found], [gain for _, gain in expected], rtol=1e-9, atol=1e-14)
    assert (np.diff([gain for _, gain in found]) <= 1e-12).all()


def test_the_same_where_bounds_are_brought_up_to_date_many_times():
    rng = np.random.default_rng(3)
    groups = rng.standard_normal((40, 32))[rng.integers(40, size=3000)]
    pool = Pool(np.arange(3000), (groups + 0.5 * rng.standard_normal((3000, 32))).astype(np.float32))
    sample = Sample(pool, 200, rng)
    found = [row for row, _ in Herd(pool, sample, Gaussian(1.0))][:60]
    # Slices, because the plain one keeps all differences.
    unit = pool.embeddings / np.linalg.norm(pool.embeddings.astype(np.float64), axis=1, keepdims=True)
    similar = np.exp(2 * unit @ unit[sample.rows].T - 2)
    reached = np.zeros(200)
    for row in found:
        gains = np.maximum(similar - reached, 0).mean(axis=1)
        assert gains[row] >= gains.max() * (1 - 1e-9)
        reached = np.maximum(reached, similar[row])


def test_few_gains_are_computed(monkeypatch):
    rng = np.random.default_rng(0)
    groups = rng.standard_normal((50, 32))[rng.integers(50, size=4000)]
    pool = Pool(np.arange(4000), (groups + 0.5 * rng.standard_normal((4000, 32))).astype(np.float32))
    exact = 0
    gains = Herd._gains

    def counted(self, places):
        nonlocal exact
        exact += places.size
        return gains(self, places)

    monkeypatch.setattr(Herd, "_gains", counted)
    herd = iter(Herd(pool, Sample(pool, 500, rng), Gaussian(1.0)))
    assert len([next(herd) for _ in range(50)]) == 50
    assert exact < 50 * 20  # a plain greedy computes 200,000


def test_a_sample_is_drawn_from_all_rows_and_is_all_rows_when_it_can_be():
    pool = a_pool(0, 50, grid=False)
    assert Sample(pool, 50, np.random.default_rng(0)).rows.tolist() == list(range(50))
    few = [Sample(pool, 10, np.random.default_rng(seed)).rows for seed in range(60)]
    assert all(rows.size == 10 and (np.diff(rows) > 0).all() for rows in few)
    assert np.unique(np.concatenate(few)).size == 50


def test_distances_within_a_sample():
    angles = np.deg2rad([0, 0, 30, 90])
    pool = Pool(np.arange(4), np.column_stack([np.cos(angles), np.sin(angles)]).astype(np.float32))
    sample = Sample(pool, 4, np.random.default_rng(0))
    chord = 2 * np.sin(np.deg2rad([30, 30, 30, 60]) / 2)
    np.testing.assert_allclose(sample.nearest(), chord, rtol=1e-5)
    assert sample.spacing() == pytest.approx(chord[0], rel=1e-5)
    # To another group: 0 to 30, its copy as well; 30 to 0; 90 to 0.
    far = 2 * np.sin(np.deg2rad([30, 30, 30, 90]) / 2)
    np.testing.assert_allclose(sample.nearest(np.array([0, 0, 1, 1])), far, rtol=1e-5)
    same = Pool(np.arange(3), np.ones((3, 2), dtype=np.float32))
    assert Sample(same, 3, np.random.default_rng(0)).spacing() == 1.0


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e18])
def test_directions_do_not_depend_on_length_and_a_zero_vector_stays_one(scale):
    x = (scale * np.array([[3.0, 4.0], [0.0, 0.0], [0.0, 2.0]])).astype(np.float32)
    directions = Directions(x)
    unit = directions.of(np.arange(3))
    np.testing.assert_allclose(unit, [[0.6, 0.8], [0, 0], [0, 1]], atol=1e-6)
    squares = directions.squares(np.arange(3), unit)
    np.testing.assert_allclose(squares, [[0, 1, 0.4], [1, 0, 1], [0.4, 1, 0]], atol=1e-6)
    rough = directions.rough_squares(
        np.arange(3), (-2 * unit).astype(np.float32), (unit**2).sum(axis=1).astype(np.float32)
    )
    np.testing.assert_allclose(rough, squares, atol=directions.noise)


@pytest.mark.parametrize("value", [0, -1, True, 1.5, "3", None])
def test_sizes_that_are_none(value):
    with pytest.raises(InvalidParameterError, match=f"reference_size={value!r}"):
        check_size("reference_size", value)


@pytest.mark.parametrize("value", [0.0, -1, True, float("inf"), float("nan"), "1", None])
def test_numbers_that_are_not_positive(value):
    with pytest.raises(InvalidParameterError, match="radius="):
        check_positive("radius", value)
