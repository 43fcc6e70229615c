"""What a look costs to decide follows what changed: counted in steps and rows, whatever the machine's speed."""

import importlib.util
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from labelqueue.learning.predictions import StoredPredictions
from labelqueue.ordering import pinning
from labelqueue.ordering.decision import decide

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "deciding.py"
spec = importlib.util.spec_from_file_location("deciding_benchmark", BENCHMARK)
assert spec and spec.loader
deciding = importlib.util.module_from_spec(spec)
spec.loader.exec_module(deciding)

PARTS = {"labels": 600, "places": 300, "guesses": 100, "controls": 20, "out": 40, "pins": 10}


@contextmanager
def counted():
    """Count the lines of this project that run, those of comprehensions for each item."""
    found, before = [0], sys.gettrace()

    def trace(frame, event, argument):
        if "labelqueue" not in frame.f_code.co_filename:
            return None
        found[0] += event == "line"
        return trace

    sys.settrace(trace)
    try:
        yield found
    finally:
        sys.settrace(before)


def steps(snapshot):
    """The lines that deciding takes, and what people are told."""
    with counted() as found:
        decision = decide(snapshot)
        decision.summarize()
    assert (decision.due.action, decision.order, decision.arranged) == ("none", None, None)
    return found[0]


def after(snapshot, count):
    """The snapshot after so many of the next tasks got a label."""
    for _ in range(count):
        snapshot = deciding.labeled(snapshot)
    return snapshot


@pytest.mark.parametrize("new", [0, 1])
def test_a_look_takes_as_many_steps_in_a_project_of_any_size(new):
    small, large = (after(deciding.scene(n, **PARTS), new) for n in (2_000, 40_000))
    assert steps(large) == pytest.approx(steps(small), rel=0.05), "other tasks are drawn"


def test_labels_that_come_together_cost_what_they_cost_one_by_one():
    snapshot = deciding.scene(5_000, **PARTS | {"labels": 4_000, "guesses": 1_000})
    none, some, many = (steps(after(snapshot, count)) for count in (0, 40, 80))
    assert many - some < 1.3 * (some - none)


@pytest.mark.parametrize("part", ["labels", "places", "guesses", "out"])
def test_twice_as_much_of_anything_costs_no_more_than_twice(part):
    small, large = (deciding.scene(9_000, **PARTS | {part: count}) for count in (300, 600))
    assert steps(large) < 2.1 * steps(small)


def test_only_what_is_said_of_new_labels_is_read():
    """Of a skipped control too: people are told how many there are of which the model had something to say."""
    snapshot, read = deciding.scene(2_000, **PARTS), []
    known = snapshot.state.predictions

    def rows(tasks):
        read.append(tasks)
        return known

    def stored(seen):
        return replace(seen, state=replace(seen.state, predictions=StoredPredictions(len(known), rows)))

    steps(stored(snapshot))
    assert read == []
    one = after(snapshot, 1)
    decision = decide(stored(one))
    assert read == [[task] for task in one.labels.by_task if task not in snapshot.labels.by_task]
    assert decision.state.guesses == decide(one).state.guesses != snapshot.state.guesses
    read.clear()
    (skipped, *_) = snapshot.state.controls
    states = snapshot.tasks.states.copy()
    states[snapshot.tasks.ids == skipped] = ord("s")
    seen = replace(snapshot, tasks=replace(snapshot.tasks, states=states))
    told = decide(stored(seen)).summarize()
    assert read == [[skipped]] and told == decide(seen).summarize() and told["accuracy"]["skipped"] == 1


def test_where_nothing_moves_no_score_is_worked_out(monkeypatch):
    snapshot = deciding.scene(2_000, **PARTS)
    assert snapshot.live.overlay.scores, "pinned tasks stand in front"
    monkeypatch.setattr(pinning, "_longest", None)
    for seen in (snapshot, after(snapshot, 3)):
        assert decide(seen).arranged is None
