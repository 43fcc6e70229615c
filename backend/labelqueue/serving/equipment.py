"""What the web process works with: deployment settings and Redis; it loads nothing heavier."""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from typing import Any

from flask import current_app, request
from werkzeug.exceptions import BadRequest, HTTPException

from ..metrics import Keeper
from ..settings import Deployment
from ..state import Project, Redis, connect
from ..telemetry import note
from .bodies import parsed_object

__all__ = ["Context", "context", "json_object"]

NAME = "labelqueue"  # under which the app keeps it
SOON = 0.7  # seconds


class Context:
    """The parts of the web process, each made on first use and kept.

    Parameters
    ----------
    deployment : Deployment
        Settings of the environment.
    counting : bool, default False
        Whether what this process counts is kept.
    """

    def __init__(self, deployment: Deployment, *, counting: bool = False) -> None:
        self.deployment = deployment
        self._keeper = Keeper(lambda: self.patient_store) if counting else None
        self._secrets: frozenset[str] = frozenset()

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
        note(project=number)
        return Project.find(self.patient_store, self.deployment.label_studio_url, number)

    def count_on(self) -> None:
        """See to it that what this process counts is kept; a server may have forked it after the app was made."""
        if self._keeper is not None:
            self._keeper.ensure()

    def knows_secret(self, secret: str) -> bool:
        """Tell whether this is what the webhook of some project sends."""
        if secret and secret not in self._secrets:
            self._secrets = frozenset(Project.secrets(self.store))
        return secret in self._secrets


def context() -> Context:
    """Return the context of the app that answers the present request."""
    found = current_app.extensions[NAME]
    assert isinstance(found, Context)
    return found


def json_object(*, keep: Collection[str] | None = None, stored: bool = True, empty: bool = False) -> dict[str, Any]:
    """Return the body of the present request; see `parsed_object`.

    Parameters
    ----------
    keep, stored
        As there.
    empty : bool, default False
        Whether no body counts as an empty object.

    Raises
    ------
    BadRequest
        When it is no JSON object, or cannot be read.
    """
    # Label Studio versions differ in the content type they send, so it is not looked at.
    try:
        content = request.get_data(cache=False)
    except HTTPException:
        raise
    except Exception as error:  # each server has errors of its own for a body that breaks off or has broken chunks
        raise BadRequest("the body cannot be read") from error
    if empty and not content:
        return {}
    try:
        return parsed_object(content, keep=keep, stored=stored)
    except ValueError as error:
        raise BadRequest(str(error)) from error
