"""An order of vectors that stay in a file is, to the bit, the one of vectors in memory; none of it is copied whole."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from labelqueue.block import Block
from labelqueue.labels import ANNOTATED, UNLABELED
from labelqueue.learning import Geometry, train
from labelqueue.ordering.campaign_state import Cycle
from labelqueue.ordering.ranking import rank_tasks
from labelqueue.ordering.recipe import make_recipe
from labelqueue.ordering.snapshot import Tasks
from labelqueue.settings import COLD_START, PROJECT, WARM
from labelqueue.vectors import Copy
from labelqueue.vectors import rows as rows_module
from poolselect import HalfRows, Pool, QueryStrategy

N, CLASSES = 160, ("a", "b", "c")
SETTINGS = {setting.name: setting.default for setting in PROJECT.values()} | {"budget": 200, "trials": 20}


def made(patterns):
    rng = np.random.default_rng(5)
    vectors = (rng.standard_normal((9, 16))[rng.integers(9, size=N)] + 0.4 * rng.standard_normal((N, 16))).astype("f2")
    if patterns == 1:
        return Block(np.arange(1, N + 1), np.arange(N, dtype="u8"), vectors, vectors, np.arange(N + 1))
    counts = 1 + np.arange(N) % patterns
    flat = (np.repeat(vectors, counts, axis=0) + 0.1 * rng.standard_normal((counts.sum(), 16))).astype("f2")
    return Block(np.arange(1, N + 1), np.arange(N, dtype="u8"), vectors, flat, np.concatenate([[0], np.cumsum(counts)]))


def mapped(block, folder, monkeypatch, *, straight):
    """Return the same rows, in a file: one after the other, or in another sequence and with others between."""
    monkeypatch.setattr(rows_module, "IN_MEMORY", -1)
    parts = np.array_split(np.arange(N) if straight else np.random.default_rng(1).permutation(N), 7)
    blocks = {f"{number}": block.take(part) for number, part in enumerate(parts)}
    if not straight:
        blocks["3a"] = replace(block.take(np.arange(40)), sources=np.full(40, 10**6, "u8"))
    rows = Copy(folder).rows({name: name for name in blocks}, lambda wanted: [(name, blocks[name]) for name in wanted])
    newest = np.flatnonzero(rows.sources == rows.ids.astype("u8") - np.uint64(1))
    found = rows.take(newest[np.argsort(rows.ids[newest])])
    assert type(found.embeddings) is HalfRows and (found.ids == block.ids).all()
    return found


@pytest.mark.parametrize(
    ("name", "patterns", "straight"),
    [
        *((name, 1, False) for name in sorted({*COLD_START, *WARM})),
        *((name, 3, straight) for name in ("freesel", "bal") for straight in (False, True)),
    ],
)
def test_whatever_the_strategy(tmp_path, monkeypatch, name, patterns, straight):
    plain = made(patterns)
    file = mapped(plain, tmp_path, monkeypatch, straight=straight)
    labeled = np.arange(1, 41)
    values = [CLASSES[task % 3] for task in labeled.tolist()]
    states = dict.fromkeys(range(1, N + 3), UNLABELED) | dict.fromkeys(labeled.tolist(), ANNOTATED)
    tasks = Tasks.of(states, range(1, N + 1), {100: "left out by an admin: no"})

    def order(rows):
        vectors = rows.embeddings[labeled - 1].astype(np.float32)
        model = train(vectors, values, classes=CLASSES, multi=False, seed=0, fingerprint="f")
        assert model is not None
        geometry = Geometry.fit(rows, 3, seed=0, source="g")
        said = model.predict(rows.embeddings)
        make = partial(make_recipe, name, SETTINGS, Cycle(1, 10, 20, 2.0), phase="warm", model="", prelabel=None)
        recipe = make(classes=3, centroids=geometry.centroids if name == "bal" else None)
        places = rank_tasks(recipe, rows, tasks, size=25, first=0, probabilities=said, class_names=CLASSES)
        return places, geometry.digest, geometry.distance, said.tobytes()

    assert order(file) == order(plain)


class Plain(QueryStrategy):
    """A third party's, which looks at the arrays as they are."""

    def _query(self, pool: Pool, batch_size, rng):
        from poolselect import Selection

        assert type(pool.embeddings) is np.ndarray and pool.embeddings.dtype == np.float32
        rows = np.flatnonzero(pool.candidates)[:batch_size]
        return Selection(rows, np.zeros(len(rows)), ("because",) * len(rows))


def test_a_strategy_of_somebody_else_gets_plain_arrays(tmp_path, monkeypatch):
    rows = mapped(made(1), tmp_path, monkeypatch, straight=False)
    recipe = make_recipe("random", SETTINGS, Cycle(), phase="cold", model="", prelabel=None)
    places = rank_tasks(
        replace(recipe, strategy=Plain(random_state=0)),
        rows,
        Tasks.of(dict.fromkeys(range(1, N + 1), UNLABELED)),
        size=5,
        first=0,
    )
    assert len(places) == 5
