"""Balance: any 20 places in turn hold each value by its share, give or take two, whatever the strategy would like."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poolselect.balance import SLACK, WINDOW, Balance


@st.composite
def pools(draw):
    """Shares of 1 to 14 values: as counts of tasks, so that equal, rare and lone ones come up."""
    counts = np.array(draw(st.lists(st.sampled_from([1, 2, 3, 5, 8, 20, 50, 1000]), min_size=1, max_size=14)))
    return counts / counts.sum()


def play(shares, count, seed, *, fixed, controls=0.0, served=()):
    """Return so many values in turn, chosen by a strategy that likes some best, and which of them are controls."""
    rng, balance, alive = np.random.default_rng(seed), Balance(shares, served), np.ones(shares.size, dtype=bool)
    drawn = np.where(rng.random(count) < controls, rng.choice(shares.size, size=count, p=shares), -1)
    liking, found = rng.random(shares.size), []
    for at in range(count):
        value = int(drawn[at])
        if value < 0:
            allowed = balance.allowed(alive, drawn[at + 1 : at + 100].tolist())
            assert allowed.any()
            value = int(np.argmax(np.where(allowed, liking if fixed else rng.random(shares.size), -1)))
        balance.serve(value, alive)
        found.append(value)
    return found, drawn >= 0


def off(values, shares):
    """Return for every 20 in turn by how much the value differs most that differs most from its share."""
    sums = np.concatenate([np.zeros((1, shares.size)), np.cumsum(np.eye(shares.size)[values], axis=0)])
    return np.abs(sums[WINDOW:] - sums[:-WINDOW] - WINDOW * shares).max(axis=1)


@settings(max_examples=60, deadline=None)
@given(pools(), st.integers(0, 2**32), st.booleans())
def test_any_20_places_hold_each_value_by_its_share(shares, seed, fixed):
    values, _ = play(shares, 120, seed, fixed=fixed)
    assert off(values, shares).max() <= SLACK + 1e-9


@settings(max_examples=40, deadline=None)
@given(pools(), st.integers(0, 2**32), st.integers(1, 100))
def test_a_new_order_goes_on_where_the_places_before_stopped(shares, seed, before):
    first, _ = play(shares, before, seed, fixed=True)
    then, _ = play(shares, 60, seed + 1, fixed=True, served=first)
    assert off(first + then, shares).max() <= SLACK + 1e-9


@settings(max_examples=60, deadline=None)
@given(pools(), st.integers(0, 2**32), st.sampled_from([0.05, 0.2, 0.5]))
def test_controls_count_and_are_made_up_for(shares, seed, share):
    """A control is whatever was drawn: 20 places may be off by as many as they hold of those, and seldom are."""
    values, controls = play(shares, 120, seed, fixed=True, controls=share)
    held = np.convolve(controls, np.ones(WINDOW), mode="valid")
    assert (off(values, shares) <= SLACK + held + 1e-9).all()


def test_controls_at_the_usual_share_leave_nearly_every_20_places_within_the_bound():
    shares = np.array([0.55, 0.25, 0.12, 0.05, 0.03])
    wide = np.concatenate([off(play(shares, 300, seed, fixed=True, controls=0.05)[0], shares) for seed in range(10)])
    assert (wide <= SLACK + 1e-9).mean() > 0.97


def test_the_strategy_has_its_way_within_the_bound():
    shares = np.array([0.5, 0.5])
    values, _ = play(shares, 40, 0, fixed=True)
    assert values[0] == values[1 - 1] and {tuple(values[at : at + 2]) for at in range(0, 40, 2)} <= {(0, 1), (1, 0)}


def test_the_share_of_a_value_without_candidates_goes_to_the_others():
    shares, balance = np.array([0.5, 0.3, 0.2]), Balance(np.array([0.5, 0.3, 0.2]))
    alive, found = np.array([False, True, True]), []
    for _ in range(100):
        found.append(int(np.argmax(np.where(balance.allowed(alive), [0, 1, 2], -1))))
        balance.serve(found[-1], alive)
    assert 0 not in found and off(found, np.array([0, 0.6, 0.4])).max() <= SLACK
    assert shares[1] / shares[1:].sum() == pytest.approx(0.6)


def test_what_was_served_otherwise_weighs_on_the_next_places_only():
    shares = np.array([0.5, 0.5])
    values, _ = play(shares, 40, 0, fixed=True, served=[0] * 500)
    assert values[:10].count(1) >= 5 and off(values, shares).max() <= SLACK


def test_thousands_of_values_are_no_burden_and_none_has_three_of_20_places():
    shares = np.full(5000, 1 / 5000)
    values, _ = play(shares, 200, 0, fixed=True)
    assert max(values[at : at + WINDOW].count(values[at]) for at in range(180)) == 2
