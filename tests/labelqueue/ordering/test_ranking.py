"""What an order holds: picks first, then tasks without an embedding, then skipped ones; nothing twice."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from labelqueue.block import Block
from labelqueue.labels.annotations import ANNOTATED, SKIPPED, UNLABELED
from labelqueue.learning.random_controls import control_order, is_control
from labelqueue.ordering.ranking import rank_tasks
from labelqueue.ordering.recipe import Recipe
from labelqueue.ordering.snapshot import Tasks
from poolselect import FreeSel


def block(ids) -> Block:
    ids = np.array(sorted(ids), dtype=np.int64)
    rows = np.stack([np.random.default_rng(int(i)).normal(size=8) for i in ids]).astype(np.float16)
    return Block(ids, np.zeros(len(ids), np.uint64), rows, rows, np.arange(len(ids) + 1, dtype=np.int64))


def rank(states, embedded, size=100, published=(), bad=None, seed=0, share=0.0, first=0):
    tasks = Tasks.of(states, embedded, bad)
    recipe = Recipe("freesel", "FreeSel", FreeSel(trials=3, random_state=seed), "cold", "", None, share, "vit")
    rows = block(embedded)
    return rank_tasks(recipe, rows, tasks, size=size, first=first, published=published)


def test_bad_images_and_skips_go_to_the_end():
    states = {1: UNLABELED, 2: UNLABELED, 3: UNLABELED, 4: SKIPPED, 5: ANNOTATED, 6: UNLABELED, 7: UNLABELED}
    places = rank(states, [1, 2, 4, 5], bad={3: "truncated"})
    assert {place.task for place in places[:2]} == {1, 2}
    assert [(place.task, place.reason) for place in places[2:]] == [
        (6, "its image is not embedded yet"),
        (7, "its image is not embedded yet"),
        (4, "skipped before"),
        (3, "bad image: truncated"),
    ]


def test_a_row_whose_task_is_gone_is_ignored():
    assert [place.task for place in rank({1: UNLABELED}, [1, 2])] == [1]


@given(
    st.dictionaries(st.integers(1, 60), st.sampled_from([UNLABELED, ANNOTATED, SKIPPED]), min_size=1),
    st.integers(1, 70),
    st.integers(-(2**70), 2**70),
)
def test_every_task_once_and_never_an_annotated_one(states, size, seed):
    embedded = [task for task in states if task % 3] or list(states)
    places = [place.task for place in rank(states, embedded, size=size, seed=seed)]
    wanted = [task for task, state in states.items() if state != ANNOTATED]
    assert len(places) == len(set(places)) == min(size, len(wanted))
    assert set(places) <= set(wanted)
    assert places == [place.task for place in rank(states, embedded, size=size, seed=seed)]


def test_a_refill_goes_on_where_the_head_ends():
    states = dict.fromkeys(range(1, 41), UNLABELED)
    head = [place.task for place in rank(states, states, size=10)]
    rest = [place.task for place in rank(states, states, size=10, published=head)]
    assert not set(head) & set(rest) and len(rest) == 10
    assert head == [place.task for place in rank(states, states, size=20)][:10]


@given(st.integers(2, 60), st.integers(), st.floats(0, 0.5), st.integers(0, 10_000))
def test_controls_stand_where_they_must_and_are_the_next_of_a_random_permutation(n, seed, share, first):
    states = dict.fromkeys(range(1, n + 1), UNLABELED)
    places = rank(states, states, size=n, seed=seed, share=share, first=first)
    assert sorted(place.task for place in places) == sorted(states)
    assert [place.control for place in places] == is_control(seed, first, n, share).tolist()
    permutation = (control_order(np.array(sorted(states)), seed, first) + 1).tolist()
    chosen = [place.task for place in rank(states, states, size=n, seed=seed)]
    for at, place in enumerate(places):
        before = {other.task for other in places[:at]}
        source = permutation if place.control else chosen
        assert place.task == next(task for task in source if task not in before)
        assert (place.reason == "random control") == place.control


def rank_twins(states, leaders, size=100, published=(), share=0.0, seed=0):
    recipe = Recipe("freesel", "FreeSel", FreeSel(trials=3, random_state=seed), "cold", "", None, share, "vit")
    embedded = [task for task in states if task % 7]
    return rank_tasks(
        recipe, block(embedded), Tasks.of(states, embedded), size=size, first=3, published=published, leaders=leaders
    )


def test_near_duplicates_go_last_and_say_of_what():
    states = dict.fromkeys(range(1, 15), UNLABELED) | {13: SKIPPED, 12: ANNOTATED}
    leaders = {2: 1, 3: 1, 9: 8, 11: 12}
    places = rank_twins(states, leaders)
    assert {place.task for place in places[:6]} == {1, 4, 5, 6, 8, 10}
    assert [place.task for place in places[6:8]] == [7, 14]  # not embedded yet
    assert {place.task: place.reason for place in places[8:12]} == {
        2: "near-duplicate of task 1",
        3: "near-duplicate of task 1",
        9: "near-duplicate of task 8",
        11: "near-duplicate of task 12",
    }
    assert [(place.task, place.reason) for place in places[12:]] == [(13, "skipped before")]


@settings(max_examples=40, deadline=None)
@given(
    st.integers(4, 50),
    st.dictionaries(st.integers(1, 50), st.integers(1, 50), max_size=40),
    st.integers(0, 2**20),
    st.sampled_from([0.0, 0.2, 0.5]),
)
def test_one_of_a_group_is_served_and_controls_are_drawn_from_all(n, wild, seed, share):
    states = dict.fromkeys(range(1, n + 1), UNLABELED)
    leaders = {task: of for task, of in wild.items() if of not in wild and task != of and task <= n and of <= n}
    leaders = {task: of for task, of in leaders.items() if task % 7 and of % 7}
    places = rank_twins(states, leaders, share=share, seed=seed)
    tasks = [place.task for place in places]
    assert sorted(tasks) == sorted(states)
    for count in (1, n // 2, n - 1):
        assert rank_twins(states, leaders, size=count, share=share, seed=seed) == places[:count]
    reasons = [place.reason.startswith("near-duplicate of task ") for place in places]
    begun = reasons.index(True) if any(reasons) else n
    groups = [leaders.get(place.task, place.task) for place in places[:begun] if not place.control]
    assert len(groups) == len(set(groups)), "the strategy serves one of a group"
    controls = [place for place in places if place.control]
    assert all(place.reason == "random control" for place in controls)
    # The first control is drawn as if there were no groups.
    alone = [place for place in rank_twins(states, {}, share=share, seed=seed) if place.control]
    if controls and alone and places.index(controls[0]) < begun:
        drawn = (control_order(np.array([t for t in sorted(states) if t % 7]), seed, 3)).tolist()
        embedded = [t for t in sorted(states) if t % 7]
        before = set(tasks[: places.index(controls[0])])
        assert controls[0].task == next(embedded[row] for row in drawn if embedded[row] not in before)
