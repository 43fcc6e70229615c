"""Training: right on easy data, robust on hardly any, the same every time."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelqueue.learning.learner import train, training_fingerprint
from labelqueue.learning.model import Model

NAMES = ("cat", "dog", "owl")


def images(n, *, d=16, c=3, noise=1.0, seed=0):
    """Embeddings around one center per class, and their classes."""
    random = np.random.default_rng(seed)
    centers = np.random.default_rng(99).normal(size=(c, d)) * 2
    which = random.integers(c, size=n)
    names = NAMES if c == 3 else tuple(f"k{i:02}" for i in range(c))
    return (centers[which] + noise * random.normal(size=(n, d))).astype(np.float32), [names[k] for k in which]


def fit(x, values, *, classes=NAMES, multi=False, seed=0, previous=None) -> Model | None:
    return train(x, values, classes=classes, multi=multi, seed=seed, fingerprint="f", previous=previous)


def share_right(model, x, values) -> float:
    decided = model.decide(model.predict(x))
    return sum(a == b for a, b in zip(decided, values, strict=True)) / len(values)


@pytest.mark.parametrize("n", [10, 100])
def test_easy_classes_are_learned(n):
    model = fit(*images(n))
    assert model.classes == NAMES
    assert share_right(model, *images(500, seed=1)) > 0.95
    assert (model.labels, model.fingerprint) == (n, "f")


def test_chances_can_be_believed():
    model = fit(*images(300, noise=4))
    x, values = images(3000, noise=4, seed=1)
    chances = model.predict(x)
    assert chances.max(axis=1).mean() == pytest.approx(share_right(model, x, values), abs=0.05)


def test_a_features_variance_is_shrunk_towards_the_mean_as_if_that_were_seen_in_a_hundred_rows_more():
    x = np.array([[3, 1, 7], [-3, -1, 7], [3, -1, 7], [-3, 1, 7]], np.float32)
    model = fit(x, ["cat", "dog", "cat", "dog"])
    # Variances 9, 1 and 0 in 4 rows, their mean 10/3 in 100 rows: (36 + 1000/3) / 104, (4 + 1000/3) / 104, 1000/3 / 104
    np.testing.assert_allclose(model.scale, [1.884485, 1.800997, 1.790287], rtol=1e-6)
    np.testing.assert_array_equal(model.mean, [0, 0, 7])
    many = fit(np.tile(x, (100, 1)), ["cat", "dog", "cat", "dog"] * 100)
    # 400 rows outweigh the hundred: (3600 + 1000/3) / 500, (400 + 1000/3) / 500, 1000/3 / 500
    np.testing.assert_allclose(many.scale, [2.804758, 1.211060, 0.816497], rtol=1e-6)


def test_two_labels_are_enough():
    x = np.array([[0, 0, 1], [1, 0, 1]], np.float32)
    model = fit(x, ["dog", "cat"])
    assert model.classes == ("cat", "dog")
    assert model.decide(model.predict(x)) == ["dog", "cat"]


def test_one_class_teaches_nothing():
    assert fit(images(5)[0], ["cat"] * 5) is None
    assert fit(np.empty((0, 4), np.float32), []) is None
    assert fit(images(5)[0], [("cat",)] * 5, multi=True) is None


def test_classes_never_seen_are_not_predicted():
    x, values = images(40)
    assert fit(x, values, classes=("emu", *NAMES, "yak")).classes == NAMES


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(NAMES), min_size=2, max_size=14)
    | st.lists(st.sampled_from(NAMES), max_size=5).map(lambda few: [*few, *["cat", "dog"] * 20]),
    st.integers(1, 6),
    st.sampled_from(["normal", "constant", "duplicate", "huge"]),
    st.integers(-(2**70), 2**70),
)
def test_any_labels_can_be_learned(values, d, kind, seed):
    x = np.random.default_rng(0).normal(size=(len(values), d)).astype(np.float32)
    if kind == "constant":
        x[:, 0] = 7
    elif kind == "duplicate":
        x[:] = x[0]
    elif kind == "huge":
        x *= 1e6
    model = fit(x, values, seed=seed)
    if len(set(values)) == 1:
        assert model is None
    else:
        np.testing.assert_allclose(model.predict(x).sum(axis=1), 1, rtol=1e-5)


def test_identical_images_with_different_labels_say_that_classes_weigh_equally_and_how_frequent_they_are():
    model = fit(np.ones((8, 4), np.float32), ["cat"] * 6 + ["dog"] * 2)
    said = model.predict(np.ones((1, 4)))
    np.testing.assert_allclose(said, [[0.5, 0.5]], atol=1e-3)
    np.testing.assert_allclose(model.shares, [0.7, 0.3])  # 6 + 1 and 2 + 1 of 8 + 2
    roots = np.sqrt([0.7, 0.3])
    np.testing.assert_allclose(model.in_proportion(said), [roots / roots.sum()], atol=1e-3)


@pytest.mark.parametrize("multi", [False, True])
def test_a_rare_class_is_decided_for_as_readily_as_a_common_one(multi):
    x, values = images(2000, c=2, noise=4)
    rare = [place for place, value in enumerate(values) if value == "k01"]
    rows = [place for place, value in enumerate(values) if value == "k00"] + rare[: len(rare) // 40]
    names = ("k00", "k01")
    given = [(values[row],) if multi else values[row] for row in rows]
    model = train(x[rows], given, classes=names, multi=multi, seed=0, fingerprint="f")
    fresh, actual = images(2000, c=2, noise=4, seed=1)
    decided = [value[-1] if multi and value else value for value in model.decide(model.predict(fresh))]
    recalls = [np.mean([d == name for d, a in zip(decided, actual, strict=True) if a == name]) for name in names]
    assert min(recalls) > 0.75, recalls


def test_the_search_lets_classes_weigh_equally():
    # Any C tells the common classes apart; the rare one needs a weak penalty, and is outvoted 60 : 4 by rows.
    random = np.random.default_rng(3)
    common = random.normal(size=(60, 40)) + np.repeat([[3.0], [-3.0]], 30, axis=0) * (np.arange(40) == 0)
    odd = common[:4] + 1.2 * (np.arange(40) == 1)
    model = fit(np.vstack([common, odd]).astype(np.float32), ["cat"] * 30 + ["dog"] * 30 + ["owl"] * 4)
    assert model.searched_at == 64 and "owl" in model.classes
    assert model.decide(model.predict(odd)).count("owl") == 4


def test_fifty_classes_some_with_one_label():
    x, values = images(120, c=50, d=64)
    counts = [values.count(name) for name in set(values)]
    assert min(counts) == 1
    model = fit(x, values, classes=[f"k{i:02}" for i in range(50)])
    assert share_right(model, x, values) > 0.95


def several(n, seed=0):
    random = np.random.default_rng(seed)
    present = random.random((n, 2)) < (0.5, 0.2)
    x = (present @ np.random.default_rng(99).normal(size=(2, 16)) * 4 + random.normal(size=(n, 16))).astype(np.float32)
    return x, [tuple(name for name, here in zip(("dog", "cat"), row, strict=True) if here) for row in present]


def test_several_labels_are_learned_each_for_itself():
    x, values = several(150)
    values = [tuple(sorted((*value, "owl"))) for value in values]
    model = fit(x, values, classes=("emu", "dog", "cat", "owl"), multi=True)
    chances = model.predict(x)
    # The rule of succession: "emu" never came, "owl" every time.
    np.testing.assert_allclose(chances[:, 0], 1 / 152, rtol=1e-4)
    np.testing.assert_allclose(chances[:, 3], 151 / 152, rtol=1e-4)
    fresh, wanted = several(500, seed=1)
    assert share_right(model, fresh, [tuple(sorted((*value, "owl"))) for value in wanted]) > 0.95


def test_training_is_the_same_every_time_and_the_order_of_classes_does_not_matter():
    x, values = images(60, noise=3)
    assert fit(x, values).to_bytes() == fit(x.copy(), list(values)).to_bytes()
    other = fit(x, values, classes=("owl", "emu", "dog", "cat"))
    assert other.classes == ("owl", "dog", "cat")
    np.testing.assert_allclose(other.predict(x)[:, ::-1], fit(x, values).predict(x), atol=0.02)


def test_few_labels_in_many_dimensions_give_the_same_model_as_solving_in_all_of_them():
    from sklearn.linear_model import LogisticRegression

    x, values = images(25, d=80, noise=3)
    model = fit(x, values)
    z = (x - model.mean) / model.scale
    whole = LogisticRegression(C=model.regularization, tol=1e-6, max_iter=10_000, class_weight="balanced")
    whole.fit(z, values)
    np.testing.assert_allclose(model.predict(x), whole.predict_proba(z), atol=2e-3)


def test_the_search_begins_at_forty_labels_and_waits_until_they_have_doubled():
    x, values = images(100, noise=3)
    few = fit(x[:39], values[:39])
    assert (few.regularization, few.searched_at) == (0.3, 0)
    assert fit(x[:40], values[:40], previous=few).searched_at == 40
    first = replace(fit(x[:45], values[:45]), regularization=0.123)
    kept = fit(x[:89], values[:89], previous=first)
    assert (kept.regularization, kept.searched_at, kept.labels) == (0.123, 45, 89)
    assert fit(x[:90], values[:90], previous=kept).searched_at == 90
    assert fit(x[:45], values[:45], previous=replace(kept, searched_at=90)).searched_at == 45


def test_one_label_per_class_leaves_nothing_to_search_with():
    x, values = np.eye(50, dtype=np.float32), [f"k{i:02}" for i in range(50)]
    model = fit(x, values, classes=values)
    assert model.regularization == 0.3
    assert model.decide(model.predict(x)) == values


def test_noisy_labels_are_regularized_more_than_clean_ones():
    x, values = images(100)
    shuffled = list(np.random.default_rng(0).permutation(values))
    assert fit(x, shuffled).regularization < fit(x, values).regularization


def test_few_labels_are_never_smothered():
    x, values = images(240)
    shuffled = list(np.random.default_rng(0).permutation(values))
    assert fit(x[:199], shuffled[:199]).regularization == 0.03  # noise asks for the least there is
    assert fit(x, shuffled).regularization < 0.03


def test_the_mapping_of_values_to_a_fingerprint():
    name = training_fingerprint([3, 1], ["cat", ("dog",)], "g")
    assert name == training_fingerprint([1, 3], [("dog",), "cat"], "g")
    others = [([3, 2], ["cat", ("dog",)], "g"), ([3, 1], ["cat", "dog"], "g"), ([3, 1], ["cat", ("dog",)], "h")]
    assert len({name, *(training_fingerprint(*other) for other in others)}) == 4


@pytest.mark.parametrize(
    ("values", "multi", "message"),
    [
        (["cat", "emu"], False, "'emu' is not in the label config"),
        ([("cat", "emu"), ()], True, "'emu' is not in the label config"),
        ([("cat",), ("dog",)], False, "must be the name of one class"),
        (["cat", "dog"], True, "must be a tuple"),
        (["cat"], False, "one row per label"),
    ],
)
def test_labels_that_do_not_fit_are_refused(values, multi, message):
    with pytest.raises(ValueError, match=message):
        fit(np.zeros((2, 3), np.float32), values, multi=multi)


def test_nothing_is_warned_of_on_real_proportions():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x, values = images(400, c=10, d=192, noise=6)
        assert fit(x, values, classes=[f"k{i:02}" for i in range(10)]).labels == 400
