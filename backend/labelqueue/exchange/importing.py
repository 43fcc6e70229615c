"""Vectors of a site's own model, read from a table and made a project's embeddings."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..allowed import IMPORTED
from ..block import Block
from ..exceptions import TableError
from ..jobs import imported_vectors, request_tend
from ..progress import Progress
from ..state import PatternCache, Project
from .addresses import Addresses
from .stored import blocks, digest_of, sources_now
from .table import Rows, TableReader

__all__ = ["bring"]

FEW = 5  # of what is left out that are named


@dataclass
class _Scan:
    """What a file holds for a project.

    Attributes
    ----------
    digests : dict of int to bytes
        Of each task's vectors.
    rows : dict of int to int
        Where each task's stand, from 0.
    left : list of str
        The first rows that are left out, each with its reason.
    left_out, dimension : int
    """

    digests: dict[int, bytes] = field(default_factory=dict)
    rows: dict[int, int] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    left_out: int = 0
    dimension: int = 0


def bring(project: Project, spool: Path, path: Path, name: str, *, show: bool = True) -> dict[str, Any]:
    """Make the vectors of a file the embeddings of a project, or add them to those that came under the same name.

    The file is read twice, some rows at a time. Vectors of one name are of one model: those that differ from what is
    here under it begin a generation of their own, from the file alone, which then has to have all that are here.

    Parameters
    ----------
    project : Project
        Its setting `embedder` is ``imported NAME`` afterwards.
    spool : Path
        Folder of local copies of embeddings.
    path : Path
        See `TableReader`.
    name : str
        What the site calls its model.
    show : bool, default True
        Whether to show progress on standard error.

    Returns
    -------
    dict
        What became of the rows, ready for JSON.

    Raises
    ------
    TableError
        If the file cannot be used; nothing was changed.
    """
    rows, sources = project.tasks(), sources_now(project)
    addresses, model = Addresses(rows), f"{IMPORTED}{name}"
    with TableReader(path) as table, Progress(2 * table.count, "rows", enabled=show) as bar:
        found = _scan(table, addresses, path, bar)
        if not found.digests:
            raise TableError(
                f"{path}: none of its {table.count:,} rows is for project {project.ref.id}"
                + "".join(f"; {line}" for line in found.left)
            )
        before, dimension = _imported(project, model)
        held = _held(PatternCache(project, before, spool), sources) if before else {}
        differ = (
            len(held)
            if found.dimension != dimension
            else sum(held[task] != digest for task, digest in found.digests.items() if task in held)
        )
        begins = not held or bool(differ)
        if differ and (gone := len(held.keys() - found.digests.keys())):
            raise TableError(
                f"{path}: {differ:,} vectors differ from those that are here under the name {name!r}, so they are of "
                f"another model, and {gone:,} tasks that have one there have none in the file. Give all of them, or "
                "another --name; nothing was changed"
            )
        with path.open("rb") as stream:
            file = hashlib.file_digest(stream, "sha256").hexdigest()
        generation = _generation(model, file) if begins else before
        new = found.digests.keys() - (held.keys() if not begins else set())
        cache = PatternCache(project, generation, spool)
        if begins:
            _clear(project, cache, spool, keep={project.get("generation"), before})
            project.set(import_building=generation)
        for block in _blocks(table, addresses, found, new, sources, path, bar):
            cache.put(block)
            project.changes.drop("quarantine", project.name("quarantine"), map(str, block.ids.tolist()))
    if begins:
        _begin(project, cache, {"model": model, "file": file, "dimension": found.dimension}, new)
    else:
        project.count("arrivals", len(new))
    if project.settings()["embedder"] != model:
        project.put_settings({"embedder": model}, "embeddings import")
    request_tend(project)
    have = held.keys() | new if not begins else new
    return {
        "project": project.ref.id,
        "title": project.get("title"),
        "name": name,
        "file": str(path),
        "rows": table.count,
        "dimension": found.dimension,
        "stored": len(new),
        "here": len(found.digests) - len(new),
        "tasks": len(rows),
        "without_vector": len(rows) - len(have),
        "left_out": {"count": found.left_out, "first": found.left},
        "generation": generation,
        "anew": begins,
    }


def _meant(
    part: Rows, addresses: Addresses
) -> Iterator[tuple[int, list[int], str, np.ndarray[Any, np.dtype[np.float16]] | str, Any]]:
    """Yield each row: its place, the tasks that it is for or why it is for none, vector and patterns."""
    columns = zip(part.tasks, part.files, part.vectors, part.patterns, strict=True)
    for row, (task, file, vector, patterns) in enumerate(columns, part.start):
        tasks, why = addresses.find(task, file)
        yield row, tasks, why or (vector if isinstance(vector, str) else ""), vector, patterns


def _scan(table: TableReader, addresses: Addresses, path: Path, bar: Progress) -> _Scan:
    """Read a file through and find what is wrong with it before anything is stored."""
    found = _Scan()
    for part in table.rows():
        for row, tasks, why, vector, patterns in _meant(part, addresses):
            if why or isinstance(vector, str):
                found.left_out += 1
                if len(found.left) < FEW:
                    found.left.append(f"row {row + 1:,}: {why}")
                continue
            digest, found.dimension = digest_of(vector, patterns), vector.size
            for task in tasks:
                if found.digests.setdefault(task, digest) != digest:
                    raise TableError(
                        f"{path}: rows {found.rows[task] + 1:,} and {row + 1:,} have different vectors for task "
                        f"{task}: leave one of them out; nothing was changed"
                    )
                found.rows.setdefault(task, row)
        bar.add(len(part.vectors))
    return found


def _blocks(
    table: TableReader,
    addresses: Addresses,
    found: _Scan,
    new: set[int],
    sources: dict[int, int],
    path: Path,
    bar: Progress,
) -> Iterator[Block]:
    """Yield the rows of the tasks that are new, as they are stored."""
    for part in table.rows():
        taken: list[tuple[int, Any, Any]] = []
        for row, tasks, _, vector, patterns in _meant(part, addresses):
            for task in tasks:
                if task not in new or found.rows.get(task) != row:
                    continue
                if isinstance(vector, str) or digest_of(vector, patterns) != found.digests[task]:
                    raise TableError(f"{path} changed while it was read: import it again")
                taken.append((task, vector, patterns))
        if taken:
            ids = np.array([task for task, _, _ in taken], dtype=np.int64)
            yield Block(
                ids=ids,
                sources=np.array([sources[task] for task in ids.tolist()], dtype=np.uint64),
                embeddings=np.stack([vector for _, vector, _ in taken]),
                patterns=np.concatenate([patterns for _, _, patterns in taken]),
                offsets=np.cumsum([0, *(len(patterns) for _, _, patterns in taken)]).astype(np.int64),
            )
        bar.add(len(part.vectors))


def _imported(project: Project, model: str) -> tuple[str, int]:
    """Return the generation that is here under a name, and the length of its vectors; empty when none is."""
    there = imported_vectors(project)
    return (there["generation"], there["dimension"]) if there.get("model") == model else ("", 0)


def _held(cache: PatternCache, sources: dict[int, int]) -> dict[int, bytes]:
    """Return the digests of the vectors that are here, of images that tasks still have."""
    here = cache.rows()
    found = {}
    for _, block in blocks(cache):
        for row, (task, source) in enumerate(zip(block.ids.tolist(), block.sources.tolist(), strict=True)):
            if sources.get(task) == source == here.get(task):
                patterns = block.patterns[block.offsets[row] : block.offsets[row + 1]]
                found[task] = digest_of(block.embeddings[row], patterns)
    return found


def _generation(model: str, file: str) -> str:
    everything = json.dumps([model, file, time.time()])
    return hashlib.sha256(everything.encode()).hexdigest()[:32]


def _clear(project: Project, cache: PatternCache, spool: Path, keep: set[str]) -> None:
    """Remove what an import left that did not come to its end."""
    unfinished = project.get("import_building")
    if unfinished and unfinished not in keep:
        PatternCache(project, unfinished, spool).delete()


def _begin(project: Project, cache: PatternCache, what: Mapping[str, Any], tasks: set[int]) -> None:
    """Let a generation that is whole take the place of what was imported before; the next look makes it serve."""
    if tasks - cache.rows().keys():
        raise TableError("what was stored was removed meanwhile, perhaps by another import: import the file again")
    project.set(imported=json.dumps({**what, "generation": cache.generation}), import_building="")
