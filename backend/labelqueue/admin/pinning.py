"""Pins and exclusions: what admins wish for single tasks, what became of it, and the log of their acts."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from ..exceptions import CurationError, ProjectError
from ..jobs import request_tend
from ..labels import ANNOTATED
from ..state import WHOLE_ACTS, Act, Kind, Orders, Pins, Project, Wish, is_id
from .lines import Record, fact, moment
from .switches import soon

__all__ = ["MOST", "curation", "curation_counts", "curation_lines", "exclude", "include", "pin", "undo", "unpin"]

MOST = 10_000  # tasks of one act
REASON = 200  # characters
NAMED = 10  # tasks, or acts, that an error lists
SHOWN = 50  # tasks, and acts, that the command line shows
DONE = {"pin": "pinned", "unpin": "no longer pinned", "exclude": "left out", "include": "no longer left out"}
PAST = {"pin": "pinned", "unpin": "unpinned", "exclude": "left out", "include": "included", "undo": "changed back"}
SOURCE = "an admin"


def pin(project: Project, tasks: Sequence[int], source: str = SOURCE) -> dict[str, Any]:
    """Have tasks labeled first; one that was left out is so no longer.

    Parameters
    ----------
    project : Project
    tasks : sequence of int
        At most 10,000 tasks of the project; all of them change or none does.
    source : str
        Where the wish comes from, for people.

    Returns
    -------
    dict
        ``act``, the number to undo it by, None when nothing was to be changed; ``changed``, how many tasks it changed;
        ``accepted``, what will happen and how soon, for people. So do the functions below.

    Raises
    ------
    CurationError
        When a task is not known here, or there is none or too many; so do the functions below.
    """
    return _act(project, "pin", tasks, source)


def unpin(project: Project, tasks: Sequence[int], source: str = SOURCE) -> dict[str, Any]:
    """Let pinned tasks go back to their places; see `pin`."""
    return _act(project, "unpin", tasks, source)


def exclude(project: Project, tasks: Sequence[int], reason: str, source: str = SOURCE) -> dict[str, Any]:
    """Leave tasks out, which ends a pin; see `pin`.

    Parameters
    ----------
    reason : str
        Why, for people; at most 200 characters, of one line.
    """
    given = " ".join(reason.split()) if isinstance(reason, str) else ""
    if not given:
        raise CurationError(f"reason is {reason!r}: say in a few words why these tasks are left out")
    if len(given) > REASON:
        raise CurationError(f"reason has {len(given)} characters ({given[:40]!r} …): {REASON} is the most")
    return _act(project, "exclude", tasks, source, given)


def include(project: Project, tasks: Sequence[int], source: str = SOURCE) -> dict[str, Any]:
    """Leave tasks out no longer; see `pin`."""
    return _act(project, "include", tasks, source)


def undo(project: Project, act: int, source: str = SOURCE) -> dict[str, Any]:
    """Give all tasks of an act what they had before it, whatever was done to them since; that is an act of its own.

    Parameters
    ----------
    project : Project
    act : int
        Its number.
    source : str
        Where the wish comes from, for people.

    Raises
    ------
    ProjectError
        When there is no such act.
    CurationError
        When it was undone already, or is too old.
    """
    pins = Pins(project)
    found = pins.act(act) if is_id(act) else None
    if found is None:
        known = [one.number for one in pins.acts()[:NAMED]]
        there = f"the newest are {', '.join(map(str, known))}" if known else "there is none yet"
        raise ProjectError(f"project {project.ref.id} has no act {str(act)[:40]}; {there}")
    tasks = pins.tasks_of(act)
    if tasks is None:
        raise CurationError(f"act {act} cannot be undone any more: only the newest {WHOLE_ACTS} acts can")
    done = pins.undo(found, source)
    if done is None:
        by = getattr(pins.act(act), "undone_by", 0)
        raise CurationError(f"act {act} was undone already, by act {by}; undo that one to have it again")
    request_tend(project)
    told = f"{_tasks(done.tasks)} of act {act} {'is' if done.tasks == 1 else 'are'} as before it, {_when(project)}"
    return _told(project, done, told)


def _act(project: Project, kind: Kind, tasks: Sequence[int], source: str, reason: str = "") -> dict[str, Any]:
    chosen = _checked(project, tasks)
    act = Pins(project).write(kind, chosen, source, reason)
    if act is None:
        verb = "is" if len(chosen) == 1 else "are"
        return _told(project, None, f"{_tasks(len(chosen))} {verb} {DONE[kind]} already: nothing changed")
    request_tend(project)
    told = f"{_tasks(act.tasks)} {'is' if act.tasks == 1 else 'are'} {DONE[kind]} {_when(project)}"
    if kind == "pin" and (labeled := _labeled(project, chosen)):
        told += f"; {_tasks(labeled)} of these {'is' if labeled == 1 else 'are'} labeled already, which changes nothing"
    return _told(project, act, told)


def _told(project: Project, act: Act | None, told: str) -> dict[str, Any]:
    number, changed = (act.number, act.tasks) if act else (None, 0)
    return {"project": project.ref.id, "act": number, "changed": changed, "accepted": told}


def _checked(project: Project, tasks: Sequence[int]) -> list[int]:
    """Return the tasks, each once; raise CurationError unless all of them are known here."""
    if not tasks:
        raise CurationError("no task is named: name at least one")
    if odd := [task for task in tasks if not is_id(task)]:
        raise CurationError(f"{str(odd[0])[:40]!r} is no task id: name whole numbers, as in Label Studio's task list")
    chosen = list(dict.fromkeys(tasks))
    if len(chosen) > MOST:
        raise CurationError(f"{len(chosen):,} tasks are named: {MOST:,} is the most at once")
    known = project.task_rows(chosen)
    if len(known) < len(chosen):
        unknown = [task for task in chosen if task not in known]
        more = f" and {len(unknown) - NAMED:,} more" if len(unknown) > NAMED else ""
        raise CurationError(
            f"project {project.ref.id} has no task {', '.join(map(str, unknown[:NAMED]))}{more}: nothing was changed; "
            f"`labelqueue reconcile {project.ref.id}` reads the tasks again"
        )
    return chosen


def _labeled(project: Project, tasks: Sequence[int]) -> int:
    return sum(row.state == ANNOTATED for row in project.task_rows(tasks).values())


def _tasks(count: int) -> str:
    return f"{count:,} task" if count == 1 else f"{count:,} tasks"


def _when(project: Project) -> str:
    """Say when a wish will be fulfilled."""
    if project.get("set_aside"):
        return "once the project is in Label Studio again, where it was deleted"
    paused = project.get("paused")
    return f"once the project is no longer paused ({paused})" if paused else soon(project)


def curation(project: Project, limit: int | None = None) -> dict[str, Any]:
    """Return the pins, the exclusions and the log of acts.

    Parameters
    ----------
    project : Project
    limit : int, optional
        Tasks of each list, and acts, at most; the newest ones come first.

    Returns
    -------
    dict
        Ready for JSON: ``counts``, see `curation_counts`; ``pins`` and ``exclusions``, each with task, image, reason
        (of an exclusion), when, by what source and act, and whether it is done: labeled, so that it no longer matters;
        ``acts``, newest first, each with the tasks that it changed and whether it can be undone.
    """
    pins, most = Pins(project), sys.maxsize if limit is None else limit
    before = {int(raw) for raw in project.store.hkeys(project.name("acts_before"))}
    return {
        "project": project.ref.id,
        "counts": curation_counts(project),
        "pins": _rows(project, pins.newest("pin", most)),
        "exclusions": _rows(project, pins.newest("exclude", most)),
        "acts": [
            {**vars(act), "can_undo": act.number in before and not act.undone_by}
            for act in pins.acts()[slice(0, limit)]
        ],
    }


def curation_counts(project: Project) -> dict[str, Any]:
    """Return how many tasks are pinned (``pinned``), how many of them are labeled (``done``), how many are left out
    (``excluded``), and why a wish waits, for people (``waits``); empty when none does."""
    pins = Pins(project)
    pinned, excluded = pins.counts()
    done = _labeled(project, list(pins.pins())) if pinned else 0
    return {"pinned": pinned, "done": done, "excluded": excluded, "waits": _waits(project)}


def _rows(project: Project, wishes: dict[int, Wish]) -> list[dict[str, Any]]:
    known = project.task_rows(list(wishes))
    return [
        {"task": task, "image": row.uri, "done": row.state == ANNOTATED, **vars(wish)}
        for task, wish in wishes.items()
        if (row := known.get(task)) is not None
    ]


def _waits(project: Project) -> str:
    """Return why the queue does not follow the newest act yet, for people; empty when it does."""
    info = project.info()
    newest = int(info.get("act_number") or 0)
    if not newest:
        return ""
    live = Orders(project).live()
    if live is not None and live.overlay.act == newest:
        moving = live.version in json.loads(info.get("moving") or "{}")
        return "the last scores are being changed in Label Studio" if moving else ""
    what = f"act {newest} is not in the queue yet"
    if info.get("set_aside"):
        return f"{what}: the project was deleted in Label Studio, and is set aside"
    if info.get("paused"):
        return f"{what}: paused: {info['paused']}"
    if info.get("error"):
        return f"{what}: {info['error']}"
    if live is None:
        return f"{what}: there is no order yet, and the first one follows it"
    return f"{what}: a look follows {soon(project)}"


def curation_lines(told: Record) -> Iterator[str]:
    """Yield pins, exclusions and acts for people; see `curation`."""
    counts = told["counts"]
    yield f"project {told['project']}: {counts['pinned']} pinned, {counts['done']} of them labeled, " + (
        f"{counts['excluded']} left out"
    )
    if counts["waits"]:
        yield fact("waits", counts["waits"])
    for name, rows in (("pinned", told["pins"]), ("left out", told["exclusions"])):
        for number, row in enumerate(rows[:SHOWN]):
            told_of = ["labeled"] if row["done"] else []
            told_of += [row["reason"]] if row["reason"] else []
            told_of.append(f"act {row['act']}, {row['source']}, {moment(row['at'])}")
            yield fact("" if number else name, f"task {row['task']:<8} {'; '.join(told_of)}")
        if len(rows) > SHOWN:
            yield fact("", f"and {len(rows) - SHOWN:,} more; `--json` lists all of them")
    for number, act in enumerate(told["acts"][:SHOWN]):
        what = f"act {act['number']}: {_tasks(act['tasks'])} {PAST[act['kind']]}"
        what += f" ({act['reason']})" if act["reason"] else ""
        what += f", undoing act {act['undoes']}" if act["undoes"] else ""
        what += f", {act['source']}, {moment(act['at'])}"
        what += f"; undone by act {act['undone_by']}" if act["undone_by"] else ""
        yield fact("" if number else "acts", what)
