"""What random controls say of the model: their interval covers the truth, and the report says what it rests on."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelqueue.learning.accuracy import ControlRecord, report, wilson
from labelqueue.learning.random_controls import control_order, is_control

NAMES = ("cat", "dog")


# -- the interval


@given(st.integers(1, 10_000), st.floats(0, 1), st.floats(0.5, 0.999))
def test_wilsons_interval_holds_the_share_and_shrinks(n, part, confidence):
    successes = round(part * n)
    low, high = wilson(successes, n, confidence)
    assert 0 <= low <= successes / n <= high <= 1
    tighter = wilson(4 * successes, 4 * n, confidence)
    assert tighter[1] - tighter[0] < high - low
    low, high = 1 - high, 1 - low
    assert wilson(n - successes, n, confidence) == (pytest.approx(low, abs=1e-12), pytest.approx(high, abs=1e-12))


def test_wilsons_interval_of_known_shares():
    # Newcombe 1998, table I: 81 of 263, 15 of 148, 0 of 20
    assert wilson(81, 263) == (pytest.approx(0.2553, abs=5e-5), pytest.approx(0.3662, abs=5e-5))
    assert wilson(15, 148) == (pytest.approx(0.0624, abs=5e-5), pytest.approx(0.1605, abs=5e-5))
    assert wilson(0, 20) == (0, pytest.approx(0.1611, abs=5e-5))
    assert wilson(0, 0) == (0, 1)


@pytest.mark.parametrize(("successes", "n"), [(-1, 3), (4, 3)])
def test_what_is_no_share_is_refused(successes, n):
    with pytest.raises(ValueError, match=f"{successes} of {n}"):
        wilson(successes, n)


def campaign(seed: int, *, tasks=400, cycles=15, size=20, share=0.25) -> tuple[tuple[int, int, float], tuple[int, int]]:
    """Label a pool whose regions are unequally hard, the hardest tasks first, with controls among them.

    Returns right and all controls with their true expectation, and right and all labels.
    """
    random = np.random.default_rng(seed)
    region = random.integers(3, size=tasks)
    difficulty = random.random(tasks)
    left = np.ones(tasks, dtype=bool)
    right = count = chosen_right = 0
    truth = []
    for cycle in range(cycles):
        first = cycle * size
        # A model that learns, quickly in one region and hardly in another; it is wrong on the most difficult tasks.
        correct = difficulty < np.array([0.9, 0.7, 0.35])[region] + np.array([0.005, 0.01, 0.02])[region] * cycle
        if cycle == cycles // 2:  # more images like the third region arrive
            region, difficulty = np.append(region, np.full(100, 2)), np.append(difficulty, random.random(100))
            left, correct = np.append(left, np.ones(100, dtype=bool)), np.append(correct, difficulty[-100:] < 0.49)
        rows = np.flatnonzero(left)
        drawn = iter(rows[control_order(rows, seed, first)].tolist())
        hardest = iter(rows[np.argsort(-difficulty[rows])].tolist())
        for control in is_control(seed, first, size, share).tolist():
            if control:
                truth.append(correct[left].mean())
            task = next(task for task in (drawn if control else hardest) if left[task])
            left[task] = False
            right, count = right + (control and bool(correct[task])), count + control
            chosen_right += bool(correct[task])
    return (right, count, float(np.mean(truth))), (chosen_right, cycles * size)


def test_the_interval_covers_the_accuracy_on_what_was_unlabeled():
    covered = naive = 0
    for seed in range(1000):
        (right, count, truth), everything = campaign(seed)
        low, high = wilson(right, count)
        covered += low <= truth <= high
        low, high = wilson(*everything)
        naive += low <= truth <= high
    assert 0.93 <= covered / 1000 <= 0.97
    assert naive / 1000 < 0.1  # all labels together, most of them chosen for being hard, tell something else


# -- the report


def record(task, predicted="cat", model=1, **change) -> ControlRecord:
    return ControlRecord(
        **{"task": task, "version": "r1", "model": model, "labels": 20, "predicted": predicted, **change}
    )


@pytest.mark.parametrize("predicted", ["cat", (), ("cat", "dog"), None])
def test_records_come_back(predicted):
    assert ControlRecord.load(record(7, predicted).dump()) == record(7, predicted)


def test_a_report_tells_right_from_wrong_and_counts_what_is_missing():
    records = [
        record(1, None, 0, labels=0),
        record(2, "cat"),
        record(3, "cat"),
        record(4, "dog", 2, labels=30),
        record(5, "dog", 2, labels=30),
        record(6, "dog", 2, labels=30),
    ]
    told = report(records, {1: "cat", 2: "cat", 3: "dog", 4: "dog", 99: "dog"}, {5, 98}, classes=("owl", "dog", "cat"))
    assert (told.overall.right, told.overall.count, told.overall.accuracy) == (2, 3, pytest.approx(2 / 3))
    assert (told.skipped, told.waiting, told.unpredicted, told.stalled) == (1, 1, 1, False)
    assert [(share.name, share.right, share.count) for share in told.classes] == [("dog", 1, 2), ("cat", 1, 1)]
    assert [(share.name, share.right, share.count) for share in told.models] == [
        ("model 1 (20 labels)", 1, 2),
        ("model 2 (30 labels)", 1, 1),
    ]
    assert told.lines() == [
        "On random controls, drawn from what was unlabeled, the model was right on 2 of 3 (67%).",
        "That is too few to say how sure this is; an interval follows from 30 on.",
        "It is the mean of the models that served, on what was unlabeled then: it lags behind the present one.",
        "With the latest models counting more: 71%, as sure as of 3 equal ones.",
        "Class by class:",
        "  dog: 1 of 2 (50%)",
        "  cat: 1 of 1 (100%)",
        "Model by model:",
        "  model 1 (20 labels): 1 of 2 (50%)",
        "  model 2 (30 labels): 1 of 1 (100%)",
        "Controls that do not count: 1 skipped, 1 not labeled yet, 1 served before there was a model.",
    ]


def test_of_many_models_people_are_told_the_latest():
    records = [record(task, "cat", task) for task in range(1, 9)]
    told = report(records, dict.fromkeys(range(1, 9), "cat"), (), classes=NAMES)
    at = told.lines().index("Model by model (the last 5 of 8):")
    assert [line.split()[1] for line in told.lines()[at + 1 :]] == ["4", "5", "6", "7", "8"]
    assert len(told.as_dict()["models"]) == 8


def test_several_labels_are_right_together_and_told_apart():
    records = [record(1, ("cat",)), record(2, ()), record(3, ("cat", "dog"))]
    told = report(records, {1: ("cat",), 2: ("dog",), 3: ("dog",)}, (), classes=NAMES)
    assert (told.overall.right, told.overall.count) == (1, 3)
    assert [(share.name, share.right, share.count) for share in told.classes] == [("cat", 2, 3), ("dog", 2, 3)]


def of(hits) -> tuple:
    """A report of controls that were right or not, in this order."""
    labels = {task: "cat" if hit else "dog" for task, hit in enumerate(hits)}
    return report([record(task) for task in labels], labels, (), classes=NAMES)


def test_an_interval_is_given_from_thirty_controls_on():
    assert of([True] * 29).overall.interval is None
    told = of([True] * 20 + [False] * 10)
    assert told.overall.interval == wilson(20, 30)
    assert told.lines()[0].endswith("right on 20 of 30 (67%, 95% interval 49% to 81%).")
    assert not any("too few" in line for line in told.lines())


def test_the_last_hundred_are_told_apart():
    told = of([False] * 40 + [True] * 100)
    assert (told.overall.right, told.overall.count) == (100, 140)
    assert (told.recent.right, told.recent.count) == (100, 100)
    assert any(line.startswith("Of the last 100 it was right on 100 of 100 (100%") for line in told.lines())


def test_controls_of_models_that_knew_more_labels_count_more():
    records = [record(task, labels=20 if task < 40 else 200) for task in range(80)]
    told = report(records, {task: "dog" if task < 40 else "cat" for task in range(80)}, (), classes=NAMES)
    assert told.overall.accuracy == 0.5 and told.present.accuracy == pytest.approx(200 / 220)
    assert told.present.effective == pytest.approx(220**2 * 40 / (20**2 + 200**2))
    low, high = told.present.interval
    assert low < told.present.accuracy < high
    alike = report([record(task) for task in range(40)], dict.fromkeys(range(40), "cat"), (), classes=NAMES)
    assert alike.present.effective == 40 and alike.present.interval == alike.overall.interval
    assert of([True] * 29).present.interval is None and report([], {}, (), classes=NAMES).present is None


def test_how_many_controls_more_an_interval_of_ten_points_takes():
    for hits in ([], [True] * 8, [True, False] * 10, [True] * 30, [True] * 40 + [False] * 25):
        told = of(hits)
        n, likely = len(hits) + told.wanted, (sum(hits) + 1) / (len(hits) + 2)
        low, high = wilson(likely * n, n)
        assert high - low <= 0.2 and n >= 30
        if told.wanted and n > 30:
            low, high = wilson(likely * (n - 1), n - 1)
            assert high - low > 0.2
    assert of([True, False] * 100).wanted == 0


@pytest.mark.parametrize(
    ("older", "newer", "stalled"),
    [
        ([True] * 40 + [False] * 10, [True] * 41 + [False] * 9, False),
        ([True] * 40 + [False] * 10, [True] * 40 + [False] * 10, True),
        ([True] * 40 + [False] * 9, [True] * 39 + [False] * 10, False),  # 49 on one side are too few
        ([False] * 300 + [True] * 100, [True] * 100, True),  # what was long ago does not count
    ],
)
def test_when_a_model_has_stopped_improving(older, newer, stalled):
    told = of(older + newer)
    assert told.stalled is stalled
    assert any("stopped improving" in line for line in told.lines()) is stalled


def test_without_controls_nothing_is_claimed():
    told = report([], {}, (), classes=NAMES)
    assert told.overall.accuracy is None
    assert told.lines() == ["No random control has a label yet, so nothing is known of the model on unlabeled tasks."]


def test_a_report_goes_into_json():
    told = json.loads(json.dumps(of([True] * 25 + [False] * 5).as_dict()))
    assert told["overall"]["right"] == 25
    assert told["overall"]["interval"] == pytest.approx(wilson(25, 30))
    assert [share["name"] for share in told["classes"]] == ["cat", "dog"]


def test_two_records_of_a_task_are_refused():
    with pytest.raises(ValueError, match="two control records"):
        report([record(1), record(1)], {}, (), classes=NAMES)


def test_images_that_were_left_out_are_counted_and_told():
    records = [ControlRecord(task, "r1", 1, 10, "cat") for task in range(4)]
    for count, told in (
        (0, ""),
        (1, "of 1 image that an admin left out"),
        (1200, "of 1,200 images left out by an admin"),
    ):
        found = report(records, {0: "cat"}, (), classes=("cat",), excluded=count)
        assert found.as_dict()["excluded"] == count and told in " ".join(found.lines())
    assert "left out" not in " ".join(report(records, {0: "cat"}, (), classes=("cat",)).lines())
