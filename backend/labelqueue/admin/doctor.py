"""The doctor: every check of an installation and a project, and repairs that are safe at any time."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from redis.exceptions import RedisError

from ..exceptions import CredentialError, LabelQueueError, LabelStudioError, NotFoundError, StoreError
from ..state import Redis, store_facts
from .installation_checks import INSTALLATION, STORE
from .lines import Record
from .project_checks import PROJECT
from .scene import Check, Scene, Seen, finding_lines, unknown, worst

__all__ = ["diagnosis_lines", "examine", "exit_status", "store_findings"]

log = logging.getLogger(__name__)

WELL, WRONG, UNSEEN = 0, 1, 3  # exit statuses; 2 is wrong usage


def examine(scene: Scene, *, fix: bool = False) -> dict[str, Any]:
    """Look at everything, and at nothing twice.

    Parameters
    ----------
    scene : Scene
        The installation, and the project if one is meant.
    fix : bool
        Whether to repair what is wrong and has a safe repair.

    Returns
    -------
    dict
        `project` (number or None), `state`, the worst of all, `unseen`, how many checks could not look because Redis or
        Label Studio does not answer or the project is not known, and `findings`, a row for each check; ready for JSON.
    """
    findings, unseen = [], 0
    for check in INSTALLATION if scene.number is None else INSTALLATION + PROJECT:
        try:
            seen = check.look(scene)
        except (LabelQueueError, RedisError) as error:
            scene.note(error)
            seen = unknown(*_unseen(error))
            unseen += not isinstance(error, NotFoundError)
        except Exception as error:  # one thing that nobody thought of must not hide the others
            log.exception("the check of %s failed", check.name)
            seen = unknown(f"unexpected {type(error).__name__}: {error}", "the log has the details")
            unseen += 1
        fixed = _fixed(check, scene) if fix and seen.state == "wrong" else ""
        findings.append(_record(check.name, check.why, seen, fixed))
    return {"project": scene.number, "state": worst(findings), "unseen": unseen, "findings": findings}


def store_findings(store: Redis) -> list[dict[str, Any]]:
    """Return what is found of Redis, for `labelqueue status`."""
    facts = store_facts(store)
    return [_record(name, why, look(facts)) for name, why, look in STORE]


def _record(name: str, why: str, seen: Seen, fixed: str = "") -> dict[str, Any]:
    return {"check": name, **seen._asdict(), "why": why, "fixed": fixed}


def _unseen(error: Exception) -> tuple[str, str]:
    """Return why something cannot be seen, and which check tells more."""
    if isinstance(error, CredentialError):
        return "Label Studio does not accept our key", "see `token`"
    if isinstance(error, LabelStudioError):
        told = str(error) if error.status else "Label Studio does not answer"
        return told, "see `Label Studio`, and its log"
    if isinstance(error, RedisError | StoreError):
        return "Redis cannot be asked", "see `Redis`"
    return "the project is not known here", "see `project`"


def _fixed(check: Check, scene: Scene) -> str:
    if check.fix is None:
        return ""
    try:
        return check.fix(scene)
    except (LabelQueueError, RedisError) as error:
        return f"not done: {_unseen(error)[0]}"


def exit_status(diagnosis: Record) -> int:
    """Return the exit status: 0 nothing is wrong, 1 something is, 3 not everything could be looked at."""
    if diagnosis["unseen"]:
        return UNSEEN
    return WRONG if diagnosis["state"] == "wrong" else WELL


def diagnosis_lines(diagnosis: Record) -> Iterator[str]:
    """Yield what `labelqueue doctor` prints."""
    yield from finding_lines(diagnosis["findings"])
    states = [finding["state"] for finding in diagnosis["findings"]]
    yield ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(("well", *states)))
