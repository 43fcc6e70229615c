"""The page "Overview" of a project: where it stands, what happens next, what it is worth, and the switches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from flask import Response, request
from markupsafe import Markup
from werkzeug.exceptions import NotFound

from .. import admin
from ..exceptions import LabelQueueError
from ..learning import wilson
from ..serving import context
from ..state import NOT_CONNECTED, Project
from . import sentences
from .charts import Line, bars, columns, line_chart, numbers
from .forms import acted, sent
from .pages import at, console, page

GROUPS, LEAST = 6, 10  # random checks are shown in so many groups at most, of so many checks at least


class Switch(NamedTuple):
    """What a button does.

    Attributes
    ----------
    label : str
    does : callable
        Of `admin.switches`; writes down the wish and says what will happen.
    told : str
        What will happen, before it is asked for.
    """

    label: str
    does: Callable[[Project], str]
    told: str


SWITCHES: Mapping[str, Switch] = {
    "pause": Switch(
        "Pause",
        admin.pause,
        "No order is published any more, and Label Studio serves images as it did before. Nothing is lost: what is "
        "labeled meanwhile counts once somebody resumes.",
    ),
    "resume": Switch(
        "Resume",
        admin.resume,
        "The queue is taken over again, and new orders follow as they become due. An older order that is held is held "
        "no longer.",
    ),
    "retrain": Switch(
        "Train and order now",
        admin.retrain,
        "The model is trained again from all labels, and a new order takes the place of the live one, which you can "
        "roll back to. It takes seconds, with many thousand labels minutes. An older order that is held is held no "
        "longer.",
    ),
    "reconcile": Switch(
        "Read everything again",
        admin.reconcile,
        "All tasks and annotations are read again from Label Studio, and images that could not be used are tried once "
        "more. People can go on labeling. With 100,000 tasks Label Studio is busy for some minutes.",
    ),
}


@console.get("/<id:number>")
def overview(number: int) -> Response:
    """Show the page."""
    project = context().project(number)
    goal, wrong = _goal(request.args.get("target", "").strip())
    facts, curve, now = admin.project_glance(project), admin.project_curve(project, goal), time.time()
    return page(
        "overview.html",
        project,
        facts=facts,
        stage=sentences.stage(facts),
        standing=sentences.standing(facts),
        following=sentences.next_told(facts, now),
        warned=sentences.warnings(facts, admin.installation_glance(project.store)),
        accuracy=sentences.accuracy_told(facts),
        chart=learning_chart(curve, goal),
        forecast=list(sentences.forecast_told(curve)),
        target=request.args.get("target", ""),
        wrong=wrong,
        classes=bars("classes", "Labels by class", _classes(facts), "label"),
        days=columns("days", "Labels by day", facts["work"].get("days", ()), facts["work"].get("earlier", 0)),
        people=list(_people(facts)),
        switches={name: one for name, one in SWITCHES.items() if _offered(name, facts)},
    )


@console.post("/<id:number>/switches/<name>")
def switch(number: int, name: str) -> Response:
    """Do what a button says, and say what will happen."""
    if name not in SWITCHES:
        raise NotFound(f"there is no switch {name[:80]!r}: there are {', '.join(SWITCHES)}")
    sent()
    project, back = context().project(number), at("overview", number=number)
    try:
        told = SWITCHES[name].does(project)
    except LabelQueueError as error:
        return acted(f"{SWITCHES[name].label}: {error}", back, failed=True)
    return acted(f"{SWITCHES[name].label}: {told}.", back)


def _offered(name: str, facts: Mapping[str, Any]) -> bool:
    """Tell whether a switch does anything now."""
    if facts["set_aside"]:
        return False
    if facts["paused"] == NOT_CONNECTED:
        return name == "reconcile"
    if name == "resume":
        return bool(facts["paused"] or facts["hold"])
    return not (name == "pause" and facts["paused"])


def _goal(raw: str) -> tuple[float | None, str]:
    """Return the share that somebody typed in percent, and what is wrong with it."""
    if not raw:
        return None, ""
    try:
        share = float(raw.removesuffix("%").strip().replace(",", ".")) / 100
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        return None, f"{raw[:40]!r} is no accuracy to reach; type a number above 0 and below 100, such as 90"
    return share, ""


def _classes(facts: Mapping[str, Any]) -> list[tuple[str, int]]:
    counts = (facts["learning"] or {}).get("labels_per_class", {})
    return list(counts.items()) if any(counts.values()) else []


def _people(facts: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield who labeled how much, those who labeled most first."""
    work, names = facts["work"], facts["names"]
    for user, labels, skips, seconds in work.get("people", ()):
        name = names.get(str(user)) or (f"annotator {user}" if user else "imported, of nobody")
        told = "" if seconds is None else sentences.minutes(seconds)
        yield {"name": name, "labels": labels, "skips": skips, "time": told}
    count, labels = work.get("others", (0, 0))
    if count:
        yield {"name": f"{count:,} others", "labels": labels, "skips": None, "time": ""}


