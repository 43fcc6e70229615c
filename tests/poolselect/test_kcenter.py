"""k-center greedy against its definition."""

from __future__ import annotations

import numpy as np
import pytest

from poolselect import FreeSel, KCenterGreedy, Pool


def test_is_the_definition():
    rng = np.random.default_rng(0)
    embeddings = rng.standard_normal((120, 4))
    selected = np.arange(120) < 5
    found = KCenterGreedy().query(Pool(np.arange(120), embeddings, selected=selected), batch_size=60)
    chosen = list(range(5))
    for row, utility in zip(found.indices, found.utilities, strict=True):
        gaps = np.linalg.norm(embeddings[:, None] - embeddings[chosen][None], axis=2).min(axis=1)
        assert row == gaps.argmax() and utility == pytest.approx(gaps.max(), rel=1e-4)
        chosen.append(int(row))


def test_looks_at_embeddings_not_at_patterns():
    pool = {"ids": [1, 2, 3], "embeddings": [[0.0], [1.0], [5.0]], "labels": [0, -1, -1]}
    patterned = Pool(**pool, patterns=[[0.0, 0.0], [9.0, 9.0], [0.0, 1.0]], offsets=[0, 1, 2, 3])
    assert KCenterGreedy().query(patterned, batch_size=2).indices.tolist() == [2, 1]
    by_patterns = FreeSel(sampling="farthest", metric="euclidean").query(patterned, batch_size=2)
    assert by_patterns.indices.tolist() == [1, 2]


def test_the_seed_decides_the_first_row_alone():
    pool = Pool(np.arange(50), np.random.default_rng(0).standard_normal((50, 3)))
    orders = [KCenterGreedy(random_state=seed).query(pool, batch_size=3) for seed in range(30)]
    assert len({int(found.indices[0]) for found in orders}) > 10
    labeled = Pool(np.arange(50), pool.embeddings, labels=[0] + 49 * [-1])
    assert len({tuple(KCenterGreedy(random_state=seed).query(labeled, batch_size=9).indices) for seed in range(5)}) == 1
