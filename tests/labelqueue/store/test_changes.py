"""The change stream: what was written is told in the same step, from any version on, or it is said that it is not."""

from __future__ import annotations

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labelqueue.store import changes
from labelqueue.store.changes import Changes, packed, unpacked


@pytest.fixture
def stream(store):
    return Changes(store, "lq:test:changed")


def told(changed):
    return {name: ids.tolist() for name, ids in changed.fields.items()}


@given(st.lists(st.integers(0, 2**62), max_size=50))
def test_what_is_packed_comes_back_sorted(ids):
    assert unpacked(packed(map(str, ids))).tolist() == sorted(ids)


def test_a_number_of_digits_is_one_field():
    assert unpacked(b"00000012").tolist() == [12]


def test_nothing_was_written(stream):
    version = stream.begin()
    changed = stream.since(version)
    assert (changed.version, told(changed), changed.renewed) == (version, {}, set())
    assert stream.since(changed.version) is not None


def test_writes_are_told_by_part_and_each_version_goes_on_from_there(stream, store):
    version = stream.begin()
    stream.put("tasks", "lq:test:tasks", {"3": "c", "1": "a"})
    stream.drop("tasks", "lq:test:tasks", ["2", "1"])
    stream.put("labels", "lq:test:labels", {"7": "x"})
    changed = stream.since(version)
    assert told(changed) == {"tasks": [1, 2, 3], "labels": [7]}
    assert store.hgetall("lq:test:tasks") == {b"3": b"c"}
    stream.put("labels", "lq:test:labels", {"8": "x"})
    assert told(stream.since(changed.version)) == {"labels": [8]}


def test_a_part_that_was_renewed_is_not_told_field_by_field(stream, store):
    version = stream.begin()
    stream.put("tasks", "lq:test:tasks", {"1": "a"})
    assert stream.renew("tasks", "lq:test:tasks", "lq:test:beside") == 1
    stream.put("tasks", "lq:test:tasks", {"2": "a"})
    changed = stream.since(version)
    assert told(changed) == {} and changed.renewed == {"tasks"}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
@given(st.integers(0, 450), st.sampled_from([2, 7, 200]))
def test_however_many_entries_there_are_none_is_missed_or_cut(store, stream, monkeypatch, writes, read):
    monkeypatch.setattr(changes, "READ", read)
    store.delete(stream.key)
    version = stream.begin()
    for number in range(writes):
        stream.put("tasks", "lq:test:tasks", {str(number): "a"})
    changed = stream.since(version)
    assert told(changed).get("tasks", []) == list(range(writes))
    assert told(stream.since(changed.version)) == {}


@pytest.mark.parametrize("how", ["cut", "lost", "another"])
def test_a_version_that_is_not_there_any_more_is_not_made_up(stream, store, monkeypatch, how):
    version = stream.begin()
    if how == "cut":
        monkeypatch.setattr(changes, "KEPT", 3)
        for number in range(300):
            stream.put("tasks", "lq:test:tasks", {str(number): "a"})
        assert store.xlen(stream.key) < 150
    else:
        store.delete(stream.key)
        time.sleep(0.002)  # entries are named after the millisecond
        if how == "another":
            stream.put("tasks", "lq:test:tasks", {"1": "a"})
    assert stream.since(version) is None


def test_fields_are_counted_in_the_same_step_and_only_where_nothing_was_written(stream, store):
    stream.put("tasks", "lq:test:tasks", {"1": "a", "2": "b"})
    version = stream.begin()
    assert stream.since(version, ["lq:test:tasks", "lq:test:none"]).lengths == {"lq:test:tasks": 2, "lq:test:none": 0}
    stream.put("tasks", "lq:test:tasks", {"3": "c"})
    assert stream.since(version, ["lq:test:tasks"]).lengths == {}


def test_many_fields_go_in_several_steps_each_told(stream, store):
    version = stream.begin()
    stream.put("tasks", "lq:test:tasks", {str(number): "a" for number in range(5_000)})
    assert store.xlen(stream.key) == 4
    assert told(stream.since(version))["tasks"] == list(range(5_000))
