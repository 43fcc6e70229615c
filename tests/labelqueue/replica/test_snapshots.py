"""What a look decides from: the copy of the columns, and the facts beside them."""

import time

import numpy as np
import pytest

from labelqueue.block import Block, source_hash
from labelqueue.exceptions import CacheError
from labelqueue.labels.annotations import ANNOTATED, UNLABELED, Annotation, Answer
from labelqueue.ordering.order import Order, Place
from labelqueue.replica.replica import Replica
from labelqueue.replica.snapshots import GAP, MIN_GAP, take_snapshot
from labelqueue.state.label_book import LabelBook
from labelqueue.state.orders import Orders
from labelqueue.state.pattern_cache import PatternCache
from labelqueue.state.people import People
from labelqueue.state.task_row import TaskRow


@pytest.fixture
def open_cache(project, tmp_path):
    return lambda generation: PatternCache(project, generation, tmp_path)


@pytest.fixture
def cache(open_cache):
    return open_cache("g1")


def put(project, uris, state=UNLABELED):
    project.put_tasks({task: TaskRow(uri, state) for task, uri in uris.items()})


def embed(cache, uris, start=0.0):
    """Store a row for each of these tasks' images; their first numbers are start, start + 1, ..."""
    n = len(uris)
    rows = np.zeros((n, 4), np.float16)
    rows[:, 0] = start + np.arange(n)
    ids, sources = np.array(list(uris), np.int64), np.array([source_hash(uri) for uri in uris.values()], np.uint64)
    cache.put(Block(ids, sources, rows, rows, np.arange(n + 1, dtype=np.int64)))


@pytest.fixture
def snapshot(project, cache, open_cache):
    replica = Replica(project)

    def take(**options):
        replica.refresh()
        options = {"arriving": False, "prelabels": True, "lost": "", "open_cache": open_cache, **options}
        return take_snapshot(project, project.target(), replica, cache, **options)

    return take


def test_a_snapshot_is_made_of_what_is_stored(project, cache, snapshot):
    put(project, {1: "a", 2: "b", 3: "c", 4: "d"})
    put(project, {3: "c"}, ANNOTATED)
    project.quarantine({4: ("d", "broken")})
    embed(cache, {3: "c", 1: "a"})
    project.set(arrivals="7", retrain_wanted="now", learned="trained on 10 labels", bulk_seconds="2.5")
    People(project).note([5, 6])
    People(project).note_labeled({1: time.time() - 1800})
    taken = snapshot(arriving=True, prelabels=False)
    tasks = taken.tasks
    assert tasks.ids.tolist() == [1, 2, 3, 4] and tasks.rows.tolist() == [0, -1, 1, -1]
    assert tasks.annotated.tolist() == [False, False, True, False] and tasks.bad == {4: "broken"}
    assert taken.rows.ids.tolist() == [1, 3] and taken.rows.embeddings[:, 0].tolist() == [1, 0]
    assert (taken.generation, taken.arrivals, taken.arriving, taken.prelabels) == ("g1", 7, True, False)
    assert taken.pace == 1
    assert (taken.annotators, taken.wanted, taken.learned) == (2, "now", "trained on 10 labels")
    assert taken.settings == project.settings() and taken.target == project.target()
    assert taken.live is None and taken.features is None and taken.missing == "" and not taken.hold


def test_only_labels_of_embedded_images_count(project, cache, snapshot):
    """A model cannot learn the others yet, and a label that no training can use up must not ask for one."""
    put(project, {1: "a", 2: "new", 3: "c", 4: "d"}, ANNOTATED)
    said = {
        task: ("mark", [Annotation(10 - task, "now", 1, False, False, {"choice": Answer((("cat",),))})])
        for task in (1, 2, 4)
    }
    LabelBook(project).put(
        said | {3: ("mark", [Annotation(1, "now", 1, False, False, {"choice": Answer((("whale",),))})])}
    )
    embed(cache, {1: "a", 2: "former", 3: "c", 4: "d"})
    labels = snapshot().labels
    assert list(labels.by_task.items()) == [(4, "cat"), (1, "cat")], "the oldest label first"
    assert labels.dropped == {"whale": 1}


