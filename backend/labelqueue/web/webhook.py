"""The webhook: what Label Studio tells is kept in the journal, and a look at the project is asked for."""

from __future__ import annotations

import hmac

from flask import Response, jsonify, request

from ..admin import retrain
from ..jobs import request_tend
from ..state import ACTIONS, Journal, Project, ProjectRef, read_event
from .access import refusal
from .context import context, json_object

__all__ = ["webhook"]

MEMBERS = {"action", "project", "task", *ACTIONS.values()}  # of an event; what else it says is not kept
TASKS_DELAY, EVENT_DELAY = 0.3, 1.0  # seconds; a burst of events becomes one job


def webhook() -> tuple[Response, int]:
    """Journal the event and ask for the project to be tended: Label Studio waits one second and never repeats."""
    body, here = json_object(keep=MEMBERS, stored=False), context()
    ref = ProjectRef.from_api(here.deployment.label_studio_url, body.get("project") or {})
    project = Project(here.store, ref)
    if here.deployment.basic_auth_user:
        secret = project.get("secret")
        why = refusal(request, here.deployment, lambda given: hmac.compare_digest(given.encode(), secret.encode()))
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
