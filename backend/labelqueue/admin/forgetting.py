"""Forgetting a project: what that removes, as lines for people, and the removal."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..exceptions import ProjectError
from ..state import NOT_CONNECTED, Orders, PatternCache, Project, Redis
from .lines import fact, moment

__all__ = ["Holdings", "find_any", "forget", "holdings", "holdings_lines"]

MIB = 1024 * 1024


@dataclass(frozen=True)
class Holdings:
    """What is kept of a project: its place in Redis, and the files of this machine.

    Attributes
    ----------
    project : Project
    files : tuple of Path
        Folders and files.
    connected : bool
        Whether Label Studio had this backend connected to it at the last look.
    """

    project: Project
    files: tuple[Path, ...]
    connected: bool


def find_any(store: Redis, origin: str, name: str) -> Project:
    """Return the project of a number or key, also one that is set aside.

    Raises
    ------
    ProjectError
        When there is none, or several have the number.
    """
    known = sorted(Project.all(store), key=lambda project: project.ref.created)
    here = [project for project in known if project.ref.origin == origin and str(project.ref.id) == name]
    found = here or [project for project in known if project.key == name]
    if len(found) == 1:
        return found[0]
    if found:
        choices = "; ".join(
            f"{project.key} {project.get('title')!r}, made {moment(project.ref.created)}" for project in found
        )
        raise ProjectError(f"several projects had the number {name}, name one by its key: {choices}")
    if name.isdecimal():
        return Project.find(store, origin, int(name))  # raises, and says which there are
    keys = ", ".join(project.key for project in known) or "none"
    raise ProjectError(f"no project has the key {name!r} (known: {keys})")


def holdings(project: Project, home: Path) -> Holdings:
    """Return what is kept of a project.

    Parameters
    ----------
    home : Path
        Data directory of this machine.
    """
    files = [home / "spool" / project.key, *sorted((home / "pretext").glob(f"{project.key}-*"))]
    away = project.get("set_aside") or project.get("denied_since") or project.get("paused") == NOT_CONNECTED
    return Holdings(project, tuple(path for path in files if path.exists()), not away)


def holdings_lines(kept: Holdings) -> Iterator[str]:
    """Yield what forgetting removes, for people."""
    project = kept.project
    orders, caches = Orders(project).all(), sorted(PatternCache.generations(project))
    yield f"project {project.ref.id}: {project.get('title')} ({project.ref.origin}, key {project.key})"
    yield fact("removed", f"what is known of {project.task_count()} tasks and of their labels, and what was learned")
    chosen = ", ".join(project.setting_choices()) or "none"
    yield fact("", f"the record of {len(orders)} orders, and what was set: {chosen}")
    yield fact("", f"embeddings of {len(caches)} generations, and thumbnails")
    for path in kept.files:
        yield fact("", f"{path} ({_size(path) / MIB:.1f} MiB)")
    yield fact("kept", "everything in Label Studio: tasks, labels, predictions")
    if kept.connected:
        yield fact("note", "Label Studio had this backend connected at the last look: the project comes back, as a new")
        yield fact("", "one, within a minute, and until then its queue stays as it is. To end that, remove the")
        yield fact("", "backend there first (Settings > Model), which also gives the queue back")


def forget(kept: Holdings) -> str:
    """Remove all of it at once; return what was done, for people.

    A job that runs at this moment leaves nothing behind, and workers on other machines remove their files within ten
    minutes.
    """
    kept.project.forget()
    for path in kept.files:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    left = [str(path) for path in kept.files if path.exists()]
    if left:
        raise ProjectError(
            f"project {kept.project.ref.id} is forgotten, but these files could not be removed: {', '.join(left)}; "
            "remove them by hand"
        )
    return f"project {kept.project.ref.id} is forgotten; other machines remove their files within ten minutes"


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
