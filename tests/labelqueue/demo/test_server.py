"""The private Label Studio: ports, templates, early ends and stopping, with a small program in Label Studio's place."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from labelqueue.demo import server as labelstudio_server
from labelqueue.demo.server import Account, LabelStudioServer, check_port_free, server_environment
from labelqueue.exceptions import LabelStudioError, SettingError

ACCOUNT = Account("a@test.local", "password", "1" * 40)

# Counts first starts in a file, then answers everything with 200; like the real one it ignores polite requests to end
# when told so.
STAND_IN = f"""#!{sys.executable}
import http.server, os, pathlib, signal, sys
args = sys.argv
port, data = int(args[args.index("--port") + 1]), pathlib.Path(args[args.index("--data-dir") + 1])
assert args[args.index("--internal-host") + 1] == "127.0.0.1" and os.environ["LABEL_STUDIO_USER_TOKEN"] == "{"1" * 40}"
print("hello from the stand-in", flush=True)
if (pathlib.Path(__file__).parent / "broken").exists():
    (data / "label_studio.sqlite3").write_text("half made")
    sys.exit("no such table")
if (pathlib.Path(__file__).parent / "stubborn").exists():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
database = data / "label_studio.sqlite3"
if not database.exists():
    database.write_text("made")
    with open(pathlib.Path(__file__).parent / "first-starts", "a") as file:
        file.write("x")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "label-studio"
    path.write_text(STAND_IN)
    path.chmod(0o755)
    return path


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def listening(port: int) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", port)):
        yield port


def first_starts(program: Path) -> int:
    return len((program.parent / "first-starts").read_text())


def test_a_taken_port_is_refused_before_anything_starts(program, tmp_path, listening):
    server = LabelStudioServer(program, tmp_path / "data", listening, account=ACCOUNT, way_out="take another")
    with pytest.raises(SettingError, match=rf"port {listening} cannot be used .*take another"):
        server.start()
    assert not (tmp_path / "data").exists()


def test_a_free_port_passes(port):
    check_port_free(port, "")


def test_it_starts_says_what_it_waits_for_and_stops_only_what_it_started(program, tmp_path, port):
    server = LabelStudioServer(program, tmp_path / "data", port, account=ACCOUNT)
    assert server.first_start
    waited: list[float] = []
    server.start(waited.append)
    pid = server._process.pid
    assert server.running and not server.first_start and waited
    assert "hello from the stand-in" in server.log.read_text()
    server.stop()
    server.stop()
    assert not server.running
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    check_port_free(port, "")


def test_a_server_that_ignores_the_request_is_killed(program, tmp_path, port, monkeypatch):
    (program.parent / "stubborn").touch()
    monkeypatch.setattr(labelstudio_server, "STOP_TIMEOUT", 0.5)
    server = LabelStudioServer(program, tmp_path / "data", port, account=ACCOUNT)
    server.start()
    server.stop()
    check_port_free(port, "")


def test_an_early_end_shows_the_log_and_the_next_start_begins_afresh(program, tmp_path, port):
    (program.parent / "broken").touch()
    server = LabelStudioServer(program, tmp_path / "data", port, account=ACCOUNT)
    with pytest.raises(
        LabelStudioError, match=r"ended with status 1(.|\n)*hello from the stand-in(.|\n)*no such table"
    ):
        server.start()
    (program.parent / "broken").unlink()
    server.start()
    server.stop()
    assert (tmp_path / "data" / "label_studio.sqlite3").read_text() == "made", "a half-made database is not used"


def test_no_answer_in_time_is_an_error_and_nothing_stays(program, tmp_path, port, monkeypatch):
    monkeypatch.setattr(labelstudio_server, "START_TIMEOUT", 0.0)
    server = LabelStudioServer(program, tmp_path / "data", port, account=ACCOUNT)
    with pytest.raises(LabelStudioError, match="did not answer at"):
        server.start()
    assert not server.running


def test_the_template_is_made_once_and_copied(program, tmp_path, port):
    template = tmp_path / "cache" / "template"
    for name in ("one", "two"):
        server = LabelStudioServer(program, tmp_path / name, port, account=ACCOUNT, template=template)
        assert server.first_start == (name == "one")
        server.start()
        server.stop()
        assert (tmp_path / name / "label_studio.sqlite3").read_text() == "made"
    assert first_starts(program) == 1
    assert [path.name for path in template.parent.iterdir()] == ["template"], "no half-made copy is left"


def test_a_missing_program_is_named(tmp_path, port):
    with pytest.raises(SettingError, match="no Label Studio at"):
        LabelStudioServer(tmp_path / "nothing", tmp_path, port, account=ACCOUNT).start()


def test_the_callers_environment_does_not_leak_in(tmp_path):
    made = server_environment(ACCOUNT, tmp_path, 8080, {"PATH": "/bin", "DEBUG": "1", "POSTGRE_HOST": "x", "HOST": "y"})
    assert made["PATH"] == "/bin" and not {"DEBUG", "POSTGRE_HOST", "HOST"} & set(made)
    assert made["ML_BLOCK_LOCAL_IP"] == made["SSRF_PROTECTION_ENABLED"] == "false"


def test_an_account_keeps_its_secrets_out_of_its_repr():
    account = Account()
    assert account.password not in repr(account) and account.token not in repr(account)
    assert account != Account() and len(account.token) == 40
