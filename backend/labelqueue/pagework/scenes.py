"""Reading what the map is colored by, and what is told of single images."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..exceptions import CacheError, ProjectError
from ..labels import Target
from ..learning import Model, Predictions, fits
from ..ordering import Labels, Order, Place, Tasks, head_size, load_inputs, open_places
from ..replica import Replica
from ..state import Orders, People, Project, predictions_of, scan_fields
from .columns import Scene

__all__ = ["read_model", "read_scene", "served", "target_of", "wishes"]

log = logging.getLogger(__name__)


def read_scene(project: Project, replica: Replica, ids: NDArray[np.int64]) -> Scene:
    """Return what is known of images.

    Parameters
    ----------
    project : Project
    replica : Replica
        Every task, and every label.
    ids : ndarray of shape (n,), int64
        Those on the map, ascending, each one of the tasks.
    """
    target, live = target_of(project), Orders(project).live()
    columns, book = replica.columns, replica.labels(target) if target is not None else None
    model, predictions = read_model(project, target) or (None, None)
    states = columns.states[np.searchsorted(columns.ids, ids)]
    followers, leaders = _duplicates(project, live)
    tasks, people = Tasks(columns.ids, columns.states, np.full(len(columns), -1)), People(project)
    places, left = served(live), len(open_places(live, tasks))
    return Scene(
        ids=ids,
        states=states,
        labels=Labels.of(book.values if book is not None else {}),
        classes=book.classes if book is not None else (),
        model=model,
        predictions=predictions,
        places=places,
        open=tasks.open([place.task for place in places]),
        head=head_size(left, project.settings()["horizon"], annotators=people.at_work(), pace=people.pace()),
        followers=followers,
        leaders=leaders,
        pinned=wishes(project, "pins"),
        left_out=wishes(project, "exclusions"),
    )


def served(live: Order | None) -> Sequence[Place]:
    """Return the places of the live order in the sequence in which they are served."""
    return live.queue if live is not None else ()


def wishes(project: Project, kind: str) -> set[int]:
    """Return the tasks that admins pinned (``pins``), or left out (``exclusions``)."""
    return {int(task) for part in scan_fields(project.store, project.name(kind)) for task in part}


def target_of(project: Project) -> Target | None:
    """Return what the label config asks of an image; None when that cannot be told."""
    try:
        return project.target()
    except ProjectError:  # people are told elsewhere, and see their images all the same
        return None


def read_model(
    project: Project, target: Target | None, tasks: Sequence[int] | None = None
) -> tuple[Model, Predictions] | None:
    """Return the model and what it predicts, of these tasks or of all; None before the first training, or when it
    answers something else."""
    try:
        known = predictions_of(project, tasks)
    except CacheError as error:
        log.warning("project %d: the map shows no predictions: %s", project.ref.id, error)
        return None
    return known if known is not None and target is not None and fits(known[0], target) else None


def _duplicates(project: Project, live: Order | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the near-duplicates that the live order knows, and the task that stands for each."""
    nothing = np.empty(0, np.int64)
    try:
        parts = load_inputs(Orders(project).inputs(live.number)) if live is not None else ()
    except CacheError as error:
        log.warning("project %d: the map shows no near-duplicates: %s", project.ref.id, error)
        parts = ()
    return (parts[-1].followers, parts[-1].leaders) if parts else (nothing, nothing)
