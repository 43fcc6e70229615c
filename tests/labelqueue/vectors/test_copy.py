"""A machine's copy of blocks: it grows by what is new, notices what is not its own, and is shared by processes."""

import multiprocessing
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from labelqueue.block import Block, concatenate
from labelqueue.exceptions import CacheError, StoreError
from labelqueue.vectors import Copy, sweep
from labelqueue.vectors import copy as module
from labelqueue.vectors import rows as rows_module
from labelqueue.vectors.ledger import Ledger, files_of
from poolselect import HalfRows


def block(ids, start=0.0, patterns=1, width=4):
    """Return a block whose numbers tell rows apart; with more patterns, row i has 1 + i % patterns."""
    n = len(ids)
    rows = (start + np.arange(n * width).reshape(n, width)).astype(np.float16)
    counts = 1 + np.arange(n) % patterns
    flat = rows if patterns == 1 else (np.repeat(rows, counts, axis=0) + np.float16(0.5))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    ids = np.array(ids, np.int64)
    return Block(ids, ids.astype(np.uint64) * np.uint64(7), rows, flat, offsets, ids.astype(np.uint64) + np.uint64(1))


class Source:
    """What Redis holds, and which of it was asked for."""

    def __init__(self, **blocks):
        self.blocks = {name[1:]: one for name, one in blocks.items()}
        self.asked = []

    @property
    def sums(self):
        return {name: f"{one.to_bytes()[-60:].hex()}"[:64] for name, one in self.blocks.items()}

    def fetch(self, wanted):
        assert list(wanted) == sorted(wanted)
        for name in wanted:
            self.asked.append(name)
            yield name, self.blocks[name]

    def rows(self, folder, **options):
        return Copy(folder).rows(options.pop("wanted", self.sums), self.fetch, **options)


def same(found, *blocks):
    wanted = concatenate(blocks)
    return found.to_bytes() == wanted.to_bytes()


def whole(rows):
    return rows.take(np.arange(len(rows)))


@pytest.fixture
def source():
    return Source(b1=block([3, 1]), b2=block([2, 3], 50))


@pytest.fixture(params=[rows_module.IN_MEMORY, -1], ids=["in memory", "in the file"])
def held(request, monkeypatch):
    monkeypatch.setattr(rows_module, "IN_MEMORY", request.param)


@pytest.mark.parametrize("patterns", [1, 3])
def test_rows_come_in_the_sequence_of_names_whatever_came_first(tmp_path, held, patterns):
    one, two, three = (block(ids, start, patterns) for ids, start in (([3, 1], 0), ([2, 3, 9], 50), ([5], 90)))
    source = Source(b1=one, b3=three)
    assert same(whole(source.rows(tmp_path)), one, three)
    source.blocks["2"] = two
    rows = source.rows(tmp_path)
    assert rows.ids.tolist() == [3, 1, 2, 3, 9, 5] and same(whole(rows), one, two, three)
    some = rows.take(np.array([4, 0, 2]))
    assert same(some, concatenate([one, two]).take([4, 0, 2])) and same(
        some.take([1, 2]), some.take([1]), some.take([2])
    )
    assert [(name, same(one, source.blocks[name])) for name, one in rows.blocks()] == [(n, True) for n in "123"]
    assert [name for name, _ in rows.blocks(newest_first=True)] == ["3", "2", "1"]
    assert same(whole(source.rows(tmp_path, wanted={"3": source.sums["3"]})), three), "as they were at a mark"


def test_what_is_large_stays_in_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(rows_module, "IN_MEMORY", -1)
    source = Source(b1=block([1, 2, 3]), b2=block([4], 9))
    rows = source.rows(tmp_path)
    stored = np.concatenate([block.embeddings for block in source.blocks.values()])
    for picks in ([0, 1, 2, 3], [1, 2], [2, 0, 3]):
        found = rows.take(np.array(picks))
        assert type(found.embeddings) is HalfRows and found.patterns is found.embeddings
        assert np.array_equal(found.embeddings[:], stored[picks]) and found.embeddings[:].dtype == np.float32


def test_only_what_is_new_is_brought_and_opening_again_brings_nothing(tmp_path, source):
    source.rows(tmp_path)
    assert source.asked == ["1", "2"]
    source.blocks["3"] = block([7], 70)
    source.rows(tmp_path)
    assert source.asked == ["1", "2", "3"]
    for _ in range(2):
        assert same(whole(source.rows(tmp_path)), *source.blocks.values())
    assert source.asked == ["1", "2", "3"]


