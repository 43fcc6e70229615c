"""Where a project stands: the facts of `labelqueue status`, as JSON and as lines for people.

What it says of labels, model and accuracy is worked out by each look, in `ordering.decision`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

from ..jobs import KINDS, alive, by_machine, embedder_status, in_flight, signs, slow_servers
from ..labels import UNLABELED
from ..ordering import END
from ..state import ASIDE, ERRORS, Journal, Orders, People, Project, Redis, scan_fields, shared_time, summary_of
from ..stopping import learning_curve
from .doctor import store_findings
from .lines import Record, clock, embedder_lines, fact, moment, shown
from .pinning import curation_counts

__all__ = [
    "installation_glance",
    "list_lines",
    "project_curve",
    "project_glance",
    "project_list",
    "project_status",
    "projects_here",
    "status_lines",
]

FEW, BAD_IMAGES = 5, 20  # of a kind that are named
GLANCED = 2_000  # bad images among which those are looked for
REMADE_TOLD = 7 * 24 * 3600.0  # seconds


def project_status(project: Project, target: float | None = None) -> dict[str, Any]:
    """Return the facts of `labelqueue status`, ready for JSON, in a few milliseconds however many tasks there are.

    What became of the tasks, and how their values are spread by which places are shared out, is what the last look
    counted. What is told of the live order's tasks is of this moment.

    Parameters
    ----------
    project : Project
    target : float, optional
        Share for which the forecast says how many labels it takes; see `learning_curve`.
    """
    info, live = project.info(), Orders(project).live()
    published = project.task_rows([task for task, at in live.scores.items() if at < END] if live else ())
    summary, version = json.loads(info.get("standing") or "{}"), live.version if live else ""
    told = _told(project, info, summary, version)
    counts = _counts(project, info, told)
    return told | {
        "strategy": live.strategy if live else None,
        **{name: counts[name] for name in ("tasks", "labeled", "skipped")},
        "embedder": embedder_status(info, told["embedded"], counts["tasks"]),
        "quarantined": _quarantine_count(project),
        "published": sum(row.state == UNLABELED for row in published.values()),
        "covers": live.embedded if live else 0,
        "duplicates": {"last": live.duplicates, "groups": live.duplicate_groups} if live else {"last": 0, "groups": 0},
        "balance": _balance(project, info, summary),
        "curation": curation_counts(project),
        "settings": project.settings(),
        "settings_from": {
            name: {"source": choice.source, "at": choice.at} for name, choice in project.setting_choices().items()
        },
        "learning_curve": learning_curve(summary.get("learning_curve"), target),
        "journal": len(Journal(project)),
        **installation_glance(project.store),
        "bad_images": {str(task): reason for task, reason in _bad_images(project).items()},
    }


def project_curve(project: Project, target: float | None = None) -> dict[str, Any] | None:
    """Return the learning curve alone; see `project_status`."""
    summary = summary_of(project)
    return learning_curve(summary.get("learning_curve"), target)


def project_glance(project: Project, *, at_work: bool = True) -> dict[str, Any]:
    """Return where a project stands without going through its tasks, for pages: it costs a few milliseconds, however
    many there are. What became of them is what the last look counted.

    Parameters
    ----------
    project : Project
    at_work : bool, default True
        Whether to look how fast people label; a list of many projects does not say.
    """
    info, people, settings = project.info(), People(project), project.settings()
    summary = json.loads(info.get("standing") or "{}")
    told = _told(project, info, summary, Orders(project).live_version(info))
    counts = _counts(project, info, told)
    return {
        **told,
        **counts,
        "quarantined": _quarantine_count(project),
        "embedder": embedder_status(info, told["embedded"], counts["tasks"]),
        "balance_field": settings["balance"],
        "balance_read": info.get("balance_field", ""),
        "read": bool(info.get("full_at")),
        "open": int(info.get("head_left") or 0),
        "sampling_before": info.get("sampling_before", ""),
        "retrain_wanted": bool(info.get("retrain_wanted")),
        "control_share": settings["control_share"],
        "work": summary.get("work") or {},
        "names": json.loads(info.get("people") or "{}"),
        "pace": people.pace() if at_work else 0,
        "last_labeled": people.last_labeled() if at_work else 0.0,
    }


def installation_glance(store: Redis) -> dict[str, Any]:
    """Return what concerns all projects: the workers that live, servers that are left alone, what is found of Redis."""
    living = alive(store)
    return {
        "workers": len(living),
        "workers_by_kind": {kind: sum(name.startswith(kind) for name in living) for kind in KINDS},
        "workers_by_machine": by_machine(signs(store)),
        "slow_servers": _slow_servers(store),
        "redis": store_findings(store),
    }


def _counts(project: Project, info: Mapping[str, str], told: Record) -> dict[str, int]:
    """Return how many tasks there are, and how many of them are labeled or skipped, as of the last look."""
    # Before the first look of a version that counts, those with a label stand for those that are labeled.
    labeled = (told["learning"] or {}).get("labels", 0)
    counted: dict[str, int] = json.loads(info.get("counts") or "{}")
    return {"tasks": project.task_count(), "labeled": labeled, "skipped": 0, "left_out": 0} | counted


def _quarantine_count(project: Project) -> int:
    return int(project.store.hlen(project.name("quarantine")))


def _bad_images(project: Project) -> dict[int, str]:
    """Return what is wrong with bad images: those with the lowest ids, or some where there are thousands."""
    found = dict[bytes, bytes]()
    for part in scan_fields(project.store, project.name("quarantine"), large=True):
        found |= part
        if len(found) >= GLANCED:
            break
    return {
        task: json.loads(found[str(task).encode()]).get("reason", "") for task in sorted(map(int, found))[:BAD_IMAGES]
    }


def _told(project: Project, info: Mapping[str, str], summary: Record, version: str) -> dict[str, Any]:
    """Return what costs little."""
    waiting = sum(project.store.zcard(project.name(name)) for name in ("pending", "late")) + len(in_flight(project))
    return {
        "project": project.ref.id,
        "title": info.get("title", ""),
        "version": version or None,
        "reading": _progress(info.get("reading", "")),
        "embedded": project.store.hlen(project.name("cache", info.get("generation", ""), "rows")),
        "pending": waiting,
        "paused": info.get("paused", ""),
        "hold": info.get("hold", ""),
        "error": next((info[name] for name in ERRORS if info.get(name)), ""),
        "settings_error": info.get("settings_error", ""),
        "rollback_error": info.get("rollback_error", ""),
        "learning": summary.get("learning"),
        "accuracy": summary.get("accuracy"),
        "annotators": People(project).at_work(),
        "refused_prelabels": _refused(info.get("refused_prelabels") or "{}", version),
        "unreadable": _first(project.unreadable()),
        "set_aside": _set_aside(info),
        "remade": _remade(info, time.time()),
        "webhook": _webhook(info),
    }


def project_list(store: Redis, origin: str) -> list[dict[str, Any]]:
    """Return the projects of a Label Studio server, each with its live version and why it stands still, by id.

    Of several that had one id, the newest, and those that are set aside.
    """
    rows = []
    for project, _ in projects_here(store, origin):
        info = project.info()
        rows.append(
            {
                "project": project.ref.id,
                "title": info.get("title", ""),
                "version": Orders(project).live_version(info) or None,
                "paused": info.get("paused", ""),
                "error": next((info[name] for name in ERRORS if info.get(name)), ""),
                "set_aside": _set_aside(info),
            }
        )
    return rows


def projects_here(store: Redis, origin: str) -> list[tuple[Project, bool]]:
    """Return the projects of `project_list`, each with whether it is the newest of its id, which pages are about."""
    here = sorted(
        (project for project in Project.all(store) if project.ref.origin == origin),
        key=lambda project: (project.ref.id, project.ref.created),
    )
    newest = {project.ref.id: project.key for project in here}
    found = ((project, newest[project.ref.id] == project.key) for project in here)
    return [(project, latest) for project, latest in found if latest or project.get("set_aside")]


def list_lines(listed: list[dict[str, Any]]) -> Iterator[str]:
    """Yield one line per project; see `project_list`."""
    if not listed:
        yield "no project is known here: connect this backend in Label Studio under Settings > Model"
    for row in listed:
        state = row["set_aside"] or row["error"] or (row["paused"] and f"paused: {row['paused']}")
        yield f"  {row['project']:>6}  {row['title']:<24} {row['version'] or 'no order yet':<24} {state}".rstrip()


def status_lines(status: Record) -> Iterator[str]:
    """Yield what `labelqueue status` prints; see `project_status`."""
    yield f"project {status['project']}: {status['title']}"
    if status.get("set_aside"):
        yield fact("set aside", status["set_aside"])
    yield fact("order", f"{status['version'] or 'none yet'} ({status['published']} tasks published and open)")
    yield fact("tasks", f"{status['tasks']}, {status['labeled']} labeled, {status['skipped']} skipped")
    if reading := status.get("reading"):
        yield fact("reading", f"everything: {reading['seen']:,} of {reading['of']:,}")
    embedded = f"{status['embedded']}, {status['pending']} waiting, {status['quarantined']} bad images"
    yield fact("embedded", embedded)
    yield from embedder_lines(status)
    if (twins := status.get("duplicates")) and twins["last"]:
        told = f"{twins['last']} near-duplicates of {twins['groups']} images stand last in the order"
        yield fact("duplicates", f"{told}; duplicates=serve treats them like all")
    if balance := status.get("balance"):
        largest = ", ".join(f"{row['value']} {row['share']:.0%}" for row in balance["largest"])
        told = f"places are shared out by {balance['field']}, of {balance['values']} values: {largest}"
        yield fact("balance", balance["warning"] or told)
    if (wished := status.get("curation")) and any(wished.values()):
        told = f"{wished['pinned']:,}, of which {wished['done']:,} are labeled; left out: {wished['excluded']:,}"
        yield fact("pinned", told)
        if wished["waits"]:
            yield fact("", wished["waits"])
    yield from _learning_lines(status)
    for number, line in enumerate((status["accuracy"] or {}).get("lines", ())):
        yield fact("accuracy" if number == 0 else "", line)
    curve = status.get("learning_curve") or {}
    for name, lines in (("forecast", "lines"), ("stop hints", "hint_lines")):
        for number, line in enumerate(curve.get(lines, ())):
            yield fact(name if number == 0 else "", line)
    yield from _worker_lines(status)
    for server, slow in status["slow_servers"].items():
        yield fact("slow server", f"{server} is left alone until {clock(slow['until'])}: {slow['why']}")
    for finding in status["redis"]:
        if finding["state"] != "well":
            yield fact("redis", f"{finding['check']}: {finding['told']}; {finding['way_out']}")
        elif finding["check"] == "persistence":
            yield fact("redis", f"persistence: {finding['told']}")
    for name, origin in status["settings_from"].items():
        value = shown(status["settings"][name])
        yield fact("setting", f"{name} = {value} (from {origin['source']}, {moment(origin['at'])})")
    for name in ("paused", "hold", "error", "settings_error", "rollback_error"):
        if status[name]:
            way_out = f"; `labelqueue resume {status['project']}` ends this" if name == "hold" else ""
            yield fact(name, status[name] + way_out)
    for name in ("remade", "webhook"):
        if status.get(name):
            yield fact(name, status[name])
    refused = status["refused_prelabels"]
    yield from _named_lines("pre-labels", refused, "tasks of the order go without one that Label Studio refuses")
    yield from _named_lines(
        "unreadable", status["unreadable"], "records in Label Studio cannot be read and are left out"
    )
    for task, reason in status["bad_images"].items():
        yield fact("bad image", f"task {task}: {reason}")


def _balance(project: Project, info: Mapping[str, str], summary: Record) -> dict[str, Any] | None:
    """Return by which field of the tasks' data places are shared out, and its largest values; None without one."""
    name = project.settings()["balance"]
    if not name:
        return None
    told: dict[str, Any] = {"field": name, "values": 0, "largest": [], "warning": ""}
    if info.get("balance_field") != name:
        return told | {
            "warning": f"the tasks are still to be read for their values of {name!r}: no place is shared out"
        }
    counted = summary.get("balance") or {}
    if counted.get("field") != name:
        return told | {"warning": f"the next look counts the tasks' values of {name!r}"}
    if not counted["values"]:
        fields = info.get("data_fields") or "nothing"
        way_out = "correct the setting, or import with that field"
        return told | {"warning": f"no task has a value in the field {name!r}; their data has {fields}: {way_out}"}
    return told | counted


