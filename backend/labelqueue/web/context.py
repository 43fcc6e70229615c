"""What the web process works with: deployment settings and Redis; it loads nothing heavier."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from flask import current_app, request
from werkzeug.exceptions import BadRequest

from ..settings import Deployment
from ..state import Project, Redis, connect

__all__ = ["Context", "context", "json_object"]

NAME = "labelqueue"  # under which the app keeps it
SOON = 0.7  # seconds


class Context:
    """The parts of the web process, each made on first use and kept.

    Parameters
    ----------
    deployment : Deployment
        Settings of the environment.
    """

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment

    @cached_property
    def store(self) -> Redis:
        """Connection to Redis that gives up soon: Label Studio waits one second for an answer."""
        return connect(self.deployment, timeout=SOON)

    @cached_property
    def patient_store(self) -> Redis:
        """Connection to Redis for people, who may ask for everything that a large project has."""
        return connect(self.deployment)

    def project(self, number: int) -> Project:
        """Return the project of this id; raises ProjectError when it is not known here."""
        return Project.find(self.patient_store, self.deployment.label_studio_url, number)


def context() -> Context:
    """Return the context of the app that answers the present request."""
    found = current_app.extensions[NAME]
    assert isinstance(found, Context)
    return found


def json_object() -> dict[str, Any]:
    """Return the body of the present request; raises BadRequest when it is no JSON object."""
    # Label Studio versions differ in the content type they send, so it is not looked at.
    body = request.get_json(force=True)
    if not isinstance(body, dict):
        raise BadRequest("expected a JSON object")
    return body
