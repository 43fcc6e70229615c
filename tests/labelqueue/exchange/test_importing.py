"""A site's own vectors become a project's embeddings, all of them or none, and are never mixed with others."""

import json
from dataclasses import replace

import numpy as np
import pytest

from labelqueue.block import Block, source_hash
from labelqueue.exceptions import TableError
from labelqueue.exchange import importing, stored, table
from labelqueue.exchange.exporting import export
from labelqueue.exchange.importing import bring
from labelqueue.state import PatternCache, TaskRow

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def spool(tmp_path):
    return tmp_path / "spool"


@pytest.fixture
def tasks(project):
    project.put_tasks({task: TaskRow(f"/{task}.jpg", "u") for task in range(1, 11)})
    return project


def vectors_of(tasks, dim=4, seed=0):
    return {task: np.random.default_rng([task, seed]).normal(size=dim).astype(np.float16).tolist() for task in tasks}


@pytest.fixture
def bring_in(tasks, spool, tmp_path):
    """Import a file of these vectors, by task or by name of the image."""

    def bring_in(vectors, name="own", **columns):
        path = tmp_path / "v.parquet"
        parquet.write_table(pa.table({"task": list(vectors), "vector": list(vectors.values()), **columns}), path)
        return bring(tasks, spool, path, name, show=False)

    return bring_in


def cache_of(project, spool, generation):
    return PatternCache(project, generation, spool)


def test_the_vectors_of_a_file_and_the_setting_that_asks_for_them(tasks, spool, bring_in):
    vectors = vectors_of(range(1, 9))
    tasks.quarantine({1: ("/1.jpg", "broken"), 10: ("/10.jpg", "broken")})
    told = bring_in(vectors)
    assert (told["stored"], told["here"], told["without_vector"], told["left_out"]["count"]) == (8, 0, 2, 0)
    assert told["dimension"] == 4 and told["anew"]
    imported = json.loads(tasks.get("imported"))
    assert (imported["model"], imported["dimension"]) == ("imported own", 4) and tasks.get("import_building") == ""
    assert tasks.settings()["embedder"] == "imported own"
    assert tasks.setting_choices()["embedder"].source == "embeddings import"
    rows = cache_of(tasks, spool, imported["generation"]).load(np.arange(1, 11))
    assert rows.ids.tolist() == list(range(1, 9)) and rows.embeddings.tolist() == list(vectors.values())
    assert tasks.quarantined().keys() == {10}, "an image that cannot be read here can have a vector"
    assert tasks.store.llen("rq:queue:tend") == 1


def test_the_next_import_under_the_name_adds_what_is_new(tasks, spool, bring_in):
    first = bring_in(vectors_of(range(1, 5)))
    told = bring_in(vectors_of(range(3, 8)))
    assert (told["stored"], told["here"], told["anew"]) == (3, 2, False)
    assert told["generation"] == first["generation"] and told["without_vector"] == 3
    assert tasks.get("arrivals") == "3", "so that an order may become due"
    assert cache_of(tasks, spool, first["generation"]).rows().keys() == set(range(1, 8))
    assert bring_in(vectors_of(range(1, 8)))["stored"] == 0


def test_an_image_that_was_replaced_gets_its_new_vector(tasks, spool, bring_in):
    first = bring_in(vectors_of(range(1, 5)))
    tasks.put_tasks({2: TaskRow("/another.jpg", "u")})
    told = bring_in(vectors_of([2], seed=1))
    assert (told["stored"], told["anew"]) == (1, False)
    rows = cache_of(tasks, spool, first["generation"]).load(np.array([2]))
    assert rows.embeddings.tolist() == list(vectors_of([2], seed=1).values())


@pytest.mark.parametrize("change", [{"seed": 1}, {"dim": 5}], ids=["other numbers", "another length"])
def test_vectors_of_another_model_are_never_mixed_in(tasks, spool, bring_in, change):
    first = bring_in(vectors_of(range(1, 5)))
    for some in (range(2, 9), [9]) if "dim" in change else (range(2, 9),):
        with pytest.raises(TableError, match=r"under the name 'own'.* tasks that have one there have none.*--name"):
            bring_in(vectors_of(some, **change))
    assert json.loads(tasks.get("imported"))["generation"] == first["generation"]
    told = bring_in(vectors_of(range(1, 9), **change))
    assert told["anew"] and told["stored"] == 8 and told["generation"] != first["generation"]
    assert cache_of(tasks, spool, first["generation"]).rows().keys() == set(range(1, 5)), "they serve until a look"
    other = bring_in(vectors_of([1]), name="clip")
    assert other["anew"] and tasks.settings()["embedder"] == "imported clip"


def test_rows_that_are_for_no_task_or_hold_no_vector_are_left_out_and_named(bring_in):
    vectors = vectors_of(range(1, 4)) | {99: [1.0] * 4, 4: [float("nan")] * 4, 5: [0.0] * 4}
    told = bring_in(vectors)
    assert told["stored"] == 3 and told["left_out"]["count"] == 3
    assert told["left_out"]["first"] == [
        "row 4: task 99 is not in this project",
        "row 5: its vector holds NaN or infinities",
        "row 6: its vector is all zeros in float16",
    ]


