"""REST for admins and programs, under /api/v1: where projects stand, their orders, and the switches of `admin`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, jsonify, request
from redis.exceptions import RedisError
from werkzeug.exceptions import BadRequest

from .. import admin
from ..exceptions import CurationError, LabelQueueError, ProjectError, PublishError, SettingError, StoreError
from ..serving import context, json_object
from ..state import Project
from ..stopping import wanted_share

__all__ = ["PREFIX", "api"]

log = logging.getLogger(__name__)

PREFIX = "/api/v1"
SOURCE = "REST"
MAX_LIMIT = 10_000  # tasks in one answer
STATUS: tuple[tuple[type[LabelQueueError], int], ...] = (
    (ProjectError, 404),
    (PublishError, 409),
    (SettingError, 400),
    (CurationError, 400),
)

Answer = Response | tuple[Response, int]

api = Blueprint("api", __name__, url_prefix=PREFIX)


def _body() -> dict[str, Any]:
    """Return the JSON object that was sent; none counts as an empty one."""
    try:
        return json_object(empty=True)
    except BadRequest as error:
        raise BadRequest(f"{error.description}: the body is not a JSON object") from error


def _limit(default: int) -> int:
    raw = request.args.get("limit", str(default))
    # No more than a few digits: a number of thousands is none that `int` takes.
    if not (raw.isascii() and raw.isdigit() and len(raw) < 9 and 1 <= int(raw) <= MAX_LIMIT):
        raise BadRequest(f"limit is {raw[:80]!r}; expected a whole number from 1 to {MAX_LIMIT}")
    return int(raw)


def _named(body: dict[str, Any], **expected: type) -> tuple[Any, ...]:
    """Return the values of a body that has to have these names, and no others, each of its type."""
    for name, kind in expected.items():
        if not isinstance(body.get(name), kind) or isinstance(body[name], bool):
            what = {list: "a list of task ids", str: "a text", int: "a whole number"}[kind]
            raise BadRequest(f"{name!r} is {str(body.get(name))[:40]!r}; expected {what}")
    if odd := body.keys() - expected.keys():
        raise BadRequest(f"{min(odd)[:40]!r} is not known; expected {' and '.join(expected)}")
    return tuple(body[name] for name in expected)


def _accepted(number: int, wish: Callable[[Project], str]) -> Answer:
    project = context().project(number)
    return jsonify({"project": number, "accepted": wish(project)}), 202


@api.get("/openapi.json")
def openapi() -> Answer:
    """Serve the description of every call."""
    return Response(Path(__file__).with_name("openapi.json").read_bytes(), mimetype="application/json")


@api.get("/projects")
def projects() -> Answer:
    """List the projects that this backend knows."""
    here = context()
    return jsonify({"projects": admin.project_list(here.patient_store, here.deployment.label_studio_url)})


@api.get("/projects/<id:number>")
def status(number: int) -> Answer:
    """Tell where a project stands."""
    raw = request.args.get("target")
    target = None if raw is None else wanted_share(raw)
    return jsonify(admin.project_status(context().project(number), target))


@api.get("/projects/<id:number>/doctor")
def doctor(number: int) -> Answer:
    """Look at everything that has to be well; what cannot be asked is told, not waited for."""
    here = context()
    scene = admin.Scene(here.deployment, number, store=lambda: here.store)
    with suppress(StoreError, RedisError):  # that it is away is for the doctor to say
        scene.project  # noqa: B018  # raises when there is none of this number
    return jsonify(admin.examine(scene))


@api.get("/projects/<id:number>/settings")
def settings(number: int) -> Answer:
    """List a project's settings with where they come from."""
    return jsonify(admin.project_settings(context().project(number)))


@api.patch("/projects/<id:number>/settings")
def change_settings(number: int) -> Answer:
    """Change settings, all of them or none; null goes back to the default."""
    project = context().project(number)
    admin.change_settings(project, _body(), SOURCE)
    return jsonify(admin.project_settings(project))


