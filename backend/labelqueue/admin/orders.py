"""What comes next in a project and which orders there were, as JSON and as lines for people."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, fields
from typing import Any

from ..exceptions import ProjectError, PublishError
from ..labels import UNLABELED
from ..learning import confidence
from ..ordering import END, Order
from ..state import WHOLE, Orders, Project, predictions_of
from .lines import Record, fact, moment, shown

__all__ = [
    "audit_lines",
    "check_recorded",
    "find_order",
    "known_orders",
    "no_way_back",
    "open_queues",
    "order_audit",
    "order_lines",
    "order_list",
    "order_list_lines",
    "order_summary",
    "prelabel_chances",
    "project_order",
]

NAMED = 10  # orders that an error lists
COUNTS = ("again", "forgotten", "duplicates", "duplicate_groups")  # 0 in most orders
NUMBER = re.compile(r"r?([0-9]{1,18})(?:\N{MIDDLE DOT}[0-9a-z]+)?")  # what people call an order besides its version
LATEST = "latest"
APART = ("places", "left_out", "overlay", "inputs")  # of an order, what a summary of it leaves out


def find_order(project: Project, order: str | int) -> Order:
    """Return the order of this version (``r3·k7f FreeSel``) or number (3, ``3``, ``r3``, ``r3·k7f``), or the newest one
    (``latest``).

    Raises
    ------
    ProjectError
        When there is none; the message lists what there is.
    """
    orders = Orders(project)
    name = str(order).strip()
    number = NUMBER.fullmatch(name)
    if name == LATEST:
        found = next(reversed(orders.all()), None)
    else:
        found = orders.get(int(number[1])) if number else orders.by_version(name)
    if (
        found is not None
        and number
        and "\N{MIDDLE DOT}" in name
        and not found.version.startswith(f"r{name.removeprefix('r')} ")
    ):
        found = None  # of another tag
    if found is None:
        raise ProjectError(f"project {project.ref.id} has no order {name[:80]!r}; {known_orders(orders)}")
    return found


def known_orders(orders: Orders) -> str:
    """Return which orders there are, for errors."""
    versions = [order.version for order in orders.all()]
    return f"there are {_newest(versions)}" if versions else "none was published yet"


def check_recorded(project: Project, order: Order) -> None:
    """Raise PublishError when an order's tasks are no longer on record; it names orders that can be restored."""
    if order.forgotten:
        whole = [one.version for one in Orders(project).all() if not one.forgotten]
        raise PublishError(
            f"project {project.ref.id} cannot go back to {order.version!r}: its tasks are no longer on record, only "
            f"those of the newest {WHOLE} orders are; it can go back to {_newest(whole)}"
        )


def no_way_back(order: Record) -> str:
    """Return why a rollback cannot lead to an order, of which `order_list` or `order_audit` told; empty when it can."""
    if order["live"]:
        return "it is live"
    return f"only the newest {WHOLE} orders are on record with their tasks" if order["forgotten"] else ""


def _newest(versions: list[str]) -> str:
    older = f", and {len(versions) - NAMED} older ones" if len(versions) > NAMED else ""
    return f"{', '.join(repr(version) for version in reversed(versions[-NAMED:]))}{older}"


def project_order(project: Project, limit: int = 10) -> dict[str, Any]:
    """Return the open head of the live order: rank (1 = next), task, image, score, reason, and whether it is a random
    control, pinned, or left out; these stand last."""
    live = Orders(project).live()
    places, scores = (live.queue, live.scores) if live else ((), {})
    tasks = project.task_rows([place.task for place in places])
    head: list[dict[str, Any]] = []
    for place in places:
        if len(head) == limit:
            break
        row = tasks.get(place.task)
        waits = scores[place.task] >= END and not place.excluded  # for the next order: it is no place of this one
        if row is not None and row.state == UNLABELED and not waits:
            head.append({"rank": len(head) + 1, **asdict(place), "image": row.uri, "score": scores[place.task]})
    return {"project": project.ref.id, "version": live.version if live else None, "tasks": head}


def open_queues(project: Project, orders: Iterable[Order]) -> list[list[int] | None]:
    """Return the tasks of these orders that can still be served, in their sequence; None where they are no longer on
    record."""
    queues = [None if order.forgotten else [place.task for place in order.queue] for order in orders]
    rows = project.task_rows(sorted({task for queue in queues for task in queue or ()}))
    still = {task for task, row in rows.items() if row.state == UNLABELED}
    return [None if queue is None else [task for task in queue if task in still] for queue in queues]


def prelabel_chances(project: Project, tasks: Sequence[int]) -> dict[int, float]:
    """Return how likely the answers are right that the live order fills in for these tasks.

    A task is missing where nobody knows any more: the model has learned since, or its image came later.
    """
    live, known = Orders(project).live(), predictions_of(project, tasks) if tasks else None
    if live is None or known is None or live.model != known[0].fingerprint:
        return {}
    model, predictions = known
    said = {task: predictions.lookup(task) for task in tasks}
    return {task: confidence(model, chances) for task, chances in said.items() if chances is not None}


def order_list(project: Project) -> dict[str, Any]:
    """Return what is on record of every order, newest first, without its tasks."""
    live = project.get("live")
    rows = [_summary(order, live) for order in reversed(Orders(project).all())]
    return {"project": project.ref.id, "orders": rows}


def order_audit(project: Project, order: Order) -> dict[str, Any]:
    """Return all that is on record of an order: how it came about, and each task's rank, score and reason.

    Ranks count from 1 over all places as they are published, pinned ones in front, whatever became of the tasks.
    """
    queue, scores = order.queue, order.scores
    places = [{"rank": rank, **asdict(place), "score": scores[place.task]} for rank, place in enumerate(queue, 1)]
    return {"project": project.ref.id, **_summary(order, project.get("live")), "tasks": places}


def order_summary(project: Project, order: Order) -> dict[str, Any]:
    """Return what is on record of one order, without its tasks."""
    return _summary(order, project.get("live"))


def _summary(order: Order, live: str) -> dict[str, Any]:
    record = {field.name: getattr(order, field.name) for field in fields(order) if field.name not in APART}
    return {
        **record,
        "parameters": dict(order.parameters),
        "published": len(order.scores) + order.forgotten,
        "live": str(order.number) == live,
    }


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
        mark = "live" if order["live"] else "summary" if order["forgotten"] else ""
        when, published = moment(order["created_at"]), order["published"]
        yield f"  {order['version']:<24} {when}  {published:>5} tasks  {mark:<7}  {order['why']}".rstrip()


def audit_lines(order: Record) -> Iterator[str]:
    """Yield all that is on record of an order; see `order_audit`."""
    yield f"project {order['project']}: {order['version']}{' (live)' if order['live'] else ''}"
    for name, value in order.items():
        if name == "created_at":
            yield fact("created", moment(value))
        elif name not in ("project", "version", "live", "tasks", *COUNTS) and value not in ("", None):
            yield fact(name, shown(value))
    if order["again"]:
        yield fact("again", f"r{order['again']}, published again")
    if order["forgotten"]:
        yield fact("tasks", f"no longer on record: only those of the newest {WHOLE} orders are")
    yield from _places(order["tasks"])


def _places(places: list[Record]) -> Iterator[str]:
    for place in places:
        yield f"{place['rank']:>5}  task {place['task']:<8} {place['reason']}"
