"""What the Label Studio client asks and makes of the answers, with a server that says what a test wants."""

import json
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest

import labelqueue.labelstudio.client
from http_stub import serving
from labelqueue.exceptions import LabelStudioError
from labelqueue.labelstudio import client as client_module
from labelqueue.labelstudio.client import PAGE, LabelStudio
from labelqueue.labelstudio.records import Skipped

WHEN = "2026-11-21T05:00:00Z"
LEGACY = "0123456789abcdef0123456789abcdef01234567"


def test_it_is_one_session_with_the_servers_origin():
    with serving(lambda *call: (200, {}, {"email": "me"})) as (url, calls):
        client = LabelStudio(f"{url}/label/", LEGACY)
        assert client.origin == f"{url}/label" and client.whoami() == {"email": "me"}
    assert [(path, headers["Authorization"]) for _, path, headers, _ in calls] == [
        ("/label/api/current-user/whoami", f"Token {LEGACY}")
    ]


def test_a_file_is_asked_for_once_and_its_redirect_is_the_callers():
    answers = iter([(302, {"Location": "http://elsewhere.test"}, b""), (503, {}, b"busy")])
    with serving(lambda *call: next(answers)) as (url, calls):
        client = LabelStudio(url, LEGACY)
        assert client.get_file("/data/upload/1/a.jpg").status_code == 302
        with pytest.raises(LabelStudioError, match="503 busy"):
            client.get_file("/data/upload/1/a.jpg", timeout=1.0)
        assert len(calls) == 2


def test_how_label_studio_names_itself_is_asked_once(monkeypatch):
    templates = [{"title": "blank"}, "odd", {"image": "https://labels.example.com/label/static/templates/a.png"}]
    with serving(lambda *call: (200, {}, {"templates": templates})) as (url, calls):
        client = LabelStudio(url, LEGACY)
        assert [client.hostname() for _ in range(3)] == ["https://labels.example.com/label"] * 3
        assert [path for _, path, _, _ in calls] == ["/api/templates/"]
        monkeypatch.setattr(labelqueue.labelstudio.client, "NAME_KEPT", -1.0)
        templates[2] = {"image": "/static/templates/a.png"}
        assert client.hostname() == "" and len(calls) == 2


@pytest.mark.parametrize("answer", [(404, {}, b"no"), (403, {}, {}), (200, {}, []), (200, {}, {"templates": 7})])
def test_a_label_studio_that_does_not_name_itself(answer):
    with serving(lambda *call: answer) as (url, _):
        assert LabelStudio(url, LEGACY).hostname() == ""


@pytest.mark.parametrize("status", [401, 500])
def test_a_label_studio_that_cannot_say_now_is_not_taken_for_one_without_a_name(status):
    with serving(lambda *call: (status, {}, {})) as (url, _), pytest.raises(LabelStudioError):
        LabelStudio(url, LEGACY).hostname()


def listing(path):
    """The value of each filter in the address of a listing, by the column it looks at."""
    items = json.loads(parse_qs(urlsplit(path).query)["query"][0]).get("filters", {"items": []})["items"]
    return {item["filter"].removeprefix("filter:tasks:"): item["value"] for item in items}


def test_tasks_that_are_deleted_while_they_are_paged_hide_no_others():
    tasks = list(range(1, 2501))

    def answer(method, path, headers, body):
        left = [task for task in tasks if task > listing(path).get("id", 0)]
        if left[0] == 1001:
            del tasks[:900]  # numbers of pages would shift
        return 200, {}, {"tasks": [{"id": task} for task in left[:PAGE]], "total": len(left)}

    with serving(answer) as (url, calls):
        client = LabelStudio(url, LEGACY)
        assert [task["id"] for task in client.tasks(1, fields=("id",))] == list(range(1, 2501))
        since = datetime(2026, 11, 21, 5, 0, 0, 123, tzinfo=UTC)
        assert [task["id"] for task in client.tasks(1, since=since, after=1600, fields=("id",))] == tasks[-900:]
    assert [listing(path) for _, path, _, _ in calls] == [
        {},
        {"id": 1000},
        {"id": 2000},
        {"id": 1600, "updated_at": "2026-11-21T05:00:00.000123Z"},
    ]


