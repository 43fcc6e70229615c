"""What the command line prints of a project: the facts of `status`, as lines for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

__all__ = ["audit_lines", "order_lines", "order_list_lines", "settings_lines", "status_lines"]

Record = Mapping[str, Any]


def status_lines(status: Record) -> Iterator[str]:
    """Yield what `labelqueue status` prints; see `project_status`."""
    yield f"project {status['project']}: {status['title']}"
    yield _line("order", f"{status['version'] or 'none yet'} ({status['published']} tasks published and open)")
    yield _line("tasks", f"{status['tasks']}, {status['labeled']} labeled, {status['skipped']} skipped")
    embedded = f"{status['embedded']}, {status['pending']} waiting, {status['quarantined']} bad images"
    yield _line("embedded", embedded)
    yield from _learning_lines(status)
    for number, line in enumerate((status["accuracy"] or {}).get("lines", ())):
        yield _line("accuracy" if number == 0 else "", line)
    yield _line("workers", f"{status['workers']}, annotators within the hour {status['annotators']}")
    for name, origin in status["settings_from"].items():
        value = _value(status["settings"][name])
        yield _line("setting", f"{name} = {value} (from {origin['source']}, {_when(origin['at'])})")
    for name in ("paused", "hold", "error", "settings_error", "rollback_error"):
        if status[name]:
            way_out = f"; `labelqueue resume {status['project']}` ends this" if name == "hold" else ""
            yield _line(name, status[name] + way_out)
    for task, reason in status["bad_images"].items():
        yield _line("bad image", f"task {task}: {reason}")


def _learning_lines(status: Record) -> Iterator[str]:
    learning = status["learning"]
    if not learning:
        return
    since = "since " if learning["phase"] == "warm" else ""
    yield _line("phase", f"{learning['phase']} ({since}{learning['reason']})")
    for clause in learning["waits_for"]:
        yield _line("", f"before the warm phase: {clause}")
    counts = ", ".join(f"{name} {count}" for name, count in learning["labels_per_class"].items())
    yield _line("labels", f"{learning['labels']} ({counts})")
    if (without := status["labeled"] - learning["labels"]) > 0:
        why = "no answer to the control that counts (setting `target`), a tie, or an image not embedded"
        yield _line("", f"{without} labeled tasks give none: {why}")
    if learning["model"]:
        model = f"trained on {learning['trained_on']} labels, trust {learning['trust']:.2f}"
        yield _line("model", model + (", pre-labels on" if learning["prelabels"] else ""))
    left = max(learning["retrain_every"] - learning["unlearned"], 0)
    yield _line("training", f"next after {left} more labels" if left else "due")
    for label, count in learning["dropped_labels"].items():
        yield _line("dropped", f"label {label!r} of {count} tasks is not in the label config any more")


def settings_lines(settings: Record) -> Iterator[str]:
    """Yield a project's settings with where they come from; see `project_settings`."""
    yield f"project {settings['project']}:"
    for name, row in settings["settings"].items():
        origin = row["source"] if row["at"] is None else f"{row['source']}, {_when(row['at'])}"
        yield f"  {name:<22} {_value(row['value']):<12} {origin}"
    if settings["error"]:
        yield _line("error", settings["error"])


def order_lines(order: Record) -> Iterator[str]:
    """Yield the open head of the live order; see `project_order`."""
    yield f"project {order['project']}: {order['version'] or 'no order yet'}"
    yield from _places(order["tasks"])
    if order["version"] and not order["tasks"]:
        yield "  every task of it is labeled or skipped"


def order_list_lines(listed: Record) -> Iterator[str]:
    """Yield one line per order, newest first; see `order_list`."""
    yield f"project {listed['project']}: {len(listed['orders'])} orders, newest first"
    for order in listed["orders"]:
        live = "live" if order["live"] else ""
        when, published = _when(order["created_at"]), order["published"]
        yield f"  {order['version']:<24} {when}  {published:>5} tasks  {live:<4}  {order['why']}".rstrip()


def audit_lines(order: Record) -> Iterator[str]:
    """Yield all that is on record of an order; see `order_audit`."""
    yield f"project {order['project']}: {order['version']}{' (live)' if order['live'] else ''}"
    for name, value in order.items():
        if name == "created_at":
            yield _line("created", _when(value))
        elif name not in ("project", "version", "live", "tasks") and value not in ("", None):
            yield _line(name, _value(value))
    yield from _places(order["tasks"])


def _places(places: list[Record]) -> Iterator[str]:
    for place in places:
        yield f"{place['rank']:>5}  task {place['task']:<8} {place['reason']}"


def _line(name: str, what: str) -> str:
    return f"  {name:<14} {what}"


def _value(value: Any) -> str:
    if value is None:
        return "auto"
    return value if isinstance(value, str) and value else json.dumps(value)


def _when(at: float) -> str:
    return datetime.fromtimestamp(at).strftime("%Y-%m-%d %H:%M")