def test_a_replaced_image_is_known_by_its_new_row_only(project, cache, snapshot):
    put(project, {1: "old", 2: "b"})
    embed(cache, {1: "old", 2: "b"})
    put(project, {1: "new"})
    taken = snapshot()
    assert taken.tasks.rows.tolist() == [-1, 0] and taken.rows.ids.tolist() == [2]
    embed(cache, {1: "new"}, 10)
    taken = snapshot()
    assert taken.tasks.rows.tolist() == [0, 1] and taken.rows.embeddings[:, 0].tolist() == [10, 1]


def test_a_deleted_task_is_served_no_more_whatever_is_embedded_later(project, cache, snapshot):
    put(project, {1: "a", 2: "b"})
    embed(cache, {1: "a", 2: "b"})
    project.drop_tasks([1])
    cache.discard([1])
    assert snapshot().rows.ids.tolist() == [2]
    put(project, {3: "c"})
    embed(cache, {3: "c"})
    taken = snapshot()
    assert taken.rows.ids.tolist() == taken.tasks.ids.tolist() == [2, 3]
    put(project, {1: "a"})  # Label Studio had denied it by mistake
    assert snapshot().tasks.rows.tolist() == [-1, 0, 1]


@pytest.mark.parametrize(
    ("facts", "hold", "cut_short"),
    [
        ({"title": "animals"}, False, False),
        ({"hold": "'r1' was chosen by a rollback"}, True, False),
        ({"hold": ""}, False, False),
        ({"refilling": "r1 FreeSel"}, False, True),
        ({"refilling": "r9 of before"}, False, False),
        ({"refilling": ""}, False, False),
    ],
)
def test_the_live_order_is_held_or_was_cut_short(project, snapshot, facts, hold, cut_short):
    put(project, {1: "a"})
    order = Order(1, "r1 FreeSel", places=(Place(1, "why"),))
    project.set(**facts)
    assert not snapshot().cut_short, "there is no order yet"
    Orders(project).save(order)
    Orders(project).go_live(order)
    taken = snapshot()
    assert (taken.live, taken.hold, taken.cut_short) == (order, hold, cut_short)


@pytest.mark.parametrize(
    ("cost", "gap"), [("", GAP * 1.0), ("0.1", MIN_GAP), ("0.9", MIN_GAP), ("30", GAP * 30), ("2.5", 12.5)]
)
def test_the_gap_between_two_orders_goes_with_what_one_costs(project, snapshot, cost, gap):
    if cost:
        project.set(bulk_seconds=cost)
    assert snapshot().gap == gap


def test_rotation_features_come_from_the_network_or_are_said_to_be_missing(project, cache, open_cache, snapshot):
    project.put_settings({"bal_features": "rotation"}, "test")
    put(project, {1: "a", 2: "b"})
    embed(cache, {1: "a", 2: "b"})
    taken = snapshot()
    assert taken.settings["bal_features"] == "vit" and taken.features is None
    assert "no rotation network was trained" in taken.missing and f"pretext {project.ref.id}`" in taken.missing
    project.set(rotation_generation="net")
    embed(open_cache("net"), {2: "b"}, 10)
    taken = snapshot()
    assert taken.settings["bal_features"] == "rotation" and taken.missing == ""
    assert taken.features.generation == "net" and taken.features.rows.ids.tolist() == [2]
    assert taken.rows.ids.tolist() == [1, 2]


def damage(project, generation):
    key = project.name("cache", generation, "blocks")
    project.store.hset(key, "00000001", b"other bytes")


def test_damaged_embeddings_are_dropped_and_made_anew(project, cache, snapshot):
    put(project, {1: "a"})
    embed(cache, {1: "a"})
    project.set(generation="g1")
    damage(project, "g1")
    taken = snapshot()
    with pytest.raises(CacheError, match="does not match its checksum"):
        taken.rows  # noqa: B018
    assert project.get("generation") == "" and cache.columns()[0].size == 0
    assert snapshot().tasks.rows.tolist() == [-1]


def test_damaged_rotation_features_name_the_way_out_and_leave_the_embeddings(project, cache, open_cache, snapshot):
    put(project, {1: "a"})
    embed(cache, {1: "a"})
    embed(open_cache("net"), {1: "a"})
    project.set(generation="g1", rotation_generation="net")
    damage(project, "net")
    taken = snapshot()
    with pytest.raises(CacheError, match=rf"rotation features: .*pretext {project.ref.id} --retrain"):
        taken.features  # noqa: B018
    assert project.get("generation") == "g1" and len(taken.rows) == 1
