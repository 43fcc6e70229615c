"""A project keeps its embedder when the default becomes another, and takes vectors of a site's own model instead."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest

from e2e.test_queue import CONFIG, ordered, published, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

IMAGES = 20


@pytest.fixture
def home():
    folder = Path(tempfile.mkdtemp(prefix="lq-"))  # short: a unix socket's path is limited
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_the_embedder_is_kept_and_vectors_of_another_model_take_its_place(api, serve, drawn, home):
    parquet = pytest.importorskip("pyarrow.parquet")
    pa = pytest.importorskip("pyarrow")
    images = drawn(IMAGES + 2)
    with serve(home=home) as backend:
        port = backend.port
        project = api.create_project("embeddings", CONFIG)
        api.import_images(project, images[:IMAGES])
        api.connect(project, backend.url)
        found = wait_for(backend, project, ordered(IMAGES))
        assert found["embedder"]["serving"] == "bundled at 160 pixels" and not found["embedder"]["model"]

    with serve(home=home, port=port, LABELQUEUE_EMBEDDER="vit_tiny_patch16_224", HF_HUB_OFFLINE="1") as backend:
        api.import_images(project, images[IMAGES : IMAGES + 1])
        found = wait_for(backend, project, lambda now: now["embedded"] == IMAGES + 1, what="a new image of its model")
        assert found["embedder"]["serving"] == "bundled at 160 pixels" and not found["error"]
        assert found["embedder"]["model"] == "vit_tiny_patch16_224"

        told = backend.command("embeddings", "export", str(project), str(home / "out.parquet"), "--json")
        assert told["vectors"] == IMAGES + 1
        rows = parquet.read_table(home / "out.parquet").to_pydict()
        assert sorted(rows["task"]) == api.task_ids(project) and len(rows["vector"][0]) == 192

        names = [Path(file).name for file in rows["file"]][:-3]  # the site's model has not seen three of them
        vectors = np.random.default_rng(0).normal(size=(len(names), 24)).tolist()
        parquet.write_table(pa.table({"file": names, "vector": vectors}), home / "own.parquet")
        told = backend.command("embeddings", "import", str(project), str(home / "own.parquet"), "--json")
        assert (told["stored"], told["without_vector"]) == (IMAGES - 2, 3)
        found = wait_for(backend, project, lambda now: now["covers"] == IMAGES - 2, what="an order by these vectors")
        assert found["embedder"]["serving"] == "imported own" and found["embedder"]["without_vector"] == 3
        with_vector = {task for task, name in zip(rows["task"], rows["file"], strict=True) if Path(name).name in names}
        assert set(published(backend, project)[: IMAGES - 2]) == with_vector, "those without come last"

        api.import_images(project, images[IMAGES + 1 :])
        found = wait_for(backend, project, lambda now: now["tasks"] == IMAGES + 2, what="one that comes later")
        assert (found["embedded"], found["pending"], found["embedder"]["without_vector"]) == (IMAGES - 2, 0, 4)

        backend.command("set", str(project), "embedder=bundled")
        found = wait_for(backend, project, lambda now: now["covers"] == IMAGES + 2, what="all images by a model again")
        assert found["embedder"]["serving"] == "bundled at 160 pixels" and not found["error"]
        api.disconnect(project)
