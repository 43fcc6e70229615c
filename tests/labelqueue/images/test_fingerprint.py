"""A model's card: stored and read again it gives the fingerprint that the model itself gives."""

import json
from dataclasses import replace

import pytest

from labelqueue.images.fingerprint import ModelCard

CARD = ModelCard("bundled", "ab" * 32, 224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 3, 1)
PARAMETERS = {"n_patterns": 5, "attention_ratio": 0.5, "neighborhood": 2}


def test_it_is_the_same_after_it_was_stored():
    again = ModelCard.load(CARD.dump())
    assert again == CARD and again.fingerprint(PARAMETERS) == CARD.fingerprint(PARAMETERS)


def test_what_a_later_version_adds_is_passed_over():
    assert ModelCard.load(json.dumps({**json.loads(CARD.dump()), "more": 1})) == CARD


@pytest.mark.parametrize(
    "change",
    [{"model": "x"}, {"weights": "x"}, {"image_size": 448}, {"mean": (0.5,) * 3}, {"std": (0.5,) * 3},
     {"preprocessing": 4}],
)  # fmt: skip
def test_whatever_shapes_the_numbers_is_in_the_fingerprint(change):
    one = {"n_patterns": 1}
    assert replace(CARD, **change).fingerprint(one) != CARD.fingerprint(one)


def test_the_algorithm_of_patterns_counts_where_there_are_several():
    other = replace(CARD, patterns=2)
    assert other.fingerprint({"n_patterns": 1}) == CARD.fingerprint({"n_patterns": 1})
    assert other.fingerprint(PARAMETERS) != CARD.fingerprint(PARAMETERS)