def test_a_last_task_that_is_deleted_while_they_are_counted_ends_the_list():
    pages = iter([([{"id": 1}, {"id": 2}], 3), ([], 0)])
    with serving(lambda *call: (200, {}, dict(zip(("tasks", "total"), next(pages), strict=True)))) as (url, _):
        assert [task["id"] for task in LabelStudio(url, LEGACY).tasks(1, fields=("id",))] == [1, 2]


@pytest.mark.parametrize("rows", [[{"id": 3}], [{"name": "none"}], []])
def test_a_label_studio_that_does_not_list_by_id_is_refused_instead_of_asked_for_ever(rows):
    pages = iter([[{"id": 5}], rows])
    with (
        serving(lambda *call: (200, {}, {"tasks": next(pages), "total": 9})) as (url, _),
        pytest.raises(LabelStudioError, match="does not list the tasks after 5 by id"),
    ):
        list(LabelStudio(url, LEGACY).tasks(1, fields=("id",), skipped=Skipped()))


def test_the_newest_change_is_read_from_one_task():
    answers = iter([[{"id": 4, "updated_at": WHEN}], []])
    with serving(lambda *call: (200, {}, {"tasks": next(answers), "total": 1})) as (url, calls):
        client = LabelStudio(url, LEGACY)
        assert [client.newest_change(1), client.newest_change(1)] == [WHEN, ""]
    asked = parse_qs(urlsplit(calls[0][1]).query)
    assert asked["page_size"] == ["1"] and json.loads(asked["query"][0]) == {"ordering": ["-tasks:updated_at"]}


def test_only_our_webhook_gets_the_secret():
    hooks = [
        {"id": 1, "url": "http://lq:9090/webhook", "headers": {"X-Other": "kept"}},
        {"id": 2, "url": "http://other:9090/webhook", "headers": {}},
        {"id": 3, "url": "http://lq:9090/webhook", "headers": {"X-Secret": "s"}},
    ]
    with serving(lambda *call: (200, {}, hooks if call[0] == "GET" else {})) as (url, calls):
        assert LabelStudio(url, LEGACY).secure_webhooks(1, "http://lq:9090/", {"X-Secret": "s"}) == (2, 0)
    patches = [(path, json.loads(body)) for method, path, _, body in calls if method == "PATCH"]
    assert patches == [("/api/webhooks/1/", {"headers": {"X-Other": "kept", "X-Secret": "s"}})]


def test_our_webhook_that_is_off_is_switched_on():
    """Newer Label Studios switch a webhook off after failed calls; others have no such field, or a person used it."""
    off = {"is_active": False, "headers": {"X-Secret": "s"}}
    hooks = [
        {"id": 1, "url": "http://lq:9090/webhook", **off},
        {"id": 2, "url": "http://other:9090/webhook", **off},
        {"id": 3, "url": "http://lq:9090/webhook", "headers": {"X-Secret": "s"}, "is_active": True},
        {"id": 4, "url": "http://lq:9090/webhook", "headers": {}, "is_active": False},
    ]
    with serving(lambda *call: (200, {}, hooks if call[0] == "GET" else {})) as (url, calls):
        assert LabelStudio(url, LEGACY).secure_webhooks(1, "http://lq:9090", {"X-Secret": "s"}) == (3, 2)
    patches = [(path, json.loads(body)) for method, path, _, body in calls if method == "PATCH"]
    assert patches == [
        ("/api/webhooks/1/", {"is_active": True}),
        ("/api/webhooks/4/", {"headers": {"X-Secret": "s"}, "is_active": True}),
    ]


def test_named_tasks_are_read_in_batches_with_their_annotations():
    def answer(method, path, headers, body):
        chosen = json.loads(parse_qs(urlsplit(path).query)["query"][0])["selectedItems"]["included"]
        said = [{"id": 1, "updated_at": WHEN, "result": []}]
        return 200, {}, {"tasks": [{"id": i, "updated_at": WHEN, "annotations": said} for i in chosen if i != 7]}

    with serving(answer) as (url, calls):
        client = LabelStudio(url, LEGACY)
        batches = list(client.annotated(3, range(10**9, 10**9 + 250), fields=("updated_at",)))
        assert client.existing(3, [6, 7, 8]) == {6, 8}
        assert list(client.annotated(3, [], fields=())) == [] and client.existing(3, []) == set()
    assert [len(batch) for batch in batches] == [100, 100, 50]
    assert len(calls) == 4 and max(len(path) for _, path, _, _ in calls) < 4000