def _progress(reading: str) -> dict[str, int] | None:
    """Return how far the reading of all tasks came; None while none is under way."""
    at = json.loads(reading or "null")
    return at and {"seen": at["seen"], "of": max(at["seen"], at["of"])}


def _set_aside(info: Mapping[str, str]) -> str:
    """Return since when a project is set aside and what becomes of it; empty when it is not."""
    if not info.get("set_aside"):
        return ""
    since, until = moment(float(info.get("denied_since") or 0)), moment(float(info["set_aside"]) + ASIDE)
    return (
        f"deleted in Label Studio, seen first {since}; kept until {until} and removed then; when it shows up again it "
        "goes on as before, `labelqueue forget` removes it now"
    )


def _remade(info: Mapping[str, str], now: float) -> str:
    """Return which parts another version wrote in a form of its own; empty a week later."""
    told = json.loads(info.get("remade") or "{}")
    if now - told.get("at", 0.0) > REMADE_TOLD:
        return ""
    anew, kept = ", ".join(told.get("anew", ())), ", ".join(told.get("kept", ()))
    parts = [f"{anew} made anew" if anew else "", f"{kept} read as far as they are known here" if kept else ""]
    return f"{'; '.join(filter(None, parts))}: another version wrote them, {moment(told['at'])}"


