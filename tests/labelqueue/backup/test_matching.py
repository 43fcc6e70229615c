"""Which tasks are those of a backup: by id and image, and elsewhere by an image that is nobody else's."""

from __future__ import annotations

import numpy as np
import pytest

from labelqueue.backup.matching import match, read_tasks
from labelqueue.block import source_hash
from labelqueue.labels.label_config import parse_label_config
from labelqueue.state.task_row import TaskRow

from conftest import CONFIG  # isort: skip


def columns(tasks):
    ids = sorted(tasks)
    return np.array(ids, np.int64), np.array([source_hash(tasks[task]) for task in ids], np.uint64)


@pytest.mark.parametrize(
    ("then", "now", "by_image", "found"),
    [
        ({1: "a", 2: "b"}, {1: "a", 2: "b", 3: "c"}, False, {1: 1, 2: 2}),
        ({1: "a", 2: "b"}, {1: "a", 2: "other"}, False, {1: 1}),
        ({1: "a", 2: "b"}, {11: "a", 12: "b"}, False, {}),
        ({1: "a", 2: "b"}, {11: "b", 12: "a"}, True, {1: 12, 2: 11}),
        ({1: "a", 2: "b"}, {1: "b", 2: "a"}, True, {1: 2, 2: 1}),
        ({1: "a", 2: "a", 3: "b"}, {11: "a", 12: "b"}, True, {3: 12}),
        ({1: "a", 2: "b"}, {11: "a", 12: "a", 13: "b"}, True, {2: 13}),
        ({1: "a", 2: "a"}, {2: "a", 9: "a"}, True, {2: 2, 1: 9}),
        ({}, {1: "a"}, True, {}),
        ({1: "a"}, {}, True, {}),
    ],
)
def test_tasks_are_matched_only_where_there_is_no_doubt(then, now, by_image, found):
    result = match(columns(then), columns(now), by_image=by_image)
    assert dict(zip(result.then.tolist(), result.now.tolist(), strict=True)) == found
    assert result.exact == all(a == b for a, b in found.items()) and len(result) == len(found)
    ids, sources = columns({1: "a", 2: "other", 3: "b"})
    of = [found.get(task, -1) for task in (1, 2, 3)]
    assert result.of(ids).tolist() == of
    assert result.rows(ids, sources).tolist() == [
        task in found and then.get(task) == uri for task, uri in ((1, "a"), (2, "other"), (3, "b"))
    ]


def test_tasks_are_read_with_what_became_of_them(project):
    class Client:
        def tasks(self, number, *, fields):
            yield {"id": 5, "data": {"image": "e"}, "total_annotations": 1}
            yield {"id": 2, "data": {"image": "b"}, "cancelled_annotations": 1}
            yield {"id": 3, "data": {"image": "c"}}

    steps = []
    ids, sources = read_tasks(Client(), project, parse_label_config(CONFIG), steps.append)
    assert ids.tolist() == [2, 3, 5] and sources.tolist() == [source_hash(uri) for uri in "bce"] and steps == [3]
    assert project.tasks() == {5: TaskRow("e", "a"), 2: TaskRow("b", "s"), 3: TaskRow("c", "u")}
