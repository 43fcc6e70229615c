"""The ML-backend protocol: the five calls Label Studio makes, each answered at once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from flask import Response, jsonify, request
from redis.exceptions import RedisError
from werkzeug.exceptions import BadRequest, HTTPException, InternalServerError, MethodNotAllowed, NotFound

from ..admin import retrain
from ..exceptions import LabelQueueError, ProjectError
from ..jobs import request_tend
from ..labels import result_of
from ..learning import confidence, fits
from ..state import LIVE_VERSION, NOT_CONNECTED, SECRET_HEADER, Journal, Project, ProjectRef, predictions_of, read_event
from .access import refusal
from .context import context

__all__ = ["VIEWS"]

log = logging.getLogger(__name__)

UNKNOWN: dict[str, Any] = {"result": [], "score": 0.5}
TASKS_DELAY, EVENT_DELAY = 0.3, 1.0  # seconds; a burst of events becomes one job

View = Callable[[], "Response | tuple[Response, int]"]


def _body() -> dict[str, Any]:
    # Label Studio versions differ in the content type they send, so it is not looked at.
    body = request.get_json(force=True)
    if not isinstance(body, dict):
        raise BadRequest("expected a JSON object")
    return body


def health() -> Response:
    """Say that the process is up; reveals nothing."""
    return jsonify({"status": "UP"})


def versions() -> Response:
    """List model versions: there is one, whatever the queue's is called."""
    return jsonify({"versions": [LIVE_VERSION]})


def setup() -> Response:
    """Remember the project and ask for it to be tended. Its hostname and access token are not used and not stored."""
    body, here = _body(), context()
    ref = ProjectRef.from_setup(here.deployment.label_studio_url, str(body.get("project", "")))
    project = Project(here.store, ref)
    schema = str(body.get("schema") or "")
    # Compared with what /setup said last, not with the project's config, which the API may show in another form.
    before = project.get("schema")
    new = project.register(schema=schema, setup_at=str(time.time()))
    changed = project.take_extra_params(body.get("extra_params"))
    if new or before != schema:
        project.set(label_config=schema, want_full="1")
    if new or changed or before != schema:
        request_tend(project)
    elif project.get("paused") == NOT_CONNECTED:  # connected again
        request_tend(project, delay=EVENT_DELAY)
    # Nothing else asks for anything: Label Studio calls this whenever somebody lists a project's ML backends. Tending
    # does just that, and the one would call the other without end.
    return jsonify({"model_version": LIVE_VERSION})


def predict() -> Response:
    """Answer one result per task, else Label Studio drops them all: what the model said of each when it was trained. A
    task it has not seen, or a project without a model, gets an empty result."""
    body, here = _body(), context()
    tasks = body.get("tasks") or []
    ref = ProjectRef.from_setup(here.deployment.label_studio_url, str(body.get("project", "")))
    project = Project(here.store, ref)
    known = predictions_of(project)
    target = project.target() if known else None
    if known and target and not fits(known[0], target):
        known = None
    answers = []
    for task in tasks:
        answer = UNKNOWN
        number = task.get("id") if isinstance(task, dict) else None
        chances = known[1].lookup(number) if known and isinstance(number, int) else None
        if known and target and chances is not None:
            value = known[0].decide(chances[None])[0]
            answer = {"result": result_of(value, target), "score": confidence(known[0], chances)}
        answers.append({**answer, "model_version": LIVE_VERSION})
    return jsonify({"results": answers})


def webhook() -> tuple[Response, int]:
    """Journal the event and ask for the project to be tended: Label Studio waits one second and never repeats."""
    body, here = _body(), context()
    ref = ProjectRef.from_api(here.deployment.label_studio_url, body.get("project") or {})
    project = Project(here.store, ref)
    secret = project.get("secret")
    if here.deployment.basic_auth_user:
        why = refusal(request, here.deployment, {SECRET_HEADER: secret})
        if why is not None:
            return jsonify({"error": why}), 401
    event = read_event(body)
    if event is None:
        return jsonify({"status": "ignored"}), 200
    project.register()
    Journal(project).append(event)
    if event.action == "START_TRAINING":
        retrain(project)
    else:
        request_tend(project, delay=TASKS_DELAY if event.action.startswith("TASKS") else EVENT_DELAY)
    return jsonify({"status": "accepted"}), 201


def bad_request(error: BadRequest) -> tuple[Response, int]:
    """Say what is wrong with a body."""
    return jsonify({"error": f"not a request of the ML-backend protocol: {error.description}"}), 400


def known_error(error: LabelQueueError) -> tuple[Response, int]:
    """Turn an error of ours into an answer."""
    log.warning("%s %s: %s", request.method, request.path, error)
    if isinstance(error, ProjectError):
        return jsonify({"error": str(error)}), 400
    return jsonify({"error": "not available right now; labelqueue's log says why"}), 503


def lost_store(error: RedisError) -> tuple[Response, int]:
    """Answer while Redis is away; its address stays in the log."""
    log.error("%s %s: Redis failed: %s", request.method, request.path, error)
    return jsonify({"error": "not available right now; labelqueue's log says why"}), 503


def http_error(error: HTTPException) -> Response:
    """Answer in JSON, like everything here, where Flask would send a page."""
    if isinstance(error, NotFound):
        what = f"there is no {request.path} here"
    elif isinstance(error, MethodNotAllowed):
        what = f"{request.path} takes {', '.join(sorted(error.valid_methods or ()))}, not {request.method}"
    elif isinstance(error, InternalServerError):
        what = "unexpected error; labelqueue's log says what happened"
    else:
        what = error.description or error.name
    answer = jsonify({"error": f"{what} (the calls are in /api/v1/openapi.json)"})
    answer.status_code = error.code or 500
    if isinstance(error, MethodNotAllowed):
        answer.allow.update(error.valid_methods or ())
    return answer


def gone(**values: Any) -> tuple[Response, int]:
    """Answer label-studio-ml's routes that mean nothing here."""
    return jsonify({"error": f"{request.path} is not part of this backend"}), 404


# endpoint of label-studio-ml -> (rule, methods, view)
VIEWS: dict[str, tuple[str, tuple[str, ...], View]] = {
    "health": ("/health", ("GET",), health),
    "_setup": ("/setup", ("POST",), setup),
    "_predict": ("/predict", ("POST",), predict),
    "webhook": ("/webhook", ("POST",), webhook),
    "versions": ("/versions", ("GET",), versions),
}
