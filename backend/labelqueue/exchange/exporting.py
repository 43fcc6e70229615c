"""A project's embeddings, written to a table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ..exceptions import CacheError, TableError
from ..progress import Progress
from ..state import PatternCache, Project
from .addresses import shown_address
from .stored import blocks, newest, sources_now
from .table import TableWriter

__all__ = ["export"]


def export(project: Project, spool: Path, path: Path, *, show: bool = True) -> dict[str, Any]:
    """Write the embeddings that serve; what is embedded meanwhile may be left out.

    Parameters
    ----------
    project : Project
    spool : Path
        Folder of local copies of embeddings.
    path : Path
        The file to write.
    show : bool, default True
        Whether to show progress on standard error.

    Returns
    -------
    dict
        What is in it, ready for JSON.

    Raises
    ------
    TableError
        If nothing is embedded yet, or the file cannot be written.
    CacheError
        If the stored vectors are damaged, or were written anew meanwhile.
    """
    generation, number = project.get("generation"), project.ref.id
    cache = PatternCache(project, generation, spool)
    rows = project.tasks()
    try:
        at = newest(cache, sources_now(project)) if generation else {}
        if not at:
            raise TableError(f"no image of project {number} is embedded yet: `labelqueue status {number}` says why")
        several = any((np.diff(block.offsets) != 1).any() or _differ(block) for _, block in blocks(cache))
        note = {"project": number, "generation": generation, "embedder": json.loads(project.get("embedder") or "null")}
        dimension = 0
        with (
            Progress(len(at), "vectors", enabled=show) as bar,
            TableWriter(path, patterns=several, note=note) as writer,
        ):
            for name, block in blocks(cache):
                ids = block.ids.tolist()
                mine = block.take([row for row, task in enumerate(ids) if at.get(task) == (name, row)])
                files = [shown_address(rows[task].uri) for task in mine.ids.tolist()]
                if len(mine):
                    writer.write(mine.ids, files, mine.embeddings, mine.patterns, mine.offsets)
                    dimension = mine.embeddings.shape[1]
                bar.add(len(mine))
    except CacheError as error:
        raise CacheError(f"{error}; nothing was written: try again") from error
    return {
        "project": number,
        "title": project.get("title"),
        "file": str(path),
        "bytes": path.stat().st_size,
        "vectors": len(at),
        "tasks": len(rows),
        "dimension": dimension,
        "patterns": several,
        "generation": generation,
    }


def _differ(block: Any) -> bool:
    return not np.array_equal(block.patterns, block.embeddings)
