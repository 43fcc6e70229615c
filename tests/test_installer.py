"""scripts/: installers that fall back, steps that end together, and a database that is made once."""

from __future__ import annotations

import os
import sys
import threading
import time

import pytest

from scripted import LABEL_STUDIO, UV, database, installer, lives, program, sleeper, steps, wait_until


def test_uv_is_taken_from_the_path_unless_it_is_too_old(tmp_path, monkeypatch):
    uv = program(tmp_path / "bin" / "uv", "echo 'uv 0.13.10 (x)'")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    assert installer.find_uv("/none", tmp_path / "cache") == str(uv)
    program(uv, "echo 'uv 0.9.30 (x)'")
    own = program(tmp_path / "cache" / "uv" / "bin" / "uv", f"echo 'uv {installer.UV_VERSION}'")
    assert installer.find_uv("/none", tmp_path / "cache") == str(own), "fetched before"


def test_a_uv_that_cannot_be_had_is_no_error(tmp_path, monkeypatch, capfd):
    for name, value in (("PIP_NO_INDEX", "1"), ("PIP_FIND_LINKS", ""), ("PIP_CONFIG_FILE", os.devnull)):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(installer.shutil, "which", lambda name: None)
    assert installer.find_uv(sys.executable, tmp_path) is None
    said = capfd.readouterr().err
    assert "cannot be had" in said and str(tmp_path / "uv.log") in said and "pip installs instead" in said
    assert f"uv=={installer.UV_VERSION}" in (tmp_path / "uv.log").read_text()


def test_uv_gets_the_index_and_the_certificate_that_pip_is_set_to():
    listing = (
        "global.index-url='http://a/simple'\n:env:.cert='/c.pem'\n:env:.index-url='http://b'\nuser.x=1\nlist.y='z'\n"
    )
    pip = installer.pip_settings(listing)
    assert pip == {"index-url": "http://b", "cert": "/c.pem"}
    told = installer.uv_environment({"A": "1"}, pip)
    assert (told["A"], told["UV_DEFAULT_INDEX"], told["SSL_CERT_FILE"]) == ("1", "http://b", "/c.pem")
    own = {"UV_INDEX_URL": "http://mine", "SSL_CERT_FILE": "/mine.pem"}
    told = installer.uv_environment(own, pip)
    assert told.items() >= own.items() and "UV_DEFAULT_INDEX" not in told


def test_uv_resolves_once_with_the_lifts_and_needs_no_pip_inside(tmp_path):
    uv = program(tmp_path / "uv", f'{UV}; echo "$@" >> {tmp_path}/calls')
    environment = tmp_path / ".venv"
    tool = installer.Installer(sys.executable, str(uv), tmp_path / "cache")
    tool.install("it", environment, ["thing==1"], threading.Event(), tmp_path / "pins", tmp_path / "lifts")
    call = (tmp_path / "calls").read_text().splitlines()
    assert len(call) == 1 and call[0].startswith("pip install --python") and call[0].endswith("thing==1")
    assert f"-c {tmp_path / 'pins'}" in call[0] and f"--override {tmp_path / 'lifts'}" in call[0]
    assert (environment / "bin" / "python").exists() and not (environment / "bin" / "pip").exists()


@pytest.mark.parametrize("uv", [None, "exit 7"])
def test_pip_installs_where_there_is_no_uv_or_it_fails(tmp_path, uv, capfd):
    (tmp_path / "lifts").touch()
    failing = uv and str(program(tmp_path / "uv", f"{UV}; echo no such host; {uv}"))
    environment = tmp_path / ".venv"
    tool = installer.Installer(sys.executable, failing, tmp_path / "cache")
    tool.install("it", environment, ["--help"], threading.Event(), None, tmp_path / "lifts")
    said = capfd.readouterr().err
    assert (environment / "bin" / "pip").exists() and "applying lifts: done" in said
    assert ("no such host" in said and "pip goes on" in said) == bool(uv)
    with pytest.raises(steps.BootstrapError, match=r"failed(.|\n)*no such option"):
        tool.install("it", environment, ["--no-such-option"], threading.Event())


