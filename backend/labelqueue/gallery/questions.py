"""What the map asks of workers."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..exceptions import ProjectError
from ..jobs import Question
from ..records import pack_ids, unpack_ids
from ..state import Orders, Project, is_id
from .maps import Maps

__all__ = [
    "details_question",
    "layout_question",
    "map_question",
    "nearest_question",
    "pack_tasks",
    "state_of_project",
    "unpack_tasks",
]

MOST = 1_000_000  # tasks that are asked about at once
SHOWN, NEAREST = 200, 500  # tasks that are told of one by one, and that are looked for
PATIENCE = 60.0  # seconds that a question is waited for which reads all embeddings: 15 s of a million
LONG = 900.0  # seconds: a million images are laid out in three minutes


def state_of_project(project: Project) -> str:
    """Return what changes whenever the map of a project would show something else."""
    # When something happened, or how long it took, is nothing that the map shows.
    info = sorted(row for row in project.info().items() if not row[0].endswith(("_at", "_seconds")))
    embedded = project.store.hlen(project.name("cache", project.get("generation"), "rows"))
    live = Orders(project).live()  # pins change its queue without another version
    queue = (live.version, len(live.places), live.overlay.act, len(live.overlay.scores)) if live is not None else ()
    facts = repr([info, project.task_count(), embedded, queue, Maps(project).laid_out()])
    return hashlib.sha256(facts.encode()).hexdigest()[:16]


def map_question(project: Project) -> Question:
    """Ask for the map that shows the project as it is now.

    The answer is `Maps.facts`. While these say ``laying_out``, ask again every few seconds.
    """
    return Question("map", project.key, state=state_of_project(project), deadline=120.0, keep=30.0)


def layout_question(project: Project, generation: str, before: float) -> Question:
    """Ask for the images to be laid out anew; pages need not, the worker that makes the map does.

    Parameters
    ----------
    before : float
        When they were laid out last, Unix time.
    """
    return Question("layout", project.key, (generation, before), deadline=LONG, slow=True)


def nearest_question(project: Project, tasks: Sequence[int], count: int = 60) -> Question:
    """Ask for the images that are most like one, or like the mean of several.

    Parameters
    ----------
    tasks : sequence of int
        At least one; they are not in the answer.
    count : int, default 60
        How many, at most 500.

    Returns
    -------
    Question
        Its answer: ``{"tasks": [...]}``, the nearest first, each with its ``similarity`` (cosine, up to 1) and what
        `details_question` tells of it; ``missing`` of the asked ones that have no embedding.

    Raises
    ------
    ProjectError
        When no task is asked for, too many, or something that is no task.
    """
    if not 0 < count <= NEAREST:
        raise ProjectError(f"count is {count!r}; ask for 1 to {NEAREST} images")
    details = (pack_tasks(tasks), count)
    return Question("nearest", project.key, details, state_of_project(project), deadline=PATIENCE)


def details_question(project: Project, tasks: Sequence[int], among: Sequence[int] = ()) -> Question:
    """Ask what is known of images.

    Parameters
    ----------
    tasks : sequence of int
        Up to 200 that are told of one by one.
    among : sequence of int, optional
        Up to a million that are counted, as they are on the map. Default: those that are told of.

    Returns
    -------
    Question
        Its answer: ``tasks``, for each that is known, in the sequence asked for, ``task``, ``state`` (``unlabeled``,
        ``labeled``, ``skipped``, …), ``label`` and ``prediction`` (empty without one), ``probability`` of the
        prediction (None without one), ``rank`` (1 = next; None outside the live order), ``reason``, ``control``, and
        ``source``, the hash of its image's URI in 16 hex digits; ``counts``, for ``state``, ``label`` and
        ``prediction`` the number of images by name, the most first; ``total``, the images counted; ``missing``, those
        that are not known.

    Raises
    ------
    ProjectError
        When too many tasks are asked for, or something that is no task.
    """
    if len(tasks) > SHOWN:
        raise ProjectError(f"{len(tasks)} tasks are asked for one by one; at most {SHOWN} are told of at once")
    pack_tasks([*among, *tasks])  # raises
    details = (list(tasks), pack_tasks(among) if len(among) else "")
    return Question("details", project.key, details, state_of_project(project), deadline=PATIENCE)


def pack_tasks(tasks: Sequence[int] | NDArray[np.int64]) -> str:
    """Return tasks, each once and ascending, as text that needs about a byte for each.

    Raises
    ------
    ProjectError
        When there are none, more than a million, or something is no task.
    """
    if len(tasks) == 0 or len(tasks) > MOST:
        raise ProjectError(f"{len(tasks):,} tasks are asked about; ask about 1 to {MOST:,}")
    if not isinstance(tasks, np.ndarray):
        if odd := [task for task in tasks if not is_id(task)]:
            raise ProjectError(f"{odd[0]!r} is no task: ask with whole numbers")
        tasks = np.array(tasks, dtype=np.int64)
    return base64.b64encode(pack_ids(np.unique(tasks))).decode()


def unpack_tasks(packed: str) -> NDArray[np.int64]:
    """Return the tasks that `pack_tasks` wrote."""
    return unpack_ids(base64.b64decode(packed))
