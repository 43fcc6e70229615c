"""The job that answers a page's question, whichever it is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from rq import get_current_job
from rq.timeouts import JobTimeoutException

from ..exceptions import CacheError, LabelQueueError
from ..jobs import Answer, give_answer, is_waited_for
from ..state import Project
from ..worker import Runtime, current
from .details import show_details
from .maps import lay_out, show_map
from .nearest import find_nearest
from .preview import preview
from .thumbnails import cut_thumbnails

__all__ = ["ANSWERS", "page_job"]

log = logging.getLogger(__name__)

SHORT = 5.0  # seconds that an answer is kept which says why there is none
# Name of a question -> what finds its answer, ready for JSON, from the runtime, the project and the details.
ANSWERS: Mapping[str, Callable[..., Any]] = {
    "map": show_map,
    "layout": lay_out,
    "nearest": find_nearest,
    "details": show_details,
    "preview": preview,
    "thumbnails": cut_thumbnails,
}


def page_job(key: str, name: str, details: list[Any], keep: float, *, state: str = "") -> None:
    """Answer a question, unless nobody waits any more.

    Parameters
    ----------
    key : str
        The project's.
    name : str
        Which of `ANSWERS`.
    details : list
        Further arguments.
    keep : float
        Seconds that the answer is kept.
    state : str
        Of what the answer tells, as the page saw it.
    """
    job = get_current_job()
    runtime = current()
    if job is None or not is_waited_for(runtime.store, job.id):
        return
    try:
        answer = Answer(answered(runtime, key, name, details))
    except LabelQueueError as error:
        if isinstance(error, CacheError):
            runtime.forget_replica(key)
        answer, keep = Answer(error=str(error)), SHORT
    except JobTimeoutException:
        answer, keep = Answer(error="it took too long and was given up"), SHORT
    except Exception:
        runtime.forget_replica(key)
        log.exception("page: %s of %s failed", name, key)
        answer, keep = Answer(error="it failed; labelqueue's log says why"), SHORT
    give_answer(runtime.store, job.id, answer, keep, state)


def answered(runtime: Runtime, key: str, name: str, details: list[Any]) -> Any:
    """Return the answer to a question; raises an error of ours when there is none."""
    if name not in ANSWERS:
        raise LabelQueueError(f"this worker cannot answer {name!r}: it is of another version")
    return ANSWERS[name](runtime, Project.open(runtime.store, key), *details)
