"""Near-duplicates: who stands for whom, whatever the sequence, and never across known labels."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poolselect.duplicates import BITS, COSINE, SAME_BITS, SAME_COSINE, near_duplicates


def near(embeddings, hashes, one, other):
    a, b = embeddings[one].astype(np.float32), embeddings[other].astype(np.float32)
    cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    bits = int(hashes[one] ^ hashes[other]).bit_count()
    return bits <= BITS and cosine >= (SAME_COSINE if bits <= SAME_BITS else COSINE) - 1e-6


def scenes(count, frames, seed=0, width=16, flips=2, noise=0.04):
    """Vectors and hashes of scenes whose frames are alike, mixed."""
    rng = np.random.default_rng(seed)
    of = rng.permutation(np.repeat(np.arange(count), frames))
    vectors = rng.normal(size=(count, width))[of] + noise * rng.normal(size=(of.size, width))
    hashes = rng.integers(1, 2**63, size=count, dtype=np.uint64)[of]
    for _ in range(flips):
        hashes ^= np.uint64(1) << rng.integers(0, 63, size=of.size, dtype=np.uint64)
    return vectors.astype(np.float16), hashes, of


def unlabeled(n):
    return np.full(n, -1, dtype=np.int64)


def test_one_of_each_scene_leads_and_it_is_the_first():
    vectors, hashes, of = scenes(60, 12)
    leaders = near_duplicates(vectors, hashes, unlabeled(of.size))
    first = {scene: row for row, scene in reversed(list(enumerate(of.tolist())))}
    assert [row for row, leader in enumerate(leaders.tolist()) if leader < 0] == sorted(first.values())
    assert all(leader == first[of[row]] for row, leader in enumerate(leaders.tolist()) if leader >= 0)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 12), st.integers(1, 30), st.integers(0, 5), st.floats(0, 0.3))
def test_every_follower_is_near_its_leader_who_follows_nobody(seed, count, frames, flips, noise):
    vectors, hashes, of = scenes(count, frames, seed, flips=flips, noise=noise)
    rng = np.random.default_rng(seed)
    labels = np.where(rng.random(of.size) < 0.1, rng.integers(0, 2, of.size), -1)
    skipped = rng.random(of.size) < 0.1
    leaders = near_duplicates(vectors, hashes, labels, left_out=skipped)
    for row, leader in enumerate(leaders.tolist()):
        if leader >= 0:
            assert leaders[leader] < 0 and near(vectors, hashes, row, leader) and not skipped[[row, leader]].any()
    for leader in set(leaders[leaders >= 0].tolist()):
        group = [leader, *np.flatnonzero(leaders == leader).tolist()]
        assert len({int(labels[row]) for row in group} - {-1}) < 2
        if (labels[group] >= 0).any():
            assert labels[leader] >= 0, "one that is labeled leads"
        else:
            assert leader == min(group)
    # Nobody is left alone beside a leader of a small pool whom nothing speaks against.
    if of.size <= 16 and (labels < 0).all():
        free = np.flatnonzero((leaders < 0) & ~skipped)
        assert not any(near(vectors, hashes, a, b) for a in free for b in free if a < b)


def test_a_slow_pan_is_not_one_group():
    angles = np.linspace(0, np.pi / 2, 60)
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    leaders = near_duplicates(vectors, np.full(60, 5, np.uint64), unlabeled(60))
    assert 4 <= (leaders < 0).sum() <= 12
    assert all(
        near(vectors, np.full(60, 5, np.uint64), row, leader) for row, leader in enumerate(leaders) if leader >= 0
    )


def test_both_have_to_agree_and_a_missing_hash_agrees_with_none():
    same, far = np.ones((2, 4), np.float16), np.array([[1, 0], [0, 1]], np.float16)
    close, apart = np.array([2**40, 2**40 + 127], np.uint64), np.array([2**40, 2**40 + 255], np.uint64)
    for vectors, hashes, leader in [(same, close, 0), (same, apart, -1), (far, close, -1), (same, close * 0, -1)]:
        assert near_duplicates(vectors, hashes, unlabeled(2)).tolist() == [-1, leader]
    other = np.array([[1, 0], [0.95, 0.3122]], np.float16)  # cosine 0.95: enough for hashes as good as equal
    assert near_duplicates(other, np.array([8, 9], np.uint64), unlabeled(2)).tolist() == [-1, 0]
    assert near_duplicates(other, np.array([8, 11], np.uint64), unlabeled(2)).tolist() == [-1, -1]
    assert near_duplicates(same[:0], close[:0], unlabeled(0)).size == 0
    assert near_duplicates(same[:1], close[:1], unlabeled(1)).tolist() == [-1]


def test_a_labeled_one_leads_and_labels_that_differ_end_a_group():
    vectors, hashes = np.ones((4, 3), np.float16), np.full(4, 3, np.uint64)
    assert near_duplicates(vectors, hashes, np.array([-1, -1, 7, -1])).tolist() == [2, 2, -1, 2]
    assert near_duplicates(vectors, hashes, np.array([-1, 7, 7, -1])).tolist() == [1, -1, 1, 1]
    assert near_duplicates(vectors, hashes, np.array([-1, 6, 7, -1])).tolist() == [-1] * 4
    annotated = np.array([False, False, False, True])  # without a label that counts
    assert near_duplicates(vectors, hashes, unlabeled(4), leading=annotated).tolist() == [3, 3, 3, -1]
    skipped = np.array([True, False, False, False])
    assert near_duplicates(vectors, hashes, unlabeled(4), left_out=skipped).tolist() == [-1, -1, 1, 1]


@pytest.mark.parametrize("kind", ["all differ", "video", "black frames", "alike in their hash alone"])
def test_time_grows_with_the_rows_and_not_with_their_square(kind):
    """20,000 rows: all pairs would be 200 million."""
    n, rng = 20_000, np.random.default_rng(0)
    vectors, hashes, _ = scenes(n // 100 if kind == "video" else n, 100 if kind == "video" else 1, width=32)
    if kind in ("black frames", "alike in their hash alone"):
        hashes = np.full(n, 9, np.uint64)
    if kind == "black frames":
        vectors = (np.ones((n, 32)) + 0.01 * rng.normal(size=(n, 32))).astype(np.float16)
    began = time.process_time()
    leaders = near_duplicates(vectors, hashes, unlabeled(n))
    assert time.process_time() - began < 20
    alone = {"all differ": n, "video": n // 100, "black frames": 1, "alike in their hash alone": n}
    assert (leaders < 0).sum() == alone[kind]
