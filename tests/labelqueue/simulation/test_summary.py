"""Learning curves summed up: statistics against values worked out by hand, and what is written."""

import csv
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelqueue.simulation.scores import MULTI, SINGLE
from labelqueue.simulation.summary import Point, labels_saved, summarize, t_interval, table, write_curves, write_summary


def curve(strategy, seed, *scores, plain=None):
    return [
        Point(strategy, seed, labels, (score, score if plain is None else plain))
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
    auto, random = summarize(points, "random", SINGLE)
    assert (auto.strategy, random.strategy, auto.seeds) == ("auto", "random", 3)
    # areas 60, 70, 75 and 50, 60, 50; differences 10, 10, 25
    assert auto.areas["balanced"].mean == pytest.approx(205 / 3)
    assert random.areas["balanced"].mean == pytest.approx(160 / 3)
    assert auto.gains["balanced"].mean == pytest.approx(15)
    # standard deviation of 10, 10, 25 is 8.66025, divided by the root of 3 it is 5; t(2) = 4.30265
    assert auto.gains["balanced"].high - 15 == pytest.approx(5 * 4.30265, abs=1e-4)
    assert auto.gains["accuracy"].mean == pytest.approx(205 / 3 - 90)
    assert random.gains["balanced"] is None and random.gains["accuracy"] is None
    assert random.areas["accuracy"].high - 90 == pytest.approx(0, abs=1e-9)


def test_pairs_are_by_seed_whatever_the_order_of_the_points(points):
    shuffled = [points[place] for place in np.random.default_rng(3).permutation(len(points))]
    assert [s.gains["balanced"] for s in summarize(shuffled, "random", SINGLE)] == [
        s.gains["balanced"] for s in summarize(points, "random", SINGLE)
    ]


def test_the_summary_as_csv_leaves_empty_what_there_is_not(points, tmp_path):
    path = tmp_path / "summary.csv"
    write_summary(summarize(points, "random", SINGLE), path)
    auto, random = csv.DictReader(path.read_text().splitlines())
    assert auto["balanced_area"] == "68.3333" and auto["balanced_gain"] == "15.0000"
    assert auto["balanced_gain_low"] == "-6.5133" and auto["balanced_gain_high"] == "36.5133"
    assert random["balanced_gain"] == random["balanced_gain_low"] == random["accuracy_gain_high"] == ""
    write_summary(summarize([point for point in points if point.seed == 0], "random", SINGLE), path)
    auto, random = csv.DictReader(path.read_text().splitlines())
    assert auto["seeds"] == "1" and auto["balanced_gain"] == "10.0000" and auto["balanced_gain_low"] == ""


def test_the_table_for_people(points):
    head, auto, random = table(summarize(points, "random", SINGLE), "random", SINGLE).splitlines()
    assert head.split() == [
        "strategy", "balanced", "accuracy", "minus", "random", "labels", "saved", "accuracy"
    ]  # fmt: skip
    assert auto.startswith("auto") and "68.3 ± 19.0" in auto and "+15.0 ± 21.5" in auto
    assert random.startswith("random") and "90.0 ± 0.0" in random
    (auto, _) = table(summarize(points[:2] + points[6:8], "random", SINGLE), "random", SINGLE).splitlines()[1:]
    assert "60.0" in auto and "+10.0" in auto and "±" not in auto


# -- labels saved


def test_labels_saved_are_read_off_the_logarithmic_axis():
    counts = [25, 100, 400]
    # the reference ends at 0.7, which the strategy has at 100
    assert labels_saved(counts, [0.5, 0.7, 0.8], [0.4, 0.6, 0.7]) == 300
    # between 100 at 0.6 and 400 at 0.8, 0.7 is half-way: at 200
    assert labels_saved(counts, [0.5, 0.6, 0.8], [0.4, 0.6, 0.7]) == pytest.approx(200)
    # a strategy that ends at 0.7 is asked where the reference was level with it
    assert labels_saved(counts, [0.4, 0.6, 0.7], [0.5, 0.6, 0.8]) == pytest.approx(-200)


def test_labels_saved_stay_within_the_curves():
    counts = [20, 40, 80]
    assert labels_saved(counts, [0.9, 0.9, 0.9], [0.1, 0.2, 0.3]) == 60
    assert labels_saved(counts, [0.1, 0.2, 0.3], [0.9, 0.9, 0.9]) == -60
    assert labels_saved(counts, [0.5, 0.5, 0.5], [0.5, 0.5, 0.5]) == 0
    assert labels_saved([20], [0.9], [0.1]) == 0


def test_a_dip_is_noise():
    counts = [20, 40, 80]
    # 0.6 and 0.4 are taken for 0.5 twice
    assert labels_saved(counts, [0.6, 0.4, 0.7], [0.1, 0.3, 0.5]) == 60
    assert labels_saved(counts, [0.2, 0.6, 0.4], [0.2, 0.6, 0.4]) == 0


SCORES = st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.5, 0.8]), min_size=4, max_size=4)


