"""What the web process answers when something is wrong: JSON that names it, and the rest in the log."""

from __future__ import annotations

import logging

from flask import Response, jsonify, request
from redis.exceptions import RedisError
from werkzeug.exceptions import BadRequest, HTTPException, InternalServerError, MethodNotAllowed, NotFound

from ..exceptions import LabelQueueError, ProjectError
from ..state import plain, why_refused

__all__ = ["bad_request", "http_error", "known_error", "lost_store"]

log = logging.getLogger(__name__)


def bad_request(error: BadRequest) -> tuple[Response, int]:
    """Say what is wrong with a body."""
    return jsonify({"error": f"not a request of the ML-backend protocol: {error.description}"}), 400


def known_error(error: LabelQueueError) -> tuple[Response, int]:
    """Turn an error of ours into an answer."""
    log.warning("%s %r: %s", request.method, request.path, error)
    if isinstance(error, ProjectError):
        return jsonify({"error": str(error)}), 400
    return jsonify({"error": "not available right now; labelqueue's log says why"}), 503


def lost_store(error: RedisError) -> tuple[Response, int]:
    """Say why Redis did not do it; its address stays in the log."""
    log.error("%s %r: Redis failed: %s", request.method, request.path, plain(error))
    return jsonify({"error": f"not available right now: {why_refused(error)}; labelqueue's log says why"}), 503


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
