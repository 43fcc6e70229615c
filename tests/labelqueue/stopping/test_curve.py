"""The learning curve: what a campaign's own labels say of all images comes near what holds for them."""

import json

import numpy as np
import pytest

from labelqueue.learning.learner import train
from labelqueue.stopping.curve import GROWTH, LEAST, Measurement, _temperature, due, measure

CLASSES = ("ant", "bee", "cat")


def cloud(n=900, seed=0, shares=(0.6, 0.3, 0.1), spread=1.0):
    """Images of three overlapping classes: vectors, and the number of each one's class."""
    rng = np.random.default_rng(seed)
    kinds = rng.choice(3, size=n, p=shares)
    return (2.0 * np.eye(3, 8)[kinds] + spread * rng.normal(size=(n, 8))).astype(np.float32), kinds


def chosen_by_margin(x, kinds, count, seed=0):
    """Rows that a campaign would have labeled: a few at random, then always those the model is least sure of."""
    rows = np.random.default_rng(seed).permutation(len(x))[:30].tolist()
    while len(rows) < count:
        model = taught(x, kinds, sorted(rows))
        p = np.sort(model.predict(x), axis=1)
        doubt = np.argsort(p[:, -1] - p[:, -2], kind="stable")
        rows += [int(row) for row in doubt if row not in set(rows)][:10]
    return sorted(rows[:count])


def taught(x, kinds, rows, multi=False):
    values = [label(kinds[row], multi) for row in rows]
    return train(x[rows], values, classes=CLASSES, multi=multi, seed=0, fingerprint="")


def label(kind, multi):
    return CLASSES[kind] if not multi else tuple(CLASSES[: int(kind)])


def measurement_of(x, kinds, rows, multi=False, **change):
    others = np.setdiff1d(np.arange(len(x)), rows)
    options = {"model": taught(x, kinds, rows, multi), "classes": CLASSES, "tasks": len(x), "seed": 0, **change}
    return measure(x[rows], [label(kinds[row], multi) for row in rows], x[others], **options)


def truth(x, kinds, rows):
    """Accuracy and balanced accuracy of the model on images that nobody has."""
    fresh, of_fresh = cloud(6000, seed=99)
    said = np.array(
        [CLASSES.index(name) for name in taught(x, kinds, rows).decide(taught(x, kinds, rows).predict(fresh))]
    )
    return (said == of_fresh).mean(), np.mean([(said[of_fresh == kind] == kind).mean() for kind in range(3)])


@pytest.mark.parametrize("choose", ["random", "margin"])
def test_it_comes_near_the_truth_however_labels_were_chosen(choose):
    found, naive = [], []
    for seed in range(6):
        x, kinds = cloud(seed=seed)
        rows = chosen_by_margin(x, kinds, 120, seed)
        if choose == "random":
            rows = np.sort(np.random.default_rng(seed).permutation(len(x))[:120])
        measurement, (accuracy, balanced) = measurement_of(x, kinds, rows), truth(x, kinds, rows)
        found.append((measurement.accuracy - accuracy, measurement.balanced_accuracy - balanced))
        naive.append((measurement.chosen_accuracy - accuracy, measurement.chosen_balanced - balanced))
    assert np.abs(np.mean(found, axis=0)).max() < 0.04
    assert np.abs(found).max() < 0.12
    if choose == "margin":  # people label what the model fails on: there it looks far worse than it is
        assert np.mean(naive, axis=0)[0] < -0.1


@pytest.mark.parametrize(
    ("sure", "right", "low", "high"),
    [
        (
            0.75,
            30,
            0.95,
            1.05,
        ),  # as often right as it says: the surprises, at 2 in 1,000, do not count more than others
        (0.9, 24, 0.5, 0.9),
        (0.6, 39, 1.1, 2.5),
    ],
)
def test_probabilities_are_made_to_fit_how_often_the_own_answer_was_right(sure, right, low, high):
    said = np.tile([sure, 0.998 - sure, 0.002], (40, 1))
    truth = np.eye(3)[[0] * right + [2] * (40 - right)]
    assert low < _temperature([(said, np.zeros(40, dtype=np.int64))], [truth]) < high


def test_its_error_shrinks_with_the_labels():
    x, kinds = cloud()
    few, many = (measurement_of(x, kinds, list(range(count))) for count in (60, 600))
    assert few.accuracy_error > 2 * many.accuracy_error > 0
    assert few.balanced_error > 2 * many.balanced_error > few.balanced_error / 5
    assert (few.labels, few.tasks, many.labels) == (60, 900, 600)


def test_the_same_labels_give_the_same_mark_and_it_comes_back():
    x, kinds = cloud()
    one, other = measurement_of(x, kinds, list(range(80))), measurement_of(x, kinds, list(range(80)))
    assert one == other
    again = Measurement.load({**json.loads(json.dumps(one.dump())), "of a later version": 1})
    assert again.labels == 80 and again.accuracy == pytest.approx(one.accuracy, abs=1e-4)


def test_several_labels_are_measured_label_by_label():
    x, kinds = cloud(shares=(0.3, 0.4, 0.3))
    rows = list(range(150))
    measurement, model = measurement_of(x, kinds, rows, multi=True), taught(x, kinds, rows, multi=True)
    fresh, of_fresh = cloud(6000, seed=99, shares=(0.3, 0.4, 0.3))
    said = model.predict(fresh) > 0.5
    there = np.array([[name in label(kind, True) for name in CLASSES] for kind in of_fresh])
    assert measurement.accuracy == pytest.approx((said == there).mean(), abs=0.05)
    varied = [k for k in range(3) if there[:, k].any() and not there[:, k].all()]
    both = [np.mean([(said[there[:, k] == v, k] == v).mean() for v in (False, True)]) for k in varied]
    assert len(varied) == 2  # `cat` never holds: it has nothing to be told apart from
    assert measurement.balanced_accuracy == pytest.approx(np.mean(both), abs=0.06)
    assert measurement.unseen == 0.0


def test_a_class_without_a_label_is_named_and_one_with_a_single_label_counts():
    x, kinds = cloud(shares=(0.5, 0.5, 0.0))
    kinds[:1] = 1
    measurement = measurement_of(x, kinds, list(range(60)))
    assert measurement.unseen == pytest.approx(1 / 3)
    kinds[0] = 2
    lonely = measurement_of(x, kinds, list(range(60)))
    assert lonely.unseen == 0.0 and lonely.balanced_accuracy < measurement.balanced_accuracy


def test_when_everything_is_labeled_the_labels_are_all_there_is():
    x, kinds = cloud(200)
    measurement = measurement_of(x, kinds, list(range(200)))
    assert (measurement.accuracy, measurement.balanced_accuracy) == (
        measurement.chosen_accuracy,
        measurement.chosen_balanced,
    )


def test_too_few_labels_and_nothing_to_tell_apart():
    x, kinds = cloud()
    assert measurement_of(x, kinds, list(range(LEAST - 1))) is None
    model = taught(x, kinds, list(range(60)))
    alike = measure(x[:60], ["ant"] * 60, x[60:], model=model, classes=CLASSES, tasks=900, seed=0)
    assert alike is None


def test_a_mark_is_due_when_there_are_a_tenth_more_labels():
    measurement = measurement_of(*cloud(), list(range(100)))
    assert not due([], LEAST - 1) and due([], LEAST)
    assert not due([measurement], 100) and not due([measurement], 109) and due([measurement], round(100 * GROWTH) + 1)
