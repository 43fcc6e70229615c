"""What a trained model predicts and decides, and its bytes."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from labelqueue.exceptions import CacheError
from labelqueue.learning.model import Model


def model(c=3, d=4, *, multi=False, seed=0, size=1.0) -> Model:
    random = np.random.default_rng(seed)
    return Model(
        classes=tuple(f"k{i}" for i in range(c)),
        multi=multi,
        mean=random.normal(size=d).astype(np.float32),
        scale=random.uniform(0.5, 2, size=d).astype(np.float32),
        weights=(size * random.normal(size=(c, d))).astype(np.float32),
        bias=random.normal(size=c).astype(np.float32),
        regularization=0.3,
        labels=12,
        searched_at=10,
        fingerprint="f00d",
        accuracy=0.75,
        shares=random.uniform(0.05, 0.95, size=c).astype(np.float32),
    )


@given(st.integers(1, 6), st.integers(1, 5), st.booleans(), st.integers(0, 99))
def test_bytes_come_back_as_the_same_model(c, d, multi, seed):
    before = model(c, d, multi=multi, seed=seed)
    after = Model.from_bytes(before.to_bytes())
    assert after.to_bytes() == before.to_bytes()
    x = np.random.default_rng(seed).normal(size=(5, d)).astype(np.float32)
    assert (after.predict(x) == before.predict(x)).all()
    assert (after.in_proportion(after.predict(x)) == before.in_proportion(before.predict(x))).all()
    for name in ("classes", "multi", "regularization", "labels", "searched_at", "fingerprint", "accuracy"):
        assert getattr(after, name) == getattr(before, name)


@given(st.integers(1, 6), st.integers(0, 99), st.booleans())
def test_in_proportion_to_equal_shares_nothing_changes_and_to_a_larger_one_a_class_gains(c, seed, multi):
    one = model(c, seed=seed, multi=multi)
    said = one.predict(np.random.default_rng(seed).normal(size=(7, 4)))
    equal = np.full(c, 0.5, np.float32)
    np.testing.assert_allclose(replace(one, shares=equal).in_proportion(said), said, rtol=1e-4, atol=1e-6)
    assert replace(one, shares=None).in_proportion(said) is said
    more = equal.copy()
    more[0] = 0.8
    often = replace(one, shares=more).in_proportion(said)
    assert (often[:, 0] >= said[:, 0] - 1e-6).all() and ((often >= 0) & (often <= 1)).all()
    if not multi:
        np.testing.assert_allclose(often.sum(axis=1), 1, rtol=1e-5)


@given(st.integers(2, 6), st.integers(0, 99), st.sampled_from([1e-3, 1.0, 1e4]))
def test_chances_of_a_single_choice_sum_to_one(c, seed, size):
    chances = model(c, seed=seed, size=size).predict(np.random.default_rng(seed).normal(size=(7, 4)))
    assert chances.dtype == np.float32
    assert chances.shape == (7, c)
    assert (chances >= 0).all()
    np.testing.assert_allclose(chances.sum(axis=1), 1, rtol=1e-5)


def test_chances_are_those_of_the_formula():
    one = model()
    x = np.random.default_rng(1).normal(size=(6, 4)).astype(np.float32)
    logits = ((x - one.mean) / one.scale).astype(np.float64) @ one.weights.T + one.bias
    np.testing.assert_allclose(
        one.predict(x), np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), rtol=1e-5, atol=1e-7
    )
    several = replace(one, multi=True)
    np.testing.assert_allclose(several.predict(x), 1 / (1 + np.exp(-logits)), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("multi", [False, True])
def test_huge_logits_do_not_overflow(multi):
    chances = model(multi=multi, size=1e6).predict(np.full((2, 4), 1e6))
    assert np.isfinite(chances).all()


def test_no_rows_give_no_rows():
    assert model().predict(np.empty((0, 4))).shape == (0, 3)
    assert model().decide(np.empty((0, 3))) == []


def test_the_likeliest_class_is_decided_and_the_earlier_of_two_equals():
    assert model().decide([[0.2, 0.5, 0.3], [0.4, 0.4, 0.2]]) == ["k1", "k0"]


def test_labels_above_one_half_are_decided_sorted():
    several = replace(model(multi=True), classes=("zebra", "ape", "cat"))
    assert several.decide([[0.9, 0.8, 0.5], [0.1, 0.2, 0.3]]) == [("ape", "zebra"), ()]


def test_embeddings_of_another_length_are_refused():
    with pytest.raises(CacheError, match=r"\(2, 5\).*4 numbers.*train again"):
        model().predict(np.zeros((2, 5)))


@pytest.mark.parametrize(
    "change",
    [
        {"bias": np.zeros(2, np.float32)},
        {"weights": np.zeros((3, 4))},
        {"scale": np.array([1, 0, 1, 1], np.float32)},
        {"mean": np.array([0, np.nan, 0, 0], np.float32)},
    ],
)
def test_arrays_that_do_not_fit_are_refused(change):
    with pytest.raises(CacheError, match=next(iter(change))):
        replace(model(), **change)


@pytest.mark.parametrize(
    "data", [b"", b"no safetensors at all", model().to_bytes()[:-1], save({"mean": np.zeros(2, np.float32)})]
)
def test_other_bytes_are_refused(data):
    with pytest.raises(CacheError, match="model"):
        Model.from_bytes(data)
