"""The slots of Eq. 6, the rolling window, and widening: properties for every N, C, c, beta, K."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from poolselect import InvalidParameterError, rolling_cycles, rolling_subpool, search_balancing_factor, subpool
from poolselect.subpool import widen

sizes = st.integers(0, 3000)
cycle_counts = st.integers(1, 60)
factors = st.floats(0.05, 80.0)


class TestSlots:
    @given(n=sizes, cycles=cycle_counts, cycle=st.integers(0, 200), beta=factors)
    def test_lie_within_the_pool_and_start_over(self, n, cycles, cycle, beta):
        start, stop = subpool(n, cycles, cycle, beta)
        assert 0 <= start <= stop <= n
        assert subpool(n, cycles, cycle + cycles, beta) == (start, stop)

    # Beyond 3 the first slot, whole though it starts at the end, reaches farther than the second.
    @given(n=sizes, cycles=cycle_counts, beta=st.floats(0.05, 3.0))
    def test_move_towards_the_clear_end(self, n, cycles, beta):
        slots = [subpool(n, cycles, cycle, beta) for cycle in range(cycles)]
        assert slots == sorted(slots) and [stop for _, stop in slots] == sorted(stop for _, stop in slots)

    @given(n=sizes, cycles=cycle_counts, beta=st.floats(1.0, 80.0))
    def test_cover_the_pool_if_beta_is_at_least_one(self, n, cycles, beta):
        covered = np.zeros(n, dtype=bool)
        for cycle in range(cycles):
            covered[slice(*subpool(n, cycles, cycle, beta))] = True
        assert covered.all()

    @given(n=sizes, cycles=cycle_counts)
    def test_tile_the_pool_if_beta_is_one(self, n, cycles):
        slots = [subpool(n, cycles, cycle, 1.0) for cycle in range(cycles)]
        assert slots == [(-(-c * n // cycles), -(-(c + 1) * n // cycles)) for c in range(cycles)]

    @given(n=sizes, cycles=st.integers(4, 60), place=st.integers(1, 57), beta=factors)
    def test_neighbors_overlap_or_leave_a_gap_as_they_should(self, n, cycles, place, beta):
        assume(place + 1 < cycles - 1)
        (start, stop), (next_start, next_stop) = (subpool(n, cycles, c, beta) for c in (place, place + 1))
        # Only where the end of the pool cuts nothing off.
        assume(start > 0 and next_stop < n)
        assert stop - next_start == pytest.approx((beta - 1) * n / cycles, abs=1 + 1e-4 * n)

    @given(n=sizes, cycles=cycle_counts, cycle=st.integers(0, 59), beta=factors)
    def test_are_as_wide_as_eq_7_says_unless_an_end_cuts_them(self, n, cycles, cycle, beta):
        start, stop = subpool(n, cycles, cycle, beta)
        width = beta * n / cycles
        assert stop - start <= width + 1 + 1e-4 * n
        if start > 0 and stop < n:
            assert stop - start >= width - 1 - 1e-4 * n

    def test_the_ends_are_whole_slots(self):
        # A = 10, beta = 1.6: the first and last are 16 wide though their centers are 5 from the end.
        assert [subpool(50, 5, cycle, 1.6) for cycle in range(5)] == [(0, 16), (7, 23), (17, 33), (27, 43), (34, 50)]

    def test_decimal_factors_mean_what_they_say(self):
        # A = 10: (c + 1/2) A - beta A / 2 = 9 and 21 exactly; as binary fractions they would round to 10 and 21.
        assert subpool(100, 10, 1, 1.2) == (9, 21)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ((-1, 4, 0, 1.0), "n=-1"),
            ((9, 0, 0, 1.0), "cycles=0"),
            ((9, math.inf, 0, 1.0), "cycles=inf"),
            ((9, 4, -1, 1.0), "cycle=-1"),
            ((9, 4, 1.5, 1.0), r"cycle=1\.5"),
            ((9, 4, 0, 0.0), r"balancing_factor=0\.0"),
            ((9, 4, 0, math.nan), "balancing_factor=nan"),
            ((9, 4, 0, "1"), "balancing_factor='1'"),
        ],
    )
    def test_impossible_numbers_are_refused_by_name(self, arguments, message):
        for window in (subpool, rolling_subpool):
            with pytest.raises(InvalidParameterError, match=message):
                window(*arguments)


class TestRolling:
    @given(n=sizes, cycles=st.floats(1, 200), cycle=st.integers(0, 500), beta=factors)
    def test_is_equally_wide_everywhere_and_within_the_pool(self, n, cycles, cycle, beta):
        start, stop = rolling_subpool(n, cycles, cycle, beta)
        assert 0 <= start <= stop <= n
        assert abs((stop - start) - min(beta / cycles, 1.0) * n) < 1 + 1e-4 * n

    @given(n=sizes, cycles=st.floats(1, 200), cycle=st.integers(0, 500), more=st.floats(1.0, 5.0))
    def test_is_the_whole_pool_from_beta_equal_to_the_cycles_on(self, n, cycles, cycle, more):
        assert rolling_subpool(n, cycles, cycle, cycles * more * 1.001) == (0, n)

    @given(n=sizes, cycles=cycle_counts)
    def test_tiles_the_pool_like_eq_11_with_whole_cycles(self, n, cycles):
        for cycle in range(2 * cycles):
            assert rolling_subpool(n, cycles, cycle, 1.0) == subpool(n, cycles, cycle, 1.0)

    def test_a_window_at_the_end_is_shifted_not_clipped(self):
        assert [rolling_subpool(100, 10, cycle, 3.0) for cycle in (0, 1, 2, 8, 9, 10)] == [
            (0, 30), (0, 30), (10, 40), (70, 100), (70, 100), (0, 30),
        ]  # fmt: skip

    def test_the_horizon(self):
        # 20 cycles, or as many as a tenth of the pool fills.
        assert [rolling_cycles(n, 10) for n in (0, 1999, 2000, 2500)] == [20, 20, 20, 25]
        assert rolling_cycles(100_000, 250) == 40


class TestWidening:
    @given(
        free=st.lists(st.booleans(), max_size=60),
        edges=st.tuples(st.integers(0, 60), st.integers(0, 60)),
        wanted=st.integers(0, 80),
    )
    def test_holds_enough_and_no_narrower_window_does(self, free, edges, wanted):
        mask = np.array(free, dtype=bool)
        start, stop = sorted(min(edge, mask.size) for edge in edges)
        left, right = widen(mask, start, stop, wanted)
        assert 0 <= left <= start <= stop <= right <= mask.size
        enough = min(wanted, int(mask.sum()))
        assert mask[left:right].sum() >= enough
        # Equally on both sides, but for an end.
        margin = max(start - left, right - stop)
        assert left == max(start - margin, 0) and right == min(stop + margin, mask.size)
        if margin:
            assert mask[max(start - margin + 1, 0) : stop + margin - 1].sum() < enough

    @given(
        n=st.integers(1, 300), cycles=cycle_counts, cycle=st.integers(0, 99), beta=factors, wanted=st.integers(1, 40)
    )
    def test_gives_every_window_its_k(self, n, cycles, cycle, beta, wanted):
        free = np.random.default_rng(n * cycle).random(n) < 0.5
        for window in (subpool, rolling_subpool):
            start, stop = widen(free, *window(n, cycles, cycle, beta), wanted)
            assert free[start:stop].sum() >= min(wanted, free.sum())


class TestSearch:
    def test_takes_the_best_and_the_smallest_of_a_tie(self):
        accuracy = {0.5: 0.6, 1.0: 0.8, 1.5: 0.8, 2.0: 0.7}
        assert search_balancing_factor([2.0, 1.5, 0.5, 1.0], accuracy.__getitem__) == 1.0

    def test_asks_once_per_factor_because_asking_costs_labels(self):
        asked = []
        search_balancing_factor([1.0, 2.0], lambda beta: asked.append(beta) or 0.5)
        assert sorted(asked) == [1.0, 2.0]

    def test_needs_a_choice(self):
        with pytest.raises(InvalidParameterError, match="factors are empty"):
            search_balancing_factor([], lambda beta: 0.0)