def _webhook(info: Mapping[str, str]) -> str:
    """Return how often the webhook was off; empty when it never was."""
    times = int(info.get("webhook_revived") or 0)
    if not times:
        return ""
    last = moment(float(info["webhook_revived_at"]))
    return f"was off and is switched on again, {times} times, last {last}: Label Studio does that after failed calls"


def _first(found: Mapping[str, str]) -> dict[str, Any]:
    """Return how many there are, and the first few with what is wrong with them."""
    return {"count": len(found), "first": [f"{name}: {why}" for name, why in list(found.items())[:FEW]]}


def _slow_servers(store: Redis) -> dict[str, dict[str, Any]]:
    """Return the servers that are left alone now, until when and why."""
    now = shared_time(store)
    return {server: {"until": until, "why": why} for server, (until, why) in slow_servers(store).items() if until > now}


def _worker_lines(status: Record) -> Iterator[str]:
    kinds = status["workers_by_kind"]
    each = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    yield fact("workers", f"{status['workers']} ({each}), annotators within the hour {status['annotators']}")
    machines = status["workers_by_machine"]
    for machine, there in machines.items() if len(machines) > 1 else ():
        yield fact("", f"{machine}: {', '.join(f'{count} {kind}' for kind, count in sorted(there.items()))}")
    # Workers of the version before are of no kind: they do both.
    if status["workers"] == sum(kinds.values()):
        for kind, what in (("tending", "labels"), ("embedding", "images")):
            if not kinds[kind]:
                yield fact("", f"{what} wait: no {kind} worker runs; start `labelqueue worker {kind}`")


