"""A real Label Studio's list of tasks, read in pages while people delete, import and annotate."""

import time
from datetime import UTC, datetime

import pytest

from conftest import CONFIG
from e2e.conftest import ACCOUNT
from labelqueue.labelstudio import LabelStudio, client
from labelqueue.reading import pages, reading
from labelqueue.state import LabelBook, Project, ProjectRef

pytestmark = pytest.mark.e2e

N, PAGE = 250, 50
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


@pytest.fixture
def server(label_studio, monkeypatch):
    """Our client of that server, with small pages."""
    monkeypatch.setattr(client, "PAGE", PAGE)
    monkeypatch.setattr(pages, "PAGE", PAGE)
    return LabelStudio(label_studio.url, ACCOUNT.token)


@pytest.fixture
def remote(api):
    """A project of many tasks; returns its id."""
    project = api.create_project("paging", CONFIG)
    api.import_tasks(project, [{"data": {"image": f"/{i}.jpg"}} for i in range(N)])
    return project


def test_tasks_that_are_deleted_between_two_pages_hide_no_others(api, server, remote):
    tasks = api.task_ids(remote)
    rows = server.tasks(remote, fields=("id",))
    seen = [next(rows)["id"]]
    api.delete_tasks(remote, tasks[: PAGE // 2])  # on the page that was read: numbers of pages shift
    api.delete_tasks(remote, tasks[120:130])
    api.import_tasks(remote, [{"data": {"image": "/new.jpg"}}])
    seen += [row["id"] for row in rows]
    assert seen[:N] == [*tasks[:120], *tasks[130:], *api.task_ids(remote)[-1:]][:N]
    assert set(api.task_ids(remote)) <= set(seen)


def test_what_changed_is_listed_by_id_after_one(api, server, remote):
    tasks = api.task_ids(remote)
    fields = ("id", "updated_at")
    before = max(row["updated_at"] for row in server.tasks(remote, fields=fields))
    assert server.newest_change(remote) == before
    time.sleep(1.1)  # what is changed within a second of its creation may be the import's own doing
    for task in (tasks[3], tasks[200], tasks[100]):
        api.annotate(task, "cat")
    since = datetime.fromisoformat(before)
    assert [row["id"] for row in server.tasks(remote, since=since, fields=fields)] == [tasks[3], tasks[100], tasks[200]]
    assert [row["id"] for row in server.tasks(remote, since=since, after=tasks[3], fields=fields)] == [
        tasks[100],
        tasks[200],
    ]
    assert list(server.tasks(remote, after=tasks[-1], fields=fields)) == []
    whole = list(server.tasks(remote, fields=(*fields, "created_at")))
    assert [row["id"] for row in whole if pages._moved(row, EPOCH)] == [tasks[3], tasks[100], tasks[200]]
    assert server.newest_change(remote) > before


def test_a_reading_in_slices_ends_with_what_is_there(api, server, remote, store, monkeypatch):
    monkeypatch.setattr(reading, "SLICE", -1.0)
    project = Project(store, ProjectRef.from_api(server.origin, server.project(remote)))
    project.register(label_config=CONFIG)
    tasks = api.task_ids(remote)

    def step():
        reading.read_project(project, server, project.target(), None, (), lambda: None)
        return reading.unread(project)

    assert step() == f"reading everything: {PAGE} of {N}"
    assert LabelBook(project).complete, "nobody had annotated when it began"
    api.delete_tasks(remote, tasks[10:20] + tasks[220:230])
    api.annotate(tasks[2], "dog")
    api.annotate(tasks[249], "cat", skip=False)
    api.import_tasks(remote, [{"data": {"image": "/new.jpg"}} for _ in range(5)])
    for _ in range(60):  # what was imported a minute ago is read as changed, too
        if not step() and set(project.tasks()) == set(api.task_ids(remote)):
            break
    assert set(project.tasks()) == set(api.task_ids(remote)), "no event named the deleted ones"
    step()
    assert LabelBook(project).labels(project.target()).values == {tasks[2]: "dog", tasks[249]: "cat"}
