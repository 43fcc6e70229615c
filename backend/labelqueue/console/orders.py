"""The page "Orders" of a project: every order there was, what each changed, all that is on record of one, and the way
back."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Any

from flask import Response, request

from .. import admin
from ..exceptions import LabelQueueError
from ..serving import context
from ..state import Orders
from .forms import acted, sent
from .pages import at, console, page
from .queue import has_controls, page_of, told_places

__all__ = ["orders"]

PER_PAGE, PLACES = 10, 100  # orders, and places of one, on a page
SHOWN_APART = (
    "project",
    "tasks",
    "parameters",
    "version",
    "number",
    "live",
    "why",
    "strategy",
    "created_at",
    "published",
)

Record = dict[str, Any]


@console.get("/<id:number>/orders")
def orders(number: int) -> Response:
    """Show the timeline, newest first."""
    project = context().project(number)
    book = Orders(project)
    numbers = book.numbers()
    chosen, turn = page_of(numbers, PER_PAGE)
    before = numbers[turn["number"] * PER_PAGE :][:1]  # what the last one of the page is compared with
    rows: list[Record] = []

    def read() -> Iterator[Any]:
        """Read one order after the other: all of them at once would be much memory."""
        for which, order in ((which, book.get(which)) for which in (*chosen, *before)):
            if order is not None:
                if which in chosen:
                    rows.append(admin.order_summary(project, order))
                yield order

    queues = [*admin.open_queues(project, read()), None]
    for row, earlier, queue in zip(rows, queues[1:], queues, strict=False):
        row["changed"] = _changed(earlier, queue)
        row["barred"] = admin.no_way_back(row)
    info = project.info()
    facts = {name: info.get(name, "") for name in ("paused", "hold", "rollback_wanted", "rollback_error")}
    return page("orders.html", project, rows=rows, turn=turn, total=len(numbers), facts=facts)


@console.get("/<id:number>/orders/<name>")
def order(number: int, name: str) -> Response:
    """Show all that is on record of one order."""
    project, shown = context().project(number), request.args.get("controls") == "1"
    record = admin.order_audit(project, admin.find_order(project, name))
    hidden = has_controls(record["parameters"], record["tasks"])
    places = told_places(record["tasks"], shown=shown or not hidden)
    rows, turn = page_of(places, PLACES)
    facts = {key: value for key, value in record.items() if key not in SHOWN_APART and value not in ("", None, 0, [])}
    return page(
        "order.html",
        project,
        tab="orders",
        order=record,
        facts=facts,
        rows=rows,
        turn=turn,
        hidden=hidden,
        shown=shown,
        barred=admin.no_way_back(record),
    )


@console.post("/<id:number>/orders/rollback")
def roll_back(number: int) -> Response:
    """Make an earlier order live again."""
    body, project = sent(), context().project(number)
    back = at("orders", number=number)
    try:
        return acted(admin.rollback(project, str(body.get("order", ""))), back)
    except LabelQueueError as error:
        return acted(str(error), back, failed=True)


@console.post("/<id:number>/orders/go-on")
def go_on(number: int) -> Response:
    """Hold an older order no longer."""
    sent()
    project, back = context().project(number), at("orders", number=number)
    try:
        return acted(admin.resume(project), back)
    except LabelQueueError as error:
        return acted(str(error), back, failed=True)


def _changed(before: Sequence[int] | None, after: Sequence[int] | None) -> Record | None:
    """Return how many open tasks one order has and the one before has not (``came``), the reverse (``went``), and how
    many of those in both stand elsewhere among them (``moved``); None when one of the two is not on record."""
    if before is None or after is None:
        return None
    rank = {task: number for number, task in enumerate(before)}
    both = [rank[task] for task in after if task in rank]
    ends: list[int] = []  # of rising runs, by their length: the longest is what stayed as it was
    for one in both:
        place = bisect_left(ends, one)
        ends[place : place + 1] = [one]
    return {"came": len(after) - len(both), "went": len(before) - len(both), "moved": len(both) - len(ends)}
