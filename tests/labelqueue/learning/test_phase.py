"""When a queue leaves the cold start, and when it goes back."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelqueue.learning.phase import Course, advance, balancing_factor, waits_for
from labelqueue.learning.trust import Trust

NAMES = ("cat", "dog")
COLD = Course(classes=NAMES)
GOOD = {
    "values": ["cat", "dog"] * 10,
    "classes": NAMES,
    "multi": False,
    "pool": 500,
    "new_tasks": 0,
    "trust": Trust(0.42, 0.71, 20),
    "switch_after": 20,
    "has_model": True,
}
LEAVES = {**GOOD, "new_tasks": 101}
NOT_QUIET = "and not yet 20 labels in a row came without a new class"


def waits(**change) -> list[str]:
    facts = {**GOOD, **change}
    del facts["new_tasks"]
    return waits_for(facts.pop("course", COLD), **facts)


def test_the_cold_start_ends_when_every_condition_holds():
    warm = advance(COLD, **GOOD)
    assert warm.phase == "warm"
    assert warm.since_labels == 20
    assert warm.reason == "20 labels, every class seen twice, trust 0.42"
    assert waits() == []


@pytest.mark.parametrize(
    ("change", "clause"),
    [
        ({"values": ["cat", "dog"] * 9 + ["cat"]}, "19 labels of 20"),
        ({"switch_after": 50}, "20 labels of 50"),
        ({"pool": 10_001}, "20 labels of 101"),
        ({"pool": 10**6}, "20 labels of 200"),
        ({"values": [f"k{i}" for i in range(12)] * 2, "classes": [f"k{i}" for i in range(12)]}, ""),
        ({"values": ["cat"] * 19 + ["dog"]}, f"'dog' was seen once, {NOT_QUIET}"),
        ({"values": ["cat"] * 20}, f"'dog' was never seen, {NOT_QUIET}"),
        ({"trust": Trust(0.1, 0.55, 20)}, "trust 0.10 must be above 0.10"),
        ({"has_model": False}, "no model yet: labels of one class teach none"),
    ],
)
def test_the_cold_start_waits_and_says_for_what(change, clause):
    assert waits(**change) == ([clause] if clause else [])
    assert advance(COLD, **{**GOOD, **change}).phase == ("cold" if clause else "warm")


def test_twice_as_many_labels_as_classes_seen_are_needed():
    names = [f"k{i}" for i in range(30)]
    assert waits(classes=names, values=names + names[:20]) == ["50 labels of 60"]
    assert waits(classes=names, values=names[:20] * 2 + names[20:]) == [
        "50 labels of 60",
        f"'k20' was seen once (and 9 more classes less than twice), {NOT_QUIET}",
    ]


def test_a_class_nobody_finds_does_not_hold_the_queue_up():
    values = ["cat", "cat", "dog"] + ["cat"] * 20
    warm = advance(COLD, **{**GOOD, "values": values})
    assert warm.reason == "23 labels, no new class in the last 20 labels, trust 0.42"


def test_of_several_labels_those_present_are_seen():
    several = {"multi": True, "values": [("cat",), ("cat", "dog")] + [()] * 18}
    assert waits(**several) == [f"'dog' was seen once, {NOT_QUIET}"]
    assert waits(multi=True, values=[("cat", "dog")] * 2 + [()] * 18) == []


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
        {"trust": Trust(-0.3, 0.35, 20)},
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
    assert advance(again, **{**GOOD, "values": ["cat", "dog"] * 20}).reason.startswith("20 labels, ")


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
    st.floats(-1, 1),
    st.booleans(),
)
def test_the_same_facts_a_second_time_move_nothing(phase, values, since, before, classes, new, value, has_model):
    course = Course(phase=phase, since_labels=since, classes=before)
    facts = {**GOOD, "values": values, "classes": classes, "has_model": has_model, "trust": Trust(value, 0.5, 20)}
    once = advance(course, **{**facts, "new_tasks": new})
    # Tasks are new since the phase began: none when it has just begun.
    assert advance(once, **{**facts, "new_tasks": new if once.phase == phase else 0}) == once
    assert Course.load(json.loads(json.dumps(once.dump()))) == once


@given(st.floats(-1, 1), st.floats(1, 1e4))
def test_the_balancing_factor_opens_from_one_slot_to_the_pool(value, cycles):
    factor = balancing_factor(value, cycles)
    assert 1 <= factor <= cycles
    assert factor <= balancing_factor(min(value + 0.1, 1), cycles)


def test_the_balancing_factor_of_known_trust():
    assert balancing_factor(-0.5, 20) == 1
    assert balancing_factor(0.35, 21) == pytest.approx(11)
    assert balancing_factor(0.7, 20) == balancing_factor(1, 20) == 20
    assert balancing_factor(0.5, 0.3) == 1
