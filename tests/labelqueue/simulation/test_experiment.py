"""What a simulation compares: names of strategies, settings, label counts, pools."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelqueue.exceptions import LabelQueueError, SettingError
from labelqueue.simulation.experiment import Experiment, label_counts, parse_set, parse_strategy, splits


def test_names_stand_for_settings():
    assert parse_strategy("auto", {}) == {"strategy": "auto"}
    assert parse_strategy("margin", {"trials": 5}) == {"trials": 5, "strategy": "margin"}
    assert parse_strategy("uherding", {}) == {"strategy": "uherding"}
    assert parse_strategy("maxherding+uherding", {})["warm"] == "uherding"
    assert parse_strategy("typiclust+margin", {"cold_start": "random"}) == {
        "strategy": "auto",
        "cold_start": "typiclust",
        "warm": "margin",
    }


def test_a_strategy_that_divides_a_budget_knows_that_of_the_simulation():
    assert parse_strategy("bal_paper", {}, 200) == {"strategy": "bal_paper", "budget": 200}
    assert parse_strategy("freesel+bal_paper", {"budget": 90}, 200)["budget"] == 90
    assert "budget" not in parse_strategy("auto", {}, 200)


@pytest.mark.parametrize(
    "name",
    [
        "magic",
        "",
        "bal+freesel",
        "uherding+maxherding",
        "maxherding+probcover",
        "typiclust+",
        "freesel+bal+margin",
        "Auto",
    ],
)
def test_an_unknown_name_lists_what_there_is(name):
    with pytest.raises(
        LabelQueueError, match=r"unknown strategy .*; there are auto, .*freesel.*, and pairs COLD\+WARM"
    ):
        parse_strategy(name, {})


def test_settings_are_json_or_text():
    assert parse_set(["control_share=0", "uncertainty=entropy", "budget=400", "trials=7"]) == {
        "control_share": 0.0,
        "uncertainty": "entropy",
        "budget": 400,
        "trials": 7,
    }
    assert parse_set([]) == {}


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        ("control_share", "expected key=value"),
        ("nothing=1", "unknown setting 'nothing'"),
        ("control_share=2", "from 0 to 0.5"),
        ("strategy=bal", "use --strategy instead"),
        ("seed=3", "use --seeds instead"),
        ("prelabel=on", "prelabel has no effect"),
    ],
)
def test_settings_that_cannot_be(pair, said):
    with pytest.raises(SettingError, match=said):
        parse_set([pair])


@settings(deadline=None)
@given(st.integers(2, 300), st.integers(0, 3000), st.none() | st.integers(1, 500))
def test_label_counts_rise_from_the_start_to_the_budget(start, more, step):
    counts = label_counts(start, start + more, step)
    assert counts[0] == start and counts[-1] == start + more
    assert all(a < b for a, b in itertools.pairwise(counts))
    if step:
        assert all(b - a == step for a, b in itertools.pairwise(counts[:-1]))


def test_a_budget_must_fit_every_pool():
    labels = np.repeat([0, 1], 50)
    experiment = Experiment({"random": {}}, seeds=3, counts=(20, 80))
    assert [part.pool.size for part in splits(labels, None, experiment)] == [80, 80, 80]
    with pytest.raises(LabelQueueError, match="--budget 81 is more than the pool has: 80 images"):
        splits(labels, None, Experiment({"random": {}}, seeds=1, counts=(81,)))
    with pytest.raises(LabelQueueError, match="60 images, once 20 of 100 are the test set and --imbalance"):
        splits(labels, None, Experiment({"random": {}}, seeds=1, counts=(80,), imbalance=2.0))


def test_a_test_set_must_be():
    with pytest.raises(LabelQueueError, match="the test set is empty"):
        splits(np.arange(5), None, Experiment({"random": {}}, seeds=1, counts=(2,)))
    with pytest.raises(LabelQueueError, match="no label is on some of the 1 images"):
        splits(np.eye(2, dtype=bool)[[0, 0, 1]][:3], None, Experiment({"random": {}}, seeds=1, counts=(2,)))


def test_pools_are_drawn_anew_for_each_seed_though_the_file_names_a_test_set():
    labels, test = np.repeat([0, 1], 50), np.arange(100) % 4 == 0
    parts = splits(labels, test, Experiment({"random": {}}, seeds=3, counts=(20,)))
    assert {part.test.size for part in parts} == {24}  # its size, of each class: 12.5 are 12
    assert len({tuple(part.test.tolist()) for part in parts}) == 3
    kept = splits(labels, test, Experiment({"random": {}}, seeds=3, counts=(20,), keep_split=True))
    assert {tuple(part.test.tolist()) for part in kept} == {tuple(np.flatnonzero(test).tolist())}


@pytest.mark.parametrize("test", [None, np.zeros(10, bool)])
def test_a_split_that_the_file_does_not_name_cannot_be_kept(test):
    with pytest.raises(LabelQueueError, match=r"--split file keeps the test set .* and it names none"):
        splits(np.arange(10) % 2, test, Experiment({"random": {}}, seeds=1, counts=(2,), keep_split=True))


def test_a_pool_of_one_class_is_refused():
    test = np.arange(10) < 5
    with pytest.raises(LabelQueueError, match="all images of the pool have the same label"):
        splits(test.astype(int), test, Experiment({"random": {}}, seeds=1, counts=(2,), keep_split=True))


def test_classes_are_thinned_only_where_an_image_has_one():
    labels = np.array([[1, 0], [0, 1], [1, 1], [0, 0]] * 10, bool)
    with pytest.raises(LabelQueueError, match="--imbalance thins classes, and here an image may have several labels"):
        splits(labels, None, Experiment({"random": {}}, seeds=1, counts=(2,), imbalance=2.0))
    assert splits(labels, None, Experiment({"random": {}}, seeds=1, counts=(2,)))[0].test.size == 9


# -- settings of one strategy


def test_a_strategy_may_have_settings_of_its_own():
    assert parse_strategy("auto[switch_after=20, trials=1]", {"trials": 5, "control_share": 0}) == {
        "strategy": "auto",
        "switch_after": 20,
        "trials": 1,
        "control_share": 0,
    }
    assert parse_strategy("typiclust+margin[control_share=0]", {})["warm"] == "margin"
    assert parse_strategy("auto[warm=margin]", {})["warm"] == "margin"
    assert parse_strategy("bal_paper[budget=90]", {}, 200)["budget"] == 90


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("auto[nothing=1]", r"--strategy auto\[nothing=1\]: unknown setting 'nothing'"),
        ("auto[trials=0]", "setting 'trials' has value 0: "),
        ("auto[trials]", "expected key=value"),
        ("auto[]", "expected key=value"),
        ("auto[trials=1", r"expected NAME\[key=value,key=value\]"),
        ("auto[trials=1]x", r"expected NAME\["),
        ("auto[seed=3]", "use --seeds instead"),
        ("auto[n_patterns=3]", "holds for all strategies: use --set n_patterns=3"),
        ("typiclust+bal[warm=margin]", "warm stands before the brackets already"),
        ("magic[trials=1]", "unknown strategy 'magic'"),
    ],
)
def test_settings_of_one_strategy_that_cannot_be(name, said):
    with pytest.raises(LabelQueueError, match=said):
        parse_strategy(name, {})