def learning_chart(curve: Mapping[str, Any] | None, goal: float | None = None) -> Markup:
    """Return the learning curve with the forecast, and its numbers; empty before there is anything to draw.

    Parameters
    ----------
    curve : mapping or None
        As `stopping.learning_curve` tells it.
    goal : float, optional
        The share that somebody wants. Without one, none is drawn.
    """
    if not curve:
        return Markup("")
    measured, forecast, checks = curve["measurements"], curve["forecast"], _groups(curve.get("controls", ()))
    bands, mark = [], None
    if forecast:
        told = forecast["accuracy"]
        need = told["need"]["middle"] if goal is not None else None
        now = measured[-1]["labels"]
        bands = [band for band in told["bands"] if band["labels"] <= max(2 * now, need or 0)]
        if need and need > now and need <= bands[-1]["labels"]:
            mark = (float(need), f"about {need:,} labels")
    guessed = [(one["labels"], one["guessed"]) for one in curve["steps"] if one["guessed"] is not None]
    if not measured and len(guessed) < 2:
        return Markup("")  # a single dot looks like a result
    lines = [
        Line(
            "forecast, with its 90% band",
            [(band["labels"], band["middle"]) for band in bands],
            1,
            "dashed",
            [(band["low"], band["high"]) for band in bands],
            band=True,
        ),
        Line("estimate for all images, cross-validated and corrected", _points(measured, "accuracy"), 1),
        Line("cross-validated on the labels alone", _points(measured, "chosen_accuracy"), 3, "dashed"),
        Line("guessed before the label was learned, every class alike", guessed, 4, "dotted"),
        Line(
            "random checks, with their 95% intervals",
            [(at, right / count) for at, right, count in checks],
            2,
            "points",
            [wilson(right, count) for _, right, count in checks],
        ),
    ]
    told = "Share of right answers over the number of labels; the numbers follow as a table."
    chart = line_chart("learning", "Learning curve", told, lines, x_name="labels", goal=goal, mark=mark)
    return chart and chart + numbers(
        ("Labels", "Line", "Share", "From", "To"),
        [
            (f"{x:,.0f}", line.name, f"{y:.1%}", *(f"{end:.1%}" for end in (line.reach[at] if line.reach else ())))
            for line in lines
            for at, (x, y) in enumerate(line.points)
        ],
        "learning",
    )


def _points(measured: Sequence[Mapping[str, Any]], name: str) -> list[tuple[float, float]]:
    return [(one["labels"], one[name]) for one in measured]


def _groups(checks: Sequence[Mapping[str, Any]]) -> list[tuple[float, int, int]]:
    """Return random checks in a few groups: labels that the models knew on average, how many were right, and of how
    many."""
    rows = sorted((row["labels"], row["right"], row["count"]) for row in checks if row["count"])
    if sum(count for _, _, count in rows) < LEAST:  # the interval of a few would fill the whole drawing
        return []
    wanted = max(sum(count for _, _, count in rows) / GROUPS, LEAST)
    groups: list[list[tuple[int, int, int]]] = [[]]
    for row in rows:
        if sum(count for _, _, count in groups[-1]) >= wanted:
            groups.append([])
        groups[-1].append(row)
    if len(groups) > 1 and sum(row[2] for row in groups[-1]) < LEAST:  # the rest joins the last one
        groups[-2:] = [groups[-2] + groups[-1]]
    told = []
    for group in filter(None, groups):
        count = sum(row[2] for row in group)
        told.append((sum(row[0] * row[2] for row in group) / count, sum(row[1] for row in group), count))
    return told
