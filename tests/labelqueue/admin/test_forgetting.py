"""Forgetting a project: everything of it goes, files included, and it is said before what that is."""

from __future__ import annotations

import pytest

from conftest import ORIGIN
from labelqueue.admin.forgetting import find_any, forget, holdings, holdings_lines
from labelqueue.exceptions import ProjectError
from labelqueue.labels.annotations import UNLABELED
from labelqueue.state.project import FORGOTTEN, NOT_CONNECTED, Project, ProjectRef
from labelqueue.state.task_row import TaskRow
from published import publish


@pytest.fixture
def files(project, tmp_path):
    """What is on disk: two of the project's, two of another one's."""
    paths = [
        tmp_path / folder / name.format(key)
        for key in (project.key, "0a0a0a0a-9-1")
        for folder, name in (("spool", "{}/g1/00000001.block"), ("pretext", "{}-64.safetensors"))
    ]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 2**20)
    return paths


def test_it_is_said_what_goes_and_what_stays(project, files, tmp_path):
    project.put_tasks({1: TaskRow("/1.jpg", UNLABELED)})
    project.put_settings({"seed": 4}, "test")
    publish(project, "FreeSel", "BAL")
    said = "\n".join(holdings_lines(holdings(project, tmp_path)))
    assert "1 tasks" in said and "record of 2 orders, and what was set: seed" in said
    assert f"{tmp_path}/spool/{project.key} (1.0 MiB)" in said and f"{project.key}-64.safetensors (1.0 MiB)" in said
    assert "kept           everything in Label Studio" in said and "0a0a0a0a" not in said


@pytest.mark.parametrize(
    ("facts", "connected"),
    [
        ({"paused": ""}, True),
        ({"paused": NOT_CONNECTED}, False),
        ({"set_aside": "5"}, False),
        ({"denied_since": "5"}, False),
    ],
)
def test_one_that_is_connected_comes_back_and_that_is_said(project, tmp_path, facts, connected):
    project.set(**facts)
    said = "\n".join(holdings_lines(holdings(project, tmp_path)))
    assert ("within a minute" in said and "Settings > Model" in said) == connected


def test_everything_goes_and_nothing_else(project, store, files, tmp_path):
    other = Project(store, ProjectRef(ORIGIN, 8, 1))
    other.register()
    store.zadd("lq:delayed", {project.key: 1.0, other.key: 2.0})
    assert "is forgotten" in forget(holdings(project, tmp_path))
    assert [path.exists() for path in files] == [False, False, True, True]
    assert list(store.scan_iter(f"*{project.key}*")) == []
    assert store.zrange("lq:delayed", 0, -1) == [other.key.encode()] and Project.all(store)[0].ref == other.ref
    assert store.zscore(FORGOTTEN, project.key), "other machines learn of it"
    project.register()
    assert store.zscore(FORGOTTEN, project.key) is None, "it came back"


def test_several_of_one_number_are_told_apart_by_their_keys(project, store):
    again = Project(store, ProjectRef(ORIGIN, 7, project.ref.created + 60))
    again.register(title="animals again")
    with pytest.raises(ProjectError, match=f"several projects had the number 7.*{project.key} 'animals'.*again"):
        find_any(store, ORIGIN, "7")
    assert find_any(store, ORIGIN, project.key).ref == project.ref
    assert find_any(store, ORIGIN, again.key).ref == again.ref
    with pytest.raises(ProjectError, match="known: 7"):
        find_any(store, ORIGIN, "8")
    with pytest.raises(ProjectError, match=f"'x'.*{project.key}"):
        find_any(store, ORIGIN, "x")


def test_files_that_cannot_be_removed_are_named(project, files, tmp_path, monkeypatch):
    monkeypatch.setattr("labelqueue.admin.forgetting.shutil.rmtree", lambda *_, **__: None)
    with pytest.raises(ProjectError, match=f"could not be removed: .*spool/{project.key}"):
        forget(holdings(project, tmp_path))
    assert Project.all(project.store) == []