def test_opening_again_reads_no_vectors(tmp_path, source, monkeypatch):
    source.rows(tmp_path)
    monkeypatch.setattr(module, "_sums", lambda *_: pytest.fail("they were read"))
    assert same(whole(source.rows(tmp_path)), *source.blocks.values())


def test_nothing_wanted_is_nothing_on_the_disk(tmp_path):
    assert len(Source().rows(tmp_path / "copy")) == 0 and not (tmp_path / "copy").exists()
    assert whole(Source(b1=block([])).rows(tmp_path / "copy")).ids.size == 0


def test_a_block_under_its_old_name_is_another_block(tmp_path, source):
    before = source.rows(tmp_path)
    source.blocks["2"] = block([2], 80)
    assert same(whole(source.rows(tmp_path)), *source.blocks.values())
    del source.blocks["1"]
    assert same(whole(source.rows(tmp_path)), source.blocks["2"])
    assert before.ids.tolist() == [3, 1, 2, 3] and whole(before).embeddings[2].tolist() == [50, 51, 52, 53], "mapped"


def test_the_disk_is_bounded(tmp_path, source):
    for start in range(40):
        source.blocks["2"] = block([2, 3], start)
        source.rows(tmp_path)
        assert Ledger.read(tmp_path).rows <= 2 * 4 + 2
    assert len(source.asked) == 41, "what is written anew comes from the files"
    assert same(whole(source.rows(tmp_path)), *source.blocks.values())
    assert len([path for path in tmp_path.iterdir() if path.name.startswith("embeddings")]) == 1


def test_blocks_of_later_count_for_the_bound_though_they_are_not_wanted(tmp_path, source):
    wanted = {"1": source.sums["1"]}
    source.blocks["3"] = block(range(100, 110), 70)
    source.rows(tmp_path)
    source.rows(tmp_path, wanted=wanted, living=source.sums)
    assert len(source.asked) == 3
    source.rows(tmp_path)
    assert len(source.asked) == 3


def test_patterns_of_their_own_may_come_late(tmp_path, held):
    one, two = block([1, 2]), block([3, 4, 5], 20, patterns=3)
    source = Source(b1=one)
    source.rows(tmp_path)
    source.blocks["2"] = two
    assert same(whole(source.rows(tmp_path)), one, two) and source.asked == ["1", "2"]


def test_minus_zero_is_another_pattern(tmp_path):
    one = block([1, 2])
    other = Block(one.ids, one.sources, one.embeddings, one.embeddings.copy(), one.offsets, one.hashes)
    other.patterns[0, 0] = -0.0
    assert same(whole(Source(b1=other).rows(tmp_path)), other)


def test_vectors_of_another_length_are_refused_and_the_rest_is_kept(tmp_path, source):
    source.blocks["3"] = block([9], width=5)
    with pytest.raises(CacheError, match="vectors of 4 and 5 numbers"):
        source.rows(tmp_path)
    del source.blocks["3"]
    source.rows(tmp_path)
    assert source.asked == ["1", "2", "3"]


class TestDamage:
    """Files that are not as they were left are read, and what is not what it was is brought again."""

    @pytest.fixture
    def made(self, tmp_path, source):
        source.rows(tmp_path)
        source.asked.clear()
        return tmp_path

    def again(self, made, source):
        found = whole(source.rows(made))
        assert same(found, *source.blocks.values())
        asked, source.asked = source.asked, []
        assert same(whole(source.rows(made)), *source.blocks.values()) and source.asked == []
        return asked

    @pytest.mark.parametrize("part", ["columns", "embeddings"])
    @pytest.mark.parametrize("how", ["empty", "cut", "flipped", "gone", "foreign"])
    def test_in_the_files(self, made, source, part, how):
        path = files_of(made, 1)[part]
        data = path.read_bytes()
        flipped = bytes([*data[:-1], data[-1] ^ 1])
        if how == "gone":
            path.unlink()
        else:
            new = {"empty": b"", "cut": data[:-3], "flipped": flipped, "foreign": data[::-1]}[how]
            path.write_bytes(new)
        assert self.again(made, source) == (["2"] if how in ("cut", "flipped") else ["1", "2"])

    @pytest.mark.parametrize("name", ["ledger-000001", "seal.json"])
    @pytest.mark.parametrize("data", [b"", b"{", b'{"format": 99}', b"x" * 5000, None])
    def test_in_what_is_written_of_them(self, made, source, name, data):
        (made / name).unlink() if data is None else (made / name).write_bytes(data)
        assert self.again(made, source) == ["1", "2"]

    def test_of_another_copy(self, made, source, tmp_path):
        other = Source(b1=block([3, 1], 5), b2=block([2, 3], 55))
        other.rows(tmp_path / "other")
        for path in (tmp_path / "other").iterdir():
            shutil.copy2(path, made / path.name)
        assert self.again(made, source) == ["1", "2"]

    def test_files_that_were_only_touched_are_read_once(self, made, source, monkeypatch):
        shutil.copytree(made, made / "moved")
        assert self.again(made / "moved", source) == []

    def test_the_folder_can_be_deleted_at_any_time(self, made, source):
        rows = source.rows(made)
        shutil.rmtree(made)
        assert self.again(made, source) == ["1", "2"] and same(whole(rows), *source.blocks.values())

    def test_what_a_process_that_died_left_behind_is_written_over(self, made, source):
        with files_of(made, 1)["embeddings"].open("ab") as file:
            file.write(b"torn" * 9)
        source.blocks["3"] = block([8, 9], 30)
        assert self.again(made, source) == ["3"]


