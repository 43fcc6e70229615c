"""The journal keeps events until they were acted on, in order, without gaps."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelqueue.state.journal import ACTIONS, Event, Journal, is_echo, read_event


@pytest.mark.parametrize(
    ("payload", "event"),
    [
        ({"action": "TASKS_CREATED", "tasks": [{"id": 1}, {"id": 2}]}, Event("TASKS_CREATED", (1, 2))),
        (
            {"action": "ANNOTATION_CREATED", "annotation": {"id": 5, "completed_by": 9}, "task": {"id": 3}},
            Event("ANNOTATION_CREATED", (5,), (9,), (3,)),
        ),
        (
            {
                "action": "ANNOTATIONS_CREATED",
                "annotation": [{"id": 5, "completed_by": 9}, {"id": 6}],
                "task": [{"id": 3}],
            },
            Event("ANNOTATIONS_CREATED", (5, 6), (9,), (3,)),
        ),
        ({"action": "ANNOTATIONS_DELETED", "annotations": [{"id": 1}]}, Event("ANNOTATIONS_DELETED", (1,))),
        ({"action": "PROJECT_UPDATED", "project": {"id": 1}}, Event("PROJECT_UPDATED")),
        ({"action": "LABEL_LINK_CREATED"}, None),
        ({}, None),
    ],
)
def test_what_is_kept_of_a_webhook(payload, event):
    assert read_event(payload) == event


def test_events_that_come_while_others_are_acted_on_stay(project):
    journal = Journal(project)
    journal.append(Event("TASKS_CREATED", (1,)))
    events, mark = journal.read()
    journal.append(Event("TASKS_DELETED", (1,)))
    journal.clear(mark)
    assert events == [Event("TASKS_CREATED", (1,))]
    assert journal.read()[0] == [Event("TASKS_DELETED", (1,))]
    journal.clear(journal.read()[1])
    assert len(journal) == 0
    journal.clear(journal.read()[1])  # an empty journal has no mark


def test_an_event_of_the_same_millisecond_as_the_last_one_read_stays(project, store):
    journal, key = Journal(project), project.name("journal")
    for number in (3, 4):
        store.xadd(key, {"event": f'["TASKS_CREATED", [{number}]]'}, id=f"5-{number}")
    events, mark = journal.read()
    store.xadd(key, {"event": '["TASKS_CREATED", [5]]'}, id="5-5")
    journal.clear(mark)
    assert [event.ids for event in events] == [(3,), (4,)]
    assert journal.read() == ([Event("TASKS_CREATED", (5,))], b"5-5")
    journal.clear(b"5-5")
    assert journal.read() == ([], b"")


@given(
    st.sampled_from(sorted(ACTIONS)),
    st.recursive(
        st.none() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text() | st.just("id"), x)
    ),
)
def test_no_payload_breaks_the_reader(action, junk):
    event = read_event({"action": action, "tasks": junk, "annotation": junk, "annotations": junk, "task": junk})
    assert event is not None and event.action == action


SHOWN = {"title": "animals", "label_config": "<View/>", "show_collab_predictions": True, "model_version": "r2"}


@pytest.mark.parametrize(
    ("write", "changed", "echo"),
    [
        ({"model_version": "r2", "sampling": "Uncertainty sampling"}, {}, True),
        ({"sampling": "Uncertainty sampling"}, {}, True),
        ({"model_version": "r1"}, {}, False),
        ({"model_version": "r2"}, {"sampling": None, "model_version": None}, False),
        ({"model_version": "r2"}, {"label_config": "<View><Image/></View>"}, False),
        ({"model_version": "r2"}, {"show_collab_predictions": False}, False),
        ({"model_version": "r2"}, {"title": "plants"}, False),
        (None, {}, False),
    ],
)
def test_only_a_change_of_our_own_that_changes_nothing_else_is_an_echo(project, store, write, changed, echo):
    project.set(title="animals", label_config="<View/>", prelabels_shown="1")
    if write is not None:
        store.hset(project.name("intents"), "w", json.dumps({"values": write, "before": "", "at": 0.0}))
    assert is_echo(project, {**SHOWN, "sampling": "Uncertainty sampling", **changed}) is echo
