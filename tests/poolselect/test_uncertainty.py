"""Measures of a predicted distribution, and the strategies that rank by them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from poolselect import (
    Entropy,
    InvalidParameterError,
    InvalidPoolError,
    LeastConfidence,
    Margin,
    Pool,
    entropy,
    least_confidence,
    margin,
)
from poolselect.uncertainty import MEASURES, contenders

RANKERS = {"margin": Margin, "least_confidence": LeastConfidence, "entropy": Entropy}
weights = hnp.arrays(np.float64, st.tuples(st.integers(1, 20), st.integers(2, 6)), elements=st.floats(0.01, 1.0))


def test_known_answers_for_one_class_per_image():
    sure, half, tie, skewed = [1.0, 0.0, 0.0], [0.5, 0.25, 0.25], [1 / 3] * 3, [0.6, 0.4, 0.0]
    probabilities = [sure, half, tie, skewed]
    assert margin(probabilities).tolist() == pytest.approx([0, 0.75, 1, 0.8])
    assert least_confidence(probabilities).tolist() == pytest.approx([0, 0.5, 2 / 3, 0.4])
    bits = [0, 1.5, math.log2(3), -0.6 * math.log2(0.6) - 0.4 * math.log2(0.4)]
    assert entropy(probabilities).tolist() == pytest.approx(np.array(bits) / math.log2(3))


def test_known_answers_for_independent_labels():
    probabilities = [[0.5, 0.5], [1.0, 0.0], [0.75, 1.0]]
    assert margin(probabilities, multilabel=True).tolist() == pytest.approx([1, 0, 0.25])
    assert least_confidence(probabilities, multilabel=True).tolist() == pytest.approx([1, 0, 0.25])
    quarter = -0.25 * math.log2(0.25) - 0.75 * math.log2(0.75)
    assert entropy(probabilities, multilabel=True).tolist() == pytest.approx([1, 0, quarter / 2])


@pytest.mark.parametrize("measure", MEASURES.values())
def test_a_single_class_leaves_no_doubt(measure):
    assert measure([[1.0], [1.0]], False).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("name", MEASURES)
@given(weights=weights, multilabel=st.booleans())
def test_lies_within_zero_and_one_and_ignores_the_order_of_classes(name, weights, multilabel):
    probabilities = weights if multilabel else weights / weights.sum(axis=1, keepdims=True)
    found = MEASURES[name](probabilities, multilabel)
    assert (found >= -1e-12).all() and (found <= 1 + 1e-12).all()
    np.testing.assert_allclose(MEASURES[name](probabilities[:, ::-1], multilabel), found, atol=1e-12)


@given(weights=hnp.arrays(np.float64, st.tuples(st.integers(2, 20), st.just(2)), elements=st.floats(0.01, 1.0)))
def test_two_classes_leave_the_three_measures_no_room_to_disagree(weights):
    probabilities = weights / weights.sum(axis=1, keepdims=True)
    by_margin = np.argsort(margin(probabilities), kind="stable")
    for measure in (least_confidence, entropy):
        assert (np.diff(measure(probabilities)[by_margin]) >= -1e-9).all()


def test_blocks_change_nothing():
    probabilities = np.random.default_rng(0).dirichlet(np.ones(3), size=20_000)
    best = np.sort(probabilities, axis=1)
    np.testing.assert_allclose(margin(probabilities), 1 - best[:, 2] + best[:, 1], atol=1e-12)


@pytest.mark.parametrize("bad", [[0.5, 0.5], np.empty((3, 0)), [["a"]]])
def test_what_is_no_table_of_numbers_is_refused(bad):
    with pytest.raises(InvalidParameterError, match="shape"):
        margin(bad)


@pytest.mark.parametrize("ranker", RANKERS.values())
def test_without_probabilities_the_error_says_what_to_do(ranker):
    with pytest.raises(InvalidPoolError, match=rf"{ranker.__name__} .* no probabilities\. Give .* FreeSel"):
        ranker().query(Pool([1, 2], np.eye(2)), batch_size=1)


@pytest.mark.parametrize("name", RANKERS)
def test_the_least_certain_candidates_come_first(name):
    probabilities = np.random.default_rng(1).dirichlet(np.ones(4), size=50)
    labels = np.where(np.arange(50) < 9, 0, -1)
    found = RANKERS[name]().query(
        Pool(np.arange(50), np.ones((50, 2)), labels=labels, probabilities=probabilities), batch_size=50
    )
    scores = MEASURES[name](probabilities.astype(np.float32), False)
    assert found.indices.tolist() == sorted(range(9, 50), key=lambda row: -scores[row])
    assert found.utilities.tolist() == scores[found.indices].tolist()


@pytest.mark.parametrize("ranker", RANKERS.values())
def test_ties_fall_by_lot_not_by_age(ranker):
    pool = Pool(np.arange(30), np.ones((30, 2)), probabilities=np.full((30, 2), 0.5))
    firsts = {int(ranker(random_state=seed).query(pool, batch_size=1).indices[0]) for seed in range(40)}
    assert len(firsts) > 15


def test_independent_labels_are_ranked_as_such():
    # As a distribution the first row is the more certain one; as independent labels it is all doubt.
    pool = {"ids": [1, 2], "embeddings": np.eye(2), "probabilities": [[0.6, 0.4, 0.5], [0.99, 0.98, 0.97]]}
    assert Margin().query(Pool(**pool, multilabel=True), batch_size=1).indices.tolist() == [0]
    assert Margin().query(Pool(**pool), batch_size=1).indices.tolist() == [1]


def test_reasons_name_the_classes_that_compete():
    pool = {"ids": [1], "embeddings": [[0.0]], "probabilities": [[0.9, 0.52, 0.1, 0.41]]}
    assert contenders(Pool(**pool), 0) == "class 0 0.90, class 1 0.52"
    named = Pool(**pool, class_names=["cat", "dog", "owl", "fox"], multilabel=True)
    assert contenders(named, 0) == "dog 0.52, fox 0.41"
