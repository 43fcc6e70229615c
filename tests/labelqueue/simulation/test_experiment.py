"""What a simulation compares: names of strategies, settings, label counts, pools."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelqueue.exceptions import LabelQueueError, SettingError
from labelqueue.simulation.experiment import Experiment, label_counts, parse_set, parse_strategy, splits


def test_names_stand_for_settings():
    assert parse_strategy("auto", {}) == {"strategy": "auto"}
    assert parse_strategy("margin", {"trials": 5}) == {"trials": 5, "strategy": "margin"}
    assert parse_strategy("typiclust+margin", {"cold_start": "random"}) == {
        "strategy": "auto",
        "cold_start": "typiclust",
        "warm": "margin",
    }


def test_a_strategy_that_divides_a_budget_knows_that_of_the_simulation():
    assert parse_strategy("bal_paper", {}, 200) == {"strategy": "bal_paper", "budget": 200}
    assert parse_strategy("freesel+bal_paper", {"budget": 90}, 200)["budget"] == 90
    assert "budget" not in parse_strategy("auto", {}, 200)


@pytest.mark.parametrize("name", ["magic", "", "bal+freesel", "typiclust+", "freesel+bal+margin", "Auto"])
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
    with pytest.raises(LabelQueueError, match="60 images"):
        splits(labels, None, Experiment({"random": {}}, seeds=1, counts=(80,), imbalance=0.5))


def test_a_test_set_must_be():
    with pytest.raises(LabelQueueError, match="the test set is empty"):
        splits(np.arange(5), None, Experiment({"random": {}}, seeds=1, counts=(2,)))
