"""The web process for real: slow callers, strangers with large bodies, what is no HTTP, and how it stops."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
import uvicorn

from e2e.harness import free_port
from labelqueue.state.journal import Journal
from labelqueue.state.project import SECRET_HEADER, Project
from labelqueue.web import server

CREATED_AT = "2026-11-21T00:44:53.544491Z"
PROJECT = {"id": 1, "created_at": CREATED_AT, "label_config": "<View/>"}
BASIC = {"Authorization": "Basic bHM6eA=="}  # ls:x
JUNK = b'{"action": [' + b"[]," * (10 * 2**20) + b"[]]}"  # 30 MiB, ten million lists


def event(number, **more):
    body = {"action": "ANNOTATION_CREATED", "annotation": {"id": number, "completed_by": 1}, "project": PROJECT}
    return json.dumps(body | {"task": {"id": number}} | more).encode()


@contextlib.contextmanager
def started(redis_home, **more):
    """A web process on a free port of this machine; yields port and process."""
    port = free_port()
    environ = {"LABELQUEUE_HOME": str(redis_home), "LABEL_STUDIO_URL": "http://ls.test", "LABEL_STUDIO_API_KEY": "k"}
    environ |= {"HOST": "127.0.0.1", "PORT": str(port), **more}
    process = subprocess.Popen([sys.executable, "-m", "labelqueue.web"], env={**os.environ, **environ})
    try:
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError):
                if call(port, "GET", "/health")[0] == 200:
                    break
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        yield port, process
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def opened(redis_home):
    with started(redis_home) as found:
        yield found


@pytest.fixture(scope="module")
def guarded(redis_home):
    with started(redis_home, BASIC_AUTH_USER="ls", BASIC_AUTH_PASS="x") as found:
        yield found


def call(port, method, path, body=None, headers=None):
    """Status and JSON of an answer."""
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        line.request(method, path, body, headers or {})
        answer = line.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        line.close()


def exchange(port, sent, *, end=False):
    """Send bytes, and return status and JSON of the answer without sending more."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as line:
        line.sendall(sent)
        if end:
            line.shutdown(socket.SHUT_WR)
        answer = http.client.HTTPResponse(line)
        answer.begin()
        return answer.status, json.loads(answer.read())


def head(path, *headers, method="POST"):
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1")


@contextlib.contextmanager
def slow_callers(port, heads, bodies, idle):
    """Connections that drip their headers, those that drip their body, and kept ones that say nothing."""
    done, lines = threading.Event(), []

    def connect(sent):
        line = socket.create_connection(("127.0.0.1", port), timeout=30)
        line.sendall(sent)
        lines.append(line)
        return line

    dripping = [connect(b"POST /webhook HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ") for _ in range(heads)]
    dripping += [connect(head("/webhook", "Content-Length: 60000")) for _ in range(bodies)]
    for _ in range(idle):
        assert connect(head("/health", method="GET")).recv(12) == b"HTTP/1.1 200"

    def drip():
        while not done.wait(0.2):
            for line in dripping:
                with contextlib.suppress(OSError):  # hung up on
                    line.sendall(b"1")

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        for line in lines:
            line.close()


def test_slow_callers_hold_nobody_up(opened, store):
    port, process = opened
    with slow_callers(port, heads=120, bodies=24, idle=60):
        began = time.monotonic()
        with ThreadPoolExecutor(8) as people:
            answers = list(people.map(lambda n: call(port, "POST", "/webhook", event(n)), range(100)))
        took = time.monotonic() - began
        assert {status for status, _ in answers} == {201}
        assert took < 30, "a server with a thread per caller never answers"
        assert psutil.Process(process.pid).num_threads() < 40
        assert psutil.Process(process.pid).memory_info().rss < 150e6
    (project,) = Project.all(store)
    assert len(Journal(project)) == 100