@pytest.mark.parametrize("task", [{"id": 5}, {"id": 5, "annotations": [{"id": 1}]}])
def test_annotations_without_their_results_are_refused(task):
    with (
        serving(lambda *call: (200, {}, {"tasks": [task]})) as (url, _),
        pytest.raises(LabelStudioError, match="task 5 without its annotations' results"),
    ):
        list(LabelStudio(url, LEGACY).annotated(3, [5], fields=()))


def unable(bad, n, *, times=10**9):
    """Answer for a Label Studio with `n` tasks that cannot show the data of some of them, so many times."""
    left = dict.fromkeys(bad, times)

    def answer(method, path, headers, body):
        asked = parse_qs(urlsplit(path).query)
        query = json.loads(asked["query"][0])
        after = listing(path).get("id", -1)
        rest = list(range(after + 1, n))
        ids = query.get("selectedItems", {}).get("included") or rest[: int(asked["page_size"][0])]
        if asked["include"] != ["id"]:
            for task in left.keys() & set(ids):
                left[task] -= 1
                if left[task] >= 0:
                    return 500, {}, b"<!doctype html>"
        said = [{"id": 1, "updated_at": WHEN, "result": []}]
        tasks = [{"id": task, "updated_at": WHEN, "data": {}, "annotations": said} for task in ids]
        return 200, {}, {"tasks": tasks, "total": len(rest)}

    return answer


