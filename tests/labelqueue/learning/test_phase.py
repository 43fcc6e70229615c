"""When a queue leaves the cold start, and when it goes back."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelqueue.learning.phase import Course, advance, balancing_factor, waits_for

NAMES = ("cat", "dog")
COLD = Course(classes=NAMES)
GOOD = {
    "values": ["cat", "dog"] * 10,
    "classes": NAMES,
    "multi": False,
    "pool": 500,
    "new_tasks": 0,
    "switch_after": 20,
    "has_model": True,
}
LEAVES = {**GOOD, "new_tasks": 101}


def waits(**change) -> list[str]:
    facts = {**GOOD, **change}
    course, labels = facts.pop("course", COLD), len(facts["values"])
    return waits_for(course, labels=labels, **{key: facts[key] for key in ("multi", "switch_after", "has_model")})


def test_the_cold_start_ends_with_enough_labels_and_a_model():
    warm = advance(COLD, **GOOD)
    assert warm.phase == "warm"
    assert warm.since_labels == 20
    assert warm.reason == "20 labels and a model"
    assert waits() == []


@pytest.mark.parametrize(
    ("change", "clauses"),
    [
        ({"values": ["cat", "dog"] * 9 + ["cat"]}, ["19 labels of 20"]),
        ({"values": ["cat"]}, ["1 label of 20"]),
        ({"switch_after": 50}, ["20 labels of 50"]),
        ({"has_model": False}, ["no model yet: labels of one class teach none"]),
        ({"has_model": False, "multi": True, "values": [()] * 20}, ["no model yet: labels of one value teach none"]),
        ({"has_model": False, "values": []}, ["0 labels of 20", "no model yet: labels of one class teach none"]),
    ],
)
def test_the_cold_start_waits_and_says_for_what(change, clauses):
    assert waits(**change) == clauses
    assert advance(COLD, **{**GOOD, **change}).phase == "cold"


@pytest.mark.parametrize(
    "change",
    [
        {"pool": 10**6},
        {"values": ["cat"] * 19 + ["dog"]},
        {"values": ["cat"] * 20},
        {"values": [f"k{i}" for i in range(30)], "classes": [f"k{i}" for i in range(30)]},
        {"multi": True, "values": [("cat",), ("cat", "dog")] + [()] * 18},
    ],
)
def test_neither_a_large_pool_nor_classes_that_nobody_has_found_hold_the_warm_phase_up(change):
    assert advance(COLD, **{**GOOD, **change}).phase == "warm"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"classes": ("cat", "dog", "owl")}, "the label config gained 'owl'"),
        ({"classes": ("cat", "wolf"), "values": ["cat"] * 30}, "the label config gained 'wolf'"),
        ({"has_model": False}, "there is no model any more"),
        ({"new_tasks": 101}, "101 of 500 tasks are new, more than 20%"),
    ],
)
def test_what_ends_the_warm_phase(change, reason):
    warm = advance(COLD, **GOOD)
    cold = advance(warm, **{**GOOD, **change})
    assert (cold.phase, cold.reason) == ("cold", reason)
    assert cold.since_labels == len({**GOOD, **change}["values"])


@pytest.mark.parametrize(
    "change",
    [
        {"new_tasks": 100},
        {"classes": ("dog",)},
        {"classes": ("cat", "dog", "owl"), "values": ["cat", "dog", "owl"] * 10},
        {"switch_after": 500},
    ],
)
def test_what_does_not_end_the_warm_phase(change):
    warm = advance(COLD, **GOOD)
    assert advance(warm, **{**GOOD, **change}) == replace(warm, classes=tuple({**GOOD, **change}["classes"]))


def test_labels_count_from_the_beginning_of_the_cold_start():
    again = advance(advance(COLD, **GOOD), **LEAVES)
    assert waits(course=again) == ["0 labels of 20"]
    assert waits(course=again, values=["cat", "dog"] * 19 + ["cat"]) == ["19 labels of 20"]
    assert advance(again, **{**GOOD, "values": ["cat", "dog"] * 20}).reason == "20 labels and a model"


def test_a_class_gained_in_the_cold_start_begins_it_again():
    more = advance(COLD, **{**GOOD, "values": ["cat"] * 15, "classes": (*NAMES, "owl")})
    assert (more.phase, more.since_labels) == ("cold", 15)


def test_the_first_look_at_a_label_config_gains_nothing():
    assert advance(Course(), **GOOD).phase == "warm"


def test_deleted_labels_do_not_count_as_less_than_none():
    again = replace(COLD, since_labels=100)
    assert advance(again, **GOOD).since_labels == 20


@given(
    st.sampled_from(["cold", "warm"]),
    st.lists(st.sampled_from(["cat", "dog", "owl"]), max_size=60),
    st.integers(0, 80),
    st.sampled_from([(), NAMES, (*NAMES, "owl")]),
    st.sampled_from([NAMES, (*NAMES, "owl")]),
    st.integers(0, 1000),
    st.booleans(),
)
def test_the_same_facts_a_second_time_move_nothing(phase, values, since, before, classes, new, has_model):
    course = Course(phase=phase, since_labels=since, classes=before)
    facts = {**GOOD, "values": values, "classes": classes, "has_model": has_model}
    once = advance(course, **{**facts, "new_tasks": new})
    # Tasks are new since the phase began: none when it has just begun.
    assert advance(once, **{**facts, "new_tasks": new if once.phase == phase else 0}) == once
    assert Course.load(json.loads(json.dumps(once.dump()))) == once


@given(st.floats(-1, 1), st.floats(1, 1e4), st.floats(0, 1))
def test_the_balancing_factor_opens_from_one_slot_or_a_share_to_the_pool(value, cycles, least):
    factor = balancing_factor(value, cycles, least)
    assert max(1, least * cycles) <= factor * (1 + 1e-12) and factor <= cycles * (1 + 1e-12)
    assert factor <= balancing_factor(min(value + 0.1, 1), cycles, least)


def test_the_balancing_factor_of_known_trust():
    assert balancing_factor(-0.5, 20) == 1
    assert balancing_factor(0.35, 21) == pytest.approx(11)
    assert balancing_factor(0.7, 20) == balancing_factor(1, 20) == 20
    assert balancing_factor(0.5, 0.3) == 1
    assert balancing_factor(0, 20, 0.5) == 10 and balancing_factor(0.35, 20, 0.5) == pytest.approx(15)
