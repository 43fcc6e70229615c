"""Which tasks in Label Studio are those of a backup."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from ..block import find, source_hash
from ..labels import ANNOTATED, SKIPPED, UNLABELED, Target, image_uri
from ..labelstudio import LabelStudio
from ..state import Project, TaskRow

__all__ = ["Match", "match", "read_tasks"]

PAGE = 1000  # tasks that are kept at once
FIELDS = ("id", "data", "is_labeled", "total_annotations", "cancelled_annotations")


@dataclass(frozen=True, eq=False)
class Match:
    """Tasks of a backup that exist in Label Studio, with the same image.

    Attributes
    ----------
    then : ndarray of shape (m,), int64
        Their ids in the backup, ascending.
    now : ndarray of shape (m,), int64
        Their ids here.
    sources : ndarray of shape (m,), uint64
        `source_hash` of each one's image URI.
    """

    then: NDArray[np.int64]
    now: NDArray[np.int64]
    sources: NDArray[np.uint64]

    def __len__(self) -> int:
        return int(self.then.size)

    @property
    def exact(self) -> bool:
        """Whether every task has the id that it had."""
        return bool(np.array_equal(self.then, self.now))

    def of(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the id here of tasks of the backup, shape (k,), -1 for one that is not here."""
        at = find(self.then, ids)
        return np.where(at >= 0, self.now[at], -1) if self.then.size else at

    def rows(self, ids: NDArray[np.int64], sources: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Return which embedded rows, of these tasks of the backup and images, are of the image that the task has."""
        at = find(self.then, ids)
        return (at >= 0) & (self.sources[at] == sources) if self.then.size else at >= 0


def match(
    then: tuple[NDArray[np.int64], NDArray[np.uint64]],
    now: tuple[NDArray[np.int64], NDArray[np.uint64]],
    *,
    by_image: bool,
) -> Match:
    """Match tasks by id and image, and the others by their image alone where it is nobody else's.

    Parameters
    ----------
    then, now : tuple of ndarray of shape (n,), int64 and ndarray of shape (n,), uint64
        Task ids, ascending, and the hashes of their images' URIs: of the backup, and of Label Studio.
    by_image : bool
        Whether ids may differ, as after an export and an import into another project.
    """
    (ids, sources), (here, images) = then, now
    at = find(here, ids)
    same = (at >= 0) & (images[at] == sources) if here.size else at >= 0
    found = np.where(same, ids, -1)
    if by_image:
        left, free = np.flatnonzero(~same), np.flatnonzero(~np.isin(here, ids[same]))
        once, first, count = np.unique(sources[left], return_index=True, return_counts=True)
        mine, of_mine = once[count == 1], left[first[count == 1]]
        once, first, count = np.unique(images[free], return_index=True, return_counts=True)
        theirs, of_theirs = once[count == 1], free[first[count == 1]]
        _, a, b = np.intersect1d(mine, theirs, assume_unique=True, return_indices=True)
        found[of_mine[a]] = here[of_theirs[b]]
    kept = found >= 0
    return Match(ids[kept], found[kept], sources[kept])


def read_tasks(
    client: LabelStudio, project: Project, target: Target, tick: Callable[[int], None]
) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Read all tasks of a project from Label Studio and keep them in `project`.

    Parameters
    ----------
    project : Project
        Where their rows are put.
    tick : callable
        Called with the number of tasks of each page.

    Returns
    -------
    ids : ndarray of shape (n,), int64
        Ascending.
    sources : ndarray of shape (n,), uint64
        `source_hash` of each one's image URI.
    """
    rows = client.tasks(project.ref.id, fields=FIELDS)
    ids, sources = [np.empty(0, np.int64)], [np.empty(0, np.uint64)]
    while page := list(islice(rows, PAGE)):
        kept = {}
        for task in page:
            labeled = task.get("total_annotations") or task.get("is_labeled")
            state = ANNOTATED if labeled else SKIPPED if task.get("cancelled_annotations") else UNLABELED
            kept[task["id"]] = TaskRow(image_uri(task.get("data"), target.image_field), state)
        project.put_tasks(kept)
        ids.append(np.fromiter(kept, np.int64, len(kept)))
        sources.append(np.fromiter((source_hash(row.uri) for row in kept.values()), np.uint64, len(kept)))
        tick(len(page))
    here, first = np.unique(np.concatenate(ids), return_index=True)
    return here, np.concatenate(sources)[first]
