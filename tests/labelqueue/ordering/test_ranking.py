"""What an order holds: picks first, then tasks without an embedding, then skipped ones; nothing twice."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from labelqueue.block import Block
from labelqueue.labels.annotations import ANNOTATED, SKIPPED, UNLABELED
from labelqueue.ordering.random_controls import control_order, is_control
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
