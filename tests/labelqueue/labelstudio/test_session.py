"""The connection to Label Studio against a server that misbehaves in ways a real one seldom does."""

import json
import socket
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_stub import serving
from labelqueue.exceptions import CredentialError, LabelStudioError, NotFoundError, PublishError
from labelqueue.labelstudio import session as module
from labelqueue.labelstudio.session import LabelStudioSession, said
from studio import slow_server

LEGACY = "0123456789abcdef0123456789abcdef01234567"
PAT = "header.payload.signature"
WHOAMI = ("GET", "/api/current-user/whoami")


def test_an_empty_key_says_where_to_get_one():
    with pytest.raises(CredentialError, match="LABEL_STUDIO_API_KEY is empty"):
        LabelStudioSession("http://127.0.0.1:1", "")


def test_a_legacy_token_is_sent_as_it_is():
    with serving(lambda *call: (200, {}, {"email": "me"})) as (url, calls):
        assert LabelStudioSession(url, LEGACY).json(*WHOAMI) == {"email": "me"}
    assert calls[0][2]["Authorization"] == f"Token {LEGACY}"


def issuing(accepts):
    """Return an answer that exchanges the personal token, and the list of access tokens that it gave."""
    issued = []

    def answer(method, path, headers, body):
        if path == "/api/token/refresh/":
            assert json.loads(body) == {"refresh": PAT} and "Authorization" not in headers
            issued.append(f"access-{len(issued)}")
            return 200, {}, {"access": issued[-1]}
        good = headers["Authorization"] == f"Bearer {issued[-1]}" and accepts(issued[-1])
        return (200, {}, {"email": "me"}) if good else (401, {}, {"detail": "expired"})

    return answer, issued


def test_a_personal_token_is_exchanged_once_and_renewed_when_refused():
    answer, issued = issuing(lambda access: access != "access-0")
    with serving(answer) as (url, _):
        session = LabelStudioSession(url, PAT)
        session.json(*WHOAMI)
        session.json(*WHOAMI)
    assert issued == ["access-0", "access-1"]


def test_an_old_access_token_is_renewed_before_it_is_refused(monkeypatch):
    answer, issued = issuing(lambda access: True)
    monkeypatch.setattr(module, "ACCESS_LIFETIME", -1.0)
    with serving(answer) as (url, calls):
        session = LabelStudioSession(url, PAT)
        session.json(*WHOAMI)
        session.json(*WHOAMI)
    assert issued == ["access-0", "access-1"] and len(calls) == 4


@pytest.mark.parametrize("key", [LEGACY, PAT])
def test_a_refused_key_says_what_to_do(key):
    with (
        serving(lambda *call: (401, {}, {"detail": "no"})) as (url, _),
        pytest.raises(CredentialError, match="personal access token"),
    ):
        LabelStudioSession(url, key).json(*WHOAMI)


def test_a_key_that_is_refused_renewed_or_not_says_what_to_do():
    answer, issued = issuing(lambda access: False)
    with serving(answer) as (url, calls), pytest.raises(CredentialError, match="does not accept LABEL_STUDIO_API_KEY"):
        LabelStudioSession(url, PAT).json(*WHOAMI)
    assert len(issued) == 2 and len(calls) == 4


def test_the_key_never_crosses_a_redirect():
    with (
        serving(lambda *call: (200, {}, {"email": "thief"})) as (elsewhere, stolen),
        serving(lambda *call: (302, {"Location": elsewhere}, b"")) as (url, _),
    ):
        session = LabelStudioSession(url, LEGACY)
        with pytest.raises(LabelStudioError, match=r"redirects to .*: set LABEL_STUDIO_URL"):
            session.json("GET", "/api/projects/1")
        with pytest.raises(LabelStudioError, match="redirects"):
            session.json("PATCH", "/api/projects/1", json={"sampling": "x"})
        assert session.request("GET", "/data/upload/1/a.jpg", again=False, stream=True).status_code == 302
        assert stolen == []