def test_five_thousand_new_tasks_are_one_event_and_hold_nobody_up(opened, store):
    port, _ = opened
    tasks = [{"id": n, "data": {"image": f"http://images.test/{n}.jpg", "note": "x" * 400}} for n in range(5000)]
    large = event(0, action="TASKS_CREATED", tasks=tasks)
    assert len(large) > 2.3e6
    with ThreadPoolExecutor(4) as people:
        big = [people.submit(call, port, "POST", "/webhook", large) for _ in range(3)]
        assert all(call(port, "POST", "/webhook", event(n))[0] == 201 for n in range(50))
        assert [one.result()[0] for one in big] == [201] * 3
    (project,) = Project.all(store)
    events = Journal(project).read()[0]
    assert sorted(len(one.ids) for one in events) == [1] * 50 + [5000] * 3


@pytest.mark.parametrize("how", ["Content-Length: 31457280", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("path", ["/webhook", "/setup", "/predict", "/api/v1/projects/1/settings"])
def test_a_stranger_is_told_before_a_large_body_is_read(guarded, store, path, how):
    port, _ = guarded
    for more in ((), (f"{SECRET_HEADER}: guess",), ("Authorization: Basic bHM6eQ==",), ("Authorization: Bäsic é",)):
        assert exchange(port, head(path, how, *more))[0] == 401


def test_junk_from_strangers_costs_no_memory(guarded, opened, store):
    for port, process in (guarded, opened):
        before = psutil.Process(process.pid).memory_info().rss
        wrong = {SECRET_HEADER: "guess"}
        for headers in ({}, wrong, wrong | {"Connection": "close"}):
            status, answer = call(port, "POST", "/webhook", JUNK, headers)
            assert status in (401, 413) and answer["error"]
        assert psutil.Process(process.pid).memory_info().rss - before < 40e6
        assert call(port, "GET", "/health")[0] == 200


def test_whoever_knows_a_secret_or_the_password_may_send_more(guarded, store):
    port, _ = guarded
    setup = {"project": "1.1795221893", "schema": ""}
    assert call(port, "POST", "/setup", json.dumps(setup), BASIC)[0] == 200
    (project,) = Project.all(store)
    large = event(4, more="x" * 200_000)
    assert call(port, "POST", "/webhook", large)[0] == 401
    assert call(port, "POST", "/webhook", large, BASIC)[0] == 201
    assert call(port, "POST", "/webhook", large, {SECRET_HEADER: project.get("secret")})[0] == 201
    chunks = iter([large[:70_000], large[70_000:]])
    assert call(port, "POST", "/webhook", chunks, {SECRET_HEADER: project.get("secret")})[0] == 201
    other = event(4, more="x" * 200_000, project={**PROJECT, "id": 2})
    assert call(port, "POST", "/webhook", other, {SECRET_HEADER: project.get("secret")})[0] == 401


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n\r\n", 400),  # TLS
        (b"GET /health\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\n\r\n", 400),  # no host
        (b"GET /h\xc3\xa9alth HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 400),
        (head("/webhook", "Content-Length: -1"), 400),
        (head("/webhook", "Content-Length: 1e3"), 400),
        (head("/webhook", "Content-Length: " + "9" * 5000), 400),
        (head("/webhook", "Content-Length: 5", "Content-Length: 6"), 400),
        (head("/webhook", "Transfer-Encoding: gzip"), 501),
        (head("/webhook", "Transfer-Encoding: chunked") + b"zz\r\n{}\r\n0\r\n\r\n", 400),
        (head("/webhook", "Transfer-Encoding: chunked") + b"-2\r\n{}\r\n0\r\n\r\n", 400),
        (head("/webhook", "Transfer-Encoding: chunked") + b"f" * 30 + b"\r\n{}", 400),
        (head("/webhook", "Transfer-Encoding: chunked") + b"2\r\n{}X\r\n0\r\n\r\n", 400),
        (head("/webhook", "X-Large: " + "x" * 400_000), 431),
        (head("/webhook", "Content-Length: 999999999999"), 413),
        (head("/nothing", "Content-Length: 1000000"), 404),
        (head("/versions", "Content-Length: 1000000"), 405),
        (head("/webhook", "X-Real-IP: 127.0.0.1", "Content-Length: 1000000"), 403),
        (head("/webhook", "Content-Type: text/plain", "Content-Length: 2") + b"[]", 400),
    ],
)  # fmt: skip
def test_what_the_server_refuses_is_answered_in_json(opened, store, sent, status):
    port, process = opened
    assert exchange(port, sent)[0] == status
    assert process.poll() is None


def test_chunks_are_put_together(opened, store):
    port, _ = opened
    chunk = event(4)
    sent = b"%x\r\n%s\r\n0\r\n\r\n" % (len(chunk), chunk)
    assert exchange(port, head("/webhook", "Transfer-Encoding: chunked") + sent) == (201, {"status": "accepted"})


def test_a_caller_that_hangs_up_in_the_middle_leaves_nothing_behind(opened, store):
    port, process = opened
    for announced in (100, 10_000_000):
        with socket.create_connection(("127.0.0.1", port)) as line:
            line.sendall(head("/webhook", f"Content-Length: {announced}") + b'{"action": ')
    assert call(port, "POST", "/webhook", event(4))[0] == 201
    deadline = time.monotonic() + 60
    while len(psutil.Process(process.pid).net_connections("tcp")) > 3:
        assert time.monotonic() < deadline, "a connection is kept"
        time.sleep(0.1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_soon_and_answers_what_it_has(redis_home, store, number):
    with started(redis_home) as (port, process), slow_callers(port, heads=4, bodies=0, idle=4):
        with socket.create_connection(("127.0.0.1", port), timeout=30) as line:
            chunk = event(4)
            line.sendall(head("/webhook", f"Content-Length: {len(chunk)}") + chunk[:-1])
            time.sleep(0.3)
            process.send_signal(number)
            time.sleep(0.3)
            line.sendall(chunk[-1:])
            assert line.recv(12) == b"HTTP/1.1 201"
        process.wait(timeout=60)
    (project,) = Project.all(store)
    assert len(Journal(project)) == 1


# -- the clocks, with shorter times


@pytest.fixture
def clocked(monkeypatch, tmp_path):
    """A server in a thread that answers {} to all, with a second for headers and bodies and room for 20 callers."""
    monkeypatch.setattr(server, "HEAD_SECONDS", 1.0)
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 20)
    monkeypatch.setattr("labelqueue.serving.gate.BODY_SECONDS", 1.0)
    monkeypatch.setattr("labelqueue.serving.gate.LINGER_SECONDS", 0.5)

    def app(environ, start_response):
        environ["wsgi.input"].read()
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", "2")])
        return [b"{}"]

    port = free_port()
    config = uvicorn.Config(server.Gate(app), port=port, http=server.PatientProtocol, loop="asyncio", **server.OPTIONS)
    one = uvicorn.Server(config)
    thread = threading.Thread(target=one.run)
    thread.start()
    while not one.started:
        time.sleep(0.01)
    yield port
    one.should_exit = True
    thread.join()


def test_headers_that_never_end_are_hung_up_on_and_a_body_that_never_ends_is_told_why(clocked):
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", clocked), timeout=30) as line:
        line.sendall(b"GET / HTTP/1.1\r\nX: ")
        with contextlib.suppress(ConnectionResetError):
            assert line.recv(1) == b""
    assert exchange(clocked, head("/", "Content-Length: 9") + b"{")[0] == 408
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nX: ", head("/", "Content-Length: 9") + b"{"])
def test_when_there_are_too_many_the_slowest_gives_way(clocked, monkeypatch, sent):
    monkeypatch.setattr(server, "HEAD_SECONDS", 60.0)
    monkeypatch.setattr("labelqueue.serving.gate.BODY_SECONDS", 60.0)
    with contextlib.ExitStack() as lines:
        for _ in range(30):
            lines.enter_context(socket.create_connection(("127.0.0.1", clocked), timeout=30)).sendall(sent)
        assert all(call(clocked, "GET", "/") == (200, {}) for _ in range(30))


def test_open_files_are_enough_for_all_connections(redis_home):
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 2048));"
        "from labelqueue.web import server; server._allow_open_files();"
        "print(*resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    done = subprocess.run([sys.executable, "-c", code], timeout=60, capture_output=True, text=True)
    assert done.stdout.split() == ["1000", "2048"], done.stderr
