"""Data that was damaged on disk: a cut tail is loaded as far as it goes; anything else is named, with the way out."""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from labelqueue.exceptions import StoreError
from labelqueue.settings import Deployment
from labelqueue.store.redis_connection import connect
from labelqueue.store.redis_server import EmbeddedRedis

KEYS = [f"key {number}" for number in range(100)]


@pytest.fixture
def home():
    with tempfile.TemporaryDirectory(prefix="lq-") as folder:
        written(Path(folder))
        yield Path(folder)


def written(home: Path) -> None:
    """Let a server write keys one after another, and end it."""
    server = EmbeddedRedis(home)
    server.start()
    client = connect(Deployment.from_environment({"LABELQUEUE_HOME": str(home)}))
    for key in KEYS:
        client.set(key, "x" * 50)
    client.close()
    server.stop()


def kept(home: Path) -> int:
    """Start a server on the data, and return how many keys it has."""
    server = EmbeddedRedis(home)
    server.start()
    client = connect(Deployment.from_environment({"LABELQUEUE_HOME": str(home)}))
    count = int(client.dbsize())
    client.close()
    server.stop()
    return count


def tail_file(home: Path) -> Path:
    (found,) = (home / "redis" / "appendonlydir").glob("*.incr.aof")
    return found


def test_a_tail_that_was_cut_is_loaded_as_far_as_it_goes(home):
    data = tail_file(home).read_bytes()
    tail_file(home).write_bytes(data[: len(data) // 2 + 7])
    assert 40 < kept(home) < 60


@pytest.mark.parametrize("damage", ["garbage", "nothing", "zeros"])
def test_damage_in_the_middle_is_named_and_the_commands_that_are_told_repair_it(home, damage):
    data = tail_file(home).read_bytes()
    half = len(data) // 2
    insides = {"garbage": b"\0garbage" * 8 + data[half + 64 :], "nothing": data[half + 1007 :], "zeros": bytes(500)}
    tail_file(home).write_bytes(data[:half] + insides[damage])
    began = time.monotonic()
    with pytest.raises(StoreError, match="is damaged") as told:
        kept(home)
    assert time.monotonic() - began < 10
    assert str(tail_file(home)) in str(told.value) and "lost" in str(told.value)
    copy, repair = re.findall(r"`(.*?)`", str(told.value))
    for command in (copy, repair):
        done = subprocess.run(command, shell=True, input="y\n", capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
    assert (home / "redis" / "appendonlydir.copy" / tail_file(home).name).read_bytes() == data[:half] + insides[damage]
    assert 40 < kept(home) < 60


@pytest.mark.parametrize("name", ["*.base.rdb", "*.manifest"])
def test_what_no_command_repairs_is_moved_away_or_replaced_by_a_copy(home, name):
    (file,) = (home / "redis" / "appendonlydir").glob(name)
    file.write_bytes(b"nonsense\n" * 3)
    with pytest.raises(StoreError, match="copy of yours") as told:
        kept(home)
    (move,) = re.findall(r"`(.*?)`", str(told.value))
    assert subprocess.run(move, shell=True, timeout=60).returncode == 0
    assert kept(home) == 0 and (home / "redis" / "appendonlydir.damaged").is_dir()


def test_a_missing_part_is_named(home):
    tail_file(home).unlink()
    with pytest.raises(StoreError, match=r"is damaged.*incr\.aof"):
        kept(home)


def test_a_reason_from_an_earlier_start_is_not_told_again(home):
    (home / "redis" / "redis.log").write_text("# Bad file format reading the append only file x.aof: make a backup\n")
    assert kept(home) == len(KEYS)
    tail_file(home).unlink()
    with pytest.raises(StoreError) as told:
        kept(home)
    assert "x.aof" not in str(told.value)
