"""A preview of settings: the order that a look would make with them, from what is stored; nothing is written."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from .. import admin
from ..exceptions import ProjectError, ReplacedError
from ..ordering import Decision, Snapshot, decide, open_places
from ..replica import take_snapshot
from ..state import LabelBook, Project
from ..telemetry import uncounted
from ..worker import Runtime, missing_images

__all__ = ["NEXT", "preview"]

NEXT = 10  # tasks that are shown
TRIES = 5  # looks that may learn something while one drafts
PATTERNS = ("attention_ratio", "neighbourhood")  # what shapes embeddings of several patterns only


def preview(runtime: Runtime, project: Project, changes: Mapping[str, Any], seen: str) -> dict[str, Any]:
    """Draft the order that would follow from other settings, as the next look would.

    Parameters
    ----------
    runtime : Runtime
        Of this worker.
    project : Project
        Nothing of it is changed.
    changes : mapping
        Name of a setting to its JSON value; None for the default.
    seen : str
        What the asking page knew of the project: it only tells one question from another.

    Returns
    -------
    dict
        ``at`` (Unix time), ``new``, whether an order follows, ``title`` of it, ``why`` it follows or why none does,
        ``parameters`` of it, ``next``, the first places with task, reason, control and pre-label, and ``notes``, what
        else is to be known, for people.

    Raises
    ------
    LabelQueueError
        When a setting is not allowed, or no order can be drafted with it; the message says why.
    """
    if not LabelBook(project).complete:
        raise ProjectError("not all tasks and labels have been read from Label Studio yet; it can be drafted then")
    wish = _Wished(project, admin.wanted_settings(project, changes))
    snapshot, decision = _decided(runtime, wish)
    if decision.failure is not None:
        raise decision.failure
    order = decision.order if decision.due.action == "new" else None
    new = order if order is not None and not order.again else None  # else the live one, for what was pinned since
    shown = order or decision.arranged or snapshot.live
    return {
        "at": time.time(),
        "new": new is not None,
        "title": new.version if new else "",
        "why": decision.due.why,
        "parameters": dict(shown.parameters) if shown else {},
        "next": [asdict(place) for place in open_places(shown, snapshot.tasks)[:NEXT]],
        "notes": _notes(project, wish, snapshot, decision),
    }


def _decided(runtime: Runtime, project: Project, tries: int = TRIES) -> tuple[Snapshot, Decision]:
    """Return what a look would see now, and decide; once more where a look learned something meanwhile."""
    snapshot = _snapshot(runtime, project)
    try:
        # What is held or has to wait is told beside; here it is of interest what would follow.
        with uncounted():
            return snapshot, decide(replace(snapshot, hold=False, gap=0.0, curve=False))
    except ReplacedError:
        if tries == 1:
            raise
    return _decided(runtime, project, tries - 1)


class _Wished(Project):
    """A project as it would be with other settings."""

    def __init__(self, project: Project, values: Mapping[str, Any]) -> None:
        super().__init__(project.store, project.ref)
        self._values = dict(values)

    def settings(self) -> dict[str, Any]:
        """Return the settings that are tried out."""
        return dict(self._values)


def _snapshot(runtime: Runtime, project: Project) -> Snapshot:
    """Return what a look would see now; reading it repairs nothing."""
    cache, replica = runtime.cache(project, project.get("generation")), runtime.replica(project)
    columns, embedded, mark = replica.columns, replica.embedded(cache), replica.mark(cache)
    snapshot = take_snapshot(
        project,
        project.target(),
        replica,
        cache,
        arriving=bool(missing_images(replica, cache).size),
        prelabels=project.get("prelabels_shown", "1") == "1",
        lost="",
        open_cache=partial(runtime.cache, project),
    )
    rows = partial(cache.load, columns.ids[embedded], columns.sources[embedded], until=mark)
    return replace(snapshot, load_rows=rows, mark=mark)


def _notes(project: Project, wish: Project, snapshot: Snapshot, decision: Decision) -> list[str]:
    """Return what else is to be known before the settings are applied."""
    before, after, notes = project.settings(), wish.settings(), [snapshot.missing]
    changed = {name for name in after if after[name] != before[name]}
    one = (after["n_patterns"] or snapshot.target.n_patterns) == 1
    if anew := sorted(changed & {"embedder", "n_patterns", *(() if one else PATTERNS)}):
        notes.append(
            f"Another {' and '.join(anew)} means other embeddings, which are made first where they are not there yet. "
            "Until then the queue goes on by the present ones, as this preview does."
        )
    if after["balance"] and snapshot.settings["balance"] != after["balance"]:
        notes.append(
            f"The tasks' values of {after['balance']!r} have not been read yet: this preview shares no places out."
        )
    if decision.again_in is not None:
        notes.append(f"{decision.due.why}: not all labels are in this yet.")
    if snapshot.hold and snapshot.live is not None:
        notes.append(f"{snapshot.live.version!r} is held: no new order replaces it until the queue goes on.")
    if paused := project.get("paused"):
        notes.append(f"The project is paused ({paused}): nothing is published until it goes on.")
    return [note for note in notes if note]
