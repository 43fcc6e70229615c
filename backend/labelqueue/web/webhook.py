"""The webhook: what Label Studio tells is kept in the journal, and a look at the project is asked for."""

from __future__ import annotations

from flask import Response, jsonify, request

from ..admin import retrain
from ..jobs import request_tend
from ..state import SECRET_HEADER, Journal, Project, ProjectRef, read_event
from .access import refusal
from .context import context, json_object

__all__ = ["webhook"]

TASKS_DELAY, EVENT_DELAY = 0.3, 1.0  # seconds; a burst of events becomes one job


def webhook() -> tuple[Response, int]:
    """Journal the event and ask for the project to be tended: Label Studio waits one second and never repeats."""
    body, here = json_object(), context()
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
