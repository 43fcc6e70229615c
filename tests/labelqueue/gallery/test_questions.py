"""What the map asks: another question once the project has changed, the same one while it has not."""

import pytest

from labelqueue.gallery.maps import Maps
from labelqueue.gallery.questions import (
    details_question,
    layout_question,
    map_question,
    nearest_question,
    pack_tasks,
    state_of_project,
    unpack_tasks,
)
from labelqueue.jobs.pages import ask
from labelqueue.jobs.queues import PAGE, PAGE_SLOW, queue
from labelqueue.labels import UNLABELED
from labelqueue.state.task_row import TaskRow

CHANGES = {
    "a task": lambda project: project.put_tasks({9: TaskRow("u", UNLABELED)}),
    "a label": lambda project: project.set(read_to="2026-11-28T10:00:00+00:00"),
    "an order": lambda project: project.set(live="3"),
    "a training": lambda project: project.set(standing='{"labels": 30}'),
    "a label config": lambda project: project.set(label_config="<View/>"),
    "an embedding": lambda project: project.store.hset(project.name("cache", "g1", "rows"), "9", "0"),
    "other embeddings": lambda project: project.set(generation="g2"),
    "a pin": lambda project: project.count("act_number"),
    "a layout": lambda project: Maps(project).note_layout(2.5),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_map_is_asked_for_anew_after(project, change):
    project.set(generation="g1")
    before = [question(project) for question in (map_question, lambda p: nearest_question(p, [1]))]
    assert map_question(project) == before[0]
    CHANGES[change](project)
    after = [question(project) for question in (map_question, lambda p: nearest_question(p, [1]))]
    for one, other in zip(before, after, strict=True):
        assert one.state != other.state and one.id == other.id, "while a worker is at it, nobody asks a second time"


def test_that_time_went_by_is_no_change(project):
    before = state_of_project(project)
    project.set(watermark_at="12.5", full_at="3", bulk_seconds="0.2")
    assert state_of_project(project) == before


def test_what_takes_long_waits_behind_images(store, project):
    ask(store, map_question(project))
    ask(store, layout_question(project, "g1", 0.0))
    assert len(queue(store, PAGE)) == len(queue(store, PAGE_SLOW)) == 1


@pytest.mark.parametrize("tasks", [[5], [9, 3, 3, 7], list(range(1000)), [0, 2**62]])
def test_tasks_come_out_as_they_went_in(tasks):
    assert unpack_tasks(pack_tasks(tasks)).tolist() == sorted(set(tasks))


def test_the_same_selection_is_the_same_question(project):
    assert nearest_question(project, [3, 1]).id == nearest_question(project, [1, 3, 3]).id
    assert details_question(project, [1], [5, 9]).id == details_question(project, [1], [9, 5]).id
    assert details_question(project, [1, 2]).id != details_question(project, [2, 1]).id, "told in this sequence"
