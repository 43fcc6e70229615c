"""The inputs of an order: they come back as they were, are small, and say all that a ranking needs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelqueue.block import Block, Origin
from labelqueue.exceptions import CacheError
from labelqueue.labels.annotations import ANNOTATED, SKIPPED, UNLABELED
from labelqueue.learning.geometry import Clusters, Geometry
from labelqueue.learning.learner import train, training_fingerprint
from labelqueue.learning.lesson import Lesson
from labelqueue.ordering import inputs as module
from labelqueue.ordering.campaign_state import Cycle
from labelqueue.ordering.inputs import SHAPING, Inputs, Material, dump_inputs, load_inputs, ranked
from labelqueue.ordering.snapshot import Tasks, rows_in_turn
from labelqueue.settings import PROJECT

SETTINGS = {name: PROJECT[name].default for name in SHAPING} | {"trials": 2}
CLASSES = ("ant", "bee", "cat")


def block_of(ids, width=8):
    ids = np.array(ids, dtype=np.int64)
    rows = np.array([np.random.default_rng(int(task)).normal(size=width) for task in ids]).astype(np.float16)
    return Block(ids, np.zeros(len(ids), np.uint64), rows, rows, np.arange(len(ids) + 1, dtype=np.int64))


def inputs_of(tasks, rows, **changes):
    """Return the inputs of a FreeSel order."""
    parts = {
        "start": 0, "first": 0, "tasks": tasks, "name": "freesel", "settings": SETTINGS, "cycle": Cycle(),
        "phase": "cold", "prelabel": None, "classes": 3, "multi": False, "origin": Origin.of(rows, "g", "m"),
        "features": None, "featured": np.empty(0, np.int64), "lesson": None, "clusters": None,
    }  # fmt: skip
    return Inputs(**parts | changes)


def lesson_of(rows, labels, multi=False):
    ids = sorted(labels)
    values = [labels[task] for task in ids]
    vectors = rows.embeddings[np.searchsorted(rows.ids, ids)].astype(np.float32)
    name = training_fingerprint(ids, values, "g")
    model = train(vectors, values, classes=CLASSES, multi=multi, seed=3, fingerprint=name)
    taught = rows.take(np.searchsorted(rows.ids, ids))
    return Lesson.of(labels, model, classes=CLASSES, seed=3, origin=Origin.of(taught, "g", "m")), model


def recall_from(rows):
    def recall(ids, origin):
        found = rows.take(np.searchsorted(rows.ids, ids))
        assert Origin.of(found, origin.generation, origin.mark) == origin
        return found

    return recall


@pytest.mark.parametrize("multi", [False, True])
def test_what_is_computed_again_is_the_same_to_the_bit(multi):
    ids = list(range(5, 205))
    rows = block_of(ids)
    labels = {task: CLASSES[task % 3] for task in ids[::4]}
    if multi:
        labels = {task: () if name == "cat" else (name,) for task, name in labels.items()}
    lesson, model = lesson_of(rows, labels, multi)
    geometry = Geometry.fit(rows.take(np.arange(150)), 3, seed=2**70, source="g", mark="m")
    tasks = Tasks.of({task: ANNOTATED if task in labels else UNLABELED for task in ids}, ids)
    changes = {"name": "bal", "phase": "warm", "prelabel": 0.0, "multi": multi, "lesson": lesson}
    kept = inputs_of(tasks, rows, clusters=Clusters.of(geometry), **changes)
    (again,) = load_inputs(dump_inputs([kept]))
    material = again.material(recall_from(rows))
    assert material.model.digest == model.digest and again.differs(material) == ""
    assert material.centroids.tobytes() == geometry.centroids.tobytes()
    by_hand = Material(rows, model=model, centroids=geometry.centroids)
    assert ranked(again, material, 80) == ranked(kept, by_hand, 80)


ids = st.lists(st.integers(1, 2**40), min_size=1, max_size=30, unique=True).map(sorted)


@given(ids, st.randoms(), st.integers(-(2**80), 2**80))
def test_columns_come_back_as_they_were(numbers, random, seed):
    states = np.array([ord(random.choice([UNLABELED, ANNOTATED, SKIPPED])) for _ in numbers], dtype=np.uint8)
    embedded = np.array([random.random() < 0.7 for _ in numbers])
    bad = {numbers[0]: "truncated at half a \ud800 pair"}
    tasks = Tasks(np.array(numbers, np.int64), states, rows_in_turn(embedded), bad)
    kept = inputs_of(tasks, block_of(numbers[:1]), settings=SETTINGS | {"seed": seed})
    (again,) = load_inputs(dump_inputs([kept]))
    for name in ("ids", "states", "rows"):
        assert getattr(again.tasks, name).tobytes() == getattr(tasks, name).tobytes()
    assert again.tasks.bad == bad and again.settings == kept.settings and again.origin == kept.origin


def test_fewer_places_are_the_beginning_of_more_across_spans(monkeypatch):
    monkeypatch.setattr(module, "SPAN", 20)
    numbers = list(range(1, 91))
    rows, states = block_of(numbers), dict.fromkeys(numbers, UNLABELED) | {90: SKIPPED, 95: UNLABELED}
    kept = inputs_of(Tasks.of(states, numbers), rows, settings=SETTINGS | {"control_share": 0.3}, first=7)
    whole = ranked(kept, Material(rows), 200)
    assert len({place.task for place in whole}) == len(whole) == 91
    assert [place.task for place in whole[-2:]] == [95, 90]
    for count in (1, 19, 20, 21, 55, 90):
        assert ranked(kept, Material(rows), count) == whole[:count]


def test_the_first_hundred_places_have_their_own_share_of_controls():
    numbers = list(range(1, 241))
    rows, states = block_of(numbers), dict.fromkeys(numbers, UNLABELED)
    drawn = []
    for start in (None, 0.0, 0.5):
        settings = SETTINGS | {"control_share": 0.2, "control_share_start": start}
        kept = inputs_of(Tasks.of(states, numbers), rows, settings=settings, first=40)
        (again,) = load_inputs(dump_inputs([kept]))
        places = ranked(again, Material(rows), 240)
        assert places == ranked(kept, Material(rows), 240)
        drawn.append([place.control for place in places])
    plain, none, many = drawn
    assert sum(none[:60]) == 0 and sum(many[:60]) > 20 > sum(plain[:60]) > 4
    assert plain[60:] == none[60:] == many[60:], "from the hundredth position on nothing is otherwise"


def test_the_record_of_an_order_from_before_is_ranked_as_it_was():
    numbers = list(range(1, 41))
    rows, tasks = block_of(numbers), Tasks.of(dict.fromkeys(range(1, 41), UNLABELED), numbers)
    before = {name: value for name, value in SETTINGS.items() if name != "control_share_start"}
    old, new = (inputs_of(tasks, rows, settings=settings) for settings in (before, SETTINGS))
    assert ranked(old, Material(rows), 40) == ranked(new, Material(rows), 40)
    assert old.recipe(None).parameters == new.recipe(None).parameters


def test_a_large_project_needs_tens_of_kilobytes():
    """100,000 tasks of a project with gaps in its ids, 5,000 labels of 10 classes, BAL's clusters: all of it."""
    n, rng = 100_000, np.random.default_rng(0)
    numbers = np.cumsum(rng.choice([1, 1, 1, 2, 3], size=n)).astype(np.int64)
    states = np.full(n, ord(UNLABELED), np.uint8)
    answered = rng.choice(n, 5_000, replace=False)
    states[answered] = ord(ANNOTATED)
    classes = tuple(f"class {k}" for k in range(10))
    taught = np.sort(numbers[answered])
    codes = rng.integers(0, 10, size=taught.size)
    origin = Origin("g" * 64, "00003125:" + "0" * 16, "0" * 16)
    empty = block_of(numbers[:1])
    lesson, _ = lesson_of(block_of(range(1, 31)), {task: CLASSES[task % 3] for task in range(1, 31)})
    lesson = Lesson(**{**vars(lesson), "ids": taught, "codes": codes, "values": classes, "classes": classes})
    geometry = Geometry.fit(block_of(numbers[:300]), 10, seed=0, source="g")
    fitted = Clusters(**{**vars(Clusters.of(geometry)), "fitted": module.pack_ids(numbers)})
    kept = inputs_of(
        Tasks(numbers, states, np.arange(n)), empty, origin=origin, lesson=lesson, clusters=fitted, name="bal"
    )
    size = len(dump_inputs([kept]))
    assert size < 60_000


def test_damaged_or_foreign_bytes_are_an_error():
    good = dump_inputs([inputs_of(Tasks.of({1: UNLABELED}, [1]), block_of([1]))])
    with pytest.raises(CacheError, match="damaged"):
        load_inputs(good[:-3])
    with pytest.raises(CacheError, match="format 99"):
        Inputs.from_bytes(_of_format(99))


def _of_format(number):
    from zlib import compress

    from labelqueue.records import pack

    return compress(pack({"ids": np.zeros(1, np.uint8)}, module.TAG, f'{{"format": {number}}}'))
