"""Scores, and an order's form in JSON."""

from hypothesis import given
from hypothesis import strategies as st

from labelqueue.ordering.order import score


@given(st.integers(0, 10**8))
def test_scores_grow_with_the_rank_and_label_studio_takes_them(rank):
    assert 0 < score(rank) < score(rank + 1) < 1
