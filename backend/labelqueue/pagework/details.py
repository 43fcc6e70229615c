"""What is told of single images, and how many of many images have each label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..block import find, source_hash
from ..gallery import Maps, unpack_tasks
from ..labels import ANNOTATED, SKIPPED, UNLABELED, Value, judge
from ..learning import Model, Predictions, confidence
from ..state import LabelBook, Orders, Project
from ..worker import Runtime
from .columns import counts_by_name, doubt_of, name_of
from .maps import show_map
from .scenes import read_model, served, target_of, wishes

__all__ = ["describe", "show_details"]

COUNTED = ("state", "label", "prediction")  # columns of categories


def show_details(runtime: Runtime, project: Project, tasks: list[int], among: str) -> dict[str, Any]:
    """Return what is known of images; see `gallery.details_question`.

    Parameters
    ----------
    tasks : list of int
        Told of one by one.
    among : str
        Those that are counted, as `unpack_tasks` reads them; empty: the same.
    """
    rows = describe(project, tasks)
    if not among:
        counts = {name: dict(Counter(row[name] for row in rows).most_common()) for name in COUNTED}
        return {"tasks": rows, "counts": counts, "total": len(rows), "missing": len(set(tasks)) - len(rows)}
    facts, maps, counted = show_map(runtime, project), Maps(project), unpack_tasks(among)
    revision = facts["revision"]
    at = find(np.frombuffer(maps.ids(revision), "<f8").astype(np.int64), counted)
    here = at[at >= 0]
    counts = {
        name: counts_by_name(np.frombuffer(maps.column(name, revision), np.uint8)[here], facts["columns"][name])
        for name in COUNTED
    }
    return {"tasks": rows, "counts": counts, "total": int(here.size), "missing": int(counted.size - here.size)}


def describe(project: Project, tasks: Sequence[int]) -> list[dict[str, Any]]:
    """Return what is known of each of these tasks, in their sequence; tasks that are not known are left out."""
    rows = project.task_rows(tasks)
    target, live = target_of(project), Orders(project).live()
    labels = {}
    if target is not None:
        said = LabelBook(project).annotations_of(list(rows))
        labels = {task: judge(each, target).value for task, each in said.items()}
    known = read_model(project, target, list(rows))
    wished = {name: wishes(project, key) for name, key in (("pinned", "pins"), ("left out", "exclusions"))}
    places = {place.task: place for place in served(live)}
    there = project.task_rows(list(places))
    waiting = (task for task in places if task in there and there[task].state == UNLABELED)
    ranks = {task: rank for rank, task in enumerate(waiting, 1)}
    found = []
    for task, row in rows.items():
        place = places.get(task) if task in ranks else None
        wish = next((name for name, wished_tasks in wished.items() if task in wished_tasks), "")
        found.append(
            {
                "task": task,
                "state": _state(row.state, labels.get(task), wish),
                "label": name_of(labels.get(task)),
                **_predicted(known, task, unlabeled=row.state == UNLABELED),
                "rank": ranks.get(task),
                "reason": place.reason if place is not None else "",
                "control": place is not None and place.control,
                "source": f"{source_hash(row.uri):016x}",
            }
        )
    return found


def _state(letter: str, label: Value | None, wish: str) -> str:
    """Return the one of `STATES` that a task is in."""
    if letter == ANNOTATED:
        return "annotated without a label" if label is None else "labeled"
    return "skipped" if letter == SKIPPED else wish or "unlabeled"


def _predicted(known: tuple[Model, Predictions] | None, task: int, *, unlabeled: bool) -> dict[str, Any]:
    """Return what the model says of a task, how likely that is right, and how unsure it is of an unlabeled one."""
    p = None if known is None else known[1].lookup(task)
    if known is None or p is None:
        return {"prediction": "", "probability": None, "doubt": None}
    model = known[0]
    return {
        "prediction": name_of(model.decide(p[None])[0]),
        "probability": confidence(model, p),
        "doubt": float(doubt_of(model, p[None])[0]) if unlabeled else None,
    }