@settings(deadline=None)
@given(SCORES, SCORES)
def test_who_changes_places_changes_the_sign(one, other):
    counts = [20, 28, 40, 57]
    saved = labels_saved(counts, one, other)
    assert labels_saved(counts, other, one) == -saved and abs(saved) <= 37


def test_two_random_orders_save_nothing_on_average():
    rng = np.random.default_rng(0)
    counts = [20, 40, 80, 160, 320]
    curves = np.linspace(0.4, 0.7, 5) + 0.03 * rng.normal(size=(2000, 5))
    found = t_interval([labels_saved(counts, *pair) for pair in curves.reshape(1000, 2, 5)])
    assert found.low < 0 < found.high


def test_labels_saved_stand_beside_the_area(points, tmp_path):
    auto, random = summarize(points, "random", SINGLE)
    # auto has 0.6, 0.7, 0.6 after 15, 14.1 and 10 labels or earlier, random after 20
    assert 0 < auto.labels_saved.low < auto.labels_saved.mean < 10 and random.labels_saved is None
    write_summary([auto, random], tmp_path / "summary.csv")
    first, second = csv.DictReader((tmp_path / "summary.csv").read_text().splitlines())
    assert float(first["labels_saved"]) == pytest.approx(auto.labels_saved.mean, abs=1e-4)
    assert second["labels_saved"] == second["labels_saved_low"] == ""
    assert auto.as_dict()["labels_saved"]["mean"] == auto.labels_saved.mean


def test_more_labels_are_called_more():
    points = [*curve("worse", 0, 0.4, 0.5), *curve("random", 0, 0.5, 0.6)]
    _, random, worse = table(summarize(points, "random", SINGLE), "random", SINGLE).splitlines()
    assert "10 more" in worse and "more" not in random
    better = table(summarize(points, "worse", SINGLE), "worse", SINGLE).splitlines()
    assert "minus worse" in better[0] and "10" in better[1] and "more" not in better[1]


def test_where_several_labels_hold_the_scores_are_others(points, tmp_path):
    summaries = summarize(points, "random", MULTI)
    assert "mean average precision" in table(summaries, "random", MULTI).splitlines()[0]
    write_summary(summaries, tmp_path / "summary.csv")
    assert (tmp_path / "summary.csv").read_text().startswith("strategy,seeds,precision_area,precision_area_low")


POINTS = [Point("auto", 0, 10, (0.5, 0.75)), Point("auto", 0, 20, (0.7, 0.7))]


def test_curves_as_csv(tmp_path):
    write_curves(POINTS, SINGLE, tmp_path / "curves.csv")
    assert (tmp_path / "curves.csv").read_bytes() == (
        b"strategy,seed,labels,accuracy,balanced_accuracy\nauto,0,10,0.750000,0.500000\nauto,0,20,0.700000,0.700000\n"
    )


def test_the_columns_are_called_by_their_scores(tmp_path):
    write_curves(POINTS[:1], MULTI, tmp_path / "curves.csv")
    assert (tmp_path / "curves.csv").read_text() == (
        "strategy,seed,labels,average_precision,balanced_accuracy\nauto,0,10,0.500000,0.750000\n"
    )


def test_nothing_of_it_is_loaded_before_it_is_needed():
    code = (
        "import sys, labelqueue.simulation.summary, labelqueue.simulation.command;"
        "sys.exit(any(name in sys.modules for name in ('matplotlib', 'sklearn', 'scipy', 'torch', 'poolselect')))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, timeout=60).returncode == 0
