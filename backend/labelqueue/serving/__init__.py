"""How calls come in: the gate before the app, who may call, what a body may be, what went wrong, what views work with.

Imports `metrics`, `state` and `telemetry`; what is answered is in `web` and `console`.
"""

from .access import CONSOLE, guard, own_origin, refusal
from .equipment import NAME, Context, context, json_object
from .errors import bad_request, http_error, known_error, lost_store
from .gate import ARRIVED, MAX_BODY, WEBHOOK, Gate, error_answer

__all__ = [
    "ARRIVED",
    "CONSOLE",
    "MAX_BODY",
    "NAME",
    "WEBHOOK",
    "Context",
    "Gate",
    "bad_request",
    "context",
    "error_answer",
    "guard",
    "http_error",
    "json_object",
    "known_error",
    "lost_store",
    "own_origin",
    "refusal",
]
