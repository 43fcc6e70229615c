"""What people are told of the learning curve: a forecast for the share they want, or why there is none."""

import pytest

from labelqueue.exceptions import SettingError
from labelqueue.stopping.curve import Measurement
from labelqueue.stopping.telling import learning_curve, wanted_share

HINT = {"name": "no change", "met": True, "told": "at most 0.1%: 0.0%"}
MARK = Measurement(200, 5000, 0.8, 0.7, 0.03, 0.04, 0.66, 0.61, 0.0)
STEP = {"labels": 200, "guessed": 0.55, "guesses": 20, "doubt": 0.4, "agreement": 0.98, "changed": 0.01}


def measured(**change):
    told = {
        "waits_for": "",
        "several": False,
        "measurements": [MARK.dump()],
        "steps": [STEP],
        "hints": [HINT],
        "controls": [],
    }
    return told | change


def test_before_the_first_look_there_is_nothing():
    assert learning_curve(None) is None


def test_without_a_mark_it_says_why():
    told = learning_curve(measured(measurements=[], hints=[], waits_for="it takes 40 labels, there are 12"))
    assert told["forecast"] is None and told["hint_lines"] == []
    assert told["lines"] == ["none yet: it takes 40 labels, there are 12"]


def test_a_forecast_for_the_share_that_somebody_wants():
    told = learning_curve(measured(), 0.85)
    forecast = told["forecast"]
    assert (forecast["confidence"], forecast["target"]) == (0.9, 0.85)
    assert [band["labels"] for band in forecast["accuracy"]["bands"]] == [200, 300, 400, 800]
    assert forecast["accuracy"]["need"]["target"] == 0.85 and forecast["accuracy"]["need"]["middle"] > 200
    assert told["lines"][0] == forecast["accuracy"]["line"] and "85% needs about" in told["lines"][0]
    assert told["lines"][1].startswith("every class counting alike: now ")
    assert "from 200 labels" in told["lines"][2] and "alone 66%" in told["lines"][2] and "55%" in told["lines"][2]
    assert told["hint_lines"][0].startswith("1 of 1 signs") and told["hint_lines"][1].startswith("no change: yes; at")


def test_nobody_named_a_share():
    assert learning_curve(measured())["forecast"]["target"] == 0.9
    several = learning_curve(measured(several=True, steps=[]))
    assert several["lines"][0].startswith("right answers on all images: now") and "guesses" not in several["lines"][2]


@pytest.mark.parametrize(("text", "share"), [("0.9", 0.9), ("0.5", 0.5), (".95", 0.95)])
def test_a_share_that_is_wanted(text, share):
    assert wanted_share(text) == share


@pytest.mark.parametrize("text", ["90", "0", "1", "-0.5", "nan", "inf", "much", ""])
def test_what_is_no_share_is_refused(text):
    with pytest.raises(SettingError, match=r"target is .* such as 0\.9 for 90%"):
        wanted_share(text)
