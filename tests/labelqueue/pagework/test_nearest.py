"""More like this: the nearest images of one and of several, each once, of what is stored now."""

import threading

import numpy as np
import pytest

from labelqueue.block import Block, source_hash
from labelqueue.exceptions import CacheError, ProjectError
from labelqueue.gallery.questions import nearest_question
from labelqueue.labels import ANNOTATED, UNLABELED
from labelqueue.pagework import vectors
from labelqueue.pagework.nearest import find_nearest
from labelqueue.pagework.vectors import vectors_of
from labelqueue.state.task_row import TaskRow
from labelqueue.worker.runtime import Runtime


def stored(ids, rows, uri="u{}"):
    rows = np.asarray(rows, np.float16)
    sources = np.array([source_hash(uri.format(task)) for task in ids], np.uint64)
    return Block(np.array(ids, np.int64), sources, rows, rows, np.arange(len(ids) + 1, dtype=np.int64))


@pytest.fixture
def pool(project, deployment):
    """Forty images on a circle, in degrees of their id, in blocks of seven."""
    runtime = Runtime(deployment)
    cache = runtime.cache(project, "g1")
    project.set(generation="g1")
    angles = np.deg2rad(np.arange(1, 41))
    rows = np.stack([np.cos(angles), np.sin(angles)], axis=1) * 3
    for start in range(0, 40, 7):
        ids = list(range(start + 1, min(start + 8, 41)))
        cache.put(stored(ids, rows[start : start + 7]))
    project.put_tasks({task: TaskRow(f"u{task}", UNLABELED) for task in range(1, 41)})
    return runtime, project, cache


def asked(pool, tasks, count=5):
    """Return the answer to a question as a worker finds it."""
    runtime, project, _ = pool
    return find_nearest(runtime, project, *nearest_question(project, tasks, count).details)


def tasks_of(answer):
    return [row["task"] for row in answer["tasks"]]


def test_the_nearest_of_one_image(pool):
    answer = asked(pool, [20], 4)
    assert sorted(tasks_of(answer)[:2]) == [19, 21] and sorted(tasks_of(answer)[2:]) == [18, 22]
    row = answer["tasks"][0]
    assert row["similarity"] == pytest.approx(np.cos(np.deg2rad(1)), abs=1e-3)
    assert row["state"] == "unlabeled" and row["label"] == row["prediction"] == "" and row["rank"] is None
    assert row["source"] == f"{source_hash('u' + str(row['task'])):016x}"
    assert answer["missing"] == 0


def test_the_nearest_of_several_are_those_of_their_middle(pool):
    answer = asked(pool, [10, 14], 3)
    assert tasks_of(answer)[0] == 12 and set(tasks_of(answer)) == {11, 12, 13}
    assert len(tasks_of(asked(pool, list(range(1, 41)), 5))) == 0, "there are no others"
    assert len(tasks_of(asked(pool, [1], 500))) == 39


def test_labeled_ones_are_there_with_their_state(pool):
    pool[1].put_tasks({19: TaskRow("u19", ANNOTATED)})
    states = {row["task"]: row["state"] for row in asked(pool, [20], 2)["tasks"]}
    assert states == {19: "annotated without a label", 21: "unlabeled"}


def test_what_was_replaced_or_deleted_does_not_count(pool):
    _, project, cache = pool
    cache.put(stored([21], [[-3.0, 0.0]], uri="another{}"))
    project.put_tasks({21: TaskRow("another21", UNLABELED)})
    cache.put(stored([40], [[3 * np.cos(np.deg2rad(20)), 3 * np.sin(np.deg2rad(20))]]))  # embedded again
    cache.discard([19])
    project.drop_tasks([19])
    found = tasks_of(asked(pool, [20], 3))
    assert found[0] == 40 and set(found[1:]) == {18, 22}


def test_tasks_without_embeddings_are_said(pool):
    answer = asked(pool, [20, 900, 901], 2)
    assert answer["missing"] == 2 and set(tasks_of(answer)) == {19, 21}
    with pytest.raises(ProjectError, match=r"task 900 of project 7 is not embedded, nor are the 1 others: "):
        asked(pool, [900, 901])
    pool[1].set(generation="")
    with pytest.raises(ProjectError, match="no image of project 7 is embedded yet"):
        asked(pool, [20])


@pytest.mark.parametrize("tasks", [[], [True], [-1], ["1"], [1.5], [2**63]])
def test_what_is_no_task_is_refused(project, tasks):
    with pytest.raises(ProjectError, match="ask"):
        nearest_question(project, tasks)


@pytest.mark.parametrize("count", [0, -1, 501])
def test_so_many_are_not_looked_for(project, count):
    with pytest.raises(ProjectError, match="ask for 1 to 500"):
        nearest_question(project, [1], count)


class TestVectors:
    """Embeddings, some at a time."""

    def test_each_image_once_and_no_more_than_are_wanted(self, pool, monkeypatch):
        monkeypatch.setattr(vectors, "ROWS", 10)
        runtime, _, cache = pool
        ids, sources = cache.columns()
        parts = list(vectors_of(runtime, cache, ids, sources))
        assert sorted(np.concatenate([rows for rows, _ in parts]).tolist()) == list(range(40)) and len(parts) > 2
        assert all(len(part) < 20 for _, part in parts)
        assert all(np.allclose(np.linalg.norm(part, axis=1), 1, atol=1e-3) for _, part in parts)
        wanted = ids % 9 == 0
        assert sorted(np.concatenate([rows for rows, _ in vectors_of(runtime, cache, ids, sources, wanted)])) == [
            8, 17, 26, 35,
        ]  # fmt: skip
        assert list(vectors_of(runtime, cache, ids, sources, np.zeros(40, bool))) == []

    def test_it_ends_when_all_are_found(self, pool, monkeypatch):
        runtime, _, cache = pool
        ids, sources = cache.columns()
        read, blocks = [], cache.newest_first
        monkeypatch.setattr(cache, "newest_first", lambda: (read.append(block) or block for block in blocks()))
        list(vectors_of(runtime, cache, ids, sources, ids > 34))
        assert len(read) == 2, "the newest blocks only"

    def test_a_worker_that_leaves_gives_up(self, pool):
        runtime, _, cache = pool
        ids, sources = cache.columns()
        runtime.leaving = threading.Event()
        runtime.leaving.set()
        with pytest.raises(CacheError, match="told to stop"):
            list(vectors_of(runtime, cache, ids, sources))
