"""A collection as mapped arrays: the same selection as in memory, whatever parts and interruptions made the shards."""

from dataclasses import replace

import numpy as np
import pytest

from labelqueue.block import Block
from labelqueue.collection.directory import Collection, Failure
from labelqueue.collection.spool import open_rows
from labelqueue.exceptions import CollectionError, LabelQueueError
from labelqueue.images import ModelCard
from labelqueue.offline.choosing import chooser_of, rank
from labelqueue.offline.select import select_from
from poolselect import FreeSel, Pool

parquet = pytest.importorskip("pyarrow.parquet")
from labelqueue.collection.shards import write_shard  # noqa: E402

CARD = ModelCard("synthetic", "0" * 64, 224, (0.5,) * 3, (0.5,) * 3, 1, 1)
N, D = 300, 12


def block_of(seed, n, patterns=1):
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, patterns + 1, n)
    vectors = rng.normal(size=(n, D)).astype(np.float16)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    parts = vectors if patterns == 1 else rng.normal(size=(int(offsets[-1]), D)).astype(np.float16)
    hashes = rng.integers(1, 2**63, n).astype(np.uint64)
    return Block(np.arange(n), hashes, vectors, parts, offsets, hashes)


@pytest.fixture
def write(tmp_path):
    def write(patterns=1, order=None, cuts=(100, 170), name="vectors"):
        """Write the same images in any order and any shards; return the collection and all rows by address."""
        collection = Collection.make(tmp_path / name, CARD, patterns, D)
        block = block_of(0, N, patterns)
        uris = [f"s3://b/{number:04d} ü.jpg" for number in range(N)]
        order = np.arange(N) if order is None else order
        for rows in np.split(order, cuts):
            write_shard(collection, [uris[row] for row in rows], [""] * len(rows), block.take(rows))
        return collection, block, uris

    return write


def opened(collection, cache=None):
    return open_rows(collection, cache, progress=False, say=lambda line: None)


@pytest.mark.parametrize("patterns", [1, 4])
def test_rows_stand_in_the_order_of_their_addresses(write, patterns):
    collection, block, uris = write(patterns, np.random.default_rng(1).permutation(N))
    rows = opened(collection)
    assert len(rows) == N and [rows.addresses[i] for i in range(N)] == uris and len(rows.addresses) == N
    assert (rows.embeddings[:] == block.embeddings.astype(np.float32)).all() and (rows.hashes == block.hashes).all()
    if patterns > 1:
        assert (rows.offsets == block.offsets).all()
        assert (rows.patterns[:] == block.patterns.astype(np.float32)).all()


@pytest.mark.parametrize(("patterns", "trials", "metric"), [(1, None, None), (1, 1, "cosine"), (4, 20, "euclidean")])
def test_a_selection_is_the_one_in_memory(write, patterns, trials, metric):
    collection, block, uris = write(patterns, np.random.default_rng(2).permutation(N))
    told = rank(chooser_of("freesel", trials, metric, patterns, 3), block, N, uris, "last")
    picks = select_from(collection.path, N, seed=3, trials=trials, metric=metric, progress=False, say=lambda line: None)
    assert [(pick.path, pick.reason) for pick in picks] == told
    again, _, _ = write(patterns, np.arange(N)[::-1], (9, 10, 290), name="other")
    options = {"seed": 3, "trials": trials, "metric": metric, "progress": False, "say": lambda line: None}
    assert select_from(again.path, 40, **options) == picks[:40]


@pytest.mark.parametrize("strategy", ["random", "kcenter", "typiclust", "maxherding", "probcover", "clustering"])
def test_other_strategies_see_the_same_numbers(write, strategy):
    collection, block, uris = write()
    told = rank(chooser_of(strategy, None, None, 1, 0), block, 30, uris, "last")
    picks = select_from(collection.path, 30, strategy=strategy, progress=False, say=lambda line: None)
    assert [(pick.path, pick.reason) for pick in picks] == told


def test_near_duplicates_are_last_here_too(write):
    collection, block, uris = write(cuts=())
    twins = block.take([3, 4])
    write_shard(collection, ["s3://b/x.jpg", "s3://b/y.jpg"], ["", ""], twins)
    picks = select_from(collection.path, N + 2, progress=False, say=lambda line: None)
    assert {pick.path: pick.reason for pick in picks[-2:]} == {
        "s3://b/x.jpg": f"near-duplicate of {uris[3]}",
        "s3://b/y.jpg": f"near-duplicate of {uris[4]}",
    }


