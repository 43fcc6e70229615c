"""What the controls report is true, also when people label tasks of their own choice: a short form of the benchmark."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelqueue.learning.accuracy import wilson
from labelqueue.learning.random_controls import served_in_turn

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "controls.py"
spec = importlib.util.spec_from_file_location("controls_benchmark", BENCHMARK)
assert spec and spec.loader
controls = importlib.util.module_from_spec(spec)
spec.loader.exec_module(controls)

people = st.integers(0, 4)


@pytest.mark.parametrize("outside", [0.0, 0.5])
def test_the_reported_accuracy_is_that_of_the_unlabeled_pool(outside):
    rows = np.array([controls.campaign(seed, outside) for seed in range(10)])
    right, number, truth = rows[:, 0].sum(), rows[:, 1].sum(), np.average(rows[:, 2], weights=rows[:, 1])
    low, high = wilson(int(right), int(number), 0.999)
    assert number > 80 and low <= truth <= high


@pytest.mark.parametrize(
    ("labeled", "annotators", "served"),
    [
        ([1, 2, 3], 1, {1, 2, 3}),
        ([3], 1, set()),
        ([3, 1, 2], 1, {1, 2}),  # somebody opened the third by hand
        ([2, 1, 3], 2, {1, 2, 3}),  # two people at work: each holds a task
        ([5, 1], 2, {1}),
        ([99, 1], 1, {1}),  # not in the order at all
        ([], 1, set()),
    ],
)
def test_a_label_comes_from_the_queue_when_it_is_its_tasks_turn(labeled, annotators, served):
    order = [1, 2, 3, 4, 5, 6]
    waiting = [task for task in order if task not in labeled]
    assert served_in_turn(order, labeled, waiting, annotators) == served


@given(st.permutations(range(12)), st.permutations(range(15)), st.integers(0, 15), st.sets(st.integers(0, 14)), people)
def test_the_turn_is_that_of_the_first_that_wait(order, tasks, count, gone, annotators):
    labeled = tasks[:count]
    waiting = [task for task in order if task not in labeled and task not in gone]
    served, left = set(), {*waiting, *labeled}
    for task in labeled:
        if task in [other for other in order if other in left][: max(annotators, 1)]:
            served.add(task)
        left.discard(task)
    assert served_in_turn(order, labeled, waiting, annotators) == served


def test_what_was_skipped_or_deleted_holds_up_no_turn():
    assert served_in_turn([1, 2, 3], [3], [], 1) == {3}
