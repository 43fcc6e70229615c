"""A worker's copy of a project's columns: whatever is written, it says what a fresh one says, and reads only that."""

import logging

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labelqueue.block import Block, source_hash
from labelqueue.labels.annotations import ANNOTATED, SKIPPED, UNLABELED, Annotation, Answer
from labelqueue.labels.label_config import parse_label_config
from labelqueue.replica.replica import Replica
from labelqueue.state.columns import keep_values, read_columns
from labelqueue.state.label_book import LabelBook
from labelqueue.state.pattern_cache import PatternCache
from labelqueue.state.pins import Pins
from labelqueue.state.task_row import TaskRow
from labelqueue.store import Changes, changes
from redis_spy import counted

CONFIG = '<View><Image name="i" value="$image"/><Choices name="choice" toName="i"><Choice value="{}"/></Choices></View>'


@pytest.fixture
def cache(project, tmp_path):
    return PatternCache(project, "g1", tmp_path)


def put(project, uris, state=UNLABELED):
    project.put_tasks({task: TaskRow(uri, state) for task, uri in uris.items()})


def embed(cache, uris):
    n = len(uris)
    rows = np.ones((n, 2), np.float16)
    ids, sources = np.array(list(uris), np.int64), np.array([source_hash(uri) for uri in uris.values()], np.uint64)
    cache.put(Block(ids, sources, rows, rows, np.arange(n + 1, dtype=np.int64)))


def annotation(number, label="cat", user=1, *, cancelled=False, seconds=2.0):
    answers = {"choice": Answer(((label,),))}
    return Annotation(number, "2026-11-28", user, False, cancelled, answers, created=1_800_000_000, seconds=seconds)


def annotate(project, task, *said):
    LabelBook(project).put({task: ("mark", list(said))})


def told(replica, cache):
    """Return everything that a copy says."""
    columns, (codes, values) = replica.columns, replica.values()
    arrays = [columns.ids, columns.states, columns.sources, replica.embedded(cache), codes]
    said = replica.labels(parse_label_config(CONFIG.format("cat")))
    wishes = replica.pinned(), replica.left_out()
    return [array.tolist() for array in arrays], values, replica.bad(), replica.mark(cache), said, wishes


def fresh(project, cache):
    return told(Replica(project), cache)


def test_a_copy_says_what_is_stored(project, cache):
    put(project, {5: "e", 1: "a", 2: "b"})
    embed(cache, {1: "a", 5: "former"})
    project.quarantine({2: ("b", "broken"), 5: ("former", "broken too"), 9: ("i", "deleted since")})
    annotate(project, 1, annotation(7))
    keep_values(project, {1: "north", 2: "south"})
    replica = Replica(project)
    assert replica.columns.ids.tolist() == read_columns(project).ids.tolist() == [1, 2, 5]
    assert replica.columns.sources.tolist() == read_columns(project).sources.tolist()
    assert replica.embedded(cache).tolist() == [True, False, False]
    assert replica.bad() == {2: "broken"}, "only while the task still has that image"
    assert replica.mark(cache) == cache.mark()
    target = parse_label_config(CONFIG.format("cat"))
    assert replica.labels(target) == LabelBook(project).labels(target) and replica.labels(target).values == {1: "cat"}
    codes, values = replica.values()
    assert [values[code] for code in codes] == ["north", "south", values[codes[2]]] and list(values) == sorted(values)


IDS = st.lists(st.integers(1, 12), min_size=1, max_size=5, unique=True)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), IDS, st.sampled_from("ab"), st.sampled_from([UNLABELED, ANNOTATED, SKIPPED])),
        st.tuples(st.just("drop"), IDS),
        st.tuples(st.just("embed"), IDS, st.sampled_from("ab")),
        st.tuples(st.just("discard"), IDS),
        st.tuples(st.just("delete the cache")),
        st.tuples(st.just("compact")),
        st.tuples(st.just("quarantine"), IDS, st.sampled_from("ab")),
        st.tuples(st.just("release"), IDS),
        st.tuples(st.just("release all")),
        st.tuples(st.just("annotate"), IDS, st.integers(1, 99), st.sampled_from(["cat", "whale"]), st.booleans()),
        st.tuples(st.just("unlabel"), IDS),
        st.tuples(st.just("values"), IDS, st.sampled_from(["north", "south", ""])),
        st.tuples(st.just("forget values")),
        st.tuples(st.just("wish"), IDS, st.sampled_from(["pin", "unpin", "exclude", "include"])),
        st.tuples(st.just("refresh")),
    ),
    max_size=25,
)


