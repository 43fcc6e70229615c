"""What the map is colored by: each state, label, prediction, doubt, rank, part of the order, group, arrival."""

import numpy as np
import pytest

from labelqueue.gallery.maps import COLUMNS
from labelqueue.labels import ANNOTATED, SKIPPED, UNLABELED
from labelqueue.learning import Model, Predictions
from labelqueue.ordering import Labels, Place
from labelqueue.pagework.columns import ORDER, STATES, Scene, counts_by_name, make_columns, name_of


def scene(n, states=None, labels=None, **more):
    """Return what is known of tasks 1 to n; `states` and `labels` by task."""
    letters = np.full(n, ord(UNLABELED), np.uint8)
    for task, letter in (states or {}).items():
        letters[task - 1] = ord(letter)
    return Scene(np.arange(1, n + 1), letters, Labels.of(labels or {}), **more)


def model(classes, multi=False):
    c = len(classes)
    zeros, ones = np.zeros(2, np.float32), np.ones(2, np.float32)
    return Model(classes, multi, zeros, ones, np.zeros((c, 2), np.float32), np.zeros(c, np.float32), 1.0, 9, 0, "f")


def predictions(rows):
    ids = np.array(sorted(rows), np.int64)
    return Predictions(ids, np.array([rows[task] for task in ids.tolist()], np.float16))


def named(made, name):
    """Return the names of a column's bytes, None for no value."""
    codes, about = made[0][name], made[1][name]
    return [about["names"][code] if code < 255 else None for code in codes.tolist()]


def valued(made, name):
    """Return the values of a scale, None for no value."""
    codes, about = made[0][name], made[1][name]
    low, high = about["low"], about["high"]
    share = codes / 254
    values = low * (high / low) ** share if about.get("log") else low + (high - low) * share
    return [None if code == 255 else value for code, value in zip(codes.tolist(), values.tolist(), strict=True)]


def test_of_nothing_known_there_is_every_column():
    made = make_columns(scene(3))
    assert tuple(made[0]) == tuple(made[1]) == COLUMNS
    assert all(column.shape == (3,) and column.dtype == np.uint8 for column in made[0].values())
    assert named(made, "state") == ["unlabeled"] * 3 and named(made, "label") == named(made, "prediction") == [""] * 3
    assert valued(made, "doubt") == valued(made, "rank") == [None] * 3
    assert named(made, "order") == ["not in the order"] * 3 and named(made, "duplicates") == ["no near-duplicates"] * 3
    assert valued(made, "arrival") == pytest.approx([1, 2, 3])
    assert all(column.shape == (0,) for column in make_columns(scene(0))[0].values())


def test_every_state():
    answers = {2: ANNOTATED, 3: ANNOTATED, 4: SKIPPED, 7: ANNOTATED, 8: SKIPPED}
    made = make_columns(scene(9, answers, {2: "cat", 7: "dog", 99: "cat"}, pinned={5, 7, 50}, left_out={6, 8}))
    assert named(made, "state") == [
        "unlabeled", "labeled", "annotated without a label", "skipped", "pinned", "left out", "labeled", "skipped",
        "unlabeled",
    ]  # fmt: skip
    assert set(named(made, "state")) == set(STATES)
    assert named(made, "label") == ["", "cat", "", "", "", "", "dog", "", ""]
    assert counts_by_name(made[0]["label"], made[1]["label"]) == {"": 7, "cat": 1, "dog": 1}


def test_predictions_and_doubt():
    rows = {1: [0.5, 0.5, 0], 2: [0.1, 0.8, 0.1], 3: [1, 0, 0]}
    known = {"classes": ("dog", "cat", "owl"), "model": model(("cat", "dog", "owl")), "predictions": predictions(rows)}
    made = make_columns(scene(4, {3: ANNOTATED}, {3: "cat"}, **known))
    assert made[1]["label"] == made[1]["prediction"] == {"kind": "categories", "names": ["", "dog", "cat", "owl"]}
    assert named(made, "prediction") == ["cat", "dog", "cat", ""]
    doubt = valued(made, "doubt")
    assert doubt[:2] == pytest.approx([1, 0.3], abs=0.003) and doubt[2:] == [None, None], "of unlabeled ones alone"
    assert made[1]["doubt"]["about"].startswith("1 - (probability")


