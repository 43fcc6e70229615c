"""The gate: what the latest predictions are worth against a constant answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelqueue.learning.trust import Trust, measure_trust

NAMES = ("cat", "dog", "owl", "fox")
single = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), max_size=60)
subsets = st.sets(st.sampled_from(NAMES)).map(lambda names: tuple(sorted(names)))
several = st.lists(st.tuples(subsets, subsets), max_size=40)


def of(pairs, multi=False) -> Trust:
    return measure_trust([said for said, _ in pairs], [came for _, came in pairs], classes=NAMES, multi=multi)


@given(single)
def test_trust_in_a_class_stays_within_bounds(pairs):
    assert -1 <= of(pairs).value <= 1
    assert 0 <= of(pairs).balanced_accuracy <= 1


@given(several)
def test_trust_in_several_labels_stays_within_bounds(pairs):
    assert -1 <= of(pairs, multi=True).value <= 1


@given(st.lists(st.sampled_from(NAMES), min_size=20, max_size=60), st.sampled_from(NAMES))
def test_a_constant_answer_earns_nothing(came, said):
    assert of([(said, each) for each in came]).value <= 1e-9


@given(st.lists(subsets, min_size=20, max_size=40), subsets)
def test_a_constant_answer_of_several_labels_earns_nothing(came, said):
    assert of([(said, each) for each in came], multi=True).value == pytest.approx(0)


@given(st.lists(st.sampled_from(NAMES), min_size=20, max_size=60).filter(lambda came: len(set(came[-20:])) > 1))
def test_no_error_earns_everything(came):
    assert of([(each, each) for each in came]).value == pytest.approx(1)


def test_the_formula():
    # recalls 3/4 and 6/16: a = 0.5625, against one half
    pairs = [("cat", "cat")] * 3 + [("dog", "cat")] + [("dog", "dog")] * 6 + [("cat", "dog")] * 10
    found = of(pairs)
    assert found.balanced_accuracy == pytest.approx(0.5625)
    assert found.value == pytest.approx(0.125)
    assert found.count == 20


def test_only_the_latest_pairs_count():
    good = [("cat", "cat"), ("dog", "dog")]
    assert of([("cat", "dog"), ("dog", "cat")] * 50 + good * 10).value == pytest.approx(1)


def test_many_classes_need_more_pairs():
    names = [f"k{i}" for i in range(15)]
    pairs = [(name, name) for name in names] * 2
    assert measure_trust(*zip(*pairs[:29], strict=True), classes=names, multi=False).value == 0
    assert measure_trust(*zip(*pairs, strict=True), classes=names, multi=False) == Trust(1.0, 1.0, 30)


@pytest.mark.parametrize("pairs", [[], [("cat", "cat"), ("dog", "dog")] * 9, [("cat", "cat")] * 40])
def test_too_few_pairs_or_one_class_earn_nothing(pairs):
    assert of(pairs).value == 0


def test_the_commoner_class_alone_does_not_pass_the_gate():
    # Four classes were seen; the window shows two of them, and always saying "cat" is right nine times in ten.
    pairs = [(name, name) for name in NAMES] + [("cat", "cat")] * 18 + [("cat", "dog")] * 2
    assert of(pairs).value == pytest.approx(0)


def test_labels_with_one_value_say_nothing():
    # "cat" is right every time and comes both ways; "dog" is always there, the others never.
    pairs = [(("cat",), ("cat", "dog")), ((), ("dog",))] * 10
    assert of(pairs, multi=True) == Trust(1.0, 1.0, 20)
    assert of([(("cat",), ("dog",))] * 30, multi=True) == Trust(0.0, 0.0, 20)


def test_every_label_comes_with_a_prediction():
    with pytest.raises(ValueError, match="longer"):
        measure_trust(["cat"], ["cat", "dog"], classes=NAMES, multi=False)