@pytest.mark.parametrize("bad", [{0}, {7, 1000, 1099}])
def test_a_task_that_label_studio_cannot_show_costs_itself(bad):
    skipped = Skipped()
    with serving(unable(bad, 1100)) as (url, calls):
        client = LabelStudio(url, LEGACY)
        rows = list(client.tasks(1, fields=("id", "data"), skipped=skipped))
    assert [row["id"] for row in rows] == [task for task in range(1100) if task not in bad]
    assert skipped.found == {f"task {task}": "Label Studio itself cannot show it (error 500)" for task in bad}
    pages = len({task // PAGE for task in bad})
    assert len(calls) <= 3 + 11 * pages + 16 * len(bad)


def test_annotations_that_label_studio_cannot_show_cost_their_task():
    skipped = Skipped()
    with serving(unable({3, 150}, 200)) as (url, _):
        client = LabelStudio(url, LEGACY)
        batches = client.annotated(1, range(200), ("data",), skipped=skipped)
        assert [row["id"] for batch in batches for row in batch] == [i for i in range(200) if i not in (3, 150)]
    assert set(skipped.found) == {"annotations of task 3", "annotations of task 150"}


def test_a_database_that_was_locked_costs_nothing():
    skipped = Skipped()
    with serving(unable({5}, 8, times=5)) as (url, _):
        rows = list(LabelStudio(url, LEGACY).tasks(1, fields=("id", "data"), skipped=skipped))
    assert [row["id"] for row in rows] == list(range(8)) and skipped.found == {}


def test_a_server_that_shows_nothing_is_down(monkeypatch):
    monkeypatch.setattr(client_module, "REFUSALS", 20)
    for answer in (lambda *call: (500, {}, b"oops"), unable(range(500), 500)):
        with serving(answer) as (url, calls), pytest.raises(LabelStudioError, match="refused GET"):
            list(LabelStudio(url, LEGACY).tasks(1, fields=("id", "data"), skipped=Skipped()))
        assert len(calls) <= 20 + 3


def test_many_tasks_that_cannot_be_shown_are_not_all_looked_for(monkeypatch):
    monkeypatch.setattr(client_module, "REFUSALS", 20)
    skipped = Skipped()
    with serving(unable(set(range(100, 1000)), 1000)) as (url, calls):
        rows = list(LabelStudio(url, LEGACY).tasks(1, fields=("id", "data"), skipped=skipped))
    assert [row["id"] for row in rows] == list(range(100)) and len(skipped.found) == 900
    assert len(calls) < 20 + 30


def test_projects_are_listed_page_by_page_with_little_of_each():
    rows = [*({"id": number} for number in range(1, 150)), "odd"]

    def answer(method, path, headers, body):
        page = int(parse_qs(urlsplit(path).query)["page"][0])
        return 200, {}, {"count": 150, "results": rows[100 * (page - 1) : 100 * page]}

    with serving(answer) as (url, calls):
        assert [row["id"] for row in LabelStudio(url, LEGACY).projects(odd=True)] == list(range(1, 150))
        assert parse_qs(urlsplit(calls[0][1]).query)["include"] == ["id,title,created_at"] and len(calls) == 2
        with pytest.raises(LabelStudioError):
            LabelStudio(url, LEGACY).projects()
    with serving(lambda *_: (404, {}, {})) as (url, _), pytest.raises(LabelStudioError):
        LabelStudio(url, LEGACY).projects(odd=True)


@pytest.mark.parametrize("date", ["", "yesterday"])
def test_a_server_that_does_not_tell_the_time(date):
    with serving(lambda *_: (200, {"Date": date}, {"release": "1.23.2"})) as (url, _):
        about, ahead = LabelStudio(url, LEGACY).about()
    assert about == {"release": "1.23.2"} and (ahead is None or abs(ahead) < 5)


@pytest.mark.parametrize("content", [b"<html>", b"5", b""])
def test_what_is_no_label_studio_is_an_error(content):
    with serving(lambda *_: (200, {}, content)) as (url, _), pytest.raises(LabelStudioError):
        LabelStudio(url, LEGACY).about()


def test_a_client_that_does_not_wait_asks_once():
    with serving(lambda *_: (503, {}, b"busy")) as (url, calls):
        with pytest.raises(LabelStudioError):
            LabelStudio(url, LEGACY, timeout=(1.0, 1.0), retries=0).whoami()
        assert len(calls) == 1


def test_predictions_of_a_version_are_looked_for_among_those_whose_names_contain_it():
    def answer(method, path, headers, body):
        asked = parse_qs(urlsplit(path).query)
        assert asked["page_size"] == ["2"] and asked["review"] == ["true"]
        (held,) = json.loads(asked["query"][0])["filters"]["items"]
        assert held["value"] == ["r1 FreeSel"]
        page = int(asked["page"][0])
        rows = [
            {"id": 10 * page, "model_version": "r1 FreeSel 2"},
            {"id": 10 * page + 1, "model_version": "r1 FreeSel"},
        ]
        tasks = {1: [{"id": 1, "predictions": rows[:1]}, None], 2: [{"id": 2, "predictions": rows}, {"id": 3}]}
        return 200, {}, {"tasks": tasks.get(page, [{"id": 4, "predictions": rows}]), "total": 5}

    with serving(answer) as (url, calls):
        client = LabelStudio(url, LEGACY)
        assert client.predictions_of(7, "r1 FreeSel", 2) == [21, 31] and len(calls) == 3
    with serving(lambda *call: (200, {}, {"tasks": [], "total": 0})) as (url, calls):
        assert LabelStudio(url, LEGACY).predictions_of(7, "r1 FreeSel", 2) == [] and len(calls) == 1


def test_one_prediction_is_deleted_at_a_time():
    with serving(lambda *call: (204, {}, b"")) as (url, calls):
        LabelStudio(url, LEGACY).delete_prediction(12)
    assert [(method, path) for method, path, *_ in calls] == [("DELETE", "/api/predictions/12/")]


def test_an_import_may_take_the_longer_the_more_it_is(monkeypatch):
    """A call whose answer was lost is given up within a minute; an import of an order for a large project is not."""
    asked = []
    with serving(lambda *call: (200, {}, {"created": len(json.loads(call[3]))})) as (url, _):
        client = LabelStudio(url, LEGACY)
        send = client._session._once.request
        monkeypatch.setattr(
            client._session._once, "request", lambda *a, **o: asked.append(o["timeout"]) or send(*a, **o)
        )
        client.create_prediction({})
        for rows in (60, 10_000):
            assert client.import_predictions(1, [{}] * rows) == rows
    (_, single), (_, few), (_, many) = asked
    assert max(single, few) < 45 and many > 200
