"""Projects that Redis lost are found by their connections in Label Studio; nobody else's are taken."""

import json
import time
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest

from conftest import CONFIG
from http_stub import serving
from labelqueue.exceptions import LabelStudioError
from labelqueue.jobs import queues
from labelqueue.labelstudio import LabelStudio
from labelqueue.reading import finding
from labelqueue.reading.finding import STRANGERS, find_lost
from labelqueue.state.project import LIVE_VERSION, NOT_CONNECTED, Project, ProjectRef
from labelqueue.web.app import create_app

CREATED = "2027-01-15T08:00:00Z"
OURS = {"id": 1, "url": "http://lq:9090", "model_version": LIVE_VERSION, "state": "CO"}
OTHER = {"id": 2, "url": "http://sam:9090", "model_version": "sam 2", "state": "CO"}
ANOTHER_LABELQUEUE = {"id": 3, "url": "http://staging:9090", "model_version": LIVE_VERSION, "state": "CO"}
OURS_IS_DOWN = {**OURS, "state": "DI"}


@pytest.fixture
def label_studio(deployment):
    """Start a Label Studio with these projects, id to title, and these ML backends, project id to what is answered.

    As the real one does, it calls our web process before it lists a connection to it.
    """

    @contextmanager
    def start(projects, backends):
        rows = [{"id": number, "title": title, "created_at": CREATED} for number, title in projects.items()]
        asked = []

        def answer(method, path, headers, body):
            if path.startswith("/api/projects?"):
                page = int(path.split("page=")[-1])
                more = "next page" if len(rows) > 100 * page else None
                return 200, {}, {"count": len(rows), "results": rows[100 * (page - 1) : 100 * page], "next": more}
            number = int(path.split("=")[1])
            asked.append(number)
            found = backends.get(number, [])
            if isinstance(found, int):
                return found, {}, {}
            if OURS in found:
                web = create_app(replace(deployment, label_studio_url=f"http://{headers['Host']}")).test_client()
                said = web.post("/setup", json={"project": f"{number}.1800000000", "schema": CONFIG})
                assert said.status_code == 200
            return 200, {}, found

        with serving(answer) as (url, _):
            yield LabelStudio(url, "0" * 40), asked

    return start


def looked_for(store):
    return [queues.queue(store, "tend").fetch_job(job.decode()).args[0] for job in store.lrange("rq:queue:tend", 0, -1)]


def test_everything_is_lost_and_found(store, label_studio):
    with label_studio({7: "animals", 8: "cars", 9: ""}, {7: [OTHER, OURS], 8: [OTHER]}) as (client, asked):
        (found,) = find_lost(store, client)
        assert found.ref == ProjectRef(client.origin, 7, 1_800_000_000) and sorted(asked) == [7, 8, 9]
        assert found.get("label_config") == CONFIG and found.get("want_full") == "1" and found.get("secret")
        assert looked_for(store) == [found.key]
        assert find_lost(store, client) == [] and sorted(asked) == [7, 8, 9], "nobody is asked again so soon"
        store.flushall()
        assert [project.key for project in find_lost(store, client)] == [found.key], "what is no connection is lost too"


def test_a_known_project_is_left_as_it_is(store, label_studio):
    with label_studio({7: "animals"}, {7: [OURS]}) as (client, asked):
        project = Project(store, ProjectRef(client.origin, 7, 1_800_000_000))
        project.register(paused=NOT_CONNECTED)
        assert find_lost(store, client) == [] and asked == [] and looked_for(store) == []
        assert project.get("paused") == NOT_CONNECTED


def test_projects_of_another_labelqueue_are_left_to_it(store, label_studio):
    """Its answers look like ours: taken over, two would publish on one queue."""
    with label_studio({7: "theirs"}, {7: [ANOTHER_LABELQUEUE]}) as (client, asked):
        assert find_lost(store, client) == [] and not store.exists("lq:projects")
        find_lost(store, client)
        assert asked == [7]


def test_a_web_process_that_was_down_is_no_reason_to_wait_long(store, label_studio):
    backends = {7: [OURS_IS_DOWN]}
    with label_studio({7: "animals"}, backends) as (client, _):
        assert find_lost(store, client) == []
        backends[7] = [OURS]
        assert [project.ref.id for project in find_lost(store, client)] == [7]


def test_a_stranger_is_asked_again_after_a_while_and_when_redis_started_anew(store, label_studio, monkeypatch):
    with label_studio({7: "animals"}, {}) as (client, asked):
        find_lost(store, client)
        store.hset(STRANGERS, "run", "another run, whose end may be lost")
        find_lost(store, client)
        assert asked == [7, 7]
        monkeypatch.setattr(finding, "STRANGER_FOR", 0.0)
        find_lost(store, client)
        assert asked == [7, 7, 7]
    with label_studio({}, {}) as (empty, _):
        find_lost(store, empty)
    assert store.hlen(STRANGERS) == 1, "what is gone from Label Studio does not stay"


def test_one_search_has_an_end_and_the_next_one_goes_on(store, label_studio, monkeypatch):
    with label_studio(dict.fromkeys(range(1, 61), ""), {50: [OURS]}) as (client, asked):
        with monkeypatch.context() as patch:
            patch.setattr(finding, "time", SimpleNamespace(monotonic=lambda: float(len(asked)), time=time.time))
            patch.setattr(finding, "ENOUGH", 20.0)  # a project takes a second
            assert find_lost(store, client) == []
        assert len(asked) == 21
        assert [project.ref.id for project in find_lost(store, client)] == [50]
        assert sorted(asked) == list(range(1, 61)), "each is asked once"


def test_one_project_that_cannot_be_asked_costs_itself(store, label_studio):
    with label_studio({7: "", 8: "", 9: ""}, {7: 500, 8: 404, 9: [OURS]}) as (client, _):
        assert [project.ref.id for project in find_lost(store, client)] == [9]


def test_odd_rows_cost_themselves(store):
    rows = [None, 5, {"id": "x"}, {"id": 7, "created_at": None}, {"id": 8, "title": None, "created_at": CREATED}]

    def answer(method, path, headers, body):
        return 200, {}, {"count": len(rows), "results": rows} if path.startswith("/api/projects?") else []

    with serving(answer) as (url, calls):
        assert find_lost(store, LabelStudio(url, "0" * 40)) == []
    assert [path for _, path, *_ in calls if "ml" in path] == ["/api/ml?project=8"]


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"null", b"<html>", json.dumps({"results": 5}).encode()])
def test_what_is_no_list_of_projects_is_an_error_and_loses_nothing(store, content):
    with serving(lambda *_: (200, {}, content)) as (url, _), pytest.raises(LabelStudioError):
        find_lost(store, LabelStudio(url, "0" * 40))


def test_many_projects_cost_one_request_each_and_then_none(store, label_studio):
    with label_studio(dict.fromkeys(range(1, 111), ""), {}) as (client, asked):
        find_lost(store, client)
        begin = time.process_time()
        find_lost(store, client)
        assert len(asked) == 110 and time.process_time() - begin < 5
