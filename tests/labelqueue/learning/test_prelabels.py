"""Which answers are filled in."""

import numpy as np
import pytest

from labelqueue.labels.label_config import parse_label_config
from labelqueue.learning.model import Model
from labelqueue.learning.prelabels import blank_share, confidence, is_blank, least_probability, prelabel

BOXES = '<RectangleLabels name="c" toName="i"><Label value="cat"/></RectangleLabels>'


def target(control):
    return parse_label_config(f'<View><Image name="i" value="$image"/>{control}</View>')


SINGLE = target('<Choices name="c" toName="i"><Choice value="cat"/><Choice value="dog"/></Choices>')


@pytest.mark.parametrize(
    ("setting", "trust", "least"),
    [("auto", 0.5, None), ("auto", 0.51, 0.0), ("on", 0.0, 0.0), ("off", 0.9, None), (0.8, 0.0, 0.8)],
)
def test_when_answers_are_filled_in(setting, trust, least):
    assert least_probability(setting, trust, SINGLE) == least


def test_presence_is_no_box():
    assert least_probability("on", 1.0, target(BOXES)) is None


def model(multi, shares=None):
    ones = np.ones(2, np.float32)
    shares = None if shares is None else np.array(shares, np.float32)
    return Model(("cat", "dog"), multi, ones, ones, np.eye(2, dtype=np.float32), ones, 1.0, 9, 9, "f", shares=shares)


@pytest.mark.parametrize(
    ("multi", "probabilities", "least", "value"),
    [
        (False, (0.3, 0.7), 0.0, "dog"),
        (False, (0.3, 0.7), 0.7, "dog"),
        (False, (0.3, 0.7), 0.71, None),
        (True, (0.9, 0.2), 0.8, ("cat",)),
        (True, (0.9, 0.2), 0.81, None),
        (True, (0.1, 0.2), 0.0, ()),
    ],
)
def test_an_answer_needs_its_probability(multi, probabilities, least, value):
    assert prelabel(model(multi), np.array(probabilities, np.float32), np.float32(least)) == value


@pytest.mark.parametrize(
    ("multi", "shares", "probabilities", "sure"),
    [
        # The rare class is decided for, at the odds 0.6 sqrt(0.1) : 0.4 sqrt(0.9).
        (False, (0.9, 0.1), (0.4, 0.6), 1 / 3),
        (False, (0.5, 0.5), (0.4, 0.6), 0.6),
        # cat is present at odds 3 x sqrt(1/9), dog is absent at odds 3 x sqrt(4): the less sure one counts.
        (True, (0.1, 0.2), (0.75, 0.25), 0.5),
        # dog is present at odds 4 x 1, cat is absent at odds 9 x sqrt(1/9)
        (True, (0.9, 0.5), (0.1, 0.8), 0.75),
    ],
)
def test_how_sure_it_is_goes_by_how_frequent_the_classes_are_and_the_answer_does_not(
    multi, shares, probabilities, sure
):
    one, said = model(multi, shares), np.array(probabilities, np.float32)
    assert confidence(one, said) == pytest.approx(sure, abs=1e-6)
    assert prelabel(one, said, sure - 1e-4) == one.decide(said[None])[0]
    assert prelabel(one, said, sure + 1e-4) is None


def test_which_tasks_never_get_one_depends_on_their_ids_alone():
    tasks = np.arange(1, 20_001)
    blank = is_blank(3, tasks, 0.05)
    assert abs(blank.mean() - 0.05) < 0.008
    assert is_blank(3, tasks[::-7], 0.05).tolist() == blank[::-7].tolist()
    assert not is_blank(3, tasks, 0).any() and (is_blank(4, tasks, 0.05) != blank).any()
    assert (is_blank(3, tasks, 0.2) >= blank).all(), "a larger share only adds"


@pytest.mark.parametrize(
    ("share", "start", "blank"), [(0.05, None, 0.05), (0.05, 0.2, 0.2), (0.3, 0.1, 0.3), (0, 0, 0)]
)
def test_as_many_tasks_stay_empty_as_there_are_controls_when_there_are_most(share, start, blank):
    assert blank_share({"control_share": share, "control_share_start": start}) == blank
    assert blank_share({"control_share": share}) == share, (
        "the record of an order before there was a share to start with"
    )