def test_neither_a_proxy_nor_a_netrc_file_sees_or_replaces_the_key(monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with (
        serving(lambda *call: (200, {}, {"email": "proxy"})) as (proxy, seen),
        serving(lambda *call: (200, {}, {"email": "me"})) as (url, calls),
    ):
        monkeypatch.setenv("HTTP_PROXY", proxy)
        session = LabelStudioSession(url, LEGACY)
        assert session.json(*WHOAMI) == session.json(*WHOAMI, again=False) == {"email": "me"}
    assert seen == [] and {headers["Authorization"] for _, _, headers, _ in calls} == {f"Token {LEGACY}"}


@pytest.mark.parametrize("method", ["GET", "PATCH"])
def test_a_busy_server_is_asked_again(method):
    busy = iter([503, 502, 200])
    with serving(lambda *call: (next(busy), {}, {"id": 1})) as (url, calls):
        assert LabelStudioSession(url, LEGACY).json(method, "/api/projects/1") == {"id": 1}
        assert len(calls) == 3


@pytest.mark.parametrize(("method", "options"), [("POST", {}), ("DELETE", {}), ("GET", {"again": False})])
def test_nothing_is_posted_twice_nor_what_is_to_be_asked_once(method, options):
    with serving(lambda *call: (503, {}, {})) as (url, calls):
        with pytest.raises(LabelStudioError) as error:
            LabelStudioSession(url, LEGACY).json(method, "/api/projects/1/import/predictions", **options)
        assert error.value.status == 503 and len(calls) == 1


def test_errors_name_server_path_and_status():
    with serving(lambda *call: (404, {}, {"detail": "gone"})) as (url, _):
        with pytest.raises(NotFoundError, match="api/projects/5: 404") as error:
            LabelStudioSession(url, LEGACY).json("GET", "/api/projects/5")
        assert url in str(error.value) and LEGACY not in str(error.value)
    with pytest.raises(LabelStudioError, match="does not answer") as error:
        LabelStudioSession(url, LEGACY).json("POST", "/api/projects/1/import/predictions", json=[])
    assert error.value.status is None and not error.value.timed_out
    assert str(error.value).endswith("/api/projects/1/import/predictions: Connection refused")


def test_errors_tell_no_query_and_nothing_of_a_redirects():
    with serving(lambda *call: (302, {"Location": "https://sso.example/login?state=s3cret"}, b"")) as (url, _):
        with pytest.raises(LabelStudioError, match=r"redirects to https://sso\.example/login: set") as error:
            LabelStudioSession(url, LEGACY).json("GET", "/api/tasks?query=long")
        assert "long" not in str(error.value) and "s3cret" not in str(error.value)


def test_a_server_that_takes_too_long_is_told_from_one_that_is_away():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        session = LabelStudioSession(f"http://127.0.0.1:{silent.getsockname()[1]}", LEGACY, timeout=(1.0, 0.1))
        began = time.monotonic()
        with pytest.raises(LabelStudioError, match="does not answer") as error:
            session.json("POST", "/api/projects")
        assert error.value.timed_out and time.monotonic() - began < 20
        with pytest.raises(LabelStudioError) as error:
            session.request("GET", "/data/a.jpg", again=False, timeout=0.05)
        assert error.value.timed_out


def test_a_server_that_drips_is_given_up_and_one_that_is_slow_is_not(monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT", (1.0, 0.5))
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n"
    with slow_server(head + b" " * 900, at_once=len(head)) as url, pytest.raises(LabelStudioError) as error:
        LabelStudioSession(url, LEGACY, retries=0).json("GET", "/api/projects/1")
    assert error.value.timed_out and "too slow" in str(error.value)
    monkeypatch.setattr(module, "SLOWEST", 1.0)
    with slow_server(head + b" " * 900, at_once=len(head) + 897) as url, pytest.raises(LabelStudioError) as error:
        LabelStudioSession(url, LEGACY, retries=0).json("GET", "/api/projects/1")
    assert "without JSON" in str(error.value)


def test_an_answer_that_is_not_label_studios():
    with (
        serving(lambda *call: (200, {}, b"<html>hello</html>")) as (url, _),
        pytest.raises(LabelStudioError, match="is LABEL_STUDIO_URL a Label Studio") as error,
    ):
        LabelStudioSession(url, LEGACY).json("GET", "/api/projects/1")
    assert error.value.status == 200


def test_an_empty_answer_is_none():
    with serving(lambda *call: (204, {}, b"")) as (url, calls):
        assert LabelStudioSession(url, LEGACY).json("DELETE", "/api/annotations/1/") is None
    assert [call[:2] for call in calls] == [("DELETE", "/api/annotations/1/")]


def test_the_address_may_have_a_path_and_a_slash():
    with serving(lambda *call: (200, {}, {})) as (url, calls), LabelStudioSession(f"{url}/label/", LEGACY) as session:
        session.json(*WHOAMI)
        session.close()
        session.json(*WHOAMI)
        assert session.origin == f"{url}/label"
    assert [path for _, path, _, _ in calls] == ["/label/api/current-user/whoami"] * 2


PAGE = b"<!DOCTYPE html><html><head><title>Server Error (500)</title><style>p{}</style></head><body><h1>Oh</h1></body>"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", ""),
        (PAGE, "Server Error (500)"),
        (b"<html><body><p>Bad gateway. Try later.</p></body></html>", "Bad gateway."),
        (b"<html><body><p>Bad", "Bad"),
        (b'{"detail": "Invalid token.", "exc_info": "Traceback ... secret"}', "Invalid token."),
        (
            b'{"detail": "Validation error", "validation_errors": {"title": ["too short"]}}',
            'Validation error {"title": ["too short"]}',
        ),
        (b"plain words. And more", "plain words."),
        (b"token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2ln is wrong", "token … is wrong"),
        (b"\xff\xfe", "\ufffd\ufffd"),
    ],
)
def test_a_refusal_is_told_without_markup_and_tokens(content, told):
    assert said(content) == told


