"""Projects that Redis lost are found by their connections in Label Studio; nobody else's are taken or asked for long."""

import json
import time
from contextlib import contextmanager

import pytest

from http_stub import serving
from labelqueue.exceptions import LabelStudioError
from labelqueue.jobs import queues
from labelqueue.labelstudio import LabelStudio
from labelqueue.state.project import LIVE_VERSION, NOT_CONNECTED, Project, ProjectRef
from labelqueue.sync import finding
from labelqueue.sync.finding import STRANGERS, find_lost

CREATED = "2027-01-15T08:00:00Z"
OURS = {"id": 1, "url": "http://lq:9090", "model_version": LIVE_VERSION}


@contextmanager
def label_studio(projects, backends):
    """A Label Studio with these projects, id to title, and these ML backends, project id to what is answered."""
    rows = [{"id": number, "title": title, "created_at": CREATED} for number, title in projects.items()]
    asked = []

    def answer(method, path, headers, body):
        if path.startswith("/api/projects?"):
            page = int(path.split("page=")[-1])
            more = "next page" if len(rows) > 100 * page else None
            return 200, {}, {"results": rows[100 * (page - 1) : 100 * page], "next": more}
        number = int(path.split("=")[1])
        asked.append(number)
        found = backends.get(number, [])
        return (found, {}, {}) if isinstance(found, int) else (200, {}, found)

    with serving(answer) as (url, _):
        yield LabelStudio(url, "0" * 40), asked


def looked_for(store):
    return [queues.queue(store, "tend").fetch_job(job.decode()).args[0] for job in store.lrange("rq:queue:tend", 0, -1)]


def test_everything_is_lost_and_found(store):
    other = {"id": 2, "url": "http://sam:9090", "model_version": "sam 2"}
    with label_studio({7: "animals", 8: "cars", 9: ""}, {7: [other, OURS], 8: [other]}) as (client, asked):
        (found,) = find_lost(store, client)
        assert found.ref == ProjectRef(client.origin, 7, 1_800_000_000) and sorted(asked) == [7, 8, 9]
        assert found.get("title") == "animals" and found.get("want_full") == "1" and found.get("secret")
        assert looked_for(store) == [found.key]
        assert find_lost(store, client) == [] and sorted(asked) == [7, 8, 9], "nobody is asked again so soon"
        store.flushall()
        assert [project.key for project in find_lost(store, client)] == [found.key], "what is no connection is lost too"


def test_a_known_project_is_left_as_it_is(store):
    with label_studio({7: "animals"}, {7: [OURS]}) as (client, asked):
        project = Project(store, ProjectRef(client.origin, 7, 1_800_000_000))
        project.register(paused=NOT_CONNECTED)
        assert find_lost(store, client) == [] and asked == [] and looked_for(store) == []
        assert project.get("paused") == NOT_CONNECTED


def test_a_stranger_is_asked_again_after_a_while_and_when_redis_started_anew(store, monkeypatch):
    with label_studio({7: "animals"}, {}) as (client, asked):
        find_lost(store, client)
        store.hset(STRANGERS, "run", "another run, whose end may be lost")
        find_lost(store, client)
        assert asked == [7, 7]
        monkeypatch.setattr(finding, "STRANGER_FOR", 0.0)
        find_lost(store, client)
        assert asked == [7, 7, 7]
        monkeypatch.setattr(finding, "STRANGER_FOR", -1.0)
        with label_studio({}, {}) as (empty, _):
            find_lost(store, empty)
        assert store.hlen(STRANGERS) == 1, "what is gone from Label Studio does not stay"


def test_one_search_has_an_end_and_the_next_one_goes_on(store, monkeypatch):
    with label_studio({number: "" for number in range(1, 251)}, {200: [OURS]}) as (client, asked):
        clock = iter(range(10_000))
        with monkeypatch.context() as patch:
            patch.setattr(finding.time, "monotonic", lambda: float(next(clock)))
            assert find_lost(store, client) == []
        assert 0 < len(asked) < 150
        assert [project.ref.id for project in find_lost(store, client)] == [200]
        assert sorted(asked) == list(range(1, 251)), "each is asked once"


def test_one_project_that_cannot_be_asked_costs_itself(store):
    with label_studio({7: "", 8: "", 9: ""}, {7: 500, 8: 404, 9: [OURS]}) as (client, _):
        assert [project.ref.id for project in find_lost(store, client)] == [9]


def test_odd_rows_cost_themselves(store):
    rows = [None, 5, {"id": "x"}, {"id": 7, "created_at": None}, {"id": 8, "title": None, "created_at": CREATED}]

    def answer(method, path, headers, body):
        return 200, {}, {"results": rows} if path.startswith("/api/projects?") else [OURS]

    with serving(answer) as (url, _):
        (found,) = find_lost(store, LabelStudio(url, "0" * 40))
    assert found.ref.id == 8 and found.get("title") == ""


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"null", b"<html>", json.dumps({"results": 5}).encode()])
def test_what_is_no_list_of_projects_is_an_error_and_loses_nothing(store, content):
    with serving(lambda *_: (200, {}, content)) as (url, _), pytest.raises(LabelStudioError):
        find_lost(store, LabelStudio(url, "0" * 40))


def test_many_projects_cost_one_request_each_and_little_time(store):
    with label_studio({number: "" for number in range(1, 201)}, {}) as (client, asked):
        find_lost(store, client)
        assert len(asked) == 200
        begin = time.monotonic()
        find_lost(store, client)
        assert len(asked) == 200 and time.monotonic() - begin < 5
