"""The pattern cache: the newest row of each image, whole and checked, from Redis or a copy on the worker's disk."""

import numpy as np
import pytest

from labelqueue.block import Block, Origin, source_hash
from labelqueue.exceptions import CacheError
from labelqueue.state.pattern_cache import PatternCache


def block(uris, start=0.0):
    """Return a block of these tasks' images; the first number of each row tells rows apart: start, start + 1, ..."""
    n = len(uris)
    rows = np.zeros((n, 4), np.float16)
    rows[:, 0] = start + np.arange(n)
    ids, sources = np.array(list(uris), np.int64), np.array([source_hash(uri) for uri in uris.values()], np.uint64)
    return Block(ids, sources, rows, rows, np.arange(n + 1, dtype=np.int64))


@pytest.fixture
def cache(project, tmp_path):
    return PatternCache(project, "g1", tmp_path)


@pytest.fixture
def load(cache):
    """Load the rows of these tasks and URIs; return the first number of each task's row."""

    def load(uris, cache=cache):
        wanted = block(dict(sorted(uris.items())))
        found = cache.load(wanted.ids, wanted.sources)
        assert found.ids.tolist() == sorted(found.ids.tolist())
        return dict(zip(found.ids.tolist(), found.embeddings[:, :1].ravel().tolist(), strict=True))

    return load


@pytest.fixture
def spooled(cache, tmp_path, project):
    """Return the files of the spool."""
    return lambda: sorted((tmp_path / project.key / "g1").glob("*"))


@pytest.fixture
def fetched(cache, monkeypatch):
    """Return the names of the blocks that were read from Redis."""
    real, names = PatternCache._fetched, []

    def watched(self, wanted):
        names.extend(wanted)
        return real(self, wanted)

    monkeypatch.setattr(PatternCache, "_fetched", watched)
    return names


def test_rows_come_back_by_task_and_those_that_are_not_here_are_left_out(cache, load):
    cache.put(block({3: "c", 1: "a"}))
    cache.put(block({2: "b"}, 10))
    assert load({1: "a", 2: "b", 3: "c", 4: "d"}) == {1: 1.0, 2: 10.0, 3: 0.0}
    assert load({}) == {}
    ids, sources = cache.columns()
    assert ids.tolist() == [1, 2, 3] and sources.tolist() == [source_hash(uri) for uri in "abc"]
    assert cache.rows() == {task: source_hash(uri) for task, uri in ((1, "a"), (2, "b"), (3, "c"))}


def test_an_empty_cache_serves_nothing(cache, load):
    cache.put(block({}))
    assert load({1: "a"}) == {} and cache.columns()[0].size == 0


def test_a_later_row_of_the_same_image_replaces_an_earlier_one(cache, load):
    for start in (0, 10, 20):
        cache.put(block({1: "a", 2: "b"}, start))
    assert load({1: "a", 2: "b"}) == {1: 20.0, 2: 21.0}


def test_the_row_of_an_image_that_was_replaced_is_never_served(cache, load):
    cache.put(block({1: "old", 2: "b"}))
    assert load({1: "new", 2: "b"}) == {2: 1.0}
    cache.put(block({1: "new"}, 10))
    assert load({1: "new", 2: "b"}) == {1: 10.0, 2: 1.0}
    assert load({1: "old"}) == {1: 0.0}, "and not the other way round"
    assert cache.rows()[1] == source_hash("new")


def test_the_row_of_a_deleted_task_does_not_count_whatever_comes_later(cache):
    cache.put(block({1: "a", 2: "b"}))
    cache.discard([1, 9])
    cache.discard([])
    assert cache.columns()[0].tolist() == [2] and cache.rows().keys() == {2}
    cache.put(block({3: "c"}, 10))
    assert cache.columns()[0].tolist() == [2, 3]


def test_bytes_that_changed_in_redis_are_noticed(project, store, cache, load, fetched):
    cache.put(block({1: "a"}))
    cache.put(block({2: "b"}))
    key = project.name("cache", "g1", "blocks")
    data = bytearray(store.hget(key, "00000002"))
    data[-1] ^= 1
    store.hset(key, "00000002", bytes(data))
    with pytest.raises(CacheError, match="block 00000002 of generation g1 does not match its checksum"):
        load({1: "a", 2: "b"})
    store.hdel(key, "00000002")
    with pytest.raises(CacheError, match="lost or changed data"):
        load({1: "a"})
    assert fetched == ["00000001", "00000002", "00000002"], "what is wrong is not kept, and the rest is"


def test_a_second_load_reads_no_block_from_redis(project, store, cache, load):
    cache.put(block({1: "a"}))
    cache.put(block({2: "b"}, 10))
    load({1: "a"})
    store.delete(project.name("cache", "g1", "blocks"))
    assert load({1: "a", 2: "b"}) == {1: 0.0, 2: 10.0}


def test_an_order_reads_the_blocks_that_are_new_and_no_other(project, cache, load, fetched, tmp_path):
    for number in range(5):
        cache.put(block({number: "a"}, number))
    load({1: "a"})
    assert len(fetched) == 5
    cache.put(block({9: "b", 1: "c"}, 20))
    assert load({9: "b", 1: "c", 2: "a"}) == {9: 20.0, 1: 21.0, 2: 2.0} and fetched[5:] == ["00000006"]
    assert load({1: "a"}, PatternCache(project, "g1", tmp_path)) == {1: 1.0} and len(fetched) == 6, "opened again"
    assert len(list(cache.newest_first())) == 6 and len(fetched) == 6
    load({1: "a"}, PatternCache(project, "g1", tmp_path / "another machine"))
    assert len(fetched) == 12


