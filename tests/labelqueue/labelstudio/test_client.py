"""The Label Studio client against a server that misbehaves in ways a real one seldom does."""

import json
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from labelqueue.exceptions import CredentialError, LabelStudioError, NotFoundError
from labelqueue.labelstudio.client import LabelStudio

LEGACY = "0123456789abcdef0123456789abcdef01234567"
PAT = "header.payload.signature"


@contextmanager
def serving(answer):
    """Serve `answer(method, path, headers, body) -> (status, headers, body)` and collect the calls."""
    calls = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            calls.append((self.command, self.path, dict(self.headers), body))
            status, headers, content = answer(self.command, self.path, self.headers, body)
            content = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for key, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = _any  # noqa: N815

        def log_message(self, *arguments):
            """Stay quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", calls
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_an_empty_key_says_where_to_get_one():
    with pytest.raises(CredentialError, match="LABEL_STUDIO_API_KEY is empty"):
        LabelStudio("http://127.0.0.1:1", "")


def test_a_legacy_token_is_sent_as_it_is():
    with serving(lambda *call: (200, {}, {"email": "me"})) as (url, calls):
        assert LabelStudio(url, LEGACY).whoami() == {"email": "me"}
    assert calls[0][2]["Authorization"] == f"Token {LEGACY}"


def test_a_personal_token_is_exchanged_once_and_renewed_when_refused():
    issued = []

    def answer(method, path, headers, body):
        if path == "/api/token/refresh/":
            assert json.loads(body) == {"refresh": PAT}
            issued.append(f"access-{len(issued)}")
            return 200, {}, {"access": issued[-1]}
        good = headers["Authorization"] == f"Bearer {issued[-1]}" and issued[-1] != "access-0"
        return (200, {}, {"email": "me"}) if good else (401, {}, {"detail": "expired"})

    with serving(answer) as (url, _):
        client = LabelStudio(url, PAT)
        client.whoami()
        client.whoami()
    assert issued == ["access-0", "access-1"]


@pytest.mark.parametrize("key", [LEGACY, PAT])
def test_a_refused_key_says_what_to_do(key):
    with (
        serving(lambda *call: (401, {}, {"detail": "no"})) as (url, _),
        pytest.raises(CredentialError, match="personal access token"),
    ):
        LabelStudio(url, key).whoami()


def test_the_key_never_crosses_a_redirect():
    with (
        serving(lambda *call: (200, {}, {"email": "thief"})) as (elsewhere, stolen),
        serving(lambda *call: (302, {"Location": elsewhere}, b"")) as (url, _),
    ):
        client = LabelStudio(url, LEGACY)
        with pytest.raises(LabelStudioError, match=r"redirects to .*: set LABEL_STUDIO_URL"):
            client.project(1)
        with pytest.raises(LabelStudioError, match="redirects"):
            client.update_project(1, sampling="x")
        assert client.get_file("/data/upload/1/a.jpg").status_code == 302
        assert stolen == []


def test_a_busy_server_is_asked_again_but_nothing_is_posted_twice():
    busy = iter([503, 502, 200])
    with serving(lambda *call: (next(busy), {}, {"id": 1})) as (url, calls):
        assert LabelStudio(url, LEGACY).project(1) == {"id": 1}
        assert len(calls) == 3
    with serving(lambda *call: (503, {}, {})) as (url, calls):
        with pytest.raises(LabelStudioError) as error:
            LabelStudio(url, LEGACY).import_predictions(1, [])
        assert error.value.status == 503 and len(calls) == 1


def test_errors_name_server_path_and_status():
    with serving(lambda *call: (404, {}, {"detail": "gone"})) as (url, _):
        with pytest.raises(NotFoundError, match="api/projects/5: 404") as error:
            LabelStudio(url, LEGACY).project(5)
        assert url in str(error.value) and LEGACY not in str(error.value)
    with pytest.raises(LabelStudioError, match="does not answer"):
        LabelStudio(url, LEGACY).import_predictions(1, [])


def test_an_answer_that_is_not_label_studios():
    with (
        serving(lambda *call: (200, {}, b"<html>hello</html>")) as (url, _),
        pytest.raises(LabelStudioError, match="is LABEL_STUDIO_URL a Label Studio"),
    ):
        LabelStudio(url, LEGACY).project(1)


def test_tasks_are_paged_and_survive_deletion_while_paging():
    def answer(method, path, headers, body):
        page = int(path.split("&page=")[1].split("&")[0])
        if page == 3:
            return 404, {}, {"detail": "Invalid page"}
        start = 1000 * (page - 1)
        return 200, {}, {"tasks": [{"id": i} for i in range(start, start + 1000)], "total": 2500}

    with serving(answer) as (url, calls):
        client = LabelStudio(url, LEGACY)
        assert [task["id"] for task in client.tasks(1, fields=("id",))] == list(range(2000))
        since = datetime(2026, 11, 21, 5, 0, 0, 123, tzinfo=UTC)
        next(client.tasks(1, since=since, fields=("id",)))
    assert "2026-11-21T05%3A00%3A00.000123Z" in calls[-1][1]


def test_only_our_webhook_gets_the_secret():
    hooks = [
        {"id": 1, "url": "http://lq:9090/webhook", "headers": {"X-Other": "kept"}},
        {"id": 2, "url": "http://other:9090/webhook", "headers": {}},
        {"id": 3, "url": "http://lq:9090/webhook", "headers": {"X-Secret": "s"}},
    ]
    with serving(lambda *call: (200, {}, hooks if call[0] == "GET" else {})) as (url, calls):
        assert LabelStudio(url, LEGACY).secure_webhooks(1, "http://lq:9090/", {"X-Secret": "s"}) == 2
    patches = [(path, json.loads(body)) for method, path, _, body in calls if method == "PATCH"]
    assert patches == [("/api/webhooks/1/", {"headers": {"X-Other": "kept", "X-Secret": "s"}})]


def test_named_tasks_are_read_in_batches_with_their_annotations():
    def answer(method, path, headers, body):
        chosen = json.loads(parse_qs(urlsplit(path).query)["query"][0])["selectedItems"]["included"]
        return 200, {}, {"tasks": [{"id": i, "annotations": [{"id": 1, "result": []}]} for i in chosen if i != 7]}

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
