"""Embedding on a Ray cluster of two nodes, of which one dies: nothing is missing, nothing twice."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from labelqueue.block import concatenate
from labelqueue.collection import ray_engine
from labelqueue.collection.directory import Collection
from labelqueue.collection.embedding import Options, embed
from labelqueue.collection.process_engine import embed_here
from labelqueue.collection.ray_engine import _packed, _unpacked
from labelqueue.collection.shards import read_addresses
from labelqueue.exceptions import CollectionError
from labelqueue.images import Embedded, Embedder

pytest.importorskip("pyarrow")


@pytest.fixture(scope="module")
def embedder():
    return Embedder.load("bundled", device="cpu")


def draw(folder: Path, count: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        noise = np.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((32, 32)).save(folder / f"{number:04d}.png")


def test_what_actors_make_comes_back_as_it_was(tmp_path, embedder):
    draw(tmp_path, 5)
    (tmp_path / "bad.png").write_text("x")
    work = [(7 * n + 1, str(path)) for n, path in enumerate(sorted(tmp_path.iterdir()))]
    parts = [*embed_here(work, embedder, 3), Embedded(parts_of_nothing(), [], [(99, "busy")])]
    found = _unpacked({name: np.array(column, dtype=object) for name, column in _packed(parts).items()}, embedder.dim)
    (part, _) = parts
    for name in ("ids", "embeddings", "patterns", "offsets", "hashes"):
        assert (getattr(found.block, name) == getattr(part.block, name)).all(), name
    assert found.failed == part.failed and found.transient == [(99, "busy")] and len(found.failed) == 1
    assert len(_unpacked(_packed(parts[1:]), embedder.dim).block) == 0


def parts_of_nothing():
    return concatenate([])


def test_without_ray_the_error_names_the_extra(tmp_path, embedder, monkeypatch):
    draw(tmp_path / "photos", 2)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(CollectionError, match=r'--engine ray needs Ray .*"\.\[ray\]"'):
        embed(str(tmp_path / "photos"), tmp_path / "v", embedder, Options(engine="ray", progress=False))


@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore")
def test_a_node_that_dies_costs_nothing(tmp_path, embedder, monkeypatch):
    ray = pytest.importorskip("ray")
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_DEDUP_LOGS", "0")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    monkeypatch.setattr(ray_engine, "BATCH", 8)
    photos, directory, count = tmp_path / "photos", tmp_path / "v", 160
    draw(photos, count)
    (photos / "bad.png").write_text("no image")
    node = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
    cluster = cluster_utils.Cluster()
    try:
        try:
            cluster.add_node(**node, include_dashboard=False)
            other = cluster.add_node(**node)
            ray.init(address=cluster.address, log_to_driver=False)
        except Exception as error:
            pytest.skip(f"Ray does not start on a machine as busy as this: {error}")  # it waits for 30 seconds
        killed = []

        def kill_one(part, real=ray_engine._unpacked):
            if not killed:
                killed.append(other)
                cluster.remove_node(other, allow_graceful=False)
            return part

        real = ray_engine._unpacked
        monkeypatch.setattr(ray_engine, "_unpacked", lambda batch, dimension: kill_one(real(batch, dimension)))
        options = Options(engine="ray", actors=2, progress=False, say=lambda line: None)
        told = embed(str(photos), directory, embedder, options)
        assert killed and (told["embedded"], told["bad"], told["again"]) == (count, 1, 0)
        again = embed(str(photos), directory, embedder, replace(options, engine="process"))
        assert (again["embedded"], again["here"], again["bad"]) == (0, count, 1)
    finally:
        ray.shutdown()
        cluster.shutdown()
    collection = Collection.open(directory)
    found = sorted(uri for path in collection.shards() for uri in read_addresses(collection, path).to_pylist())
    assert found == [str(photos / f"{number:04d}.png") for number in range(count)]
    assert json.loads((directory / "part-0001-of-0001.json").read_text())["complete"]
