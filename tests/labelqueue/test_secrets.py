"""No secret is written anywhere, whatever fails, at any log level: not in logs, errors, status, REST or facts."""

import base64
import json
import logging
import os
import socket
import subprocess
import sys
import threading

import pytest

from conftest import CONFIG
from http_stub import serving
from labelqueue import admin
from labelqueue.cli import main
from labelqueue.exceptions import LabelQueueError
from labelqueue.fetching import ImageFetcher
from labelqueue.labelstudio import LabelStudio
from labelqueue.settings import Deployment
from labelqueue.state.project import SECRET_HEADER, Project, ProjectRef
from labelqueue.store.redis_connection import connect
from labelqueue.web.app import create_app
from labelqueue.worker.look import tend_job
from labelqueue.worker.runtime import Runtime, install

LEGACY = "0123456789abcdef0123456789abcdef01234567"
PAT = "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjgwODMyNjAyNjd9.q4nV9mJrKp3sTzXw"
ACCESS = "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyIjoxfQ.Zm9vYmFyYmF6cXV4"
WORD, REDIS_WORD, SIGNATURE = "hunter2", "tr0ub4dor", "AKIAIOSFODNN7EXAMPLE"
BASIC = base64.b64encode(f"ls:{WORD}".encode()).decode()
EVERY = (LEGACY, PAT, ACCESS, WORD, REDIS_WORD, SIGNATURE, BASIC)
TOLD = (
    f"key {LEGACY}, {PAT} and Bearer {ACCESS}; Authorization: Basic {BASIC}; password={WORD}; "
    f"redis://:{REDIS_WORD}@redis:6379; https://s3.test/x?X-Amz-Signature={SIGNATURE}&X-Amz-Credential={SIGNATURE}"
)
ANSWERS = {
    "text": TOLD.encode(),
    "page": f"<html><title>Error {TOLD}</title><body>{TOLD}</body></html>".encode(),
    "untitled page": f"<p>{TOLD}</p>".encode(),
    "detail": json.dumps({"detail": TOLD, "exc_info": TOLD}).encode(),
    "validation": json.dumps({"detail": "no", "validation_errors": {"url": [TOLD], "password": [WORD]}}).encode(),
    "list": json.dumps([TOLD, {"token": PAT}]).encode(),
    "object": json.dumps({"id": TOLD, "access": PAT, "label_config": [TOLD]}).encode(),
}


@pytest.fixture
def written(caplog, capfd):
    """A function that returns all that was logged, with tracebacks, and printed, at every level."""
    caplog.set_level(logging.DEBUG)
    return lambda: caplog.text + "".join(capfd.readouterr())


def clean(*texts):
    for text in texts:
        for secret in EVERY:
            assert secret not in text, text[max(0, text.index(secret) - 200) :][:400]


def facts(store):
    """Everything in Redis, but for the secret that the webhooks are to send and for what tasks hold."""
    found = []
    for key in store.scan_iter("*"):
        kind = store.type(key)
        if kind == b"hash":
            found += [k + b"=" + v for k, v in store.hgetall(key).items() if k != b"secret"]
        elif kind == b"string":
            found.append(store.get(key))
        elif kind == b"stream":
            found.append(repr(store.xrange(key)).encode())
    return b"\n".join(found).decode("utf-8", "replace")


@pytest.mark.parametrize(
    "url",
    [
        f"http://:{REDIS_WORD}@redis:6379/0",
        f"rediss:/:{REDIS_WORD}@redis",
        f":{REDIS_WORD}@redis:6379",
        REDIS_WORD,
        f"redis//{REDIS_WORD}@redis",
        f"redis://:{REDIS_WORD}#1@redis:6379/0",
        f"redis://:{REDIS_WORD}/1@redis:6379/0",
        f"redis://{REDIS_WORD}?@redis",
        f"redis://:{REDIS_WORD}@redis:port/0",
        f"redis://:{REDIS_WORD}@[redis/0",
        f"redis://ls:{REDIS_WORD}@127.0.0.1:1/0",
        f"redis://127.0.0.1:1/0?password={REDIS_WORD}",
        f"redis://127.0.0.1:1/0?password={REDIS_WORD}&db=x",
        f"unix://:{REDIS_WORD}@/nowhere.sock",
    ],
)  # fmt: skip
@pytest.mark.parametrize("how", [("status", "1"), ("-v", "status", "1"), ("serve",), ("worker",)])
def test_a_wrong_redis_url_is_named_without_its_password(monkeypatch, tmp_path, written, how, url):
    for name, value in {
        "REDIS_URL": url,
        "LABEL_STUDIO_API_KEY": LEGACY,
        "LABELQUEUE_HOME": str(tmp_path),
        "PORT": "9",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("labelqueue.worker.supervisor._check_port", lambda *address: None)
    assert main(how) == 1
    text = written()
    assert "REDIS_URL" in text and "Traceback" not in text
    clean(text)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LABEL_STUDIO_URL", f"http://ls:{WORD}@label-studio:8080"),
        ("LABEL_STUDIO_URL", f"http://ls:{WORD}@label-studio:8080/?token={LEGACY}"),
        ("LABEL_STUDIO_URL", f"ls:{WORD}@label-studio"),
        ("LABEL_STUDIO_URL", f"http://label-studio:8080/?token={SIGNATURE}"),
        ("BASIC_AUTH_PASS", WORD),
    ],
)
def test_wrong_settings_are_named_without_what_is_secret(monkeypatch, written, name, value):
    monkeypatch.setenv(name, value)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", LEGACY)
    assert main(["-v", "status", "1"]) == 1
    text = written()
    assert name in text
    clean(text)


