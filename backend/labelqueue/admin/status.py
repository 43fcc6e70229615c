"""What people ask about a project: where it stands, what comes next, and which orders there were."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

from ..jobs import queues as jobs
from ..ordering.order import Order, Orders, score
from ..settings import PROJECT
from ..state.campaigns import standing_of
from ..state.connection import Redis
from ..state.journal import Journal
from ..state.project import ANNOTATED, SKIPPED, UNLABELED, Project

__all__ = ["order_audit", "order_list", "project_list", "project_order", "project_settings", "project_status"]


def project_status(project: Project) -> dict[str, Any]:
    """Return the facts of `labelqueue status`, ready for JSON."""
    info, tasks, live = project.info(), project.tasks(), Orders(project).live()
    states = [row.state for row in tasks.values()]
    rows = project.store.hlen(project.name("cache", info.get("generation", ""), "rows"))
    waiting = project.store.zcard(project.name("pending")) + len(jobs.in_flight(project))
    quarantined = project.quarantined()
    places = live.places if live else ()
    standing = standing_of(project)
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
        "error": info.get("error", "") or info.get("embedder_error", "") or info.get("features_error", ""),
        "settings_error": info.get("settings_error", ""),
        "rollback_error": info.get("rollback_error", ""),
        "settings": project.settings(),
        "settings_from": {
            name: {"source": choice.source, "at": choice.at} for name, choice in project.setting_choices().items()
        },
        "learning": standing.get("learning"),
        "accuracy": standing.get("accuracy"),
        "journal": len(Journal(project)),
        "annotators": project.annotators_at_work(),
        "workers": len(jobs.alive(project.store)),
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
                "error": info.get("error", "") or info.get("embedder_error", ""),
            }
        )
    return rows


def project_settings(project: Project) -> dict[str, Any]:
    """Return every project setting with its value and where that came from and when (Unix time)."""
    values, choices = project.settings(), project.setting_choices()
    rows = {
        name: {
            "value": values[name],
            "source": choices[name].source if name in choices else "default",
            "at": choices[name].at if name in choices else None,
            "default": setting.default,
            "help": setting.help,
        }
        for name, setting in PROJECT.items()
    }
    return {"project": project.ref.id, "settings": rows, "error": project.get("settings_error")}


def project_order(project: Project, limit: int = 10) -> dict[str, Any]:
    """Return the open head of the live order: rank (1 = next), task, image, score, reason, and whether it is a random
    control."""
    live = Orders(project).live()
    places = live.places if live else ()
    tasks = project.task_rows([place.task for place in places])
    head: list[dict[str, Any]] = []
    for rank, place in enumerate(places):
        if len(head) == limit:
            break
        row = tasks.get(place.task)
        if row is not None and row.state == UNLABELED:
            head.append({"rank": len(head) + 1, **asdict(place), "image": row.uri, "score": score(rank)})
    return {"project": project.ref.id, "version": live.version if live else None, "tasks": head}


def order_list(project: Project) -> dict[str, Any]:
    """Return what is on record of every order, newest first, without its tasks."""
    live = project.get("live")
    rows = [_summary(order, live) for order in reversed(Orders(project).all())]
    return {"project": project.ref.id, "orders": rows}


def order_audit(project: Project, order: Order) -> dict[str, Any]:
    """Return all that is on record of an order: how it came about, and each task's rank, score and reason.

    Ranks count from 1 over all places as they were published, whatever became of the tasks.
    """
    places = [{"rank": rank + 1, **asdict(place), "score": score(rank)} for rank, place in enumerate(order.places)]
    return {"project": project.ref.id, **_summary(order, project.get("live")), "tasks": places}


def _summary(order: Order, live: str) -> dict[str, Any]:
    record = {field.name: getattr(order, field.name) for field in fields(order) if field.name != "places"}
    return {
        **record,
        "parameters": dict(order.parameters),
        "published": len(order.places),
        "live": str(order.number) == live,
    }
