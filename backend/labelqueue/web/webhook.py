"""The webhook: what Label Studio tells is kept in the journal, and a look at the project is asked for.

Each call is counted, with what became of it.
"""

from __future__ import annotations

import hmac
import time

from flask import Flask, Response, g, jsonify, request

from ..admin import retrain
from ..jobs import request_soon, request_tend
from ..serving import ARRIVED, WEBHOOK, context, json_object, refusal
from ..state import ACTIONS, Journal, Project, ProjectRef, is_echo, read_event
from ..telemetry import count, forget, note, observe

__all__ = ["count_events", "webhook"]

MEMBERS = {"action", "project", "task", *ACTIONS.values()}  # of an event; what else it says is not kept
TASKS_DELAY = 0.3  # seconds; an import tells in several calls
APART = 1.0  # seconds between two looks that labels ask for; what comes meanwhile becomes one


OUTCOMES = {200: "ignored", 201: "accepted", 401: "refused", 403: "refused", 413: "refused"}  # by status


def count_events(app: Flask) -> None:
    """Count the events that come in, how each is answered and how soon; see to it that the counts are kept.

    Besides, no line of the log names what an earlier request of the same thread was about.
    """

    def begin() -> None:
        forget()
        g.began, g.kind = request.environ.get(ARRIVED) or time.perf_counter(), "other"

    def end(answer: Response) -> Response:
        if request.path == WEBHOOK and request.method == "POST":
            other = "failed" if answer.status_code >= 500 else "malformed"
            outcome = OUTCOMES.get(answer.status_code, other)
            count("events_total", kind=g.kind, outcome=outcome)
            if outcome in ("accepted", "ignored"):
                observe("acknowledgement_seconds", time.perf_counter() - g.began)
        context().count_on()
        return answer

    app.before_request_funcs[None].insert(0, begin)
    app.after_request_funcs[None].append(end)


def webhook() -> tuple[Response, int]:
    """Journal the event and ask for the project to be tended: Label Studio waits one second and never repeats."""
    body, here = json_object(keep=MEMBERS, stored=False), context()
    ref = ProjectRef.from_api(here.deployment.label_studio_url, body.get("project") or {})
    project = Project(here.store, ref)
    note(project=ref.id)
    if here.deployment.basic_auth_user:
        secret = project.get("secret")
        why = refusal(request, here.deployment, lambda given: hmac.compare_digest(given.encode(), secret.encode()))
        if why is not None:
            return jsonify({"error": why}), 401
    event = read_event(body)
    g.kind = event.action if event else "other"
    if event is None or (event.action == "PROJECT_UPDATED" and is_echo(project, body["project"])):
        return jsonify({"status": "ignored"}), 200
    project.register()
    Journal(project).append(event)
    if event.action == "START_TRAINING":
        retrain(project)
    elif event.action.startswith("TASKS"):
        request_tend(project, delay=TASKS_DELAY)
    else:
        request_soon(project, apart=APART)
    return jsonify({"status": "accepted"}), 201