def test_a_process_that_is_killed_on_the_way_leaves_a_copy_that_goes_on(tmp_path):
    code = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_copy import Source, block, module
from pathlib import Path
module.SEALED_EVERY = 3
def fetch(wanted):
    for name in wanted:
        yield name, block([int(name)], int(name))
        if name == "07":
            os.kill(os.getpid(), 9)
sums = {{f"{{n:02}}": f"{{n:02}}" for n in range(10)}}
module.Copy(Path({str(tmp_path)!r})).rows(sums, fetch)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == -9, done.stderr
    asked = []

    def fetch(wanted):
        for name in wanted:
            asked.append(name)
            yield name, block([int(name)], int(name))

    rows = Copy(tmp_path).rows({f"{n:02}": f"{n:02}" for n in range(10)}, fetch)
    assert asked == ["06", "07", "08", "09"]
    assert same(whole(rows), *(block([n], n) for n in range(10)))


def _open_and_count(folder, brought, numbers):
    def fetch(wanted):
        for name in wanted:
            brought.put(name)
            yield name, block([int(name)], int(name))

    for n in numbers:
        sums = {f"{i:02}": f"{i:02}" for i in range(n)}
        rows = Copy(folder).rows(sums, fetch)
        assert same(whole(rows), *(block([i], i) for i in range(n)))
    brought.put(None)


def test_processes_share_a_copy_and_bring_each_block_once(tmp_path):
    context = multiprocessing.get_context("fork")
    brought = context.Queue()
    numbers = range(1, 20)
    running = [context.Process(target=_open_and_count, args=(tmp_path, brought, numbers)) for _ in range(3)]
    for process in running:
        process.start()
    names, ended = [], 0
    while ended < len(running):
        name = brought.get(timeout=60)
        ended += name is None
        names += [name] * (name is not None)
    for process in running:
        process.join(60)
    assert [process.exitcode for process in running] == [0] * 3
    assert sorted(names) == [f"{n:02}" for n in range(19)]


def test_who_waits_for_a_copy_that_is_deleted_makes_another_one(tmp_path, source):
    folder, waiting = tmp_path / "copy", threading.Event()

    def slow(wanted):
        for name in wanted:
            waiting.set()
            time.sleep(0.2)
            yield name, source.blocks[name]

    first = threading.Thread(target=lambda: Copy(folder).rows(source.sums, slow))
    first.start()
    assert waiting.wait(10)
    sweep(folder)  # it is at work: nothing is touched
    shutil.rmtree(folder)
    found = whole(source.rows(folder))
    first.join(10)
    assert same(found, *source.blocks.values()) and same(whole(source.rows(folder)), *source.blocks.values())


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_is_named(tmp_path, source):
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match=f"{tmp_path}.*make room"):
        source.rows(tmp_path / "copy")


def test_a_disk_that_is_full_is_told_and_loses_nothing(tmp_path, source, monkeypatch):
    source.rows(tmp_path)
    source.blocks["3"] = block([9], 90)
    monkeypatch.setattr(
        module.os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    with pytest.raises(StoreError, match=r"No space left.*LABELQUEUE_HOME"):
        source.rows(tmp_path)
    monkeypatch.undo()
    assert same(whole(source.rows(tmp_path)), *source.blocks.values()) and source.asked == ["1", "2", "3", "3"]