def test_a_file_of_names_and_the_tasks_that_share_an_image(tasks, spool, tmp_path):
    tasks.put_tasks({11: TaskRow("/1.jpg", "u")})
    path = tmp_path / "names.parquet"
    parquet.write_table(pa.table({"file": ["1.jpg", "2.jpg"], "vector": [[1.0, 2.0], [3.0, 4.0]]}), path)
    told = bring(tasks, spool, path, "own", show=False)
    rows = cache_of(tasks, spool, told["generation"]).load(np.arange(1, 12))
    assert rows.ids.tolist() == [1, 2, 11] and rows.embeddings.tolist() == [[1, 2], [3, 4], [1, 2]]


def test_two_vectors_for_one_task(tasks, spool, tmp_path):
    path = tmp_path / "twice.parquet"
    parquet.write_table(pa.table({"task": [1, 2, 1], "vector": [[1.0], [2.0], [1.0]]}), path)
    assert bring(tasks, spool, path, "own", show=False)["stored"] == 2
    parquet.write_table(pa.table({"task": [1, 2, 1], "vector": [[1.0], [2.0], [3.0]]}), path)
    with pytest.raises(TableError, match="rows 1 and 3 have different vectors for task 1"):
        bring(tasks, spool, path, "other", show=False)


def test_nothing_changes_when_the_file_cannot_be_used(tasks, bring_in):
    before = {key: tasks.store.dump(key) for key in tasks.store.keys(f"lq:{tasks.key}:*")}
    with pytest.raises(TableError, match=r"none of its 1 rows is for project 7; row 1: task 99"):
        bring_in({99: [1.0]})
    with pytest.raises(TableError, match="has 2 numbers, those before have 1"):
        bring_in({1: [1.0], 2: [1.0, 2.0]})
    assert {key: tasks.store.dump(key) for key in tasks.store.keys(f"lq:{tasks.key}:*")} == before


def test_an_import_that_breaks_off_changes_nothing_and_its_rest_goes_with_the_next(tasks, spool, bring_in, monkeypatch):
    monkeypatch.setattr(table, "BATCH", 2)
    put = PatternCache.put

    def put_once(self, block):
        if self.rows():
            raise KeyboardInterrupt
        put(self, block)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(PatternCache, "put", put_once)
        bring_in(vectors_of(range(1, 9)))
    half = tasks.get("import_building")
    assert cache_of(tasks, spool, half).rows().keys() == {1, 2}
    assert tasks.get("imported") == "" and tasks.settings()["embedder"] == ""
    told = bring_in(vectors_of(range(1, 9)))
    assert PatternCache.generations(tasks) == {told["generation"]} and told["stored"] == 8


def test_a_file_that_changes_meanwhile_is_refused(tasks, bring_in, monkeypatch):
    monkeypatch.setattr(importing, "digest_of", lambda *_, seen=[]: seen.append(0) or bytes([len(seen)]))
    with pytest.raises(TableError, match="changed while it was read"):
        bring_in(vectors_of(range(1, 4)))
    assert tasks.get("imported") == ""


@pytest.mark.parametrize("several", [False, True])
def test_there_and_back_is_the_same_to_the_last_bit(tasks, spool, tmp_path, several):
    rng, path = np.random.default_rng(0), tmp_path / "out.parquet"
    generation = "ab" * 16
    cache = cache_of(tasks, spool, generation)
    for some in ([1, 2, 3], [3, 4, 5, 77]):  # a newer row of task 3, and a task that is gone
        counts = rng.integers(1, 4, len(some)) if several else np.ones(len(some), int)
        vectors = rng.normal(size=(len(some), 6)).astype(np.float16)
        patterns = rng.normal(size=(counts.sum(), 6)).astype(np.float16) if several else vectors
        sources = np.array([source_hash(f"/{task}.jpg") for task in some], np.uint64)
        cache.put(Block(np.array(some), sources, vectors, patterns, np.cumsum([0, *counts]).astype(np.int64)))
    tasks.set(generation=generation)
    told = export(tasks, spool, path, show=False)
    assert (told["vectors"], told["tasks"], told["dimension"], told["patterns"]) == (5, 10, 6, several)
    back = bring(tasks, spool, path, "copy", show=False)
    wanted = np.arange(1, 6)
    before, after = cache.load(wanted), cache_of(tasks, spool, back["generation"]).load(wanted)
    for name in ("ids", "sources", "embeddings", "patterns", "offsets"):
        assert np.array_equal(getattr(before, name), getattr(after, name)), name


def test_what_is_read_of_a_stored_generation_is_the_newest(tasks, spool, bring_in):
    told = bring_in(vectors_of(range(1, 4)))
    cache = cache_of(tasks, spool, told["generation"])
    (name, block) = next(stored.blocks(cache))
    cache.put(replace(block.take([1]), embeddings=block.embeddings[:1], patterns=block.patterns[:1]))
    at = stored.newest(cache, stored.sources_now(tasks))
    assert at[1] == (name, 0) and at[2][0] > name and at.keys() == {1, 2, 3}
