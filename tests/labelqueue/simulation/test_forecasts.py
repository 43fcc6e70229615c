"""Forecasts of simulated campaigns: each stands beside what came, and the band covers as often as it says."""

import csv

import numpy as np
import pytest

from labelqueue.block import Block
from labelqueue.simulation.command import Scene
from labelqueue.simulation.dataset import Dataset
from labelqueue.simulation.forecasts import coverage, coverage_line, outcomes, write_forecasts
from labelqueue.simulation.pools import split
from labelqueue.simulation.replay import replay
from labelqueue.simulation.summary import Point
from labelqueue.stopping.curve import Measurement

CLASSES = ("ant", "bee", "cat", "dog")


def clusters(per_class, *, spread, seed):
    """Embedded images of four overlapping classes, sorted by class."""
    labels = np.repeat(np.arange(len(CLASSES)), per_class)
    rng, places = np.random.default_rng(seed), np.arange(labels.size)
    vectors = (2 * np.eye(8)[labels] + spread * rng.normal(size=(labels.size, 8))).astype(np.float16)
    return Dataset(
        CLASSES, labels, None, Block(places, places.astype(np.uint64), vectors, vectors, np.arange(labels.size + 1))
    )


def measurement(labels, accuracy):
    return Measurement(labels, 1000, accuracy, accuracy, 0.04, 0.04, accuracy, accuracy, 0.0)


def point(labels, share, measured=True, seed=0):
    return Point("mine", seed, labels, (share, share), measurement(labels, share) if measured else None)


TESTS = {seed: np.array([50, 50, 0]) for seed in range(2)}


def test_a_forecast_meets_what_came_up_to_twice_its_labels():
    found = outcomes([point(20, 0.5, False), point(50, 0.7), point(100, 0.75), point(150, 0.8)], TESTS)
    assert [(one.made_at, one.labels, one.measure) for one in found] == [
        (50, 100, "accuracy"), (50, 100, "balanced_accuracy"), (100, 150, "accuracy"), (100, 150, "balanced_accuracy"),
    ]  # fmt: skip
    assert found[0].came == 0.75 and found[0].low < found[0].middle < found[0].high and found[0].covered


def test_what_lies_outside_is_not_covered():
    found = outcomes([point(50, 0.7), point(60, 0.2)], TESTS)
    assert [one.covered for one in found] == [False, False]
    assert coverage(found)[0] == {"strategy": "mine", "measure": "accuracy", "covered": 0, "forecasts": 1}
    assert coverage_line(found).endswith("accuracy 0 of 1 (0%), balanced accuracy 0 of 1 (0%).")


def test_a_smaller_test_set_makes_a_wider_band():
    points = [point(50, 0.7), point(60, 0.72)]
    small, large = (outcomes(points, {0: np.array([count, count])})[1] for count in (10, 1000))
    assert small.high - small.low > large.high - large.low


def test_without_marks_there_is_nothing_to_say(tmp_path):
    found = outcomes([point(20, 0.5, False), point(30, 0.5, False)], TESTS)
    assert found == [] and coverage(found) == [] and coverage_line(found) == ""
    write_forecasts(found, tmp_path / "forecasts.csv")
    assert (tmp_path / "forecasts.csv").read_text().startswith("strategy,seed,made_at,labels,measure,low,middle,high")


def test_they_are_written(tmp_path):
    write_forecasts(outcomes([point(50, 0.7), point(60, 0.2), point(70, 0.74)], TESTS), tmp_path / "forecasts.csv")
    rows = list(csv.DictReader((tmp_path / "forecasts.csv").read_text().splitlines()))
    assert {row["covered"] for row in rows} == {"yes", "no"} and rows[0]["came"] == "0.200000"


def test_the_accuracy_on_a_pool_that_was_thinned_is_not_that_on_the_test_set():
    data = clusters(30, spread=1.0, seed=0)
    scene, points = Scene(data, [split(data.labels, None, seed=0)]), [point(50, 0.7), point(60, 0.72)]
    for thinned, measures in ((False, {"accuracy", "balanced_accuracy"}), (True, {"balanced_accuracy"})):
        assert {one.measure for one in scene.forecasts(points, thinned=thinned)} == measures


@pytest.mark.parametrize("strategy", ["random", "margin"])
def test_bands_of_replayed_campaigns_hold(strategy):
    """Drawn clouds that nothing was tuned on; nine tenths are promised, a few are counted here."""
    points, tests = [], {}
    for seed in range(5):
        dataset = clusters(120, spread=1.1, seed=seed)
        part = split(dataset.labels, None, seed=seed)
        tests[seed] = np.bincount(dataset.labels[part.test])
        settings = {"strategy": strategy, "seed": seed, "trials": 1}
        points += replay(dataset, part, strategy=strategy, settings=settings, counts=(20, 50, 70, 100, 140))
    assert all((one.measurement is None) == (one.labels < 40) for one in points)
    found = outcomes(points, tests)
    assert len(found) == 5 * 2 * 5  # five pairs of counts up to twice as many
    assert np.mean([one.covered for one in found]) >= 0.8
    assert np.mean([one.high - one.low for one in found]) < 0.35