def test_arrays_are_made_once_and_anew_when_something_came(write, tmp_path):
    collection, block, _ = write()
    notes = []

    def open_here(cache=None):
        return open_rows(collection, cache, progress=False, say=notes.append)

    open_here()
    open_here()
    assert len(notes) == 1 and "arrays of 300 vectors" in notes[0]
    write_shard(collection, ["s3://b/9999.jpg"], [""], block.take([7]))
    assert len(open_here()) == N + 1 and len(notes) == 2
    assert len(list((collection.path / "spool").iterdir())) == 1, "what is out of date goes"
    assert len(open_here(tmp_path / "cache")) == N + 1 and (tmp_path / "cache").is_dir()
    (collection.path / "spool").rename(tmp_path / "gone")
    (collection.path / "spool").write_text("in the way")
    with pytest.raises(CollectionError, match="--cache DIR"):
        open_here()


def test_the_youngest_of_an_image_counts_and_one_that_became_bad_does_not(write):
    collection, block, uris = write()
    changed = block_of(9, 1)
    write_shard(collection, [uris[5]], ["2"], changed)
    collection.fail([Failure(uris[8], "3", "damaged", False), Failure(uris[9], "", "busy", True)])
    rows = opened(collection)
    assert len(rows) == N - 1 and rows.addresses[8] == uris[9]
    assert (rows.embeddings[5:6] == changed.embeddings.astype(np.float32)).all()
    write_shard(collection, [uris[8]], ["4"], block.take([8]))  # and was repaired
    assert len(opened(collection)) == N


def test_what_is_not_whole_is_said(write):
    from labelqueue.collection.part import Part

    collection, _, _ = write()
    collection.note(Part(1, 2), {"source": "s3://b", "complete": True})
    notes = []
    select_from(collection.path, 3, progress=False, say=notes.append)
    assert notes[0] == "note: s3://b is not embedded as a whole: part 2/2 did not finish"
    assert len(select_from(collection.path, N + 1, progress=False, say=notes.append)) == N
    assert "301 images were asked for" in notes[-1]


def test_a_collection_without_vectors_is_named(tmp_path):
    Collection.make(tmp_path / "v", CARD, 1, D)
    with pytest.raises(CollectionError, match="has no vectors yet"):
        select_from(tmp_path / "v", 3, progress=False)


def test_vectors_of_another_length_are_named(write, tmp_path):
    collection, _, _ = write()
    odd = replace(collection, dimension=7)
    with pytest.raises(CollectionError, match="not of 7 float16 numbers"):
        opened(odd)


def test_what_a_collection_knows_already_cannot_be_said_again(write):
    from labelqueue.cli.parser import main
    from labelqueue.offline.select import run

    collection, _, _ = write()
    assert main(["select", str(collection.path), "-n", "2"]) == 0
    import argparse

    from labelqueue.offline.select import add_arguments

    parser = argparse.ArgumentParser()
    add_arguments(parser)
    args = parser.parse_args([str(collection.path), "-n", "2", "--model", "bundled", "--patterns", "3"])
    with pytest.raises(LabelQueueError, match=r"--model bundled, --patterns 3: the vectors in .* by synthetic"):
        run(args)


def test_a_shard_is_a_table_that_embeddings_import_takes(write):
    from labelqueue.exchange.table import TableReader

    collection, block, uris = write(4)
    with TableReader(collection.shards()[0]) as reader:
        (first, *_) = reader.rows()
    assert first.files[0] == uris[0] and (first.vectors[0] == block.embeddings[0]).all()
    assert (first.patterns[0] == block.patterns[: block.offsets[1]]).all()


def test_a_pool_of_mapped_rows_is_not_read_into_memory(write):
    collection, block, _ = write()
    rows = opened(collection)
    pool = Pool(rows.ids, rows.embeddings)
    assert pool.embeddings.dtype == np.float16 and pool.patterns is pool.embeddings
    picked = FreeSel().query(pool, batch_size=20).indices
    assert (picked == FreeSel().query(Pool(rows.ids, block.embeddings), batch_size=20).indices).all()
