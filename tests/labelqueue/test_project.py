"""Project state: identity, extra params in every form, tasks, quarantine."""

import json

import pytest

from conftest import ORIGIN
from labelqueue.exceptions import ProjectError
from labelqueue.project import SKIPPED, UNLABELED, Project, ProjectRef, TaskRow


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


@pytest.mark.parametrize("raw", [{"seed": 3}, '{"seed": 3}', json.dumps({"seed": "3"})])
def test_extra_params_in_every_form(project, raw):
    assert project.take_extra_params(raw)
    assert project.settings()["seed"] == 3
    assert project.setting_sources() == {"seed": "extra params"}
    assert not project.take_extra_params(raw), "Label Studio repeats them at every /setup"


@pytest.mark.parametrize("junk", ["{", "[1]", 5, '"text"', {"sead": 1}, {"seed": "x"}])
def test_junk_changes_nothing_and_is_shown(project, junk):
    project.take_extra_params({"seed": 3})
    assert not project.take_extra_params(junk)
    assert project.settings()["seed"] == 3
    assert project.get("settings_error")
    project.take_extra_params({"seed": 4})
    assert project.get("settings_error") == "" and project.settings()["seed"] == 4


def test_a_key_taken_out_of_the_extra_params_falls_back(project):
    project.take_extra_params({"seed": 3, "trials": 5})
    project.take_extra_params({"trials": 5})
    assert (project.settings()["seed"], project.settings()["trials"]) == (0, 5)
    project.take_extra_params("junk")
    project.take_extra_params({"seed": 1})
    assert project.settings()["trials"] == 100, "junk in between does not make an old key stay"
    for empty in (None, "", "null", {}):
        project.take_extra_params({"trials": 5})
        project.take_extra_params(empty)
        assert project.settings()["trials"] == 100


def test_tasks_come_back_as_they_went_in(project):
    rows = {1: TaskRow("/data/upload/ä.jpg", UNLABELED), 2: TaskRow("", SKIPPED)}
    project.put_tasks(rows)
    project.quarantine({2: ("", "no image")})
    assert project.tasks() == rows
    assert project.task_rows([2, 3]) == {2: rows[2]}
    assert project.quarantined() == {2: ("", "no image")}
    project.drop_tasks([2])
    assert project.tasks() == {1: rows[1]} and project.quarantined() == {}


def test_forget_leaves_nothing(store, project):
    project.put_tasks({1: TaskRow("a", UNLABELED)})
    project.forget()
    assert [name for name in store.scan_iter("*") if project.key.encode() in name] == []
    with pytest.raises(ProjectError):
        Project.open(store, project.key)
