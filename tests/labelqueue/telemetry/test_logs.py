"""The log: text as ever, or one JSON object a line that a program can read whatever is logged."""

import json
import logging
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from labelqueue.exceptions import SettingError
from labelqueue.telemetry import about, set_up_logs
from labelqueue.telemetry.logs import JsonFormatter

KEY, WORD, REDIS_WORD = "0123456789abcdef" * 2, 'hunter"2\n2', "tr0ub4dor&3"
ENVIRON = {
    "LABELQUEUE_LOG": "json",
    "LABEL_STUDIO_API_KEY": KEY,
    "BASIC_AUTH_PASS": WORD,
    "REDIS_URL": "redis://:tr0ub4dor%263@redis:6379/0",
}


def written(code, **environ):
    """What a process writes to standard error that sets up its log and runs this code."""
    begin = "import logging, sys, threading, warnings\nfrom labelqueue.telemetry import *\nset_up_logs(logging.INFO)\n"
    paths = {"PYTHONPATH": ":".join(sys.path), "LABELQUEUE_HOME": "/nonexistent"}
    command = [sys.executable, "-c", begin + code]
    return subprocess.run(command, env={**paths, **environ}, timeout=60, capture_output=True, text=True).stderr


def rows(text):
    return [json.loads(line) for line in text.splitlines()]


def test_a_line_is_an_object_with_what_it_is_about():
    code = """
with about(project=7, job='j1'):
    note(order='r2·k7f')
    logging.getLogger('labelqueue.x').warning('%d é', 3)
"""
    (row,) = rows(written(code, LABELQUEUE_LOG="json"))
    moment = row.pop("time")
    assert row == {
        "level": "WARNING", "logger": "labelqueue.x", "message": "3 é", "project": 7, "job": "j1", "order": "r2·k7f"
    }  # fmt: skip
    assert moment.endswith("Z") and abs((datetime.fromisoformat(moment) - datetime.now(UTC)).total_seconds()) < 60


def test_text_is_as_ever_and_the_default():
    code = "logging.getLogger('x').warning('%d', 3); say('hello'); logging.getLogger('x').debug('no')"
    first, second = written(code).splitlines()
    assert first.endswith(" WARNING 3") and first[:4].isdigit() and second == "hello"
    assert written(code, LABELQUEUE_LOG="text").splitlines()[1] == "hello"


def test_whatever_happens_is_one_line():
    code = """
log = logging.getLogger('x')
try:
    1 / 0
except ZeroDivisionError:
    log.exception('two\\nlines\\u2028and more')
log.warning('%d', 'no number')
log.warning('half a pair %s', '\\ud800')
log.warning('a stack', stack_info=True)
warnings.warn('old')
say('quiet', logging.DEBUG)
thread = threading.Thread(target=lambda: 1 / 0)
thread.start(); thread.join()
raise ValueError('last')
"""
    found = rows(written(code, LABELQUEUE_LOG="json"))
    assert [row["level"] for row in found] == ["ERROR", *4 * ["WARNING"], "DEBUG", *2 * ["CRITICAL"]]
    assert found[0]["message"] == "two\nlines\u2028and more" and "ZeroDivisionError" in found[0]["exception"]
    assert "no number" in found[1]["message"] and "stack" in found[3] and "old" in found[4]["message"]
    assert "ZeroDivisionError" in found[6]["exception"] and "ValueError: last" in found[7]["exception"]


def test_the_services_and_the_servers_lines_are_alike():
    """Those of gunicorn, which has handlers of its own, and of uvicorn and RQ, which have none."""
    code = """
from rq.logutils import setup_loghandlers
gunicorn = logging.getLogger('gunicorn.error')
gunicorn.addHandler(logging.StreamHandler(sys.stderr)); gunicorn.propagate = False
set_up_logs(logging.INFO, served=True)
setup_loghandlers('WARNING')
for name in ('gunicorn.error', 'uvicorn.error', 'rq.worker', 'py.warnings'):
    logging.getLogger(name).error('hello')
"""
    assert [row["logger"] for row in rows(written(code, LABELQUEUE_LOG="json"))] == [
        "gunicorn.error", "uvicorn.error", "rq.worker", "py.warnings"
    ]  # fmt: skip


def test_secrets_are_blacked_out():
    code = f"""
import os
try:
    raise ValueError({f"key {KEY}, word {WORD}"!r})
except ValueError:
    logging.getLogger('x').exception('%s', {f"redis {REDIS_WORD} tr0ub4dor%263 {KEY}"!r}, stack_info=True)
"""
    text = written(code, **ENVIRON)
    (row,) = rows(text)
    assert row["message"] == "redis … … …" and "key …, word …" in row["exception"]
    for secret in (KEY, "hunter", "tr0ub4dor"):
        assert secret not in row["message"] + row["exception"].rpartition("ValueError")[2]


def test_a_short_secret_leaves_other_words_alone():
    record = logging.makeLogRecord({"msg": "a rest of the text", "levelname": "INFO"})
    assert json.loads(JsonFormatter(["rest", ""]).format(record))["message"] == "a rest of the text"


def test_another_form_is_refused_and_the_way_out_told():
    with pytest.raises(SettingError, match="'LABELQUEUE_LOG' has value 'xml': allowed are text, json"):
        set_up_logs(logging.INFO, {"LABELQUEUE_LOG": "xml"})


def test_the_command_line_says_so_too():
    code = "import sys; from labelqueue.cli import main; sys.exit(main(['settings']))"
    paths = {"PYTHONPATH": ":".join(sys.path), "LABELQUEUE_LOG": "xml"}
    done = subprocess.run([sys.executable, "-c", code], env=paths, timeout=60, capture_output=True, text=True)
    assert done.returncode == 1 and "labelqueue: setting 'LABELQUEUE_LOG'" in done.stderr


def test_what_the_work_is_about_is_read_when_a_line_is_written():
    record = logging.makeLogRecord({"msg": "x", "levelname": "INFO"})
    with about(project=3):
        assert json.loads(JsonFormatter().format(record))["project"] == 3
    assert "project" not in json.loads(JsonFormatter().format(record))