def _refused(told: str, live: str) -> dict[str, Any]:
    """Return what was said of the live order's pre-labels; that of another order is out of date."""
    row = json.loads(told)
    mine = row if row.get("version") == live else {}
    return {"count": mine.get("count", 0), "first": mine.get("first", [])}


def _named_lines(name: str, found: Record, what: str) -> Iterator[str]:
    if found["count"]:
        yield fact(name, f"{found['count']} {what}")
        for line in found["first"]:
            yield fact("", line)


def _learning_lines(status: Record) -> Iterator[str]:
    learning = status["learning"]
    if not learning:
        return
    since = "since " if learning["phase"] == "warm" else ""
    yield fact("phase", f"{learning['phase']} ({since}{learning['reason']})")
    for clause in learning["waits_for"]:
        yield fact("", f"before the warm phase: {clause}")
    counts = ", ".join(f"{name} {count}" for name, count in learning["labels_per_class"].items())
    yield fact("labels", f"{learning['labels']} ({counts})")
    without = learning.get("without_label", {})
    for why, count in without.items():
        yield fact("", f"{count} labeled tasks give none: {why}")
    if (missing := status["labeled"] - learning["labels"] - sum(without.values())) > 0:
        yield fact("", f"{missing} labeled tasks give none: their image is not embedded")
    if learning["model"]:
        model = f"trained on {learning['trained_on']} labels, trust {learning['trust']:.2f}"
        yield fact("model", model + (", pre-labels on" if learning["prelabels"] else ""))
        if (share := learning.get("sub_pool")) is not None:
            where = "everywhere" if share == 1 else f"in {share:.0%} of the pool"
            yield fact("", f"doubt counts {where}" + ("" if share == 1 else "; more trust widens that"))
    left = max(learning["retrain_every"] - learning["unlearned"], 0)
    yield fact("training", f"next after {left} more labels" if left else "due")
    for label, count in learning["dropped_labels"].items():
        way_out = f"`labelqueue set {status['project']} label_map=...` says what it is called now"
        yield fact("dropped", f"label {label!r} of {count} tasks is not in the label config any more; {way_out}")
