"""Where a project stands: the facts of `labelqueue status`, as JSON and as lines for people.

What it says of labels, model and accuracy is worked out by each look, in `ordering.decision`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ..jobs import alive, in_flight
from ..labels import ANNOTATED, SKIPPED, UNLABELED
from ..state import Journal, Orders, Project, Redis, summary_of
from .lines import Record, fact, moment, shown

__all__ = ["project_list", "project_status", "status_lines"]

ERRORS = ("error", "embedder_error", "image_error", "features_error")  # facts, the most urgent first

FEW = 5  # of a kind that are named


def project_status(project: Project) -> dict[str, Any]:
    """Return the facts of `labelqueue status`, ready for JSON."""
    info, tasks, live = project.info(), project.tasks(), Orders(project).live()
    states = [row.state for row in tasks.values()]
    rows = project.store.hlen(project.name("cache", info.get("generation", ""), "rows"))
    waiting = project.store.zcard(project.name("pending")) + len(in_flight(project))
    quarantined = project.quarantined()
    places = live.places if live else ()
    summary = summary_of(project)
    return {
        "project": project.ref.id,
        "title": info.get("title", ""),
        "version": live.version if live else None,
        "strategy": live.strategy if live else None,
        "tasks": len(tasks),
        "embedded": rows,
        "pending": waiting,
        "quarantined": len(quarantined),
        "labeled": states.count(ANNOTATED),
        "skipped": states.count(SKIPPED),
        "published": sum(1 for p in places if p.task in tasks and tasks[p.task].state == UNLABELED),
        "covers": live.embedded if live else 0,
        "paused": info.get("paused", ""),
        "hold": info.get("hold", ""),
        "error": next((info[name] for name in ERRORS if info.get(name)), ""),
        "settings_error": info.get("settings_error", ""),
        "rollback_error": info.get("rollback_error", ""),
        "settings": project.settings(),
        "settings_from": {
            name: {"source": choice.source, "at": choice.at} for name, choice in project.setting_choices().items()
        },
        "learning": summary.get("learning"),
        "accuracy": summary.get("accuracy"),
        "journal": len(Journal(project)),
        "annotators": project.annotators_at_work(),
        "workers": len(alive(project.store)),
        "refused_prelabels": _refused(info.get("refused_prelabels") or "{}", live.version if live else ""),
        "unreadable": _first(project.unreadable()),
        "bad_images": {str(task): reason for task, (_, reason) in sorted(quarantined.items())[:20]},
    }


def project_list(store: Redis, origin: str) -> list[dict[str, Any]]:
    """Return the projects of a Label Studio server, each with its live version and why it stands still, by id."""
    newest: dict[int, Project] = {}
    for project in sorted(Project.all(store), key=lambda project: project.ref.created):
        if project.ref.origin == origin:
            newest[project.ref.id] = project
    rows = []
    for number, project in sorted(newest.items()):
        info, live = project.info(), Orders(project).live()
        rows.append(
            {
                "project": number,
                "title": info.get("title", ""),
                "version": live.version if live else None,
                "paused": info.get("paused", ""),
                "error": next((info[name] for name in ERRORS if info.get(name)), ""),
            }
        )
    return rows


def status_lines(status: Record) -> Iterator[str]:
    """Yield what `labelqueue status` prints; see `project_status`."""
    yield f"project {status['project']}: {status['title']}"
    yield fact("order", f"{status['version'] or 'none yet'} ({status['published']} tasks published and open)")
    yield fact("tasks", f"{status['tasks']}, {status['labeled']} labeled, {status['skipped']} skipped")
    embedded = f"{status['embedded']}, {status['pending']} waiting, {status['quarantined']} bad images"
    yield fact("embedded", embedded)
    yield from _learning_lines(status)
    for number, line in enumerate((status["accuracy"] or {}).get("lines", ())):
        yield fact("accuracy" if number == 0 else "", line)
    yield fact("workers", f"{status['workers']}, annotators within the hour {status['annotators']}")
    for name, origin in status["settings_from"].items():
        value = shown(status["settings"][name])
        yield fact("setting", f"{name} = {value} (from {origin['source']}, {moment(origin['at'])})")
    for name in ("paused", "hold", "error", "settings_error", "rollback_error"):
        if status[name]:
            way_out = f"; `labelqueue resume {status['project']}` ends this" if name == "hold" else ""
            yield fact(name, status[name] + way_out)
    refused = status["refused_prelabels"]
    yield from _named_lines("pre-labels", refused, "tasks of the order go without one that Label Studio refuses")
    yield from _named_lines(
        "unreadable", status["unreadable"], "records in Label Studio cannot be read and are left out"
    )
    for task, reason in status["bad_images"].items():
        yield fact("bad image", f"task {task}: {reason}")


def _first(found: Mapping[str, str]) -> dict[str, Any]:
    """Return how many there are, and the first few with what is wrong with them."""
    return {"count": len(found), "first": [f"{name}: {why}" for name, why in list(found.items())[:FEW]]}


def _refused(told: str, live: str) -> dict[str, Any]:
    """Return what was said of the live order's pre-labels; that of another order is out of date."""
    row = json.loads(told)
    mine = row if row.get("version") == live else {}
    return {"count": mine.get("count", 0), "first": mine.get("first", [])}


def _named_lines(name: str, found: Record, what: str) -> Iterator[str]:
    if found["count"]:
        yield fact(name, f"{found['count']} {what}")
        for line in found["first"]:
            yield fact("", line)


def _learning_lines(status: Record) -> Iterator[str]:
    learning = status["learning"]
    if not learning:
        return
    since = "since " if learning["phase"] == "warm" else ""
    yield fact("phase", f"{learning['phase']} ({since}{learning['reason']})")
    for clause in learning["waits_for"]:
        yield fact("", f"before the warm phase: {clause}")
    counts = ", ".join(f"{name} {count}" for name, count in learning["labels_per_class"].items())
    yield fact("labels", f"{learning['labels']} ({counts})")
    without = learning.get("without_label", {})
    for why, count in without.items():
        yield fact("", f"{count} labeled tasks give none: {why}")
    if (missing := status["labeled"] - learning["labels"] - sum(without.values())) > 0:
        yield fact("", f"{missing} labeled tasks give none: their image is not embedded")
    if learning["model"]:
        model = f"trained on {learning['trained_on']} labels, trust {learning['trust']:.2f}"
        yield fact("model", model + (", pre-labels on" if learning["prelabels"] else ""))
    left = max(learning["retrain_every"] - learning["unlearned"], 0)
    yield fact("training", f"next after {left} more labels" if left else "due")
    for label, count in learning["dropped_labels"].items():
        way_out = f"`labelqueue set {status['project']} label_map=...` says what it is called now"
        yield fact("dropped", f"label {label!r} of {count} tasks is not in the label config any more; {way_out}")
