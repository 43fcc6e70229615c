"""What keeps Redis and disks bounded: what nobody needs any more is removed, and what was forgotten stays gone."""

from __future__ import annotations

import math
import re
import shutil
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

from ..jobs import imported_vectors
from ..state import FORGOTTEN, PER_TASK, PatternCache, Project, Redis, TaskColumns, scan_fields, scan_members, text
from ..vectors import sweep as sweep_copy
from .runtime import Runtime, current

__all__ = ["TIDY_EVERY", "leaving_nothing", "sweep_files", "sweep_keys", "tidy_project"]

P = ParamSpec("P")
T = TypeVar("T")

TIDY_EVERY = 600.0  # seconds between two rounds of `sweep_keys` and `sweep_files`
UNKNOWN = 7 * 24 * 3600.0  # seconds that what Redis does not know is kept: it may be empty for a moment only
REMEMBERED = 90 * 24 * 3600.0  # seconds that it is known what was forgotten, for machines that are off meanwhile
LEFT_BEHIND = 3600.0  # seconds after which an unfinished file is nobody's
# Of a project that is registered (again) nothing is removed, nor of one that nobody forgot: looked at in one step with
# the removal.
_SWEEP = """
local due = redis.call('zscore', KEYS[2], ARGV[1])
if redis.call('hexists', KEYS[1], ARGV[1]) == 1 or not due or tonumber(due) > tonumber(ARGV[2]) then return 0 end
local removed = redis.call('zrem', KEYS[3], ARGV[1])
for i = 4, #KEYS do removed = removed + redis.call('unlink', KEYS[i]) end
return removed
"""
_PROJECT = r"[0-9a-f]{8}-\d+-\d+"


def leaving_nothing(job: Callable[P, T]) -> Callable[P, T]:
    """Let a job on a project, its first argument being the key, leave nothing behind if the project was forgotten."""

    @wraps(job)
    def run(*arguments: P.args, **options: P.kwargs) -> T:
        try:
            return job(*arguments, **options)
        finally:
            sweep(current().store, str(arguments[0]), time.time())

    return run


def sweep(store: Redis, key: str, now: float) -> int:
    """Remove what is left of a project that was forgotten; return how much that was."""
    if store.zscore(FORGOTTEN, key) is None:
        return 0
    keys = ["lq:projects", FORGOTTEN, "lq:delayed", *store.scan_iter(match=f"lq:{key}:*", count=1000)]
    return int(store.eval(_SWEEP, len(keys), *keys, key, now))


def tidy_project(runtime: Runtime, project: Project, columns: TaskColumns, keep: set[str]) -> None:
    """Remove what a project does not need any more; only for who holds its lock.

    Generations that are not kept go at once. What is left of deleted tasks goes once after each complete reading.

    Parameters
    ----------
    columns : TaskColumns
        The project's tasks.
    keep : set of str
        Generations that serve or are being built.
    """
    kept = keep | {project.get(name) for name in ("rotation_generation", "rotation_building", "import_building")}
    kept.add(imported_vectors(project).get("generation", ""))
    done = " ".join([project.get("full_at"), *sorted(kept)])
    if project.get("swept") == done:
        return
    for generation in PatternCache.generations(project):
        cache = runtime.cache(project, generation)
        if generation in kept:
            cache.retain(columns.ids)
            cache.compact()
        else:
            cache.delete()
    _prune(project, set(columns.ids.tolist()))
    project.set(swept=done)


def _prune(project: Project, known: set[int]) -> None:
    """Forget what late jobs wrote of tasks that are gone."""
    store = project.store
    fields = {int(raw) for name in PER_TASK for part in scan_fields(store, project.name(name)) for raw in part}
    for name in ("pending", "late"):
        fields |= {int(raw) for part in scan_members(store, project.name(name)) for raw, _ in part}
    odd = sorted(fields - known)
    project.drop_tasks(set(odd) - project.task_rows(odd).keys())


def sweep_keys(store: Redis, now: float | None = None) -> None:
    """Remove keys of projects that were forgotten, and after `UNKNOWN` those of projects that nobody knows.

    Parameters
    ----------
    store : Redis
    now : float, optional
        Unix time; that of the clock when not given.
    """
    now = time.time() if now is None else now
    name = re.compile(rf"lq:({_PROJECT}):".encode())
    found = {match[1].decode() for key in store.scan_iter(match="lq:*", count=1000) if (match := name.match(key))}
    # Read after the keys: a project is registered before anything is written of it.
    _settle(store, found, {text(key) for key in store.hkeys("lq:projects")}, now)
    for key in found & _due(store, now):
        sweep(store, key, now)
    store.zremrangebyscore(FORGOTTEN, 0, now - REMEMBERED)


def sweep_files(store: Redis, home: Path, now: float | None = None) -> None:
    """Remove this machine's files of projects and generations that were forgotten, or that nobody knows for `UNKNOWN`.

    Several machines may share a Redis and not their disks: each removes its own, by what Redis remembers.

    Parameters
    ----------
    store : Redis
    home : Path
        Data directory.
    now : float, optional
        Unix time; that of the clock when not given.
    """
    now = time.time() if now is None else now
    spool, networks = home / "spool", home / "pretext"
    files: dict[str, list[Path]] = {}  # name in FORGOTTEN to what belongs to it
    for folder in _matching(spool, _PROJECT):
        files.setdefault(folder.name, []).append(folder)
    for network in _matching(networks, rf"{_PROJECT}-\d+\.safetensors"):
        files.setdefault(network.name.rpartition("-")[0], []).append(network)
    if not files:
        return
    known = {text(key) for key in store.hkeys("lq:projects")}
    for key in known & files.keys():
        for folder in _matching(spool / key, r"\w+"):
            files[f"{key}:{folder.name}"] = [folder]
    known |= {name for name in files if ":" in name and _has_blocks(store, name)}
    _settle(store, set(files), known, now)
    due = _due(store, now) - known
    for name, paths in files.items():
        for path in paths:
            if name in due:
                _remove(path)
            elif ":" in name:
                _remove_unfinished(path, now)
                sweep_copy(path)


def _settle(store: Redis, found: set[str], known: set[str], now: float) -> None:
    """Take what is known off the list of what was forgotten, and put what is found and unknown there for later."""
    if unknown := found - known:
        store.zadd(FORGOTTEN, dict.fromkeys(unknown, now + UNKNOWN), nx=True)
    if back := _due(store, math.inf) & known:
        store.zrem(FORGOTTEN, *back)


def _due(store: Redis, now: float) -> set[str]:
    names: list[bytes] = store.zrangebyscore(FORGOTTEN, 0, now)  # type: ignore[assignment]
    return {text(name) for name in names}


def _has_blocks(store: Redis, name: str) -> bool:
    key, _, generation = name.partition(":")
    return bool(store.exists(f"lq:{key}:cache:{generation}:sums"))


def _remove_unfinished(folder: Path, now: float) -> None:
    """Remove what a process that died was about to write."""
    for file in folder.glob(".*.part"):
        if now - file.stat().st_mtime > LEFT_BEHIND:
            file.unlink(missing_ok=True)


def _matching(folder: Path, pattern: str) -> list[Path]:
    return [path for path in folder.iterdir() if re.fullmatch(pattern, path.name)] if folder.is_dir() else []


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
