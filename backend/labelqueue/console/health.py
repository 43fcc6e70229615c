"""The page "Health" of a project: what is not well and the way out, images and records that cannot be used, workers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from flask import Response
from redis.exceptions import RedisError

from .. import admin
from ..exceptions import ProjectError, StoreError
from ..jobs import KINDS, Sign, oldest_job, signs, slow_servers
from ..serving import context
from ..state import ERRORS, Redis, TaskRow, shared_time
from .forms import acted, sent
from .pages import at, console, page
from .queue import number_of, page_of
from .thumbnails import pictures

__all__ = ["health"]

BAD, RECORDS = 24, 100  # images on a page, and records that are listed
WORST = ("wrong", "warning", "unknown", "well")
LONGEST = 300  # characters of an address, which may be the image itself
QUEUES = {"tend": "looks at projects", "page": "questions of pages", "embed": "images", "page-slow": "long questions"}


@console.get("/<id:number>/health")
def health(number: int) -> Response:
    """Show what is known here; what Label Studio says is asked for by a block that comes later."""
    project = context().project(number)
    bad = sorted(project.quarantined().items())
    rows, turn = page_of(bad, BAD)
    images = [{"task": task, "image": image[:LONGEST], "reason": why} for task, (image, why) in rows]
    info, now = project.info(), shared_time(project.store)
    records = list(project.unreadable().items())
    return page(
        "health.html",
        project,
        errors=[info[name] for name in (*ERRORS, "settings_error", "rollback_error") if info.get(name)],
        images=images,
        pictures=pictures(project, {task: TaskRow(image, "") for task, (image, _) in rows}),
        turn=turn,
        bad=len(bad),
        failing=project.store.hlen(project.name("tries")),
        records=records[:RECORDS],
        unreadable=len(records),
        servers=[
            {"name": name, "until": until, "why": why}
            for name, (until, why) in slow_servers(project.store).items()
            if until > now
        ],
        kinds=_kinds(project.store, signs(project.store)),
        redis=admin.store_findings(project.store),
    )


@console.get("/<id:number>/health/doctor")
def doctor(number: int) -> Response:
    """Look at everything, Label Studio included: it may take seconds when that is away."""
    here = context()
    project = here.project(number)
    scene = admin.Scene(here.deployment, number, store=lambda: here.store)
    with suppress(StoreError, RedisError):  # that it is away is for the doctor to say
        scene.store  # noqa: B018  # raises when Redis is away
    findings = sorted(admin.examine(scene)["findings"], key=lambda finding: WORST.index(finding["state"]))
    return page("doctor.html", project, tab="health", findings=findings, looked_at=time.time())


@console.post("/<id:number>/health/again")
def try_again(number: int) -> Response:
    """Give one bad image another chance, or all of them."""
    body, project = sent(), context().project(number)
    tasks = [number_of(body["of"])] if body.get("of") else None
    try:
        return acted(admin.try_again(project, tasks), at("health", number=number))
    except ProjectError as error:
        return acted(str(error), at("health", number=number), failed=True)


def _kinds(store: Redis, found: Sequence[Sign]) -> list[dict[str, Any]]:
    """Return each kind of worker: how many live and on which machines, which of them leave work to others and why, and
    what waits for them in which queue, since when."""
    return [
        {
            "kind": kind,
            "alive": sum(sign.kind == kind for sign in found),
            "machines": sorted({sign.machine for sign in found if sign.kind == kind}),
            "aside": [sign for sign in found if sign.kind == kind and sign.trouble],
            "queues": [
                {"name": QUEUES.get(name, name), "waiting": count, "since": since}
                for name in names
                for count, since in [oldest_job(store, name)]
            ],
        }
        for kind, names in KINDS.items()
    ]
