"""scripts/pythons.py: which Pythons it tests on, and that it says which it did not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from scripted import bootstrap, program, pythons


def fake(path: Path, version: str) -> str:
    """A program that answers like a Python of this version when probed, and writes down what else it is given."""
    return str(program(path, f'[ "$1" = -c ] && echo {version} || echo "$@" >> {path}.calls'))


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """An empty checkout, a PATH with nothing on it, and a Python of ours that is not supported."""
    monkeypatch.setattr(pythons, "ROOT", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setattr(sys, "executable", fake(tmp_path / "old" / "python3", "3 8"))
    return tmp_path


def test_pythons_are_found_on_the_path_and_by_name(checkout):
    named = fake(checkout / "elsewhere" / "python3", "3 13")
    plain = fake(checkout / "path" / "python3", "3 12")
    program(checkout / "path" / "python3.11", "exit 127")  # a shim
    found = pythons.find_pythons([named], str(checkout / "path"))
    assert found == {(3, 13): named, (3, 12): plain}


def test_a_name_that_is_no_python_is_refused(checkout):
    with pytest.raises(bootstrap.BootstrapError, match=r"python3 is no Python 3\.11, 3\.12 or 3\.13"):
        pythons.find_pythons([sys.executable], "")


def test_what_was_not_tested_is_said_and_a_failure_counts(checkout, monkeypatch, capsys):
    fake(checkout / ".venv" / "bin" / "python", "3 11")
    fake(checkout / "path" / "python3.12", "3 12")
    works = fake(checkout / "env" / "bin" / "python", "3 12")
    monkeypatch.setattr(pythons, "make", lambda version, python: checkout / "env")
    assert pythons.run_all([], ["-m", "not e2e"]) == 0
    assert Path(f"{works}.calls").read_text() == "-m pytest -m not e2e\n"
    said = capsys.readouterr().err
    assert "3.11: that of .venv" in said and "3.12" in said and "passed in" in said and "3.13: NOT TESTED" in said
    program(checkout / "env" / "bin" / "python", "exit 3")
    assert pythons.run_all([], []) == 1 and "FAILED (status 3)" in capsys.readouterr().err
    (checkout / "path" / "python3.12").unlink()
    assert pythons.run_all([], []) == 1, "nothing was tested"
