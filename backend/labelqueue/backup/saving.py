"""Backing up: one moment of a project under its lock, then its embeddings, which nobody waits for."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..exceptions import BackupError, CacheError
from ..progress import Progress
from ..state import (
    PARTS,
    Orders,
    PatternCache,
    Pins,
    Project,
    ProjectLock,
    load_campaign,
    read_columns,
    text,
)
from .archive import CARRIED, Writer, writing
from .contents import (
    CAMPAIGN,
    CURATION,
    FACTS,
    MEMORY_FACTS,
    QUEUE_FACTS,
    SETTINGS,
    TASKS,
    block_name,
    dump_columns,
    rows_name,
)

__all__ = ["back_up", "check_formats", "locked"]

PATIENCE = 300.0  # seconds that a look is waited for
BEAT = 0.2  # seconds between two tries to get the lock
TRIES = 3

Blocks = Mapping[str, Mapping[str, str]]  # generation to its blocks and their checksums


@contextmanager
def locked(project: Project) -> Iterator[ProjectLock]:
    """Hold a project's lock, once the look that goes on has ended.

    Annotators and webhooks do not wait for it; the looks that are asked for meanwhile follow.

    Raises
    ------
    BackupError
        When a worker keeps it for longer than `PATIENCE` seconds.
    """
    end = time.monotonic() + PATIENCE
    while True:
        with ProjectLock(project) as lock:
            if lock.acquired:
                yield lock
                return
        if time.monotonic() > end:
            raise BackupError(
                f"a worker has been tending project {project.ref.id} for over {PATIENCE:.0f} s: try again when it is "
                f"done (`labelqueue status {project.ref.id}` says where it stands); nothing was changed"
            )
        time.sleep(BEAT)


def back_up(project: Project, path: Path, spool: Path, *, show: bool = True) -> dict[str, Any]:
    """Write everything that cannot be had again to a file, while the service goes on.

    Parameters
    ----------
    project : Project
    path : Path
        The file; it is replaced in one step at the end.
    spool : Path
        Folder of local copies of embedded blocks.
    show : bool
        Whether to show how far it came.

    Returns
    -------
    dict
        What is in it.

    Raises
    ------
    BackupError
        When it cannot be written, or what is stored is damaged or of another version.
    """
    check_formats(project)
    for left in reversed(range(TRIES)):
        try:
            with writing(path) as writer:
                told = _write(project, writer, spool, show)
            return told | {"file": str(path), "bytes": path.stat().st_size}
        except CacheError as error:  # the blocks may have been written anew without dead rows meanwhile
            if not left:
                raise BackupError(
                    f"project {project.ref.id} cannot be backed up: {error}; the next look drops embeddings that are "
                    "damaged and makes them anew, then try again"
                ) from error
    raise AssertionError


def check_formats(project: Project) -> None:
    """Raise BackupError when another version wrote a part of a project that this one cannot read."""
    raw = project.get("formats")
    said = json.loads(raw) if raw else {}
    for name in CARRIED:
        theirs, part = said.get(name, PARTS[name].format), PARTS[name]
        if theirs not in (part.format, *part.reads):
            raise BackupError(
                f"the {name} of project {project.ref.id} have format {theirs}, this version reads {part.format}: "
                "use the version of labelqueue that runs there"
            )


def _write(project: Project, writer: Writer, spool: Path, show: bool) -> dict[str, Any]:
    with locked(project):
        at = time.time()
        told, blocks = _moment(project, writer, spool)
    total = sum(map(len, blocks.values()))
    with Progress(total, "blocks of embeddings", enabled=show, leave=False) as progress:
        for generation, sums in blocks.items():
            cache = PatternCache(project, generation, spool)
            for name in sorted(sums):
                writer.add(block_name(generation, name), cache.block_bytes(name, sums[name]))
                progress.add(1)
    about = asdict(project.ref) | {"title": project.get("title")}
    writer.close({"made_at": at, "project": about, "told": told})
    return {"project": project.ref.id, "title": about["title"], "made_at": at, **told}


def _moment(project: Project, writer: Writer, spool: Path) -> tuple[dict[str, Any], Blocks]:
    """Write what has to be of one moment; return what that is, and which blocks belong to it."""
    facts = project.info()
    carried = {name: facts[name] for name in (*MEMORY_FACTS, *QUEUE_FACTS) if facts.get(name)}
    writer.add(FACTS, _json(carried))
    choices = {name: asdict(choice) for name, choice in project.setting_choices().items()}
    seen = project.store.get(project.name("extra_params"))
    writer.add(SETTINGS, _json({"choices": choices, "extra_params": None if seen is None else json.loads(text(seen))}))
    state = load_campaign(project, whole=True)
    for name, data in state.dump().items():
        writer.add(CAMPAIGN[name], data)
    curation = Pins(project).dump()
    writer.add(CURATION, _json(curation))
    orders = Orders(project)
    numbers = []
    for order in orders.all():
        writer.add(f"orders/{order.number}.json", order.dump().encode())
        if made_of := orders.inputs(order.number):
            writer.add(f"orders/{order.number}.inputs", made_of)
        numbers.append(order.number)
    columns = read_columns(project)
    writer.add(TASKS, dump_columns(columns.ids, columns.sources))
    blocks: dict[str, Mapping[str, str]] = {}
    images = 0
    for generation in sorted(PatternCache.generations(project)):
        cache = PatternCache(project, generation, spool)
        # Rows first: what is stored meanwhile is then in a block without counting, and never the other way round.
        ids, sources = cache.columns()
        writer.add(rows_name(generation), dump_columns(ids, sources))
        blocks[generation] = cache.blocks()
        images = max(images, len(ids))
    return {
        "settings": sorted(choices),
        "pinned": len(curation["pins"]),
        "excluded": len(curation["exclusions"]),
        "orders": len(numbers),
        "newest_order": max(numbers, default=0),
        "labels": len(state.trained_on),
        "trainings": state.trainings,
        "tasks": len(columns),
        "images": images,
        "generations": sorted(blocks),
        "paused": carried.get("pause_wanted", ""),
    }, blocks


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True).encode()
