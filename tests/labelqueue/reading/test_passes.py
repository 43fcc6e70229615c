"""A pass through the tasks: kept in Redis, gone on with by whoever comes next, and by one at a time."""

import dataclasses
import json

import pytest

from labelqueue.exceptions import PublishError
from labelqueue.reading.passes import CHANGES, WHOLE, Pass, Progress


@pytest.fixture
def whole(project):
    found = Pass(project, WHOLE)
    found.begin(Progress(of=9))
    return found


def on(part, last):
    return dataclasses.replace(part.at, last=last, seen=last)


def test_a_successor_goes_on_from_what_was_written_down(project, whole):
    whole.move(on(whole, 2), [1, 2], {"task 7": "no updated_at"})
    after = Pass(project, WHOLE)
    assert after.at == whole.at and after.at.left_out == {"task 7": "no updated_at"}
    after.move(on(after, 4), [3, 4, 7])
    assert after.at.left_out == {} and after.seen().tolist() == [1, 2, 3, 4, 7]
    after.end()
    assert Pass(project, WHOLE).at is None and not project.store.exists(project.name("seen"))


@pytest.mark.parametrize("then", ["move", "end", "begin"])
def test_one_that_stalled_does_not_put_back_what_its_successor_wrote(project, whole, then):
    whole.move(on(whole, 2), [1, 2])
    after = Pass(project, WHOLE)
    after.move(on(after, 4), [3, 4])
    if then == "end":
        after.end()
    if then == "begin":
        after.begin(Progress())
    with pytest.raises(PublishError, match="another one goes on"):
        whole.move(on(whole, 3), [3])
    left = Pass(project, WHOLE)
    assert left.at == after.at and (then == "end" or left.seen().size == left.at.seen)
    whole.end()
    assert Pass(project, WHOLE).at == after.at, "nor does it end what goes on"


def test_what_was_seen_and_is_lost_is_missed(project, whole):
    whole.move(on(whole, 2), [1, 2])
    project.store.delete(project.name("seen"))
    assert whole.seen() is None


def test_a_beginning_forgets_what_was_seen(whole):
    whole.move(on(whole, 2), [1, 2])
    whole.begin(Progress())
    assert whole.seen().tolist() == []


def test_what_another_version_wrote_is_read_and_gone_on_with(project, whole):
    project.set(**{WHOLE: json.dumps({"last": 5, "seen": 5, "mood": "good"})})
    found = Pass(project, WHOLE)
    assert (found.at.last, found.at.of) == (5, 0)
    found.move(on(found, 6), [6])
    assert Pass(project, WHOLE).at.last == 6


def test_the_two_passes_do_not_touch_each_other(project, whole):
    whole.move(on(whole, 2), [1, 2])
    changes = Pass(project, CHANGES)
    assert changes.at is None
    changes.begin(Progress(since="2026-11-21T10:00:00+00:00"))
    changes.move(on(changes, 9))
    changes.end()
    assert Pass(project, WHOLE).at == whole.at and whole.seen().tolist() == [1, 2]
