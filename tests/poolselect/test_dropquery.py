"""DropQuery: whose answer changes, rounds of clusters, and what follows them."""

from __future__ import annotations

import numpy as np
import pytest

from poolselect import DropQuery, InvalidParameterError, InvalidPoolError, Pool

EVERYTHING, NOTHING = 0.999999, 1e-9  # is dropped


def query(pool, size, **parameters):
    return DropQuery(**parameters).query(pool, batch_size=size)


def a_pool(n=60, multilabel=False, bias=1.0, **fields):
    """A linear model on one of two dimensions, that takes the first class of what it knows nothing of."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, 2)).astype(np.float32)
    x[:, 0] += 2 * np.sign(x[:, 0])
    score = 3 * x[:, 0] + bias
    p = 1 / (1 + np.exp(-np.column_stack([score, -score])))
    return Pool(np.arange(n), x, probabilities=p, multilabel=multilabel, **fields), score


@pytest.mark.parametrize("multilabel", [False, True])
def test_rows_whose_answer_rests_on_what_is_dropped_come_first(multilabel):
    pool, score = a_pool(multilabel=multilabel)
    found = query(pool, 60, dropout=EVERYTHING)
    # Without features the head says what it says of the average row: all rows of the other class change.
    average = score.mean() > 0
    doubtful = np.flatnonzero((score > 0) != average)
    assert 10 < doubtful.size < 50
    assert sorted(found.indices[: doubtful.size].tolist()) == doubtful.tolist()
    assert (found.utilities[: doubtful.size] > 0).all() and (found.utilities[doubtful.size :] == 0).all()
    assert found.reasons[0].startswith("the model changes its mind when features are dropped: class ")


def test_where_no_answer_changes_the_least_certain_come_first():
    pool, score = a_pool()
    found = query(pool, 60, dropout=NOTHING)
    certain = np.abs(score[found.indices])
    assert (np.diff(certain) >= -1e-4).all() and (found.utilities == 0).all()
    assert found.reasons[0].startswith("the model does not change its mind")


def test_a_round_takes_one_row_of_each_cluster_and_the_next_goes_on():
    rng = np.random.default_rng(1)
    groups = rng.permutation(np.repeat(np.arange(5), 12))
    x = (10 * np.eye(5)[groups] + 0.1 * rng.standard_normal((60, 5))).astype(np.float32)
    p = np.where(rng.random((60, 1)) < 0.5, [[0.6, 0.4]], [[0.4, 0.6]])
    x = np.column_stack([x, 8 * (p[:, 1] - p[:, 0])]).astype(np.float32)  # the only feature of the model
    found = query(Pool(np.arange(60), x, probabilities=p), 20, dropout=EVERYTHING, n_clusters=10)
    first = found.indices[found.utilities == 1.0]
    # One of the two classes is doubtful, in five places: ten clusters split some, and leave none out.
    assert 5 <= first.size <= 10 and set(groups[first]) == set(range(5))
    assert set(groups[first[:5]]) == set(range(5))  # the farthest from one another come first
    assert found.utilities[first.size] == 0.5


def test_rows_far_from_the_labeled_ones_come_first_in_a_round():
    groups = np.repeat([0, 1, 2], 10)
    x = np.column_stack([10 * np.eye(3)[groups], np.tile([1.0, -1.0], 15)]).astype(np.float32)
    p = np.where(x[:, 3:] > 0, [[0.8, 0.2]], [[0.2, 0.8]])
    p[:3] = [0.999, 0.001]  # tips the average, so that the others of this class keep their minds
    labels = np.full(30, -1)
    labels[[0, 1, 12, 13]] = [0, 1, 0, 1]
    found = query(Pool(np.arange(30), x, labels=labels, probabilities=p), 3, dropout=EVERYTHING, n_clusters=3)
    assert groups[found.indices[0]] == 2


def test_as_many_rounds_as_it_takes():
    pool, _ = a_pool(400)
    found = query(pool, 400, dropout=EVERYTHING, n_clusters=4)
    assert sorted(found.indices.tolist()) == list(range(400))
    rounds = (1 / found.utilities[found.utilities > 0]).round().astype(int)
    assert rounds[-1] >= 5 and (np.diff(rounds) >= 0).all()


def test_several_labels_are_a_permutation_of_the_pool_too():
    rng = np.random.default_rng(0)
    pool = Pool(np.arange(50), rng.standard_normal((50, 4)), probabilities=rng.random((50, 5)), multilabel=True)
    whole, part = query(pool, 50), query(pool, 17)
    assert sorted(whole.indices.tolist()) == list(range(50))
    assert part.indices.tolist() == whole.indices[:17].tolist()


def test_it_needs_a_model():
    with pytest.raises(InvalidPoolError, match="DropQuery ranks rows by what a model predicts"):
        query(Pool([1, 2], np.eye(2)), 1)


@pytest.mark.parametrize("parameters", [{"dropout": 0}, {"dropout": 1.0}, {"passes": 0}, {"n_clusters": 0}])
def test_impossible_parameters(parameters):
    with pytest.raises(InvalidParameterError, match=next(iter(parameters))):
        query(a_pool()[0], 1, **parameters)
