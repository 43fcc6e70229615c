"""Restoring: read whole, written aside, put in place in one step; Label Studio is only read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from redis.exceptions import RedisError

from ..exceptions import BackupError, NotFoundError
from ..jobs import request_tend
from ..labels import Target, parse_label_config
from ..labelstudio import LabelStudio
from ..progress import Progress
from ..state import LIVE_VERSION, Project, ProjectRef, Redis, scan_fields, text
from .archive import Reader
from .bringing import replaced, stage
from .matching import Match, match, read_tasks
from .parts import Backup
from .saving import check_formats, locked
from .staging import Staged, switch

__all__ = ["restore"]

UNCHANGED = "nothing was changed"


def restore(
    store: Redis,
    client: LabelStudio,
    origin: str,
    reader: Reader,
    spool: Path,
    *,
    wanted: int | None = None,
    confirm: Callable[[Sequence[str]], bool],
    show: bool = True,
) -> dict[str, Any] | None:
    """Bring back what a backup holds, all of it or nothing.

    Parameters
    ----------
    store : Redis
    client : LabelStudio
        It is read only: which tasks there are, with which images.
    origin : str
        Label Studio's URL.
    reader : Reader
        The backup.
    spool : Path
        Folder of local copies of embedded blocks.
    wanted : int, optional
        Id of the project to restore into; that of the backup when not given.
    confirm : callable
        Given lines for people that say what here is newer or other and would be replaced, tells whether to go on; not
        called when there is nothing.
    show : bool
        Whether to show how far it came.

    Returns
    -------
    dict or None
        What was taken and what was not; None when it was not confirmed.

    Raises
    ------
    BackupError
        When the file is damaged, or belongs to another project than the one that was found, or to none.
    LabelQueueError
        When Label Studio or Redis fails. In any case, nothing was changed.
    """
    with Progress(len(reader.names), "parts checked", enabled=show, leave=False) as progress:
        reader.check(progress.add)
    backup = Backup(reader)
    remote, same = _find(client, origin, backup, wanted)
    project = Project(store, ProjectRef.from_api(origin, remote))
    known = bool(store.hexists("lq:projects", project.key))
    if (lines := replaced(project, backup)) and not confirm(lines):
        return None
    config = str(remote["label_config"])
    connected = any(row.get("model_version") == LIVE_VERSION for row in client.ml_backends(project.ref.id))
    target = parse_label_config(config, backup.setting("target"), backup.setting("label_map"))
    with locked(project) as lock:
        if known:
            check_formats(project)
        else:
            project.register(label_config=config, title=str(remote.get("title") or ""))
        project.drop("restoring:*")  # of one that was killed
        staged = Staged(store, project.ref)
        try:
            found = _match(client, staged, backup, target, remote, same, show)
            taken = stage(staged, project, backup, found, spool, same=same, show=show)
            _keep_tasks(staged, project)
            switch(staged, project, taken.facts, lock.check, counts=taken.counts, drops=taken.drops)
        except BaseException:
            with suppress(RedisError):
                staged.discard()
                if not known:
                    project.forget()
            raise
    request_tend(project)
    return taken.told | {
        "project": project.ref.id,
        "title": str(remote.get("title") or ""),
        "same_project": same,
        "connected": connected,
    }


def _find(client: LabelStudio, origin: str, backup: Backup, wanted: int | None) -> tuple[dict[str, Any], bool]:
    """Return the project to restore into, as Label Studio shows it, and whether it is the one of the backup."""
    number = backup.ref.id if wanted is None else wanted
    try:
        remote = client.project(number)
    except NotFoundError as error:
        raise BackupError(
            f"project {number} is not in Label Studio ({origin}): name the one to restore into with --project ID; "
            f"{UNCHANGED}"
        ) from error
    ref = ProjectRef.from_api(origin, remote)
    same = (ref.id, ref.created) == (backup.ref.id, backup.ref.created)
    if not same and wanted is None:
        raise BackupError(
            f"project {number} of {origin} ({remote.get('title')!r}) is not the one of the backup ({backup.title!r} of "
            f"{backup.ref.origin}): add --project {number} if it is meant all the same; {UNCHANGED}"
        )
    return remote, same


def _match(
    client: LabelStudio,
    staged: Staged,
    backup: Backup,
    target: Target,
    remote: Mapping[str, Any],
    same: bool,
    show: bool,
) -> Match:
    """Return which tasks are those of the backup; raises BackupError when none of another project is."""
    count = remote.get("task_number")
    with Progress(count if isinstance(count, int) else None, "tasks read", enabled=show, leave=False) as progress:
        here = read_tasks(client, staged, target, progress.add)
    staged.keep_alive()
    then = backup.tasks
    found = match(then, here, by_image=not same)
    if not same and then[0].size and not len(found):
        raise BackupError(
            f"project {staged.ref.id} has none of the {then[0].size:,} images of the backup ({backup.title!r}): no "
            f"address in the field {target.image_field!r} is one of theirs that is nobody else's; {UNCHANGED}"
        )
    return found


def _keep_tasks(staged: Staged, project: Project) -> None:
    """Leave the tasks that are known here as they are known; looks drop what they know nothing of."""
    for part in scan_fields(project.store, project.name("tasks")):
        staged.changes.put("tasks", staged.name("tasks"), {text(task): row for task, row in part.items()})