@api.get("/projects/<id:number>/order")
def order(number: int) -> Answer:
    """List the tasks that come next, and why."""
    return jsonify(admin.project_order(context().project(number), _limit(10)))


@api.get("/projects/<id:number>/orders")
def orders(number: int) -> Answer:
    """List every order there was, newest first, without its tasks."""
    return jsonify(admin.order_list(context().project(number)))


@api.get("/projects/<id:number>/orders/<name>")
def audit(number: int, name: str) -> Answer:
    """Show all that is on record of one order."""
    project = context().project(number)
    return jsonify(admin.order_audit(project, admin.find_order(project, name)))


@api.post("/projects/<id:number>/rollback")
def rollback(number: int) -> Answer:
    """Make an earlier order live again."""
    body = _body()
    chosen = body.pop("order", None)
    if body or isinstance(chosen, bool) or not isinstance(chosen, int | str | None):
        raise BadRequest('expected {"order": NUMBER or VERSION}, or nothing for the order before the live one')
    return _accepted(number, lambda project: admin.rollback(project, chosen))


@api.post("/projects/<id:number>/pause")
def pause(number: int) -> Answer:
    """Stop publishing and give the queue back."""
    return _accepted(number, admin.pause)


@api.post("/projects/<id:number>/resume")
def resume(number: int) -> Answer:
    """Take the queue over again."""
    return _accepted(number, admin.resume)


@api.post("/projects/<id:number>/retrain")
def retrain(number: int) -> Answer:
    """Train and order now."""
    return _accepted(number, admin.retrain)


@api.post("/projects/<id:number>/reconcile")
def reconcile(number: int) -> Answer:
    """Read everything again from Label Studio."""
    return _accepted(number, admin.reconcile)


@api.get("/projects/<id:number>/curation")
def curation(number: int) -> Answer:
    """List what is pinned and left out, and the acts that led there."""
    limit = _limit(MAX_LIMIT)
    return jsonify(admin.curation(context().project(number), limit))


@api.post("/projects/<id:number>/pin")
def pin(number: int) -> Answer:
    """Have tasks labeled first."""
    (tasks,) = _named(_body(), tasks=list)
    return jsonify(admin.pin(context().project(number), tasks, SOURCE)), 202


@api.post("/projects/<id:number>/unpin")
def unpin(number: int) -> Answer:
    """Let pinned tasks go back to their places."""
    (tasks,) = _named(_body(), tasks=list)
    return jsonify(admin.unpin(context().project(number), tasks, SOURCE)), 202


@api.post("/projects/<id:number>/exclude")
def exclude(number: int) -> Answer:
    """Leave tasks out."""
    tasks, reason = _named(_body(), tasks=list, reason=str)
    return jsonify(admin.exclude(context().project(number), tasks, reason, SOURCE)), 202


@api.post("/projects/<id:number>/include")
def include(number: int) -> Answer:
    """Leave tasks out no longer."""
    (tasks,) = _named(_body(), tasks=list)
    return jsonify(admin.include(context().project(number), tasks, SOURCE)), 202


@api.post("/projects/<id:number>/undo")
def undo(number: int) -> Answer:
    """Give all tasks of an act what they had before it."""
    (act,) = _named(_body(), act=int)
    return jsonify(admin.undo(context().project(number), act, SOURCE)), 202


@api.errorhandler(LabelQueueError)
def known_error(error: LabelQueueError) -> Answer:
    """Answer with what is wrong and the way out; what only the log may know stays there."""
    log.warning("%s %r: %s", request.method, request.path, error)
    for kind, code in STATUS:
        if isinstance(error, kind):
            return jsonify({"error": str(error)}), code
    return jsonify({"error": "not available right now, try again later; labelqueue's log says why"}), 503


@api.errorhandler(BadRequest)
def bad_request(error: BadRequest) -> Answer:
    """Say what is wrong with a call."""
    return jsonify({"error": f"{error.description} (see {PREFIX}/openapi.json)"}), 400
