"""What people ask about a project: where it stands, and what comes next."""

from __future__ import annotations

from typing import Any

from . import jobs
from .journal import Journal
from .order import Orders, score
from .project import ANNOTATED, SKIPPED, UNLABELED, Project
from .queue import annotators_at_work

__all__ = ["project_order", "project_status"]


def project_status(project: Project) -> dict[str, Any]:
    """Return the facts of `labelqueue status`, ready for JSON."""
    info, tasks, live = project.info(), project.tasks(), Orders(project).live()
    states = [row.state for row in tasks.values()]
    rows = project.store.hlen(project.name("cache", info.get("generation", ""), "rows"))
    waiting = project.store.zcard(project.name("pending")) + len(jobs.in_flight(project))
    quarantined = project.quarantined()
    places = live.places if live else ()
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
        "error": info.get("error", "") or info.get("embedder_error", ""),
        "settings_error": info.get("settings_error", ""),
        "settings": project.settings(),
        "settings_from": project.setting_sources(),
        "journal": len(Journal(project)),
        "annotators": annotators_at_work(project),
        "workers": len(jobs.alive(project.store)),
        "bad_images": {str(task): reason for task, (_, reason) in sorted(quarantined.items())[:20]},
    }


def project_order(project: Project, limit: int = 10) -> dict[str, Any]:
    """Return the open head of the live order: rank (1 = next), task, image, score and reason."""
    live, tasks = Orders(project).live(), project.tasks()
    head: list[dict[str, Any]] = []
    for rank, place in enumerate(live.places if live else ()):
        if len(head) == limit:
            break
        row = tasks.get(place.task)
        if row is not None and row.state == UNLABELED:
            head.append(
                {
                    "rank": len(head) + 1,
                    "task": place.task,
                    "image": row.uri,
                    "score": score(rank),
                    "reason": place.reason,
                }
            )
    return {"project": project.ref.id, "version": live.version if live else None, "tasks": head}
