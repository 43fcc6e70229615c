"""The two commands: what they say, ask and return."""

from __future__ import annotations

import io
import json

import pytest
import redis

from desk import Desk
from labelqueue import cli
from labelqueue.backup import command
from labelqueue.settings import Deployment
from labelqueue.worker.runtime import Runtime


class Terminal:
    """Somebody who answers."""

    def __init__(self, answer):
        self.readline = lambda: answer

    def isatty(self):
        return True


@pytest.fixture
def desk(deployment, project, monkeypatch):
    found = Desk(Runtime(deployment), project, 30)
    project.put_settings({"seed": 4}, "command line")
    found.tend()
    monkeypatch.setattr(Deployment, "from_environment", classmethod(lambda cls: deployment))
    monkeypatch.setattr(command, "LabelStudio", lambda *arguments, **options: found.server)
    return found


@pytest.fixture
def run(desk, capsys):
    """Run a command and return its exit status, standard output and standard error."""

    def once(*arguments):
        try:
            status = cli.main([str(argument) for argument in arguments])
        except SystemExit as exit:
            status = exit.code
        return status, *capsys.readouterr()

    return once


def test_both_say_what_they_did(run, desk, project, store, tmp_path):
    path = tmp_path / "animals.backup"
    status, out, _ = run("backup", 7, path)
    assert status == 0 and f"project 7 ('animals') is in {path}" in out and "settings: seed" in out
    assert "the record of 1 orders, up to r1" in out and "embeddings of 30 images, for 30 tasks" in out
    store.flushall()
    status, out, err = run("restore", path)
    assert status == 0 and "project 7 ('animals') is restored" in out
    assert "30 of 30 tasks of the backup are in Label Studio with the same image" in out
    assert "the record of 1 of 1 orders" in out and "embeddings of 30 of 30 images" in out
    assert "the next look, which decides how the queue goes on" in out and "Replace" not in err
    assert project.settings()["seed"] == 4


def test_json_is_all_that_is_printed(run, store, tmp_path):
    status, out, err = run("backup", 7, tmp_path / "it", "--json")
    assert status == 0 and err == "" and json.loads(out)["images"] == 30 and json.loads(out)["bytes"] > 1000
    store.flushall()
    status, out, err = run("restore", tmp_path / "it", "--json")
    told = json.loads(out)
    assert status == 0 and err == "" and told["tasks"]["taken"] == 30 and told["same_project"] is True


def test_a_file_that_is_there_is_replaced_only_when_that_is_said(run, tmp_path):
    path = tmp_path / "it"
    path.write_text("dear")
    status, _, err = run("backup", 7, path)
    assert status == 1 and "add --yes to replace it" in err and path.read_text() == "dear"
    assert run("backup", 7, path, "--yes")[0] == 0 and path.stat().st_size > 1000


@pytest.mark.parametrize(("answer", "seed"), [("y\n", 4), ("n\n", 9), ("", 9)])
def test_what_is_newer_is_asked_for(run, project, tmp_path, monkeypatch, answer, seed):
    run("backup", 7, tmp_path / "it")
    project.put_settings({"seed": 9}, "REST")
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    status, out, err = run("restore", tmp_path / "it")
    assert status == 0 and "changed here after the backup: seed" in err and "Replace it? [y/N]" in err
    assert project.settings()["seed"] == seed and ("is restored" in out) == (seed == 4)
    assert ("nothing was changed" in err) == (seed == 9)


def test_without_anybody_to_ask_it_needs_yes(run, project, tmp_path, monkeypatch):
    run("backup", 7, tmp_path / "it")
    project.put_settings({"seed": 9}, "REST")
    monkeypatch.setattr("sys.stdin", io.StringIO("y"))
    status, out, err = run("restore", tmp_path / "it")
    assert (status, out) == (1, "") and "add --yes to replace it" in err and project.settings()["seed"] == 9
    assert run("restore", tmp_path / "it", "--yes")[0] == 0 and project.settings()["seed"] == 4


def test_a_pause_and_a_missing_connection_are_said(run, desk, project, store, tmp_path, monkeypatch):
    project.set(pause_wanted="paused on the command line")
    run("backup", 7, tmp_path / "it")
    store.flushall()
    monkeypatch.setattr(desk.server, "ml_backends", lambda *arguments, **options: [])
    out = run("restore", tmp_path / "it")[1]
    assert "it was paused then, and is so again" in out and "connect it in Label Studio (Settings > Model)" in out
    assert project.get("pause_wanted") == "paused on the command line"


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04junk", b"{}"])
def test_what_is_no_backup_is_an_error(run, tmp_path, content):
    (tmp_path / "it").write_bytes(content)
    status, out, err = run("restore", tmp_path / "it")
    assert (status, out) == (1, "") and "nothing was changed" in err


def test_an_unknown_project_and_a_missing_folder_are_errors(run, tmp_path):
    assert "known: 7" in run("backup", 8, tmp_path / "it")[2]
    (tmp_path / "file").write_text("")
    status, _, err = run("backup", 7, tmp_path / "file" / "it")
    assert status == 1 and "cannot be written" in err


def test_a_redis_that_fails_meanwhile_is_told(run, tmp_path, monkeypatch):
    def away(*arguments, **options):
        raise redis.ConnectionError("redis://:hunter2@redis:6379 is gone")

    run("backup", 7, tmp_path / "it")
    monkeypatch.setattr(command, "restore", away)
    monkeypatch.setattr(command, "back_up", away)
    for arguments in (("restore", tmp_path / "it"), ("backup", 7, tmp_path / "two")):
        status, out, err = run(*arguments)
        assert (status, out) == (1, "") and "Redis does not answer" in err and "hunter2" not in err


@pytest.mark.parametrize("name", ["backup", "restore"])
def test_help_helps(run, name):
    status, out, _ = run(name, "--help")
    assert status == 0 and "FILE" in out and "--json" in out and len(out.splitlines()) > 10
