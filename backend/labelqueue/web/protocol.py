"""The ML-backend protocol: the five calls Label Studio makes, each answered at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from flask import Response, jsonify, redirect, request, url_for
from werkzeug.exceptions import BadRequest

from ..jobs import request_tend
from ..labels import result_of
from ..learning import blank_share, confidence, fits, is_blank
from ..serving import context, json_object
from ..state import LIVE_VERSION, NOT_CONNECTED, Project, ProjectRef, is_id, predictions_of
from ..telemetry import note
from .webhook import webhook

__all__ = ["VIEWS"]

UNKNOWN: dict[str, Any] = {"result": [], "score": 0.5}
AGAIN = 1.0  # seconds between a connection and the look at the project

View = Callable[[], "Response | tuple[Response, int]"]


def health() -> Response:
    """Say that the process is up; reveals nothing."""
    return jsonify({"status": "UP"})


def root() -> Response:
    """Lead people who open the address in a browser to the console; to everybody else this is `health`."""
    if "text/html" in request.headers.get("Accept", ""):
        return redirect(url_for("console.projects"))  # type: ignore[return-value]
    return health()


def versions() -> Response:
    """List model versions: there is one, whatever the queue's is called."""
    return jsonify({"versions": [LIVE_VERSION]})


def setup() -> Response:
    """Remember the project and ask for it to be tended. Its hostname and access token are not used and not stored."""
    body, here = json_object(), context()
    ref = ProjectRef.from_setup(here.deployment.label_studio_url, str(body.get("project", "")))
    note(project=ref.id)
    project = Project(here.store, ref)
    schema = body.get("schema") or ""
    if not isinstance(schema, str):
        raise BadRequest("schema is no text; expected the project's label config")
    # Compared with what /setup said last, not with the project's config, which the API may show in another form.
    before = project.get("schema")
    new = project.register(schema=schema, setup_at=str(time.time()))
    changed = project.take_extra_params(body.get("extra_params"))
    if new or before != schema:
        project.set(label_config=schema, want_full="1")
    if new or changed or before != schema:
        request_tend(project)
    elif project.get("paused") == NOT_CONNECTED:  # connected again
        request_tend(project, delay=AGAIN)
    # Nothing else asks for anything: Label Studio calls this whenever somebody lists a project's ML backends. Tending
    # does just that, and the one would call the other without end.
    return jsonify({"model_version": LIVE_VERSION})


def predict() -> Response:
    """Answer one result per task, else Label Studio drops them all: what the model said of each when it was trained. A
    task it has not seen, or that never gets a pre-label, or a project without a model, gets an empty result."""
    body, here = json_object(stored=False), context()
    tasks = body.get("tasks")
    if not isinstance(tasks, list | None):
        raise BadRequest("tasks is no list; expected one, as Label Studio sends it")
    ref = ProjectRef.from_setup(here.deployment.label_studio_url, str(body.get("project", "")))
    note(project=ref.id)
    project = Project(here.store, ref)
    ids = [task["id"] for task in tasks or () if isinstance(task, dict) and is_id(task.get("id"))]
    known = predictions_of(project, ids)
    target = project.target() if known else None
    if known and target and not fits(known[0], target):
        known = None
    settings = project.settings() if known else {}
    answers = []
    for task in tasks or ():
        answer = UNKNOWN
        number = task.get("id") if isinstance(task, dict) else None
        chances = known[1].lookup(number) if known and is_id(number) else None
        if chances is not None and is_blank(settings["seed"], np.array([number]), blank_share(settings))[0]:
            chances = None
        if known and target and chances is not None:
            value = known[0].decide(chances[None])[0]
            answer = {"result": result_of(value, target), "score": confidence(known[0], chances)}
        answers.append({**answer, "model_version": LIVE_VERSION})
    return jsonify({"results": answers})


# rule -> (method, view)
VIEWS: dict[str, tuple[str, View]] = {
    "/": ("GET", root),
    "/health": ("GET", health),
    "/setup": ("POST", setup),
    "/predict": ("POST", predict),
    "/webhook": ("POST", webhook),
    "/versions": ("GET", versions),
}