@given(st.binary(max_size=400) | st.text(max_size=300).map(str.encode))
def test_whatever_is_answered_is_told_in_one_short_line(content):
    told = said(content)
    assert len(told) <= 200 and "\n" not in told


def test_a_page_instead_of_an_answer_does_not_reach_an_error():
    page = serving(lambda *call: (500, {"Content-Type": "text/html"}, PAGE))
    with page as (url, _), pytest.raises(LabelStudioError) as caught:
        LabelStudioSession(url, LEGACY).json("POST", "/api/projects")
    assert "Server Error (500)" in str(caught.value) and "<" not in str(caught.value)


# -- servers that ask to be left alone


def busy(header, calls):
    """Answer 429 with this Retry-After to the first calls."""
    left = [429] * calls

    def answer(method, path, headers, body):
        status = left.pop() if left else 200
        return status, {"Retry-After": header} if status == 429 and header else {}, {"method": method}

    return answer


@pytest.mark.parametrize("method", ["GET", "PATCH"])
@pytest.mark.parametrize("header", ["3600", "86400", "Wed, 01 Jan 2098 00:00:00 GMT"])
def test_nobody_waits_as_long_as_a_server_likes(method, header):
    with serving(busy(header, 1)) as (url, calls), LabelStudioSession(url, LEGACY) as session:
        begun = time.monotonic()
        with pytest.raises(LabelStudioError) as caught:
            session.json(method, "/x")
        assert time.monotonic() - begun < 20 and len(calls) == 1
        assert caught.value.status == 429 and caught.value.retry_after >= 3600


@pytest.mark.parametrize("method", ["GET", "PATCH"])
@pytest.mark.parametrize("header", ["", "1", "0", "soon", "-5", "9" * 400])
def test_a_moment_or_nonsense_is_tried_again(method, header):
    with serving(busy(header, 1)) as (url, calls), LabelStudioSession(url, LEGACY) as session:
        if header.startswith("9"):  # no such long time can be told
            with pytest.raises(LabelStudioError):
                session.json(method, "/x")
        else:
            assert session.json(method, "/x") == {"method": method} and len(calls) == 2


# -- a check before each request that changes something


def test_the_check_comes_right_before_each_request_that_changes_something():
    log = []

    def answer(method, path, headers, body):
        log.append(method)
        return (503 if log.count(method) < 3 and method == "PATCH" else 200), {}, {}

    with serving(answer) as (url, _), LabelStudioSession(url, LEGACY) as session:
        guarded = session.guarded(lambda: log.append("check"))
        for method in ("GET", "POST", "PATCH", "DELETE"):
            guarded.json(method, "/x")
        session.json("POST", "/x")
    assert log == ["GET", "check", "POST", *["check", "PATCH"] * 3, "check", "DELETE", "POST"]


def test_what_the_check_raises_is_passed_on_and_nothing_is_sent():
    def lost():
        raise PublishError("lost")

    with serving(lambda *_: (200, {}, {})) as (url, calls), LabelStudioSession(url, LEGACY) as session:
        with pytest.raises(PublishError):
            session.guarded(lost).json("PATCH", "/x")
        assert calls == []


def test_a_guarded_session_shares_the_access_token():
    def answer(method, path, headers, body):
        return 200, {}, {"access": "a"} if path.startswith("/api/token") else {}

    with serving(answer) as (url, calls), LabelStudioSession(url, "a.personal.token") as session:
        session.guarded(lambda: None).json("GET", "/x")
        session.guarded(lambda: None).json("GET", "/y")
        session.json("GET", "/z")
        assert [path for _, path, _, _ in calls].count("/api/token/refresh/") == 1
