"""Whether a project is there: only Label Studio's own word counts, over a day, and what is set aside comes back."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest

from conftest import CONFIG
from http_stub import serving
from labelqueue.exceptions import LabelStudioError, NotFoundError
from labelqueue.labels.annotations import UNLABELED
from labelqueue.labelstudio.client import LabelStudio
from labelqueue.reading.presence import ASK_EVERY, BELIEVED_AFTER, GAP, find_remote, noting_absence
from labelqueue.state.journal import Event, Journal
from labelqueue.state.project import ASIDE, Project, ProjectRef
from labelqueue.state.task_row import TaskRow

NOW = 1_900_000_000.0
DENIAL = (404, {}, {"id": "5f", "status_code": 404, "version": "1.23.2", "detail": "Not found.", "exc_info": None})
KEY = "0" * 40


class Host:
    """A Label Studio, or whatever stands in front of it: its answers about one project."""

    def __init__(self, ref):
        created = datetime.fromtimestamp(ref.created, UTC).isoformat()
        self.mine = {"id": ref.id, "created_at": created, "label_config": CONFIG, "organization": 1}
        self.others = [{"id": number, "created_at": "2026-01-01T00:00:00Z"} for number in range(100, 250)]
        self.project = (200, {}, self.mine)
        self.user = (200, {}, {"id": 1, "active_organization": 1})
        self.page = None  # answers the list of projects in its place

    @property
    def listed(self):
        return [*([self.mine] if self.project[0] == 200 and self.project[2] is self.mine else []), *self.others]

    def answer(self, method, path, headers, body):
        url = urlsplit(path)
        if url.path.endswith("/whoami"):
            return self.user
        if url.path != "/api/projects":
            return self.project
        if self.page is not None:
            return self.page
        asked = {name: int(values[0]) for name, values in parse_qs(url.query).items() if name != "include"}
        start, size = (asked["page"] - 1) * asked["page_size"], asked["page_size"]
        return 200, {}, {"count": len(self.listed), "next": None, "results": self.listed[start : start + size]}


@pytest.fixture
def host(store):
    """A project at work, with settings and tasks, and its host."""
    made = Host(ProjectRef("", 7, 1_800_000_000))
    with serving(made.answer) as (url, _):
        made.known = Project(store, ProjectRef(url, 7, 1_800_000_000))
        made.known.register(label_config=CONFIG, title="animals")
        made.known.put_settings({"seed": 4}, "test")
        made.known.put_tasks({1: TaskRow("/1.jpg", UNLABELED)})
        made.client = LabelStudio(url, KEY)
        made.look = lambda now: find_remote(made.known, made.client, now)
        assert made.look(NOW - 60)["id"] == 7
        yield made


def deny(host, start, hours):
    """Let Label Studio deny the project in a look every hour."""
    host.project = DENIAL
    for hour in range(hours + 1):
        assert host.look(start + 3600 * hour) is None


def test_a_day_of_proof_sets_it_aside_and_loses_nothing(host, store):
    deny(host, NOW, 23)
    assert host.known.get("set_aside") == "" and "after a day" in host.known.get("error")
    deny(host, NOW + 23 * 3600, 1)
    assert float(host.known.get("set_aside")) == NOW + BELIEVED_AFTER and host.known.get("error") == ""
    assert host.known.settings()["seed"] == 4 and host.known.tasks() and Project.all(store)


def test_it_shows_up_again_and_goes_on_as_before(host):
    deny(host, NOW, 24)
    secret = host.known.get("secret")
    host.project = (200, {}, host.mine)
    later = NOW + BELIEVED_AFTER + 3 * 24 * 3600
    assert host.look(later)["id"] == 7
    assert host.known.get("set_aside") == "" and host.known.get("want_full") == "1"
    assert (host.known.settings()["seed"], host.known.get("secret")) == (4, secret)
    host.project = DENIAL
    host.look(later + 60)
    assert host.known.get("set_aside") == "", "the day begins anew"


def test_a_week_later_it_is_forgotten_with_proof_only(host, store):
    deny(host, NOW, 24)
    end = NOW + BELIEVED_AFTER + ASIDE
    assert host.look(end - 60) is None and Project.all(store)
    host.project = (502, {}, b"<html>Bad gateway</html>")
    with pytest.raises(LabelStudioError):
        host.look(end + ASK_EVERY)
    assert Project.all(store)
    host.project = DENIAL
    assert host.look(end + ASK_EVERY) is None
    assert Project.all(store) == [] and not list(store.scan_iter(f"lq:{host.known.key}:*"))


def test_set_aside_it_is_asked_for_each_hour_and_at_any_sign_of_it(host):
    deny(host, NOW, 24)
    host.project = (200, {}, host.mine)
    soon = NOW + BELIEVED_AFTER + 60
    assert host.look(soon) is None, "nothing is tended"
    Journal(host.known).append(Event("TASKS_CREATED", (1,)))
    assert host.look(soon)["id"] == 7
    deny(host, soon, 24)
    host.project = (200, {}, host.mine)
    assert host.look(soon + BELIEVED_AFTER + ASK_EVERY)["id"] == 7


def test_a_pause_in_the_proof_begins_the_day_anew(host):
    deny(host, NOW, 20)
    deny(host, NOW + 20 * 3600 + GAP + 1, 20)
    assert host.known.get("set_aside") == ""


def test_what_an_earlier_version_saw_is_no_proof(host):
    host.known.set(gone_since=str(NOW - 9e6))
    deny(host, NOW, 1)
    assert host.known.get("set_aside") == ""


@pytest.mark.parametrize(
    "answer",
    [
        (404, {}, b"<html><title>404 Not Found</title>nginx</html>"),
        (404, {}, {"message": "no Route matched"}),
        (404, {}, b""),
        (404, {}, ["detail"]),
        (200, {}, b""),
        (204, {}, b""),
        (200, {}, b"{}"),
        (200, {}, b"null"),
        (200, {}, b"[]"),
        (200, {}, b"<html>Maintenance</html>"),
        (403, {}, {"detail": "You do not have permission to perform this action."}),
        (410, {}, {"detail": "Gone."}),
        (503, {}, {"detail": "Service unavailable"}),
    ],
)
def test_what_is_no_denial_of_label_studio_itself_is_no_proof(host, store, answer):
    host.project, host.client._session._patient = answer, host.client._session._once  # without the patience
    for hour in range(0, 24 * 10, 2):
        with pytest.raises(LabelStudioError):
            host.look(NOW + 3600 * hour)
    assert Project.all(store) and host.known.get("denied_since") == host.known.get("set_aside") == ""


@pytest.mark.parametrize(
    ("page", "word"),
    [
        ((200, {}, b""), "no list of projects"),
        ((200, {}, {}), "no list of projects"),
        ((200, {}, []), "no list of projects"),
        ((200, {}, {"count": 5, "results": []}), "lists 0 projects and says that there are 5"),
        ((200, {}, {"count": 2, "results": [{"id": 9}, {"id": 9}]}), "lists 1 projects and says that there are 2"),
        ((404, {}, {"detail": "Not found."}), "404"),
        ((403, {}, {"detail": "Forbidden"}), "403"),
    ],
)
def test_a_list_that_is_not_whole_is_no_proof(host, store, page, word):
    host.project, host.page = DENIAL, page
    for hour in range(0, 30, 2):
        with pytest.raises(LabelStudioError, match=word):
            host.look(NOW + 3600 * hour)
    assert host.known.get("denied_since") == ""


def test_in_the_list_it_is_not_gone(host):
    host.others.append(host.mine)
    deny(host, NOW, 30)
    assert host.known.get("set_aside") == "" and "it is in the list of projects" in host.known.get("error")


def test_the_whole_list_is_read_page_by_page(host):
    assert len(host.client.projects()) == 151
    host.others.clear()
    assert [row["id"] for row in host.client.projects()] == [7]


class TestAKeyThatLostItsRights:
    def test_is_denied_everything_and_proves_nothing(self, host):
        host.others, host.user = [], (200, {}, {"id": 1, "active_organization": None})
        deny(host, NOW, 30)
        assert host.known.get("set_aside") == "" and "may have lost its rights" in host.known.get("error")

    def test_of_another_organization_neither(self, host):
        host.user = (200, {}, {"id": 1, "active_organization": 2})
        deny(host, NOW, 30)
        assert host.known.get("set_aside") == "" and "organization 2" in host.known.get("error")

    def test_nor_one_that_is_not_accepted(self, host):
        host.project, host.user = DENIAL, (401, {}, {"detail": "Invalid token."})
        with pytest.raises(LabelStudioError, match="does not accept"):
            host.look(NOW)
        assert host.known.get("denied_since") == ""

    def test_the_last_project_of_its_organization_can_be_deleted(self, host):
        host.others = []
        deny(host, NOW, 24)
        assert host.known.get("set_aside")


def test_another_project_under_its_number_is_proof_too(host):
    other = host.mine | {"created_at": datetime.fromtimestamp(1_800_000_060, UTC).isoformat()}
    host.project = (200, {}, other)
    host.others.append(other)
    for hour in range(25):
        assert host.look(NOW + 3600 * hour) is None
    assert host.known.get("set_aside")


@pytest.mark.parametrize(
    ("error", "status", "full"),
    [
        (LabelStudioError("no answer", unanswered=True), 502, "1"),
        (LabelStudioError("gateway", status=503), 502, "1"),
        (LabelStudioError("locked", status=500), 500, "1"),
        (LabelStudioError("locked", status=500), 502, "0"),
        (LabelStudioError("odd answer"), 500, "0"),
        (NotFoundError("gone", status=404), 500, "0"),
    ],
)
def test_after_an_absence_everything_is_read_once(project, error, status, full):
    project.set(want_full="0")
    with pytest.raises(LabelStudioError), noting_absence(project, status=status):
        raise error
    assert project.get("want_full") == full


def test_the_clock_is_that_of_the_machine_when_none_is_given(host):
    host.project = DENIAL
    assert find_remote(host.known, host.client) is None
    assert abs(float(host.known.get("denied_since")) - time.time()) < 60