@pytest.mark.parametrize(
    "answer", [b"-WRONGPASS invalid username-password pair", b"-NOAUTH needed", b"-ERR wrong", b"no"]
)
def test_a_redis_that_refuses_the_password_is_named_without_it(written, answer):
    with socket.create_server(("127.0.0.1", 0)) as door:

        def serve():
            while True:
                try:
                    line, _ = door.accept()
                except OSError:
                    return
                with line:
                    while line.recv(4096):
                        line.sendall(answer + b"\r\n")

        threading.Thread(target=serve, daemon=True).start()
        url = f"redis://ls:{REDIS_WORD}@127.0.0.1:{door.getsockname()[1]}/0"
        with pytest.raises(LabelQueueError) as caught:
            connect(Deployment.from_environment({"REDIS_URL": url}))
        clean(str(caught.value), repr(caught.value), written())
        door.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("key", [LEGACY, PAT])
@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 404, 409, 500])
@pytest.mark.parametrize("form", ANSWERS)
def test_whatever_label_studio_answers_status_and_logs_hold_no_secret(store, redis_home, written, key, status, form):
    def answer(method, path, headers, body):
        if path == "/api/token/refresh/":
            return 200, {}, {"access": ACCESS}
        return status, {"Location": f"http://ls:{WORD}@other.test/?token={SIGNATURE}"}, ANSWERS[form]

    with serving(answer) as (url, _):
        environ = {"LABELQUEUE_HOME": str(redis_home), "LABEL_STUDIO_URL": url, "LABEL_STUDIO_API_KEY": key}
        runtime = Runtime(Deployment.from_environment(environ))
        install(runtime)
        project = Project(store, ProjectRef(url, 7, 1_800_000_000))
        project.register(label_config=CONFIG, title="animals")
        outcome = tend_job(project.key)
        told = admin.project_status(project)
        rest = create_app(runtime.deployment).test_client().get("/api/v1/projects/7").text
    assert told["error"] or status == 404
    clean(outcome, json.dumps(told), "\n".join(admin.status_lines(told)), rest, facts(store), written())


def test_a_label_studio_that_denies_a_token_is_told_without_it(written):
    for status, body in ((401, TOLD.encode()), (200, b'{"token": "%s"}' % PAT.encode()), (500, ANSWERS["page"])):
        with serving(lambda *call, s=status, b=body: (s, {}, b)) as (url, _), pytest.raises(LabelQueueError) as caught:
            LabelStudio(url, PAT).whoami()
        clean(str(caught.value), written())


@pytest.mark.parametrize("form", ANSWERS)
@pytest.mark.parametrize("status", [200, 403, 404, 500])
def test_whatever_an_image_server_answers_errors_hold_no_secret(written, status, form):
    with serving(lambda *call: (status, {}, ANSWERS[form])) as (url, _):
        fetcher = ImageFetcher(LabelStudio(url, LEGACY), allow_hosts=["127.0.0.1"], timeout=2, deadline=5)
        query = f"?X-Amz-Signature={SIGNATURE}&token={PAT}"
        for uri in (
            f"{url}/data/upload/1/x.png{query}",
            f"/data/upload/1/x.png{query}",
            f"{url.replace('127.0.0.1', 'localhost')}/x.png{query}",
            f"{url.replace('//', f'//ls:{WORD}@')}/x.png",
            f"s3://bucket/x.png{query}",
            f"ftp://ls:{WORD}@files.test/x.png",
            f"//ls:{WORD}@files.test/x.png{query}",
        ):
            try:
                fetcher.read(uri, 7)
            except LabelQueueError as error:
                clean(str(error))
    clean(written())


def test_refused_and_failing_calls_are_logged_without_credentials(store, redis_home, written, monkeypatch):
    environ = {"LABELQUEUE_HOME": str(redis_home), "LABEL_STUDIO_URL": "http://ls.test", "BASIC_AUTH_USER": "ls"}
    app = create_app(Deployment.from_environment({**environ, "BASIC_AUTH_PASS": WORD, "LABEL_STUDIO_API_KEY": LEGACY}))
    client, right = app.test_client(), {"Authorization": f"Basic {BASIC}"}
    setup = {"project": "7.1", "schema": CONFIG, "access_token": LEGACY, "hostname": f"http://x/?{SIGNATURE}"}
    answers = [client.post("/setup", json=setup, headers=right)]
    (project,) = Project.all(store)
    secret = project.get("secret")

    def broken(*arguments, **options):
        raise RuntimeError("broken")

    monkeypatch.setattr("labelqueue.web.webhook.Journal", broken)
    event = {"action": "TASKS_CREATED", "tasks": [], "project": {"id": 7, "created_at": "1970-01-01T00:00:01Z"}}
    for headers in (right, {SECRET_HEADER: secret}, {SECRET_HEADER: LEGACY}, {"Authorization": f"Bearer {PAT}"}):
        answers.append(client.post("/webhook", json={**event, "note": TOLD}, headers=headers))
        answers.append(client.post(f"/nothing?token={SIGNATURE}", data=TOLD, headers=headers))
        answers.append(client.patch("/api/v1/projects/7/settings", data=TOLD, headers=headers))
    assert {answer.status_code for answer in answers} == {200, 400, 401, 404, 500}
    text = written()
    assert "RuntimeError: broken" in text
    clean(text, facts(store), *(answer.text for answer in answers))
    assert secret not in text + "".join(answer.text for answer in answers)


def test_the_web_process_that_cannot_start_says_so_in_one_line(tmp_path):
    environ = {"REDIS_URL": f"htp://:{REDIS_WORD}@redis", "LABELQUEUE_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "labelqueue.web"],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1 and "REDIS_URL" in done.stderr and "Traceback" not in done.stderr
    clean(done.stdout, done.stderr)
