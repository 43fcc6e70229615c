"""What is told of single images, and counts of many."""

import numpy as np
import pytest

from desk import Desk
from labelqueue import admin
from labelqueue.block import source_hash
from labelqueue.exceptions import ProjectError
from labelqueue.gallery.questions import details_question, pack_tasks, unpack_tasks
from labelqueue.labels import ANNOTATED, SKIPPED, UNLABELED
from labelqueue.pagework.details import show_details
from labelqueue.state.task_row import TaskRow
from labelqueue.worker.runtime import Runtime, install

N = 60


@pytest.fixture
def desk(project, deployment):
    project.put_settings({"trials": 1, "horizon": 10, "strategy": "freesel"}, "test")
    runtime = Runtime(deployment)
    install(runtime)
    desk = Desk(runtime, project, N)
    desk.tend()
    desk.play(25)
    return desk


def parted(desk):
    """Return the tasks that were labeled, and those that come next."""
    labeled = [task for task, row in desk.server.rows.items() if row["annotations"]]
    return labeled, [place.task for place in desk.live.places if place.task not in labeled]


def asked(desk, tasks, among=()):
    question = details_question(desk.project, tasks, among)
    return show_details(desk.runtime, desk.project, *question.details)


def test_single_images_and_counts(desk):
    labeled, rest = parted(desk)
    answer = asked(desk, [rest[0], labeled[0], rest[1], 999], [*range(1, N + 1), 999])
    first, taught, second = answer["tasks"]
    assert [row["task"] for row in answer["tasks"]] == [rest[0], labeled[0], rest[1]]
    assert first["state"] == "unlabeled" and first["rank"] == 1 and second["rank"] == 2 and first["reason"]
    assert first["prediction"] in ("cat", "dog") and 0.5 <= first["probability"] <= 1 and 0 <= first["doubt"] <= 1
    assert taught["state"] == "labeled" and taught["label"] == desk.truth[labeled[0]] and taught["rank"] is None
    assert taught["doubt"] is None and taught["source"] == f"{source_hash(f'u{labeled[0]}'):016x}"
    assert answer["counts"]["state"] == {"unlabeled": N - 25, "labeled": 25}
    truth = [desk.truth[task] for task in labeled]
    assert answer["counts"]["label"] == {"": N - 25} | {kind: truth.count(kind) for kind in ("cat", "dog")}
    assert sum(answer["counts"]["prediction"].values()) == answer["total"] == N
    assert answer["missing"] == 1, "task 999"
    alone = asked(desk, [rest[0], 999])
    assert alone["total"] == alone["missing"] == 1 and alone["counts"]["state"] == {"unlabeled": 1}
    assert asked(desk, [], [1, 2, 3])["tasks"] == []


def test_wishes_of_admins_are_seen_at_once_and_in_the_queue_when_it_follows(desk):
    project = desk.project
    _, rest = parted(desk)
    admin.pin(project, [rest[5]], "test")
    admin.exclude(project, [rest[0]], "blurred", "test")
    answer = asked(desk, [rest[5], rest[0], rest[1]], [rest[5], rest[0], rest[1]])
    assert [row["state"] for row in answer["tasks"]] == ["pinned", "left out", "unlabeled"]
    assert answer["counts"]["state"] == {"unlabeled": 1, "pinned": 1, "left out": 1}
    desk.tend()
    first, last, _ = asked(desk, [rest[5], rest[0], rest[1]])["tasks"]
    queue = [place["task"] for place in admin.project_order(project, 1000)["tasks"]]
    assert first["rank"] == queue.index(rest[5]) + 1 <= 2 and "pinned" in first["reason"]
    assert last["rank"] == queue.index(rest[0]) + 1 == len(queue) and "blurred" in last["reason"]
    admin.undo(project, 1, "test")
    assert [row["state"] for row in asked(desk, [rest[5]])["tasks"]] == ["unlabeled"]


def test_answers_that_are_no_labels(desk):
    desk.project.put_tasks({1: TaskRow("u1", ANNOTATED), 2: TaskRow("u2", SKIPPED), 900: TaskRow("u900", UNLABELED)})
    desk.project.store.hdel(desk.project.name("labels", "2"), "1")
    answer = asked(desk, [1, 2, 900], [1, 2, 900])
    assert [row["state"] for row in answer["tasks"]] == ["annotated without a label", "skipped", "unlabeled"]
    assert answer["total"] == 2 and answer["missing"] == 1, "not embedded, so not on the map"


def test_a_project_whose_label_config_cannot_be_read_shows_its_images(desk):
    desk.project.set(label_config="<View></View>")
    (row,) = asked(desk, [3])["tasks"]
    assert row["label"] == row["prediction"] == "" and row["probability"] is None


def test_a_question_of_a_hundred_thousand_tasks_is_small():
    ids = np.random.default_rng(0).choice(10**6, 100_000, replace=False).tolist()
    packed = pack_tasks(ids)
    assert len(packed) < 150_000 and unpack_tasks(packed).tolist() == sorted(ids)


def test_too_many_are_refused(project):
    with pytest.raises(ProjectError, match="201 tasks are asked for one by one; at most 200"):
        details_question(project, list(range(201)))
    with pytest.raises(ProjectError, match="1,000,001 tasks are asked about"):
        details_question(project, [1], range(2, 1_000_002))
    with pytest.raises(ProjectError, match="0 tasks"):
        details_question(project, [])