def act(project, cache, name, ids=(), *more):
    match name:
        case "put":
            put(project, dict.fromkeys(ids, more[0]), more[1])
        case "drop":
            LabelBook(project).drop(ids)
            cache.discard(ids)
            project.drop_tasks(ids)
        case "embed":
            embed(cache, dict.fromkeys(ids, more[0]))
        case "discard":
            cache.discard(ids)
        case "delete the cache":
            cache.delete()
        case "compact":
            cache.compact()
        case "quarantine":
            project.quarantine(dict.fromkeys(ids, (more[0], "broken")))
        case "release":
            project.release_quarantine(ids)
        case "release all":
            project.release_quarantine()
        case "annotate":
            for task in ids:
                annotate(project, task, annotation(more[0] * 100 + task, more[1], cancelled=more[2]))
        case "unlabel":
            LabelBook(project).drop(ids)
        case "values":
            keep_values(project, dict.fromkeys(ids, more[0]))
        case "wish":
            Pins(project).write(more[0], ids, "test", "blurred")
        case "forget values":
            project.changes.renew("balance", project.name("balance"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(STEPS)
def test_a_copy_that_is_kept_up_to_date_says_what_a_fresh_one_says(project, cache, steps):
    project.forget()
    project.register(label_config=CONFIG.format("cat"))
    kept = Replica(project)
    told(kept, cache)
    for step in steps:
        if step[0] == "refresh":
            kept.refresh()
            assert told(kept, cache) == fresh(project, cache)
        else:
            act(project, cache, *step)
    kept.refresh()
    assert told(kept, cache) == fresh(project, cache)
    kept.refresh()
    assert told(kept, cache) == fresh(project, cache)


def fill(project, cache, n):
    put(project, {task: f"/{task}.jpg" for task in range(1, n + 1)})
    for first in range(1, n + 1, 500):
        embed(cache, {task: f"/{task}.jpg" for task in range(first, min(first + 500, n + 1))})
    keep_values(project, dict.fromkeys(range(1, n + 1), "north"))


@pytest.mark.parametrize("change", ["nothing", "a label", "a new task", "a shard", "a deleted task"])
def test_a_refresh_costs_what_changed_however_many_tasks_there_are(project, cache, change):
    spent = {}
    for n in (100, 4_000):
        project.forget()
        fill(project, cache, n)
        replica = Replica(project)
        told(replica, cache)
        replica.refresh()
        match change:
            case "a label":
                put(project, {7: "/7.jpg"}, ANNOTATED)
                annotate(project, 7, annotation(1))
            case "a new task":
                put(project, {n + 1: "/new.jpg"})
            case "a shard":
                embed(cache, dict.fromkeys(range(1, 33), "/new.jpg"))
            case "a deleted task":
                act(project, cache, "drop", [7])
        with counted() as cost:
            replica.refresh()
            said = told(replica, cache)
        assert said == fresh(project, cache)
        spent[n] = cost
    few, many = spent.values()
    assert (few.commands, few.items) == (many.commands, many.items), "not one row more is read"
    assert many.received < few.received + 500 and many.sent < few.sent + 500
    assert many.commands <= 30 and many.items <= 200


def test_columns_that_did_not_change_are_the_same_objects(project, cache):
    fill(project, cache, 50)
    replica = Replica(project)
    before, embedded = replica.columns, replica.embedded(cache)
    replica.refresh()
    assert replica.columns is before and replica.embedded(cache) is embedded
    put(project, {7: "/7.jpg"}, ANNOTATED)
    replica.refresh()
    after = replica.columns
    assert after.ids is before.ids and after.sources is before.sources and after.states is not before.states
    assert replica.embedded(cache) is embedded and chr(after.states[6]) == ANNOTATED
    assert chr(before.states[6]) == UNLABELED, "what a snapshot was taken of stays as it was"


def test_who_missed_more_than_the_stream_holds_reads_everything_again(project, cache, monkeypatch):
    monkeypatch.setattr(changes, "KEPT", 5)
    replica = Replica(project)
    told(replica, cache)
    for task in range(1, 400):  # whole nodes of the stream are cut off
        put(project, {task: "a"})
    assert project.changes.since(replica._version) is None
    replica.refresh()
    assert told(replica, cache) == fresh(project, cache)


@pytest.mark.parametrize("lost", ["tasks", "labels", "rows", "quarantine", "stream"])
def test_what_redis_lost_is_noticed(project, cache, caplog, lost):
    fill(project, cache, 10)
    annotate(project, 7, annotation(1))
    project.quarantine({3: ("/3.jpg", "broken")})
    replica = Replica(project)
    told(replica, cache)
    keys = {"tasks": project.name("tasks"), "labels": LabelBook(project).key, "rows": cache.rows_key}
    keys |= {"quarantine": project.name("quarantine"), "stream": project.changes.key}
    project.store.delete(keys[lost])
    caplog.set_level(logging.WARNING)
    replica.refresh()
    assert told(replica, cache) == fresh(project, cache)
    assert ("changed without a word" in caplog.text) == (lost != "stream")


def test_a_writer_of_the_version_before_is_not_taken_at_its_silence(project, cache):
    fill(project, cache, 10)
    replica = Replica(project)
    told(replica, cache)
    project.store.hset(project.name("tasks"), "7", TaskRow("/7.jpg", SKIPPED).dump())
    replica.refresh()
    assert chr(replica.columns.states[6]) == UNLABELED, "nothing was told, and the number of tasks is right"
    replica.refresh(trusted=False)
    assert chr(replica.columns.states[6]) == SKIPPED


def test_another_target_reads_the_same_answers_again(project, cache):
    annotate(project, 7, annotation(1, "cat"), annotation(2, "whale"))
    annotate(project, 8, annotation(3, "whale"))
    replica = Replica(project)
    for label in ("cat", "whale", "cat"):
        target = parse_label_config(CONFIG.format(label))
        assert replica.labels(target) == LabelBook(project).labels(target)


def test_an_entry_of_a_later_version_is_passed_over(project, cache):
    fill(project, cache, 10)
    replica = Replica(project)
    told(replica, cache)
    project.store.xadd(project.changes.key, {"of a later version": "1"})
    put(project, {11: "a"})
    replica.refresh()
    assert told(replica, cache) == fresh(project, cache)


def test_a_refresh_that_was_interrupted_is_made_up_for(project, cache, monkeypatch):
    fill(project, cache, 10)
    replica = Replica(project)
    told(replica, cache)
    put(project, {11: "a"})

    def end(*arguments, **options):
        raise TimeoutError

    with monkeypatch.context() as patch:
        patch.setattr(Changes, "since", end)
        with pytest.raises(TimeoutError):
            replica.refresh()
    replica.refresh()
    assert told(replica, cache) == fresh(project, cache)
