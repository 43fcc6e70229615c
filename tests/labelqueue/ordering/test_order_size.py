"""How many tasks are published, and when few of them are left."""

from hypothesis import given
from hypothesis import strategies as st

from labelqueue.labels.annotations import ANNOTATED, SKIPPED, UNLABELED
from labelqueue.ordering.order import Order, Place
from labelqueue.ordering.order_size import open_places, refill_threshold, runs_low, size_of
from labelqueue.ordering.snapshot import Tasks


@given(st.integers(10, 5000), st.integers(0, 10_000))
def test_an_order_is_always_larger_than_the_threshold_of_its_refill(horizon, annotators):
    assert size_of(horizon, annotators) >= refill_threshold(horizon, annotators) + horizon // 2
    assert size_of(horizon, 0) == 3 * horizon


def test_many_annotators_raise_the_threshold():
    assert refill_threshold(100, 0) == 220
    assert refill_threshold(100, 30) == 260


def order(*tasks):
    return Order(1, "r1 FreeSel", places=tuple(Place(task, "why") for task in tasks))


def test_places_of_labeled_skipped_and_deleted_tasks_are_served_no_more():
    tasks = Tasks.of({1: UNLABELED, 2: ANNOTATED, 3: SKIPPED, 5: UNLABELED})
    assert [place.task for place in open_places(order(5, 4, 3, 2, 1), tasks)] == [5, 1]
    assert open_places(None, tasks) == [] == open_places(order(1), Tasks.of({}))


def test_an_order_runs_low_only_while_there_is_something_to_refill_it_with():
    many = dict.fromkeys(range(1, 41), UNLABELED)
    low, enough = order(*range(1, 22)), order(*range(1, 23))  # the threshold of a head of 10 is 22
    assert runs_low(low, Tasks.of(many), horizon=10, annotators=0)
    assert not runs_low(enough, Tasks.of(many), horizon=10, annotators=0)
    assert runs_low(enough, Tasks.of(many), horizon=10, annotators=2)
    assert not runs_low(None, Tasks.of(many), horizon=10, annotators=0)
    rest = dict.fromkeys(range(22, 41), ANNOTATED)
    assert not runs_low(low, Tasks.of(many | rest), horizon=10, annotators=0)
    assert runs_low(low, Tasks.of(many | rest | {30: SKIPPED}), horizon=10, annotators=0)
