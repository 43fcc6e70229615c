"""Learning curves: statistics against values worked out by hand, and what is written."""

import csv
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from labelqueue.simulation.curves import (
    Point,
    accuracy,
    balanced_accuracy,
    plot,
    summarize,
    t_interval,
    table,
    write_curves,
    write_summary,
)


def curve(strategy, seed, *scores, plain=None):
    return [
        Point(strategy, seed, labels, score if plain is None else plain, score)
        for labels, score in zip((10, 20), scores, strict=True)
    ]


@pytest.fixture
def points():
    return [
        *curve("auto", 0, 0.5, 0.7),
        *curve("auto", 1, 0.6, 0.8),
        *curve("auto", 2, 0.7, 0.8),
        *curve("random", 0, 0.4, 0.6, plain=0.9),
        *curve("random", 1, 0.5, 0.7, plain=0.9),
        *curve("random", 2, 0.4, 0.6, plain=0.9),
    ]


def test_both_accuracies():
    actual = np.array([0, 0, 0, 0, 1, 1, 3])
    predicted = np.array([0, 0, 0, 1, 1, 2, 0])
    assert accuracy(actual, predicted) == 4 / 7
    assert balanced_accuracy(actual, predicted) == pytest.approx((3 / 4 + 1 / 2 + 0) / 3)


def test_the_interval_is_students():
    # mean 2.5, standard deviation 1.2910, divided by 2; t(3 degrees of freedom, 97.5 %) = 3.18245
    found = t_interval([1.0, 2.0, 3.0, 4.0])
    assert found.mean == 2.5
    assert (found.low, found.high) == pytest.approx((2.5 - 2.05426, 2.5 + 2.05426), abs=1e-5)
    alone = t_interval([3.0])
    assert (alone.mean, alone.low, alone.high) == (3.0, None, None)


def test_the_interval_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = [(i := t_interval(rng.normal(5, 2, size=6))).low <= 5 <= i.high for _ in range(4000)]
    assert 0.94 < np.mean(covered) < 0.96


def test_areas_are_means_over_the_label_counts_and_gains_are_paired(points):
    auto, random = summarize(points, "random")
    assert (auto.strategy, random.strategy, auto.seeds) == ("auto", "random", 3)
    # areas 60, 70, 75 and 50, 60, 50; differences 10, 10, 25
    assert auto.balanced_area.mean == pytest.approx(205 / 3)
    assert random.balanced_area.mean == pytest.approx(160 / 3)
    assert auto.balanced_gain.mean == pytest.approx(15)
    # standard deviation of 10, 10, 25 is 8.66025, divided by the root of 3 it is 5; t(2) = 4.30265
    assert auto.balanced_gain.high - 15 == pytest.approx(5 * 4.30265, abs=1e-4)
    assert auto.accuracy_gain.mean == pytest.approx(205 / 3 - 90)
    assert random.balanced_gain is None and random.accuracy_gain is None
    assert random.accuracy_area.high - 90 == pytest.approx(0, abs=1e-9)


def test_pairs_are_by_seed_whatever_the_order_of_the_points(points):
    shuffled = [points[place] for place in np.random.default_rng(3).permutation(len(points))]
    assert [s.balanced_gain for s in summarize(shuffled, "random")] == [
        s.balanced_gain for s in summarize(points, "random")
    ]


def test_curves_as_csv(points, tmp_path):
    write_curves(points[:2], tmp_path / "curves.csv")
    assert (tmp_path / "curves.csv").read_bytes() == (
        b"strategy,seed,labels,accuracy,balanced_accuracy\nauto,0,10,0.500000,0.500000\nauto,0,20,0.700000,0.700000\n"
    )


def test_the_summary_as_csv_leaves_empty_what_there_is_not(points, tmp_path):
    path = tmp_path / "summary.csv"
    write_summary(summarize(points, "random"), path)
    auto, random = csv.DictReader(path.read_text().splitlines())
    assert auto["balanced_area"] == "68.3333" and auto["balanced_gain"] == "15.0000"
    assert auto["balanced_gain_low"] == "-6.5133" and auto["balanced_gain_high"] == "36.5133"
    assert random["balanced_gain"] == random["balanced_gain_low"] == random["accuracy_gain_high"] == ""
    write_summary(summarize([point for point in points if point.seed == 0], "random"), path)
    auto, random = csv.DictReader(path.read_text().splitlines())
    assert auto["seeds"] == "1" and auto["balanced_gain"] == "10.0000" and auto["balanced_gain_low"] == ""


def test_the_table_for_people(points):
    head, auto, random = table(summarize(points, "random"), "random").splitlines()
    assert head.split() == ["strategy", "balanced", "accuracy", "minus", "random", "accuracy"]
    assert auto.startswith("auto") and "68.3 ± 19.0" in auto and "+15.0 ± 21.5" in auto
    assert random.startswith("random") and "90.0 ± 0.0" in random
    (auto, _) = table(summarize(points[:2] + points[6:8], "random"), "random").splitlines()[1:]
    assert "60.0" in auto and "+10.0" in auto and "±" not in auto


@pytest.mark.parametrize("names", [["random"], ["auto", "random"], [f"strategy-{n}" for n in range(11)] + ["random"]])
@pytest.mark.parametrize("seeds", [1, 3])
def test_the_picture(tmp_path, names, seeds):
    drawn = [point for name in names for seed in range(seeds) for point in curve(name, seed, 0.2 + 0.1 * seed, 0.5)]
    plot(drawn, tmp_path / "curves.png", reference="random", title="40 images")
    with Image.open(tmp_path / "curves.png") as image:
        assert image.format == "PNG" and image.size == (1200, 750)
        assert len(image.convert("RGB").getcolors(maxcolors=10**6)) > 20


def test_nothing_of_it_is_loaded_before_it_is_needed():
    code = (
        "import sys, labelqueue.simulation.curves, labelqueue.offline.simulate;"
        "sys.exit(any(name in sys.modules for name in ('matplotlib', 'sklearn', 'scipy', 'torch', 'poolselect')))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, timeout=60).returncode == 0
