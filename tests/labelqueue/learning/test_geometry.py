"""Centroids stay as they are until the pool has outgrown them."""

import numpy as np
import pytest

from labelqueue.block import Block
from labelqueue.learning.geometry import Geometry


def block(rows, first=1) -> Block:
    rows = np.asarray(rows, dtype=np.float16)
    ids = np.arange(first, first + len(rows), dtype=np.int64)
    return Block(ids, np.zeros(len(rows), np.uint64), rows, rows, np.arange(len(rows) + 1, dtype=np.int64))


def cloud(n, seed=0, shift=0.0):
    return np.random.default_rng(seed).normal(size=(n, 6)) + shift


OLD = cloud(100)
GEOMETRY = Geometry.fit(block(OLD), 4, seed=0, source="g")


def test_centroids_come_back_bit_by_bit():
    again = Geometry.from_bytes(GEOMETRY.to_bytes())
    np.testing.assert_array_equal(again.centroids, GEOMETRY.centroids)
    assert (again.rows, again.newest, again.distance, again.source) == (100, 100, GEOMETRY.distance, "g")
    assert again.why == "first clusters"
    assert again.digest == GEOMETRY.digest
    assert GEOMETRY.centroids.shape == (5, 4, 6)


@pytest.mark.parametrize(
    ("rows", "k", "source", "words"),
    [
        (OLD, 4, "g", ""),
        (np.vstack([OLD, cloud(30, 1)]), 4, "g", ""),
        (np.vstack([OLD, cloud(30, 1, shift=9.0)]), 4, "g", "30 new tasks lie far"),
        (np.vstack([OLD, cloud(100, 1)]), 4, "g", "grew from 100 to 200"),
        (OLD, 5, "g", "5 clusters are wanted instead of 4"),
        (OLD, 4, "other", "embedded anew"),
    ],
)
def test_why_they_are_fitted_again(rows, k, source, words):
    why = GEOMETRY.outgrown(block(rows), k, source)
    assert why == "" if not words else words in why


def test_few_distinct_images_are_not_fitted_again_and_again():
    same = block(np.ones((20, 6)))
    assert Geometry.fit(same, 4, seed=0, source="g").outgrown(same, 4, "g") == ""
