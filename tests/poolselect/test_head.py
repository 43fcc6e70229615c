"""The linear head that is found again from probabilities."""

from __future__ import annotations

import numpy as np
import pytest

from poolselect import InvalidPoolError, Pool
from poolselect.head import decided, linear_head
from poolselect.standardized import Standardized


def head_of(x, p, multilabel=False):
    pool = Pool(np.arange(len(x)), x, probabilities=p, multilabel=multilabel)
    vectors = Standardized(pool.embeddings)
    head = linear_head(pool, vectors, np.random.default_rng(0), "a test")
    return head, vectors.of(slice(None))


@pytest.mark.parametrize("n", [60, 3000])
def test_a_softmax_of_a_linear_model_is_found_exactly(n):
    rng = np.random.default_rng(1)
    x = (rng.standard_normal((n, 12)) * rng.uniform(0.1, 5, 12) + 3).astype(np.float32)
    scores = x @ rng.standard_normal((12, 4)) + rng.standard_normal(4)
    odds = np.exp(scores - scores.max(axis=1, keepdims=True))
    head, z = head_of(x, (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32))
    found = z @ head.weights.T + head.bias
    np.testing.assert_allclose(found, scores - scores.mean(axis=1, keepdims=True), atol=2e-3)
    assert (head.decide(z).argmax(axis=1) == scores.argmax(axis=1)).mean() > 0.995


def test_sigmoids_of_a_linear_model_are_found():
    rng = np.random.default_rng(2)
    x = rng.standard_normal((500, 6)).astype(np.float32)
    scores = x @ rng.standard_normal((6, 3)) + 0.5
    head, z = head_of(x, (1 / (1 + np.exp(-scores))).astype(np.float32), multilabel=True)
    np.testing.assert_allclose(z @ head.weights.T + head.bias, scores, atol=2e-3)
    assert (head.decide(z) == (scores > 0)).mean() > 0.995


@pytest.mark.parametrize("multilabel", [False, True])
def test_sure_answers_constant_dimensions_and_few_rows_do_no_harm(multilabel):
    x = np.array([[1.0, 5.0, 0.0], [2.0, 5.0, 0.0], [4.0, 5.0, 0.0]], dtype=np.float32)
    head, z = head_of(x, [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], multilabel)
    assert np.isfinite(head.weights).all() and np.isfinite(head.bias).all()
    assert head.decide(z).tolist() == [[True, False], [True, False], [False, True]]


def test_an_answer_is_one_class_or_several_labels():
    scores = np.array([[0.2, 0.7, 0.7], [0.4, 0.1, 0.3]], dtype=np.float32)
    assert decided(scores, False, 0.5).tolist() == [[False, True, False], [True, False, False]]
    assert decided(scores, True, 0.5).tolist() == [[False, True, True], [False, False, False]]


def test_there_is_none_without_probabilities():
    pool = Pool([1], [[1.0]])
    with pytest.raises(InvalidPoolError, match=r"a test .*no probabilities"):
        linear_head(pool, Standardized(pool.embeddings), np.random.default_rng(0), "a test")