def test_an_environment_of_another_python_is_made_anew(tmp_path):
    environment = tmp_path / ".venv"
    program(environment / "bin" / "python", "echo 3 8")
    (environment / "left").touch()
    uv = program(tmp_path / "uv", "exit 0")
    installer.Installer(sys.executable, str(uv), tmp_path).install("it", environment, [], threading.Event())
    assert installer.probe(str(environment / "bin" / "python")) and not (environment / "left").exists()


def test_progress_names_what_is_still_loading():
    text = "Resolved 3 packages\nDownloading torch (514.2MiB)\nDownloading numpy (16.1MiB)\n Downloaded numpy\n"
    assert steps.last_step(text) == "1 of 2 large downloads left: torch (514.2MiB)"
    assert steps.last_step(f"{text} Downloaded torch\nPrepared 2 packages in 9s\n") == "putting the packages in place"
    assert steps.last_step("Collecting a\n  Downloading a-1.whl (2 kB)\n") == "Downloading a-1.whl (2 kB)"
    assert steps.last_step("") == "working"


def test_an_error_shows_the_end_of_this_steps_output_only(tmp_path):
    log = tmp_path / "log"
    log.write_text("from an earlier run\n")
    with pytest.raises(steps.BootstrapError, match=r"it failed \(status 3\)(.|\n)*oh no") as caught:
        steps.run("it", ["sh", "-c", "echo oh no; exit 3"], log, threading.Event())
    assert "earlier" not in str(caught.value) and str(log) in str(caught.value)


def test_jobs_run_at_once():
    meeting = threading.Barrier(2, timeout=20)  # broken unless both are there
    steps.side_by_side([lambda stop: meeting.wait()] * 2)
    assert not meeting.broken


def test_an_error_in_one_job_ends_the_other_and_what_it_started(tmp_path):
    pid = tmp_path / "pid"

    def fails(stop):
        wait_until(pid.exists)
        steps.run("failing", ["sh", "-c", "echo broken wheel; exit 1"], tmp_path / "a.log", stop)

    began = time.monotonic()
    with pytest.raises(steps.BootstrapError, match="broken wheel"):
        steps.side_by_side([lambda stop: steps.run("sleeping", sleeper(pid), tmp_path / "b.log", stop), fails])
    assert time.monotonic() - began < 60
    wait_until(lambda: not lives(pid), 5)


def test_nothing_is_started_once_a_job_is_stopped(tmp_path):
    stop = threading.Event()
    stop.set()
    with pytest.raises(steps.StoppedError):
        steps.run("touching", ["touch", str(tmp_path / "it")], tmp_path / "log", stop)
    assert not (tmp_path / "it").exists()


def test_label_studios_database_is_made_once_and_copied(tmp_path, monkeypatch):
    monkeypatch.setenv("POSTGRE_HOST", "production")  # must not reach a Label Studio that migrates
    label_studio = program(tmp_path / "label-studio", LABEL_STUDIO.format(calls=tmp_path / "calls"))
    used = tmp_path / "used"
    used.mkdir()
    for name in ("one", "two"):
        target = tmp_path / "deep" / name
        database.prepare(label_studio, "1.2", [target, used], tmp_path / "cache", threading.Event())
        assert sorted(path.name for path in target.iterdir()) == [".labelqueue-migrated", "label_studio.sqlite3"]
    assert (tmp_path / "calls").read_text() == "x\n" and list(used.iterdir()) == []
    assert not list(tmp_path.rglob("*.part"))
    database.prepare(label_studio, "1.3", [tmp_path / "three"], tmp_path / "cache", threading.Event())
    assert (tmp_path / "calls").read_text() == "x\nx\n", "another version migrates anew"


@pytest.mark.parametrize(
    ("code", "why"),
    [("echo no such migration; exit 1", "no such migration"), ("exit 0", "made no label_studio.sqlite3")],
)
def test_without_a_prepared_database_the_first_start_makes_it(tmp_path, code, why, capfd):
    label_studio = program(tmp_path / "label-studio", code)
    database.prepare(label_studio, "1.2", [tmp_path / "data"], tmp_path / "cache", threading.Event())
    said = capfd.readouterr().err
    assert why in said and "first start makes its database instead" in said
    assert not (tmp_path / "data").exists() and not (tmp_path / "cache" / "labelstudio-database-1.2").exists()
