"""Mapped float16 rows: float32 wherever they are read, and the file's pages are let go."""

import numpy as np
import pytest

from poolselect import half_rows
from poolselect.half_rows import HalfRows
from poolselect.pool import Pool


@pytest.fixture
def rows(tmp_path):
    values = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float16)
    np.save(tmp_path / "rows.npy", values)
    return HalfRows.open(tmp_path / "rows.npy"), values.astype(np.float32)


@pytest.mark.parametrize("index", [slice(3, 9), slice(None), np.array([5, 1, 5]), 7, (slice(2, 4), 1), [0, 1]])
def test_every_piece_is_float32(rows, index):
    mapped, values = rows
    piece = mapped[index]
    assert piece.dtype == np.float32 and type(piece) is not HalfRows
    assert (piece == values[index]).all()


def test_the_whole_is_never_computed_with_in_half_precision(rows):
    mapped, values = rows
    for found, wanted in (
        (mapped * 2, values * 2),
        (np.linalg.norm(mapped, axis=1), np.linalg.norm(values, axis=1)),
        (mapped @ values.T, values @ values.T),
        (np.einsum("ij,ij->i", mapped, mapped), np.einsum("ij,ij->i", values, values)),
        (np.concatenate([mapped, values]), np.concatenate([values, values])),
        (mapped.sum(axis=0), values.sum(axis=0)),
        (mapped.mean(axis=0), values.mean(axis=0)),
        (mapped.astype(np.float32), values),
    ):
        assert found.dtype == np.float32 and np.array_equal(found, wanted)


def test_a_pool_takes_it_as_it_is_and_its_parts_are_arrays(rows):
    mapped, values = rows
    pool = Pool(np.arange(50), mapped)
    assert type(pool.embeddings) is HalfRows and pool.embeddings is pool.patterns
    part = pool.take([4, 2])
    assert part.embeddings.dtype == np.float32 and (part.embeddings == values[[4, 2]]).all()
    with pytest.raises(ValueError, match="cannot set WRITEABLE"):
        pool.embeddings.flags.writeable = True


def test_pages_are_let_go_and_read_again(rows, monkeypatch):
    mapped, values = rows
    calls = []
    monkeypatch.setattr(half_rows, "_HELD", 100)
    real = HalfRows._let_go
    monkeypatch.setattr(HalfRows, "_let_go", lambda self: calls.append(1) or real(self))
    view = mapped.view()
    for _ in range(3):
        assert (view[:30] == values[:30]).all() and (view[np.array([1, 40])] == values[[1, 40]]).all()
    assert len(calls) == 6


def test_other_files_are_refused(tmp_path):
    np.save(tmp_path / "rows.npy", np.zeros((3, 2), np.float32))
    with pytest.raises(ValueError, match="must be float16"):
        HalfRows.open(tmp_path / "rows.npy")
