"""What stands in Redis already and is looked up when somebody asks: depths, ages, and how the projects are.

A few pipelines over all projects; nothing is read whose size grows with a project.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ..jobs import KINDS, alive, oldest_job, slow_servers
from ..state import ERRORS, Project, Redis, shared_time, text

__all__ = ["Gauge", "gauges", "projects_of"]

FACTS = ("live", "served", "head_left", "standing", "generation", "paused", "set_aside", *ERRORS)


class Gauge(NamedTuple):
    """One number: its metric's name, the values of its labels in the order of the table, and the value."""

    metric: str
    labels: tuple[str, ...]
    value: float


def projects_of(store: Redis, origin: str) -> list[Project]:
    """Return the projects of a Label Studio server by id; of several that had one id, the newest."""
    here = sorted(
        (project for project in Project.all(store) if project.ref.origin == origin),
        key=lambda project: (project.ref.id, project.ref.created),
    )
    return list({project.ref.id: project for project in here}.values())


def gauges(store: Redis, projects: Sequence[Project]) -> Iterator[Gauge]:
    """Yield every gauge there is a value of.

    Parameters
    ----------
    store : Redis
    projects : sequence of Project
        Those to look at.
    """
    now = time.time()
    yield from _installation(store, now)
    for project, facts, counts in _looked_up(store, projects):
        label = (str(project.ref.id),)
        for name, value in (_counted(counts, now) | _told(facts, now)).items():
            yield Gauge(name, label, value)


def _installation(store: Redis, now: float) -> Iterator[Gauge]:
    living, shared = alive(store), shared_time(store)
    for kind, queues in KINDS.items():
        yield Gauge("workers", (kind,), sum(name.startswith(f"{kind}-") for name in living))
        for name in queues:
            length, since = oldest_job(store, name)
            yield Gauge("queue_jobs", (name,), length)
            yield Gauge("queue_oldest_seconds", (name,), max(now - since, 0.0) if since else 0.0)
    yield Gauge("slow_servers", (), sum(until > shared for until, _ in slow_servers(store).values()))


def _looked_up(store: Redis, projects: Sequence[Project]) -> Iterator[tuple[Project, dict[str, str], dict[str, Any]]]:
    """Yield each project with its facts and with the lengths of what is kept of it."""
    pipe = store.pipeline(transaction=False)
    for project in projects:
        pipe.hmget(project.name("info"), list(FACTS))
    told = [dict(zip(FACTS, (text(raw or b"") for raw in row), strict=True)) for row in pipe.execute()]
    pipe = store.pipeline(transaction=False)
    for project, facts in zip(projects, told, strict=True):
        pipe.hlen(project.name("tasks"))
        pipe.hlen(project.name("cache", facts["generation"], "rows"))
        pipe.zcard(project.name("pending"))
        pipe.zcard(project.name("late"))
        pipe.hvals(project.name("inflight"))
        pipe.hlen(project.name("quarantine"))
        pipe.xlen(project.name("journal"))
        pipe.xrange(project.name("journal"), count=1)
    rows = pipe.execute()
    names = ("tasks", "embedded", "pending", "late", "inflight", "quarantined", "events", "oldest")
    for at, (project, facts) in enumerate(zip(projects, told, strict=True)):
        part = rows[at * len(names) : (at + 1) * len(names)]
        yield project, facts, dict(zip(names, part, strict=True))


def _counted(counts: dict[str, Any], now: float) -> dict[str, float]:
    """Return what the lengths say."""
    held = sum(len(json.loads(raw)["ids"]) for raw in counts["inflight"])
    began = [int(text(name).partition("-")[0]) / 1000 for name, _ in counts["oldest"]]
    return {
        "events_waiting": counts["events"],
        "events_oldest_seconds": max(now - began[0], 0.0) if began else 0.0,
        "tasks": counts["tasks"],
        "tasks_embedded": counts["embedded"],
        "images_waiting": counts["pending"] + counts["late"] + held,
        "images_quarantined": counts["quarantined"],
    }


def _told(facts: dict[str, str], now: float) -> dict[str, float]:
    """Return what the facts say; what is not known, such as the age of an order before the first, is left out."""
    standing = json.loads(facts["standing"] or "{}")
    learning, accuracy = standing.get("learning") or {}, (standing.get("accuracy") or {}).get("overall") or {}
    stands = bool(facts["paused"] or facts["set_aside"])  # then its order is not what Label Studio serves
    told: dict[str, float | None] = {
        "paused": float(stands),
        "failing": float(any(facts[name] for name in ERRORS)),
        "labels": learning.get("labels", 0),
        "accuracy_controls": accuracy.get("count", 0),
        "accuracy_ratio": accuracy.get("accuracy"),
    }
    if interval := accuracy.get("interval"):
        told |= {"accuracy_low_ratio": interval[0], "accuracy_high_ratio": interval[1]}
    if facts["live"] and not stands:
        served = json.loads(facts["served"] or "[]")
        if served and str(served[0][0]) == facts["live"]:
            told["order_age_seconds"] = max(now - float(served[0][1]), 0.0)
        if facts["head_left"]:
            told["head_left"] = int(facts["head_left"])
    return {name: float(value) for name, value in told.items() if value is not None}
