import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from labelqueue.block import Block, concatenate, find, source_hash
from labelqueue.exceptions import CacheError


def block(counts=(1, 3, 2), dim=4, first=0, seed=0):
    rng = np.random.default_rng(seed)
    n, m = len(counts), int(sum(counts))
    return Block(
        ids=np.arange(first, first + n, dtype=np.int64),
        sources=rng.integers(0, 2**64, n, dtype=np.uint64),
        embeddings=rng.normal(size=(n, dim)).astype(np.float16),
        patterns=rng.normal(size=(m, dim)).astype(np.float16),
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
    )


def same(one, other):
    names = ("ids", "sources", "embeddings", "patterns", "offsets")
    return all(
        getattr(one, name).dtype == getattr(other, name).dtype
        and np.array_equal(getattr(one, name), getattr(other, name))
        for name in names
    )


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 6), max_size=8), st.integers(1, 5), st.integers(0, 99))
def test_bytes_round_trip_and_are_stable(counts, dim, seed):
    one = block(counts, dim, seed=seed)
    assert same(Block.from_bytes(one.to_bytes()), one)
    assert one.to_bytes() == one.to_bytes()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(1, 4), max_size=5), max_size=4))
def test_concatenate_keeps_each_rows_patterns(parts):
    blocks = [block(counts, first=100 * number, seed=number) for number, counts in enumerate(parts)]
    whole = concatenate(blocks)
    assert len(whole) == sum(map(len, blocks))
    rows = [(one, row) for one in blocks for row in range(len(one))]
    for at, (one, row) in enumerate(rows):
        assert whole.ids[at] == one.ids[row]
        mine = one.patterns[one.offsets[row] : one.offsets[row + 1]]
        assert np.array_equal(whole.patterns[whole.offsets[at] : whole.offsets[at + 1]], mine)


@given(st.sets(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 30)), st.lists(st.integers(0, 30)))
def test_ids_are_found_in_whatever_order_they_are_asked_for(known, asked):
    at = {task: row for row, task in enumerate(sorted(known))}
    for wanted in (asked, sorted(asked)):
        found = find(np.array(sorted(known), np.int64), np.array(wanted, np.int64))
        assert found.tolist() == [at.get(task, -1) for task in wanted]


def test_take_follows_the_rows_asked_for():
    one = block((1, 3, 2))
    some = one.take([2, 0, 2])
    assert some.ids.tolist() == [2, 0, 2]
    assert some.offsets.tolist() == [0, 2, 3, 5]
    assert np.array_equal(some.patterns, np.concatenate([one.patterns[4:6], one.patterns[:1], one.patterns[4:6]]))
    assert len(one.take([])) == 0


def test_nothing_concatenates_to_nothing():
    assert len(concatenate([])) == 0
    assert concatenate([block((), dim=7)]).embeddings.shape == (0, 7)
    assert same(concatenate([block((), dim=7), block((1, 2))]), block((1, 2)))


def test_vectors_of_different_length_do_not_mix():
    with pytest.raises(CacheError, match="4 and 5 numbers"):
        concatenate([block(dim=4), block(dim=5)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ids": np.arange(3, dtype=np.int32)}, "ids is int32, must be int64"),
        ({"embeddings": np.zeros((3, 4), np.float32)}, "must be float16"),
        ({"sources": np.zeros(2, np.uint64)}, "sources has shape"),
        ({"patterns": np.zeros((6, 5), np.float16)}, "patterns has shape"),
        ({"offsets": np.array([0, 1, 1, 6])}, "at least one"),
        ({"offsets": np.array([0, 1, 4, 5])}, "offsets must rise"),
        ({"embeddings": np.full((3, 4), np.nan, np.float16)}, "NaN"),
        ({"patterns": np.full((6, 4), np.inf, np.float16)}, "infinities"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    good = block()
    parts = {name: getattr(good, name) for name in ("ids", "sources", "embeddings", "patterns", "offsets")}
    with pytest.raises(CacheError, match=message):
        Block(**{**parts, **change})


def test_damaged_and_foreign_bytes_are_refused():
    data = block().to_bytes()
    for bad in (b"", b"x", data[:40], data[:-1], data + b"x", b"\xff" * 200):
        with pytest.raises(CacheError, match="block"):
            Block.from_bytes(bad)
    foreign = save({"weight": np.zeros(3, np.float32)})
    with pytest.raises(CacheError, match="format None with weight"):
        Block.from_bytes(foreign)
    with pytest.raises(CacheError, match="reads format '1'"):
        Block.from_bytes(data.replace(b'"labelqueue_block":"1"', b'"labelqueue_block":"9"'))


def test_source_hash_is_stable():
    assert source_hash("") == 0xE3B0C44298FC1C14  # the first half of the well-known sha256 of nothing
    assert source_hash("a") != source_hash("b")
    assert 0 <= source_hash("s3://b/\ud800") < 2**64


def test_hashes_go_where_their_rows_go_and_a_block_without_them_is_read_and_written_as_before():
    rows = np.arange(8, dtype=np.float16).reshape(4, 2)
    plain = Block(np.arange(4), np.zeros(4, np.uint64), rows, rows, np.arange(5))
    hashed = Block(np.arange(4), np.zeros(4, np.uint64), rows, rows, np.arange(5), np.arange(1, 5, dtype=np.uint64))
    assert b"hashes" not in plain.to_bytes() and Block.from_bytes(plain.to_bytes()).hashes.tolist() == [0] * 4
    assert Block.from_bytes(hashed.to_bytes()).hashes.tolist() == [1, 2, 3, 4]
    assert concatenate([plain, hashed]).take([7, 0, 5]).hashes.tolist() == [4, 0, 2]
    with pytest.raises(CacheError, match="hashes has shape"):
        Block(np.arange(4), np.zeros(4, np.uint64), rows, rows, np.arange(5), np.ones(3, np.uint64))
