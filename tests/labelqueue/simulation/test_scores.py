"""Scores against values worked out by hand, and scikit-learn's."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelqueue.simulation.scores import (
    MULTI,
    SINGLE,
    accuracy,
    average_precision,
    balanced_accuracy,
    judged,
    measure,
    scores_of,
)


def test_both_accuracies():
    actual = np.array([0, 0, 0, 0, 1, 1, 3])
    predicted = np.array([0, 0, 0, 1, 1, 2, 0])
    assert accuracy(actual, predicted) == 4 / 7
    assert balanced_accuracy(actual, predicted) == pytest.approx((3 / 4 + 1 / 2 + 0) / 3)


def test_average_precision_by_hand():
    # ranks 1 and 3 of 4 show the label: (1/1 + 2/3) / 2
    assert average_precision(np.array([1, 0, 1, 0], bool), np.array([0.9, 0.8, 0.7, 0.1])) == pytest.approx(5 / 6)
    # a constant earns the share
    assert average_precision(np.array([1, 0, 0, 0], bool), np.full(4, 0.3)) == 0.25


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0.1, 0.2, 0.5, 0.9])), min_size=1, max_size=30))
def test_average_precision_is_scikit_learns(pairs):
    from sklearn.metrics import average_precision_score

    actual, chances = np.array([a for a, _ in pairs]), np.array([c for _, c in pairs])
    if actual.any():
        assert average_precision(actual, chances) == pytest.approx(average_precision_score(actual, chances))


def test_labels_that_tell_nothing_are_left_out_of_the_mean():
    actual = np.array([[1, 0, 1], [0, 0, 1], [0, 0, 1]], bool)
    assert judged(actual).tolist() == [True, False, False]
    chances = np.array([[0.4, 0.9, 0.9], [0.6, 0.9, 0.9], [0.1, 0.9, 0.9]], np.float32)
    precision, balanced = (score.of(actual, chances > 0.5, chances) for score in MULTI)
    assert precision == 0.5 and balanced == pytest.approx((0 + 1 / 2) / 2)


def test_which_scores_there_are():
    assert scores_of(False) is SINGLE and scores_of(True) is MULTI
    assert [score.column for score in SINGLE] == ["balanced_accuracy", "accuracy"]


def test_without_a_model_what_was_seen_is_said_of_all():
    vectors = np.zeros((3, 2), np.float32)
    actual = np.array([1, 1, 0])
    assert measure(None, vectors, actual, ("a", "b"), "b") == (0.5, 2 / 3)
    shown = np.array([[1, 0], [0, 0], [1, 0]], bool)
    assert measure(None, vectors, shown, ("a", "b"), ("a",)) == (pytest.approx(2 / 3), 0.5)


def test_what_the_model_decides_counts_not_what_is_likeliest():
    model = SimpleNamespace(
        classes=("b",),
        predict=lambda vectors: np.array([[0.9], [0.4], [0.3]], np.float32),
        decide=lambda chances: [("b",), ("b",), ()],  # by a rule of its own
    )
    shown = np.array([[0, 1], [1, 1], [1, 0]], bool)
    precision, balanced = measure(model, np.zeros((3, 2), np.float32), shown, ("a", "b"), ())
    # of b both are found; a, of which the model knows nothing, is said of none
    assert balanced == (0.5 + 1) / 2 and precision == pytest.approx((2 / 3 + 1) / 2)
