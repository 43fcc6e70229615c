"""The pieces that lines for people are made of."""

import re

import pytest

from labelqueue.admin.lines import fact, moment, shown


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "auto"), ("bal", "bal"), ("", '""'), (3, "3"), (0.5, "0.5"), (True, "true"), ({"a": 1}, '{"a": 1}')],
)
def test_values_are_shown_as_people_write_them(value, text):
    assert shown(value) == text


def test_names_stand_in_a_column():
    assert fact("order", "r1") == "  order          r1" and fact("", "more") == "                 more"


def test_a_moment_is_told_to_the_minute():
    assert re.fullmatch(r"2027-01-1[45] \d\d:\d\d", moment(1_800_000_000))