def test_generations_stand_beside_each_other_and_go_alone(project, cache, load, spooled, tmp_path):
    other = PatternCache(project, "g2", tmp_path)
    cache.put(block({1: "a"}))
    other.put(block({1: "a"}, 10))
    assert (load({1: "a"}), load({1: "a"}, other)) == ({1: 0.0}, {1: 10.0})
    cache.delete()
    assert (load({1: "a"}), load({1: "a"}, other)) == ({}, {1: 10.0})
    assert cache.rows() == {} and spooled() == []
    assert list(project.store.scan_iter(project.name("cache", "g1", "*"))) == []


class TestCompaction:
    """Blocks are written anew once most of their rows belong to no task any more."""

    def size(self, project, store):
        return sum(len(data) for data in store.hvals(project.name("cache", "g1", "blocks")))

    def test_dead_rows_go_and_living_ones_are_as_before(self, project, store, cache, load):
        uris = {task: f"u{task}" for task in range(1, 61)}
        for start in range(0, 60, 20):
            cache.put(block({task: uris[task] for task in range(start + 1, start + 21)}, start))
        before, size = load(uris), self.size(project, store)
        assert cache.compact() == 0
        cache.discard([*range(1, 21), *range(21, 61, 2)])
        assert cache.compact() == 40
        living = {task: uri for task, uri in uris.items() if task > 20 and not task % 2}
        assert load(living) == {task: before[task] for task in living} and cache.rows().keys() == living.keys()
        assert self.size(project, store) < 0.6 * size and len(store.hkeys(project.name("cache", "g1", "sums"))) == 2
        assert cache.compact() == 0
        cache.put(block({99: "u99"}, 500))
        assert load({22: "u22", 99: "u99"}) == {22: before[22], 99: 500.0}

    def test_of_several_rows_of_a_task_the_newest_stays(self, cache, load, project, store):
        for start in (0, 10, 20):
            cache.put(block({1: "a", 2: "b"}, start))
        assert cache.compact() == 4 and load({1: "a", 2: "b"}) == {1: 20.0, 2: 21.0}
        assert store.get(project.name("cache", "g1", "stored")) == b"2"

    def test_the_row_of_a_replaced_image_goes(self, cache, load):
        for uri in ("a", "b", "c"):
            cache.put(block({1: uri}, ord(uri)))
        assert cache.compact() == 2 and load({1: "c"}) == {1: ord("c")} and load({1: "a"}) == {}

    def test_what_an_earlier_version_wrote_is_counted_first(self, cache, load, project, store):
        cache.put(block({1: "a", 2: "b", 3: "c"}))
        store.delete(project.name("cache", "g1", "stored"))
        assert cache.compact() == 0 and store.get(project.name("cache", "g1", "stored")) == b"3"
        cache.discard([1, 2])
        store.delete(project.name("cache", "g1", "stored"))
        assert cache.compact() == 2 and load({3: "c"}) == {3: 2.0}

    def test_who_reads_meanwhile_reads_again(self, cache, load, project, store, tmp_path, monkeypatch):
        other = PatternCache(project, "g1", tmp_path / "another machine")
        for start in (0, 10, 20):
            cache.put(block({1: "a", 2: "b"}, start))
        fetched, compacted = other._fetched, []

        def late(wanted):
            if not compacted:
                compacted.append(cache.compact())
            return fetched(wanted)

        monkeypatch.setattr(other, "_fetched", late)
        assert load({1: "a", 2: "b"}, other) == {1: 20.0, 2: 21.0} and compacted == [4]

    def test_nothing_left_is_nothing_stored(self, cache, load, project, store):
        cache.put(block({1: "a"}))
        cache.retain(np.array([5]))
        assert cache.compact() == 1 and load({1: "a"}) == {} and self.size(project, store) == 0


class TestRecall:
    """Rows as they were when an order was made of them, whatever was stored since."""

    @pytest.fixture
    def origin(self, cache):
        cache.put(block({1: "a", 2: "b"}))
        cache.put(block({3: "c", 2: "b2"}, 10))
        rows = cache.load(np.array([1, 2, 3]))
        return Origin.of(rows, "g1", cache.mark())

    def firsts(self, cache, origin, ids=(1, 2, 3)):
        return cache.recall(np.array(ids), origin).embeddings[:, 0].tolist()

    def test_is_not_moved_by_later_rows_nor_by_deleted_tasks(self, cache, origin):
        assert self.firsts(cache, origin) == [0, 11, 10]
        cache.put(block({2: "b3", 4: "d"}, 20))
        cache.discard([1])
        assert self.firsts(cache, origin) == [0, 11, 10]

    def test_says_which_rows_are_gone(self, cache, origin):
        with pytest.raises(CacheError, match="embeddings of 2 of its tasks are gone, such as task 5"):
            self.firsts(cache, origin, (1, 5, 6))

    def test_says_when_the_images_were_others(self, cache, origin):
        with pytest.raises(CacheError, match="images of some of its tasks were replaced"):
            self.firsts(cache, Origin(origin.generation, origin.mark, "0" * 16))

    def test_says_when_everything_was_stored_anew(self, cache, origin):
        cache.delete()
        cache.put(block({1: "a", 2: "b", 3: "c"}))
        with pytest.raises(CacheError, match="'g1' are gone, or were stored anew"):
            self.firsts(cache, origin)
