"""Near-duplicates from the embeddings to the queue: found while an order is drafted, kept among its inputs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from labelqueue.block import Block
from labelqueue.labels.annotations import ANNOTATED, SKIPPED, UNLABELED
from labelqueue.ordering.decision import decide
from labelqueue.ordering.inputs import Material, dump_inputs, inputs_again, load_inputs, ranked
from labelqueue.ordering.snapshot import Labels, Tasks
from labelqueue.simulation.replay import Replay

SCENES, FRAMES = 12, 5
N = SCENES * FRAMES
SCENE = {task: (task - 1) // FRAMES for task in range(1, N + 1)}


def video(hashed=True):
    """A pool of scenes, each with frames that are nearly the same; ids go with the time."""
    rng = np.random.default_rng(0)
    vectors = np.repeat(rng.normal(size=(SCENES, 16)), FRAMES, axis=0) + 0.02 * rng.normal(size=(N, 16))
    rows = vectors.astype(np.float16)
    hashes = np.repeat(rng.integers(1, 2**62, size=SCENES, dtype=np.uint64), FRAMES)
    ids = np.arange(1, N + 1, dtype=np.int64)
    empty = np.zeros(N, np.uint64)
    return Block(ids, empty, rows, rows, np.arange(N + 1, dtype=np.int64), hashes if hashed else empty)


def snapshot_of(rows, states=None, labels=None, **settings):
    """Return what a look at the project sees."""
    answers = {task: ("cat", "dog")[scene % 2] for task, scene in SCENE.items()}
    fresh = Replay(rows, answers, ("cat", "dog"), {"control_share": 0.0, "horizon": 40, **settings})._before
    states = dict.fromkeys(SCENE, UNLABELED) | (states or {})
    return replace(fresh, tasks=Tasks.of(states, list(states)), labels=Labels.of(labels or {}))


def order_of(*arguments, **settings):
    return decide(snapshot_of(*arguments, **settings)).order


def test_one_frame_of_each_scene_is_served_and_the_others_stand_last():
    order = order_of(video())
    head, tail = order.places[:SCENES], order.places[SCENES:]
    assert sorted(place.task for place in head) == [1 + FRAMES * scene for scene in range(SCENES)]
    assert len(tail) == N - SCENES
    assert all(place.reason == f"near-duplicate of task {1 + FRAMES * SCENE[place.task]}" for place in tail)
    assert (order.duplicates, order.duplicate_groups) == (N - SCENES, SCENES)


def test_what_was_a_near_duplicate_is_among_the_inputs_and_the_order_follows_from_them():
    rows = video()
    order = order_of(rows)
    (inputs,) = load_inputs(order.inputs)
    assert dict(zip(inputs.followers.tolist(), inputs.leaders.tolist(), strict=True)) == {
        task: 1 + FRAMES * scene for task, scene in SCENE.items() if task != 1 + FRAMES * scene
    }
    blind = video(hashed=False)  # the hashes themselves are not looked at again
    assert tuple(ranked(inputs, Material(blind), len(order.places))) == order.places


@pytest.mark.parametrize("change", [{"duplicates": "serve"}, {"hashed": False}])
def test_they_are_served_like_all_on_request_and_where_no_hash_is_known(change):
    hashed = change.pop("hashed", True)
    order = order_of(video(hashed), **change)
    assert not any("near-duplicate" in place.reason for place in order.places)
    assert order.duplicates == order.duplicate_groups == 0


def test_the_choice_makes_a_new_order_and_is_on_record():
    snapshot = snapshot_of(video())
    live = replace(decide(snapshot).order, number=1)
    later = replace(snapshot, live=live, settings={**snapshot.settings, "duplicates": "serve"})
    assert "duplicates" not in live.parameters and decide(later).order.parameters["duplicates"] == "serve"
    assert decide(replace(snapshot, live=live)).due.action == "none"


def test_a_labeled_frame_stands_for_its_scene_and_a_skipped_one_for_none():
    states, labels = {3: ANNOTATED, 6: SKIPPED}, {3: "cat"}
    reasons = {place.task: place.reason for place in order_of(video(), states, labels).places}
    assert [reasons[task] for task in (1, 2, 4, 5)] == ["near-duplicate of task 3"] * 4
    assert not reasons[7].startswith("near-duplicate") and reasons[6] == "skipped before"
    assert [reasons[task] for task in (8, 9, 10)] == ["near-duplicate of task 7"] * 3


def test_frames_with_labels_that_differ_are_no_near_duplicates_and_nor_are_those_beside_them():
    states = {1: ANNOTATED, 4: ANNOTATED, 6: ANNOTATED, 8: ANNOTATED}
    order = order_of(video(), states, {1: "cat", 4: "dog", 6: "cat", 8: "cat"})
    reasons = {place.task: place.reason for place in order.places}
    assert not any(reasons[task].startswith("near-duplicate") for task in (2, 3, 5))
    assert [reasons[task] for task in (7, 9, 10)] == ["near-duplicate of task 6"] * 3


def test_a_label_that_came_after_the_one_that_asked_for_the_order_says_nothing():
    rows, states = video(), {1: ANNOTATED, 4: ANNOTATED}
    both = snapshot_of(rows, states, {1: "cat", 4: "dog"})
    from labelqueue.ordering.campaign import Campaign
    from labelqueue.ordering.drafting import drafted
    from labelqueue.ordering.order_size import OrderSize

    campaign = Campaign(both.target, both.settings, both.state, prelabels=False)
    order = drafted(campaign, both, "because", 1, OrderSize(40, 10))
    assert {place.reason for place in order.places if place.task in (2, 3, 5)} <= {"near-duplicate of task 1"}


def test_controls_are_drawn_from_near_duplicates_too():
    order = order_of(video(), control_share=0.5)
    controls = [place.task for place in order.places if place.control]
    assert any(task != 1 + FRAMES * SCENE[task] for task in controls)
    begun = next(at for at, place in enumerate(order.places) if place.reason.startswith("near-duplicate"))
    scenes = [SCENE[place.task] for place in order.places[:begun] if not place.control]
    assert len(scenes) == len(set(scenes))


def test_when_the_one_that_stands_for_others_is_left_out_another_one_does():
    snapshot = snapshot_of(video(), horizon=4)
    live = replace(decide(snapshot).order, number=1)
    assert len(live.places) == SCENES
    out, *answered = [place.task for place in live.places][:6]
    states = dict.fromkeys(SCENE, UNLABELED) | dict.fromkeys(answered, ANNOTATED)
    tasks = Tasks.of(states, list(states), {out: "left out by an admin: blurry"})
    later = decide(replace(snapshot, live=live, tasks=tasks, act=1, labels=Labels.of(dict.fromkeys(answered, "cat"))))
    assert later.due.action == "refill"
    first = later.places[0]
    assert SCENE[first.task] == SCENE[out] and not first.reason.startswith("near-duplicate"), later.places


def test_an_order_of_several_rankings_is_not_verified_once_it_is_published_again():
    data = decide(snapshot_of(video())).order.inputs
    assert inputs_again(data) == data and inputs_again(data + data) == inputs_again(data[:-3]) == b""
    later = dump_inputs([replace(one, start=7) for one in load_inputs(data)])
    assert inputs_again(later) == inputs_again(b"") == b""
