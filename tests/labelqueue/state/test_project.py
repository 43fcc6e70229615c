"""Project state: identity, tasks, quarantine, wishes, people at work."""

import pytest

from conftest import ORIGIN
from labelqueue.exceptions import ProjectError
from labelqueue.labels.annotations import SKIPPED, UNLABELED
from labelqueue.state.project import Project, ProjectRef
from labelqueue.state.task_row import TaskRow


def test_setup_and_webhook_name_the_same_project():
    created = "2026-11-21T00:44:53.544491Z"
    by_api = ProjectRef.from_api(ORIGIN, {"id": 1, "created_at": created})
    assert by_api == ProjectRef.from_setup(ORIGIN, f"1.{by_api.created}")
    assert by_api.key != ProjectRef("http://other.test", 1, by_api.created).key


@pytest.mark.parametrize("text", ["", "x", "1", "1.x", ".5"])
def test_a_strange_project_is_refused(text):
    with pytest.raises(ProjectError, match="expected <id>"):
        ProjectRef.from_setup(ORIGIN, text)


def test_find_takes_the_newest_of_one_id(store, project):
    younger = Project(store, ProjectRef(ORIGIN, project.ref.id, project.ref.created + 5))
    younger.register()
    elsewhere = Project(store, ProjectRef("http://other.test", project.ref.id, project.ref.created + 9))
    elsewhere.register()
    assert Project.find(store, ORIGIN, project.ref.id).ref == younger.ref
    with pytest.raises(ProjectError, match="known: 7"):
        Project.find(store, ORIGIN, 8)


def test_tasks_come_back_as_they_went_in(project):
    rows = {1: TaskRow("/data/upload/ä.jpg", UNLABELED), 2: TaskRow("", SKIPPED)}
    project.put_tasks(rows)
    project.quarantine({2: ("", "no image")})
    assert project.tasks() == rows
    assert project.task_rows([2, 3]) == {2: rows[2]}
    assert project.quarantined() == {2: ("", "no image")}
    project.drop_tasks([2])
    assert project.tasks() == {1: rows[1]} and project.quarantined() == {}


def test_half_a_surrogate_pair_in_an_address_is_kept_like_any_other(project):
    """JSON can hold that; it is one image's fault, and must not stop the project."""
    rows = {1: TaskRow("s3://bucket/\ud800.jpg", UNLABELED), 2: TaskRow("/2.jpg", UNLABELED)}
    project.put_tasks(rows)
    assert project.tasks() == project.task_rows([1, 2]) == rows


def test_forget_leaves_nothing(store, project):
    project.put_tasks({1: TaskRow("a", UNLABELED)})
    project.forget()
    assert [name for name in store.scan_iter("*") if project.key.encode() in name] == []
    with pytest.raises(ProjectError):
        Project.open(store, project.key)


def test_a_fulfilled_wish_is_emptied_unless_another_replaced_it(project):
    project.set(rollback_wanted="2")
    project.settle("rollback_wanted", "1")
    assert project.get("rollback_wanted") == "2"
    project.settle("rollback_wanted", "2")
    assert project.get("rollback_wanted") == ""


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"id": 1},
        {"id": [1], "created_at": "2026-11-21T10:00:00Z"},
        {"id": float("inf"), "created_at": "2026-11-21T10:00:00Z"},
        {"id": 1, "created_at": None},
        {"id": 1, "created_at": "0001-01-01T00:00:00"},
    ],
)
def test_what_is_no_project_says_so(odd):
    with pytest.raises(ProjectError, match="not a Label Studio project"):
        ProjectRef.from_api(ORIGIN, odd)


def test_records_that_cannot_be_read_are_remembered_until_they_are_read(project):
    assert project.note_unreadable("tasks", {"task 1": "no id", "task 2": "no id"}) == ["task 1", "task 2"]
    assert project.note_unreadable("webhooks", {"webhook 3": "no url"}) == ["webhook 3"]
    assert project.note_unreadable("tasks", {"task 2": "no time"}, read=["task 2", "task 5"]) == []
    assert project.unreadable("tasks") == {"task 1": "no id", "task 2": "no time"}
    assert len(project.unreadable()) == 3 and project.unreadable("annotations") == {}
    assert project.note_unreadable("tasks", {"task 9": "no id"}) == ["task 9"]
    assert project.unreadable() == {"task 9": "no id", "webhook 3": "no url"}
    project.note_unreadable("tasks", {}, read=["task 9"])
    project.note_unreadable("webhooks", {})
    assert project.unreadable() == {}
