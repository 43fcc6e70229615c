"""How many tasks are published, and when few of them are left."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelqueue.labels.annotations import ANNOTATED, SKIPPED, UNLABELED
from labelqueue.ordering.order import Order, Place
from labelqueue.ordering.order_size import FASTEST, MOST, OrderSize, head_size, open_places, order_size, runs_low
from labelqueue.ordering.snapshot import Tasks


@given(st.integers(10, 5000), st.integers(0, 10_000))
def test_a_fixed_head_is_always_larger_than_the_threshold_of_its_refill(horizon, annotators):
    size = order_size(horizon, annotators=annotators, pace=10**6, cycle=10**6)
    assert size.full >= size.low + horizon // 2
    assert order_size(horizon, annotators=0).full == 3 * horizon


def test_many_annotators_raise_the_threshold_of_a_fixed_head():
    assert order_size(100, annotators=0).low == 220
    assert order_size(100, annotators=30).low == 260


def test_the_head_is_what_is_not_the_spare_tail():
    assert head_size(30, 10, annotators=9) == 10 and head_size(4, 10, annotators=9) == 4
    low = order_size(None, annotators=2, pace=60).low
    assert head_size(low + 5, None, annotators=2, pace=60) == 5 and head_size(low - 1, None, annotators=2, pace=60) == 0


people, paces, cycles = st.integers(0, 10_000), st.integers(0, 10**7), st.integers(0, 10**6)


class TestAuto:
    @given(people, paces, cycles)
    def test_is_what_is_needed_within_bounds(self, annotators, pace, cycle):
        size = order_size(None, annotators=annotators, pace=pace, cycle=cycle)
        assert 0 < size.low < size.full <= MOST
        assert size.full >= min(size.low + cycle, MOST), "a cycle ends before a refill is due"
        possible = min(pace, FASTEST * max(annotators, 1))
        assert size.low >= min(2 * annotators + possible / 6, MOST // 2), "ten minutes without us"

    @given(people, paces, cycles, st.integers(0, 100), st.integers(0, 1000), st.integers(0, 100))
    def test_grows_with_each_need(self, annotators, pace, cycle, more_people, more_pace, more_cycle):
        one = order_size(None, annotators=annotators, pace=pace, cycle=cycle)
        two = order_size(
            None, annotators=annotators + more_people, pace=pace + more_pace, cycle=cycle + more_cycle
        )  # fmt: skip
        assert two.full >= one.full and two.low >= one.low

    @pytest.mark.parametrize(
        ("annotators", "pace", "cycle", "full", "low"),
        [
            (0, 0, 10, 60, 40),  # nobody yet
            (1, 200, 10, 60, 40),
            (3, 900, 10, 176, 156),
            (5, 1500, 100, 360, 260),
            (1, 50_000, 10, 622, 602),  # labels that were imported
            (10_000, 10**6, 10_000, MOST, MOST // 2),
        ],
    )
    def test_of_some_projects(self, annotators, pace, cycle, full, low):
        assert order_size(None, annotators=annotators, pace=pace, cycle=cycle) == OrderSize(full, low)


def order(*tasks):
    return Order(1, "r1 FreeSel", places=tuple(Place(task, "why") for task in tasks))


def test_places_of_labeled_skipped_and_deleted_tasks_are_served_no_more():
    tasks = Tasks.of({1: UNLABELED, 2: ANNOTATED, 3: SKIPPED, 5: UNLABELED})
    assert [place.task for place in open_places(order(5, 4, 3, 2, 1), tasks)] == [5, 1]
    assert open_places(None, tasks) == [] == open_places(order(1), Tasks.of({}))


def test_an_order_runs_low_only_while_there_is_something_to_refill_it_with():
    many = dict.fromkeys(range(1, 41), UNLABELED)
    low, enough = order(*range(1, 22)), order(*range(1, 23))
    assert runs_low(low, Tasks.of(many), 22)
    assert not runs_low(enough, Tasks.of(many), 22)
    assert runs_low(enough, Tasks.of(many), 24)
    assert not runs_low(None, Tasks.of(many), 22)
    rest = dict.fromkeys(range(22, 41), ANNOTATED)
    assert not runs_low(low, Tasks.of(many | rest), 22)
    assert runs_low(low, Tasks.of(many | rest | {30: SKIPPED}), 22)
