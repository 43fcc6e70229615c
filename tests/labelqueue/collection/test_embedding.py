"""Embedding into a collection: everything once, whatever stops it; bad images named; models never mixed."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from labelqueue.collection import embedding
from labelqueue.collection.directory import Collection
from labelqueue.collection.embedding import Options, embed
from labelqueue.collection.part import Part
from labelqueue.collection.shards import read_addresses, read_sources, read_vectors
from labelqueue.exceptions import CollectionError
from labelqueue.images import Embedder

pytest.importorskip("pyarrow")


def draw(path: Path, seed: int, side: int = 24) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((side, side)).save(path)


@pytest.fixture(scope="module")
def embedder():
    return Embedder.load("bundled", device="cpu")


@pytest.fixture
def photos(tmp_path):
    for number in range(24):
        draw(tmp_path / "photos" / "ab"[number % 2] / f"{number:02d}.png", number)
    return tmp_path / "photos"


@pytest.fixture
def run(tmp_path, photos, embedder):
    notes = []

    def run(source=photos, directory=tmp_path / "vectors", **options):
        given = Options(progress=False, say=notes.append)
        return embed(str(source), directory, embedder, replace(given, **options))

    run.directory, run.notes = tmp_path / "vectors", notes
    return run


def addresses(directory):
    """Every address of every shard, as often as it is there."""
    collection = Collection.open(directory)
    return sorted(uri for path in collection.shards() for uri in read_addresses(collection, path).to_pylist())


def test_everything_is_embedded_and_told(run, photos, embedder):
    told = run()
    assert (told["images"], told["embedded"], told["here"], told["bad"], told["again"]) == (24, 24, 0, 0, 0)
    assert addresses(run.directory) == sorted(map(str, photos.rglob("*.png")))
    assert told["fingerprint"] == embedder.fingerprint({"n_patterns": 1}) and told["dimension"] == 192
    record = json.loads((run.directory / "labelqueue-collection.json").read_text())
    assert record["fingerprint"] == told["fingerprint"] and record["card"]["model"] == "bundled"
    collection = Collection.open(run.directory)
    vectors, hashes, _, _ = read_vectors(collection, collection.shards()[0])
    first = np.asarray(Image.open(photos / "a/00.png").convert("RGB").resize((160, 160)))
    assert vectors.dtype == np.float16 and hashes.all() and first.shape == (160, 160, 3)
    assert collection.unfinished() == []


def test_a_second_run_does_what_is_missing_and_nothing_else(run, photos, monkeypatch):
    run()
    asked, real = [], embedding.embed_here

    def count(work, *rest):
        asked.extend(uri for _, uri in work)
        return real(work, *rest)

    monkeypatch.setattr(embedding, "embed_here", count)
    assert run()["here"] == 24 and asked == []
    draw(photos / "a" / "new.png", 77)
    draw(photos / "a" / "02.png", 78, 30)
    told = run()
    assert asked == [str(photos / "a" / name) for name in ("02.png", "new.png")]
    assert (told["embedded"], told["here"], told["images"]) == (2, 23, 25)


def test_parts_are_together_everything_once_and_say_which_is_missing(run, photos):
    for number in (3, 1):
        run(part=Part(number, 3))
    (line,) = Collection.open(run.directory).unfinished()
    assert line == f"{photos} is not embedded as a whole: part 2/3 did not finish"
    run(part=Part(2, 3))
    assert addresses(run.directory) == sorted(map(str, photos.rglob("*.png")))
    assert Collection.open(run.directory).unfinished() == []
    assert run()["here"] == 24  # another count of parts finds what those did


def test_bad_images_are_rows_with_reasons_and_not_tried_again(run, photos):
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xffnothing")
    os.rename(photos / "a/00.png", os.fsencode(photos) + b"/a/\xff.png")  # noqa: PTH104
    told = run()
    assert (told["embedded"], told["bad"]) == (23, 2) and len(told["reasons"]) == 2
    rows = [json.loads(line) for file in run.directory.glob("failures-*") for line in file.read_text().splitlines()]
    why = {row["uri"].rpartition("/")[2]: row["reason"] for row in rows}
    assert "damaged" in why["broken.jpg"] and "rename it" in why["\udcff.png"]
    assert run() | {"seconds": 0} == told | {"embedded": 0, "here": 23, "reasons": [], "seconds": 0}
    draw(photos / "broken.jpg", 5)  # another content is another image
    assert run()["embedded"] == 1
    assert run(retry=True)["bad"] == 1


def test_what_could_not_be_fetched_is_tried_again(run, photos, monkeypatch):
    system = pytest.importorskip("fsspec").filesystem("memory")
    system.pipe({f"/p/{path.name}": path.read_bytes() for path in photos.rglob("*.png")})
    real = type(system).cat_file

    def busy(self, path, *rest, **options):
        if path.endswith("03.png"):
            raise OSError("busy")
        return real(self, path, *rest, **options)

    with monkeypatch.context() as patch:
        patch.setattr(type(system), "cat_file", busy)
        told = run("memory://p")
        assert (told["embedded"], told["again"]) == (23, 1) and "busy" in told["reasons"][0]
        assert "memory://p is not embedded" in Collection.open(run.directory).unfinished()[0]
        patch.setattr(embedding, "HOPELESS", 1)
        with pytest.raises(CollectionError, match=r"could not be fetched, such as memory://p/03.png: .*busy"):
            run("memory://p")
    assert run("memory://p")["embedded"] == 1
    assert addresses(run.directory) == [f"memory://p/{number:02d}.png" for number in range(24)]
    system.store.clear()


def test_another_models_directory_is_refused(run, embedder, tmp_path, photos):
    run()
    with pytest.raises(CollectionError, match=r"are of bundled at 160 pixels .* and this is .*3 patterns.*never mixed"):
        run(patterns=3)
    with pytest.raises(CollectionError, match=r"holds other files .*name a new folder"):
        run(directory=photos)
    (run.directory / "labelqueue-collection.json").write_text("{")
    with pytest.raises(CollectionError, match="cannot be read"):
        run()
    with pytest.raises(CollectionError, match="is no collection"):
        Collection.open(tmp_path)
    record = {"format": 99, "card": {}, "n_patterns": 1, "dimension": 3}
    (run.directory / "labelqueue-collection.json").write_text(json.dumps(record))
    with pytest.raises(CollectionError, match="update labelqueue"):
        run()


def test_two_that_begin_at_once_agree(tmp_path, embedder):
    first = Collection.make(tmp_path / "v", embedder.card, 1, 192)
    assert Collection.make(tmp_path / "v", embedder.card, 1, 192) == first
    assert sorted(path.name for path in (tmp_path / "v").iterdir()) == ["labelqueue-collection.json"]


def test_a_damaged_or_foreign_shard_is_named(run, tmp_path, photos):
    run()
    (shard,) = Collection.open(run.directory).shards()
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-20])
    with pytest.raises(CollectionError, match=r"shard-.* is damaged .*remove it"):
        run()
    shard.unlink()
    run(directory=tmp_path / "other", patterns=2)
    (other,) = (tmp_path / "other").glob("shard-*")
    (run.directory / other.name).write_bytes(other.read_bytes())
    with pytest.raises(CollectionError, match="of another model"):
        run()


def test_a_directory_that_cannot_be_written_is_named(run, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(CollectionError, match="name another with -o DIR"):
        run(directory=tmp_path / "file" / "v")


def test_a_full_disk_loses_nothing_of_before(run, photos, monkeypatch):
    for number in range(24, 100):
        draw(photos / f"{number}.png", number)
    monkeypatch.setattr(embedding, "ROWS", 64)
    real, calls = Collection.write, []

    def full(self, path, data):
        if path.name.startswith("shard-"):
            calls.append(path)
            if len(calls) > 1:
                raise CollectionError("disk is full")
        real(self, path, data)

    with monkeypatch.context() as patch:
        patch.setattr(Collection, "write", full)
        with pytest.raises(CollectionError, match="disk is full"):
            run()
    kept = len(read_sources(Collection.open(run.directory)))
    told = run()
    assert kept == 64 and told["here"] == kept and told["embedded"] == 100 - kept
    assert len(addresses(run.directory)) == 100


SMALL_SHARDS = """
import sys
from labelqueue.cli.parser import main
from labelqueue.collection import embedding
embedding.ROWS = 64
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(("stop", "status"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_a_real_process_that_is_stopped_goes_on(run, photos, tmp_path, stop, status):
    for number in range(24, 200):
        draw(photos / f"{number}.png", number)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    line = [sys.executable, "-c", SMALL_SHARDS, "embed", str(photos), "-o", str(run.directory), "--model", "bundled"]
    first = subprocess.Popen(line, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 120
        while not list(run.directory.glob("shard-*")):
            assert time.monotonic() < deadline and first.poll() is None, first.communicate()
            time.sleep(0.02)
        first.send_signal(stop)
        _, said = first.communicate(timeout=60)
    finally:
        first.kill()
    assert first.returncode == status, said
    assert Collection.open(run.directory).unfinished()
    assert ("the same command goes on" in said) == (stop == signal.SIGINT)
    kept = len(read_sources(Collection.open(run.directory)))
    told = run()
    assert 64 <= kept < 200 and told["here"] == kept and told["embedded"] == 200 - kept
    assert addresses(run.directory) == sorted(map(str, photos.rglob("*.png")))
    assert Collection.open(run.directory).unfinished() == []
