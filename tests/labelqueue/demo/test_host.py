"""The demo's side of Label Studio, with a server that says what a test wants."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from http_stub import serving
from labelqueue.demo.host import BATCH_BYTES, BATCH_FILES, DemoHost, batches
from labelqueue.demo.sources import ImageFile, folder_source
from labelqueue.exceptions import CredentialError, LabelStudioError

TOKEN = "0123456789abcdef0123456789abcdef01234567"


def jpeg(color: str = "red") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 30), color).save(file, "JPEG")
    return file.getvalue()


def group(*names: str) -> list[tuple[ImageFile, bytes]]:
    return [(ImageFile(name, name, bytes), b"bytes of " + name.encode()) for name in names]


def test_bad_files_are_told_apart_and_good_ones_come_in_groups(tmp_path: Path):
    for number in range(BATCH_FILES + 1):
        (tmp_path / f"{number:03d}.jpg").write_bytes(jpeg())
    (tmp_path / "bad.png").write_bytes(b"no image")
    (tmp_path / "empty.jpg").touch()
    bad: list = []
    groups = list(batches(folder_source(tmp_path).files(), bad))
    assert [len(group) for group in groups] == [BATCH_FILES, 1]
    assert {file.key for file, _ in bad} == {"bad.png", "empty.jpg"}


def test_large_files_come_in_smaller_groups():
    half = bytes(BATCH_BYTES // 2 + 1)
    files = iter([ImageFile(name, name, lambda: half) for name in "abc"])
    assert [[file.name for file, _ in some] for some in batches(files, [])] == [["a"], ["b"], ["c"]]


def test_a_project_is_there_until_it_is_not():
    answers = iter([(200, {"id": 4}), (404, {}), (500, {})])

    def answer(*call):
        status, body = next(answers)
        return status, {}, body

    with serving(answer) as (url, calls), DemoHost(url, TOKEN) as host:
        assert host.has_project(4) and not host.has_project(4)
        with pytest.raises(LabelStudioError, match="500"):
            host.has_project(4)
    assert {(path, headers["Authorization"]) for _, path, headers, _ in calls} == {
        ("/api/projects/4", f"Token {TOKEN}")
    }


def test_a_project_is_made_and_counted():
    with serving(lambda *call: (200, {}, {"id": 9, "task_number": 3})) as (url, calls), DemoHost(url, TOKEN) as host:
        assert host.create_project("title", "<View/>") == 9 and host.task_count(9) == 3
    assert json.loads(calls[0][3]) == {"title": "title", "label_config": "<View/>"}


def test_files_go_in_one_request():
    with serving(lambda *call: (201, {}, {})) as (url, calls), DemoHost(url, TOKEN) as host:
        assert host.upload(4, group("a.jpg", "b.jpg")) == []
    ((method, path, _, body),) = calls
    assert (method, path) == ("POST", "/api/projects/4/import")
    assert b'filename="a.jpg"' in body and b"bytes of b.jpg" in body


def test_one_refused_file_does_not_take_its_group_along():
    def answer(method, path, headers, body):
        return (400, {}, {"detail": "too odd"}) if b"odd.jpg" in body else (201, {}, {})

    with serving(answer) as (url, calls), DemoHost(url, TOKEN) as host:
        ((file, why),) = host.upload(4, group("a.jpg", "odd.jpg", "b.jpg"))
    assert file.name == "odd.jpg" and "400" in why and "too odd" in why
    assert len(calls) == 4  # all together, then one by one


@pytest.mark.parametrize("status", [200, 302, 401, 403, 404, 500, 503])
def test_what_is_not_about_the_files_ends_the_import(status):
    with (
        serving(lambda *call: (status, {"Location": "/login"}, b"<html>")) as (url, calls),
        DemoHost(url, TOKEN) as host,
        pytest.raises(LabelStudioError) as error,
    ):
        host.upload(4, group("a.jpg", "b.jpg"))
    assert error.value.status == status and len(calls) == 1
    assert isinstance(error.value, CredentialError) == (status == 401)


def test_no_answer_ends_the_import():
    with serving(lambda *call: (200, {}, {})) as (url, _):
        pass
    with DemoHost(url, TOKEN) as host, pytest.raises(LabelStudioError, match="does not answer"):
        host.upload(4, group("a.jpg"))


def backend_at(url, hooks=()):
    def answer(method, path, headers, body):
        if method != "GET":
            return 200, {}, {}
        rows = [{"id": 8, "title": "other", "url": "http://x"}]
        if url:
            rows.append({"id": 2, "title": "labelqueue", "url": url})
        return 200, {}, list(hooks) if path.startswith("/api/webhooks") else rows

    return answer


def changes(calls):
    return [(method, path, json.loads(body)) for method, path, _, body in calls if method != "GET"]


def test_the_backend_is_connected_once_and_saved_again_later():
    row = {"project": 4, "url": "http://lq:9090", "title": "labelqueue"}
    for known, expected in (("", ("POST", "/api/ml")), ("http://lq:9090", ("PATCH", "/api/ml/2"))):
        with serving(backend_at(known)) as (url, calls), DemoHost(url, TOKEN) as host:
            host.connect(4, "http://lq:9090")
        assert changes(calls) == [(*expected, row)]


def test_a_backend_that_moved_takes_its_webhook_along():
    hooks = [{"id": 5, "url": "http://old:1/webhook"}, {"id": 6, "url": "http://foreign:1/webhook"}]
    with serving(backend_at("http://old:1/", hooks)) as (url, calls), DemoHost(url, TOKEN) as host:
        host.connect(4, "http://lq:9090")
    assert changes(calls)[1:] == [("PATCH", "/api/webhooks/5/", {"url": "http://lq:9090/webhook"})]
