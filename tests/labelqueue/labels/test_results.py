"""Answers in the form in which Label Studio stores them."""

import pytest

from labelqueue.labels.label_config import parse_label_config
from labelqueue.labels.results import result_of

CHOICES = '<Choices name="c" toName="i"{}><Choice value="cat"/><Choice value="dog"/></Choices>'
RATING = '<Rating name="c" toName="i" maxRating="5"/>'
NESTED = '<Choices name="c" toName="i" allowNested="true"><Choice value="pet"><Choice value="cat"/></Choice></Choices>'
TREE = '<Taxonomy name="c" toName="i"><Choice value="pet"><Choice value="cat"/></Choice></Taxonomy>'


def target(control):
    return parse_label_config(f'<View><Image name="i" value="$image"/>{control}</View>')


MULTI = target(CHOICES.format(' choice="multiple"'))


@pytest.mark.parametrize(
    ("control", "value", "kind", "content"),
    [
        (CHOICES.format(""), "dog", "choices", ["dog"]),
        (CHOICES.format(' choice="multiple"'), ("cat", "dog"), "choices", ["cat", "dog"]),
        (RATING, "4", "rating", 4),
        (TREE, ("pet > cat",), "taxonomy", [["pet", "cat"]]),
        (NESTED, ("pet > cat",), "choices", [["pet", "cat"]]),
        (CHOICES.format(' allowNested="true"'), "dog", "choices", [["dog"]]),
        (CHOICES.format("").replace("dog", "a &gt; b"), "a > b", "choices", ["a > b"]),
        (TREE.replace("cat", "a &gt; b"), ("pet > a > b",), "taxonomy", [["pet", "a > b"]]),
    ],
)
def test_label_studios_form(control, value, kind, content):
    item = {"from_name": "c", "to_name": "i", "type": kind, "value": {kind: content}}
    assert result_of(value, target(control)) == [item]


@pytest.mark.parametrize("value", [None, ()])
def test_nothing_to_fill_in_leaves_the_form_empty(value):
    assert result_of(value, MULTI) == []
