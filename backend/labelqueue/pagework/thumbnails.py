"""Thumbnails that a page shows and that nobody has cut yet, such as those of images embedded before there were any."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial

from redis.exceptions import RedisError

from ..block import source_hash
from ..exceptions import LabelQueueError, StoreError, TransientImageError
from ..gallery import MEGABYTE, Thumbnails
from ..images import Item, read_ahead
from ..jobs import slow_servers
from ..pixels import thumbnail_of
from ..state import Project
from ..worker import Runtime, gathered

__all__ = ["cut_thumbnails"]

BATCH = 32  # images that are read together
READERS = 2  # threads that decode
# Seconds for reading one batch; after which no other batch is begun, for other pages wait as well; and for all of it.
FETCH_DEADLINE, ENOUGH, DEADLINE = 6.0, 3.0, 15.0
# Seconds until an image is tried again that is bad, whose worker died, and whose server did not give it.
BAD, FATAL, AGAIN = 3600.0, 300.0, 60.0
DIED = "its worker ended while the thumbnail was cut"
NO_IMAGE = "the task's data has no image"
FULL = "there is no room for thumbnails: Redis is nearly full"


def cut_thumbnails(runtime: Runtime, project: Project) -> dict[str, int]:
    """Cut the thumbnails that pages wait for, those asked for last first.

    An image that fails is not tried again for a while, and its reason is kept. What there was no time for stays out:
    whoever still looks at it asks again.

    Returns
    -------
    dict of str to int
        How many were ``cut`` and how many ``failed``.
    """
    found, began = {"cut": 0, "failed": 0}, time.monotonic()
    thumbnails = Thumbnails(project)
    if not runtime.deployment.thumbnails:
        return found
    while time.monotonic() < began + ENOUGH and (tasks := thumbnails.take_wanted(BATCH)):
        rows = project.task_rows(tasks)
        sources = {task: source_hash(row.uri) for task, row in rows.items()}
        here, failed = thumbnails.sources_of(tasks), thumbnails.reasons(sources)
        missing = {
            task: row.uri for task, row in rows.items() if here.get(task) != sources[task] and task not in failed
        }
        _cut(runtime, project, missing, began + DEADLINE, found)
    return found


def _cut(runtime: Runtime, project: Project, uris: Mapping[int, str], until: float, found: dict[str, int]) -> None:
    thumbnails, room = Thumbnails(project), runtime.deployment.thumbnails * MEGABYTE
    left = {task: source_hash(uri) for task, uri in uris.items()}

    def fail(task: int, why: str, seconds: float) -> None:
        thumbnails.note({task: (left.pop(task), why)}, seconds)
        found["failed"] += 1

    for task in [task for task, uri in uris.items() if not uri]:
        fail(task, NO_IMAGE, BAD)
    gathering = gathered(runtime, {task: uris[task] for task in left}, slow_servers(project.store), FETCH_DEADLINE)
    over = threading.Event()
    items = (replace(item, load=partial(_marked, thumbnails, item, over)) for item in gathering)
    try:
        with closing(read_ahead(items, thumbnail_of, READERS, BATCH)) as images:
            for item, file in images:
                if not isinstance(file, bytes):
                    fail(item.id, str(file), AGAIN if isinstance(file, TransientImageError) else BAD)
                elif thumbnails.put({item.id: (left[item.id], file)}, room):
                    del left[item.id]
                    found["cut"] += 1
                else:
                    fail(item.id, FULL, AGAIN)
                if time.monotonic() > until:
                    return
    except LabelQueueError as error:  # Label Studio is away, and can give none of them
        for task in list(left):
            fail(task, str(error), AGAIN)
    finally:
        over.set()
        thumbnails.forgive(left)  # those there was no time for
    for server, late in gathering.late.items():
        why = gathering.reasons.get(server, f"{server} was slow, and is left alone for a while")
        for task in late:
            if task in left:
                fail(task, why, AGAIN)


def _marked(thumbnails: Thumbnails, item: Item, over: threading.Event) -> bytes:
    """Return an image's bytes, and let it be to blame from here on if this process ends: no page tries it again."""
    data = item.load()
    try:
        thumbnails.note({item.id: (source_hash(item.uri), DIED)}, FATAL)
        if over.is_set():  # nobody waits for it any more, and it has been forgiven already, or not yet
            thumbnails.forgive([item.id])
            raise TransientImageError("there was no time for it")
    except RedisError as error:  # else the image would be taken for a bad one
        raise StoreError(f"Redis failed: {error}") from error
    return data