def test_several_labels():
    rows = {1: [0.9, 0.8], 2: [0.1, 0.2], 3: [0.1, 0.9]}
    known = {"classes": ("car", "bus"), "model": model(("car", "bus"), True), "predictions": predictions(rows)}
    made = make_columns(scene(4, {4: ANNOTATED}, {4: ("bus", "car")}, **known))
    assert named(made, "prediction") == ["bus + car", "none of the labels", "bus", ""]
    assert named(made, "label")[3] == "bus + car" and named(made, "label")[0] == ""
    assert valued(made, "doubt")[0] == pytest.approx(0.3, abs=0.003)
    assert name_of(()) == "none of the labels" and name_of(None) == ""


@pytest.mark.parametrize("classes", [254, 255, 256, 300])
def test_more_labels_than_a_byte_tells_apart(classes):
    labels = {task: f"c{task % classes:03d}" for task in range(1, 2 * classes + 1)} | {1: "c007", 2: "c007"}
    made = make_columns(scene(2 * classes, dict.fromkeys(labels, ANNOTATED), labels))
    names, found = made[1]["label"]["names"], named(made, "label")
    assert len(names) <= 255 and len(set(names)) == len(names) and found[6] == "c007"
    wrong = [one for one, label in zip(found, labels.values(), strict=True) if one != label]
    assert set(wrong) <= {"all others"} and (classes > 254) == bool(wrong)
    assert (names[-1] == "all others") == bool(wrong)


def test_the_live_order():
    """Task 77 is not embedded, 88 was deleted."""
    places = [Place(task, "why", task % 4 == 0, excluded=task == 3) for task in (9, 77, 8, 88, 7, 6, 5, 4, 3)]
    still = np.array([True, True, True, False, False, False, True, True, True])
    made = make_columns(scene(10, {7: ANNOTATED, 6: SKIPPED}, places=places, open=still, head=2))
    assert named(made, "order") == [
        "not in the order", "not in the order", "left out, last", "random control", "spare tail", "answered since",
        "answered since", "random control", "next in the order", "not in the order",
    ]  # fmt: skip
    ranks = valued(made, "rank")
    assert [ranks[task - 1] for task in (9, 8, 5, 4, 3)] == pytest.approx([1, 3, 4, 5, 6], rel=0.01), "1 is next"
    assert made[1]["rank"]["high"] == 6 and [ranks[task - 1] for task in (10, 7, 6, 1)] == [None] * 4
    assert set(named(made, "order")) == set(ORDER)


def test_near_duplicates_are_groups():
    followers, leaders = np.array([2, 4, 5, 6]), np.array([1, 3, 3, 99])
    made = make_columns(scene(7, followers=followers, leaders=leaders))
    big, small, gone = "like task 3 (3 images)", "like task 1 (2 images)", "like task 99 (2 images)"
    assert named(made, "duplicates") == [small, small, big, big, big, gone, "no near-duplicates"]
    assert made[1]["duplicates"]["names"][1] == big, "the largest first"
    many = np.arange(1, 1001)
    made = make_columns(scene(2000, followers=many + 1000, leaders=many))
    names = made[1]["duplicates"]["names"]
    assert len(names) == 255 and names[-1] == "all others"
    assert counts_by_name(made[0]["duplicates"], made[1]["duplicates"])["all others"] == 2 * (1000 - 253)


@pytest.mark.parametrize("count", [253, 254, 255])
def test_as_many_groups_as_fit_have_names(count):
    many = np.arange(1, count + 1)
    made = make_columns(scene(2 * count, followers=many + count, leaders=many))
    names = made[1]["duplicates"]["names"]
    assert len(names) == min(count + 1, 255) and ("all others" in names) == (count > 254)
    assert made[0]["duplicates"].max() == len(names) - 1


def test_a_million_images_take_no_loop():
    n = 1_000_000
    ids = np.arange(1, n + 1)
    rows = np.random.default_rng(0).dirichlet([1, 1, 1], n).astype(np.float16)
    known = {"model": model(("a", "b", "c")), "predictions": Predictions(ids, rows)}
    made = make_columns(Scene(ids, np.full(n, ord(UNLABELED), np.uint8), Labels.of({}), **known))
    assert sum(counts_by_name(made[0]["prediction"], made[1]["prediction"]).values()) == n
