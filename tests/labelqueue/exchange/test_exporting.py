"""What serves, written to a table."""

import pytest

from labelqueue.exceptions import CacheError, TableError
from labelqueue.exchange.exporting import export
from labelqueue.state import PatternCache


def test_before_anything_is_embedded_it_says_so(project, tmp_path):
    pytest.importorskip("pyarrow")
    for generation in ("", "ab" * 16):
        project.set(generation=generation)
        with pytest.raises(TableError, match="no image of project 7 is embedded yet"):
            export(project, tmp_path / "spool", tmp_path / "v.parquet", show=False)
    assert not (tmp_path / "v.parquet").exists()


def test_a_block_that_goes_meanwhile(project, tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    project.set(generation="ab" * 16)
    monkeypatch.setattr(PatternCache, "blocks", lambda self: {"00000001": "no such digest"})
    with pytest.raises(CacheError, match="nothing was written: try again"):
        export(project, tmp_path / "spool", tmp_path / "v.parquet", show=False)
