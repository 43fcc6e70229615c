"""Columns of tasks and labels: what is asked of them is what a table of rows would say."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from labelqueue.block import Block
from labelqueue.labels.annotations import ANNOTATED, SKIPPED, UNLABELED
from labelqueue.labels.label_config import parse_label_config
from labelqueue.ordering.campaign_state import CampaignState
from labelqueue.ordering.order import LEFT_OUT
from labelqueue.ordering.snapshot import Features, Labels, Snapshot, Tasks, rows_in_turn
from labelqueue.simulation.replay import label_config

IDS = st.integers(0, 2**63 - 1) | st.integers(0, 30)
STATES = st.dictionaries(IDS, st.sampled_from([UNLABELED, ANNOTATED, SKIPPED]), max_size=20)
VALUES = st.sampled_from(["cat", "dog", "", "ü"]) | st.lists(st.sampled_from(["a", "b"]), unique=True).map(tuple)


@given(STATES, st.data())
def test_columns_answer_like_a_table(states, data):
    embedded = data.draw(st.lists(st.sampled_from(sorted(states)), unique=True) if states else st.just([]))
    asked = data.draw(st.lists(st.sampled_from(sorted(states)) | IDS if states else IDS, max_size=10))
    bad = dict.fromkeys(embedded[:1], "broken")
    tasks, ids = Tasks.of(states, embedded, bad), sorted(states)
    at, row = {task: place for place, task in enumerate(ids)}, {task: k for k, task in enumerate(sorted(embedded))}
    wanted = np.array(asked, np.int64)
    assert tasks.ids.tolist() == ids and len(tasks) == len(ids) and tasks.bad == bad
    assert [chr(code) for code in tasks.states] == [states[task] for task in ids]
    assert tasks.rows.tolist() == [row.get(task, -1) for task in ids]
    assert tasks.embedded == len(embedded) and tasks.newest == max(ids, default=0)
    for which, state in ((tasks.unlabeled, UNLABELED), (tasks.annotated, ANNOTATED), (tasks.skipped, SKIPPED)):
        assert which.tolist() == [states[task] == state for task in ids]
    assert tasks.skipped_ids == {task for task in ids if states[task] == SKIPPED}
    assert tasks.find(wanted).tolist() == [at.get(task, -1) for task in asked]
    assert tasks.rows_of(wanted).tolist() == [row.get(task, -1) for task in asked]
    assert tasks.open(asked).tolist() == [states.get(task) == UNLABELED for task in asked]
    assert tasks.still(asked) == [task for task in asked if states.get(task) == UNLABELED]
    assert tasks.among(set(asked)).tolist() == [task in asked for task in ids]
    assert [tasks.newer(task) for task in asked] == [sum(other > task for other in ids) for task in asked]


@given(STATES, st.data())
def test_what_is_left_out_is_not_free(states, data):
    bad = (
        data.draw(st.dictionaries(st.sampled_from(sorted(states)), st.sampled_from([LEFT_OUT, "broken"])))
        if states
        else {}
    )
    tasks, out = Tasks.of(states, bad=bad), {task for task, why in bad.items() if why == LEFT_OUT}
    assert tasks.excluded.keys() == out
    assert tasks.out.tolist() == [task in out and states[task] != ANNOTATED for task in tasks.ids.tolist()]
    assert tasks.free.tolist() == [task not in out and states[task] == UNLABELED for task in tasks.ids.tolist()]


@given(st.lists(st.booleans(), max_size=20))
def test_rows_ascend_with_the_tasks_that_have_one(embedded):
    rows = rows_in_turn(np.array(embedded, bool)).tolist()
    assert [row for row in rows if row >= 0] == list(range(sum(embedded)))
    assert [row >= 0 for row in rows] == embedded


@given(st.dictionaries(IDS, VALUES, max_size=20), st.dictionaries(st.text(), st.integers(1, 9), max_size=2))
def test_labels_come_back_in_the_order_they_came(labels, dropped):
    columns = Labels.of(labels, dropped)
    assert list(columns.by_task.items()) == list(labels.items()) and len(columns) == len(labels)
    assert columns.dropped == dropped
    assert len(set(columns.values)) == len(columns.values) and set(columns.values) == set(labels.values())
    assert (columns.tasks.dtype, columns.codes.dtype) == (np.int64, np.int32)


def test_what_is_large_is_read_when_it_is_asked_for_and_once():
    ids = np.arange(1, 3, dtype=np.int64)
    block = Block(ids, np.zeros(2, np.uint64), *[np.zeros((2, 4), np.float16)] * 2, np.arange(3, dtype=np.int64))
    read = []

    def loader(name, what):
        return lambda: (read.append(name), what)[1]

    parts = {
        "target": parse_label_config(label_config(("cat", "dog"))), "settings": {}, "tasks": Tasks.of({}),
        "labels": Labels.of({}), "state": CampaignState(), "live": None, "generation": "g",
    }  # fmt: skip
    features = Features("net", block)
    taken = Snapshot(**parts, load_rows=loader("rows", block), load_features=loader("features", features))
    assert read == []
    assert taken.rows is taken.rows is block and taken.features is taken.features is features
    assert read == ["rows", "features"]
    assert Snapshot(**parts, load_rows=loader("rows", block)).features is None


@given(st.lists(st.tuples(st.integers(1, 6), st.booleans()), min_size=1, max_size=12), st.data())
def test_tasks_as_of_a_label_are_those_that_a_look_at_that_moment_would_have_seen(events, data):
    """A task may be skipped and labeled later; its label stays, and a second answer of a kind counts for nothing."""
    answers, then, states = [], {}, dict.fromkeys(range(1, 7), UNLABELED)
    for task, labels in events:
        signed = task if labels else -task
        if signed in answers or task in answers:
            continue
        answers.append(signed)
        states = states | {task: ANNOTATED if labels else SKIPPED}
        if labels:
            then[task] = states
    target = parse_label_config(label_config(("cat", "dog")))
    snapshot = Snapshot(
        target, {}, Tasks.of(states), Labels.of({}), CampaignState(), None, "g", lambda: None,
        answers=np.array(answers, np.int64),
    )  # fmt: skip
    for task, before in then.items():
        assert [chr(code) for code in snapshot.as_of(task).states] == list(before.values())
    assert snapshot.as_of(99) is snapshot.tasks, "its label is gone"
