"""scripts/bootstrap.py: what it refuses, what it says, and what it does not do twice."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "scripts" / "bootstrap.py"
spec = importlib.util.spec_from_file_location("bootstrap", SCRIPT)
assert spec and spec.loader
bootstrap = importlib.util.module_from_spec(spec)
spec.loader.exec_module(bootstrap)

Usage = namedtuple("Usage", "total used free")


def program(path: Path, code: str) -> Path:
    """An executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{code}\n")
    path.chmod(0o755)
    return path


def test_a_program_that_does_not_run_is_no_python(tmp_path):
    shim = program(tmp_path / "python3.12", "echo 'python3.12: command not found' >&2; exit 127")
    assert bootstrap.probe(str(shim)) is None
    assert bootstrap.probe(str(tmp_path / "missing")) is None


def test_this_python_is_found_first():
    assert bootstrap.find_python("") == sys.executable


def test_an_old_python_looks_for_another_and_passes_broken_shims(tmp_path, monkeypatch, capsys):
    old = program(tmp_path / "old" / "python3", "echo 3 8")
    program(tmp_path / "shims" / "python3.11", "exit 127")
    good = program(tmp_path / "good" / "python3.11", f'exec {sys.executable} "$@"')
    monkeypatch.setattr(sys, "executable", str(old))
    assert bootstrap.find_python(f"{tmp_path / 'shims'}:{tmp_path / 'good'}") == str(good)
    assert f"using {good}" in capsys.readouterr().err


def test_without_a_usable_python_the_message_names_what_was_found_and_the_way_out(tmp_path, monkeypatch):
    old = program(tmp_path / "python3", "echo 3 8")
    monkeypatch.setattr(sys, "executable", str(old))
    with pytest.raises(bootstrap.BootstrapError, match=r"3\.11 or 3\.12 is needed.*is 3\.8.*make PYTHON="):
        bootstrap.find_python("")


def test_a_python_without_venv_is_named(tmp_path, monkeypatch):
    bare = program(tmp_path / "python3", "echo 3 11; exit 1")
    monkeypatch.setattr(sys, "executable", str(bare))
    with pytest.raises(bootstrap.BootstrapError, match="apt install python3-venv"):
        bootstrap.find_python("")


@pytest.mark.parametrize(("free", "enough"), [(10.1, True), (9.9, False)])
def test_folders_on_one_disk_are_added_up(tmp_path, monkeypatch, free, enough):
    monkeypatch.setattr(bootstrap.shutil, "disk_usage", lambda folder: Usage(0, 0, free * 1e9))
    needs = [(tmp_path, 7.0), (tmp_path, 3.0)]
    if enough:
        bootstrap.check_disk(needs)
    else:
        with pytest.raises(bootstrap.BootstrapError, match=r"9\.9 GB free and 10\.0 GB are needed"):
            bootstrap.check_disk(needs)


def test_redis_is_asked_for_where_none_comes_with_us(tmp_path):
    bootstrap.check_redis("Linux", "x86_64", "", "")
    bootstrap.check_redis("Linux", "aarch64", "", "redis://somewhere")
    with pytest.raises(bootstrap.BootstrapError, match=r"Darwin arm64.*redis-server.*REDIS_URL"):
        bootstrap.check_redis("Darwin", "arm64", str(tmp_path), "")
    program(tmp_path / "redis-server", "exit 0")
    bootstrap.check_redis("Darwin", "arm64", str(tmp_path), "")


def test_a_stamp_covers_less_but_not_more_and_only_the_same_content(tmp_path):
    program(tmp_path / "bin" / "python", "exit 0")
    assert not bootstrap.is_current(tmp_path, "abc", "none")
    (tmp_path / bootstrap.STAMP).write_text("abc test\n")
    assert bootstrap.is_current(tmp_path, "abc", "test") and bootstrap.is_current(tmp_path, "abc", "none")
    assert not bootstrap.is_current(tmp_path, "abd", "test")
    (tmp_path / bootstrap.STAMP).write_text("abc none\n")
    assert not bootstrap.is_current(tmp_path, "abc", "test")


def test_a_changed_file_changes_the_digest(tmp_path):
    file = tmp_path / "constraints.txt"
    file.write_text("torch==1")
    before = bootstrap.digest(file, "x")
    assert before == bootstrap.digest(file, "x") != bootstrap.digest(file, "y")
    file.write_text("torch==2")
    assert bootstrap.digest(file, "x") != before


def test_an_environment_is_made_and_a_failed_install_leaves_no_stamp(tmp_path, monkeypatch):
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    environment = tmp_path / ".venv"
    bootstrap.make_environment(sys.executable, environment, "abc", "none", [("looking", ["--help"])])
    assert bootstrap.is_current(environment, "abc", "none")
    with pytest.raises(bootstrap.BootstrapError, match=r"installing failed(.|\n)*no such option"):
        bootstrap.make_environment(sys.executable, environment, "abd", "none", [("installing", ["--no-such-option"])])
    assert not (environment / bootstrap.STAMP).exists()


def test_chromium_is_asked_for_where_it_cannot_be_installed(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(bootstrap.BootstrapError, match="apt-get install chromium"):
        bootstrap.install_chromium(tmp_path / "log")
    program(tmp_path / "chromium", "exit 0")
    bootstrap.install_chromium(tmp_path / "log")


def test_the_script_itself_ends_with_a_message_when_the_disk_is_full(tmp_path):
    """A real run from a checkout that lacks environments; only the free space is pretended."""
    (tmp_path / "scripts").mkdir()
    code = SCRIPT.read_text().replace("shutil.disk_usage(folder).free", "1e9")
    assert "1e9 / 1e9" in code
    (tmp_path / "scripts" / "bootstrap.py").write_text(code)
    for name in ("setup.py", "constraints.txt", "overrides.txt"):
        (tmp_path / name).touch()
    run = subprocess.run(
        [sys.executable, "scripts/bootstrap.py", "fast", "--label-studio", "1"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "REDIS_URL": "redis://x"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 1
    assert "GB to download" in run.stderr and "1.0 GB free" in run.stderr
    assert not (tmp_path / ".venv").exists()
