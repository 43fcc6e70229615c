"""Charts as SVG, drawn on the server: pure functions that return markup, colored by classes of console.css.

Every chart has a title, a description and the same numbers as a table; lines differ in their dashes too, not by color
alone. Every text is escaped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from markupsafe import Markup

__all__ = ["Line", "bars", "columns", "line_chart", "numbers"]

WIDTH, HEIGHT = 960.0, 320.0
LEFT, RIGHT, TOP, BOTTOM = 52.0, 16.0, 12.0, 40.0  # margins of what is drawn
SHOWN = 20  # bars of one chart; the others are summed up
NAME = 19  # characters of a name beside its bar
DAYS = 30  # columns of one chart
BAR = 22.0  # height that a bar takes
TICKS = 5
POINTS = 120  # of one line; of more, every n-th is drawn

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """One series of a line chart.

    Attributes
    ----------
    name : str
    points : sequence of (float, float)
        By rising x; y is a share.
    series : int
        1 to 4: its color.
    dash : {'', 'dashed', 'dotted', 'points'}
        `points` draws no line, only marks.
    reach : sequence of (float, float)
        Low and high end of each point, or empty.
    band : bool
        Whether `reach` is filled; else it is drawn as an upright line at each point.
    """

    name: str
    points: Sequence[Point]
    series: int
    dash: str = ""
    reach: Sequence[Point] = field(default=())
    band: bool = False


def _text(x: float, y: float, content: object, anchor: str = "start", extra: str = "") -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}" class="{}">{}</text>').format(
        x, y, anchor, extra, content
    )


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    return Markup('<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" class="{}"/>').format(x1, y1, x2, y2, kind)


def _svg(name: str, width: float, height: float, title: str, told: str, inside: Sequence[Markup]) -> Markup:
    """Return the frame around a drawing; `name` makes its ids, and is unique on a page."""
    start = Markup(
        '<svg class="chart" viewBox="0 0 {:.0f} {:.0f}" role="img" aria-labelledby="{}-title {}-told">'
        '<title id="{}-title">{}</title><desc id="{}-told">{}</desc>'
    ).format(width, height, name, name, name, title, name, told)
    return start + Markup("").join(inside) + Markup("</svg>")


def numbers(head: Sequence[str], rows: Sequence[Sequence[object]], name: str = "") -> Markup:
    """Return the numbers of a chart as a table that opens on demand."""
    cells = Markup("").join(Markup('<th scope="col">{}</th>').format(one) for one in head)
    body = Markup("").join(
        Markup("<tr>") + Markup("").join(Markup("<td>{}</td>").format(one) for one in row) + Markup("</tr>")
        for row in rows
    )
    return Markup(
        '<details class="numbers" id="{}-numbers"><summary>Numbers</summary>'
        '<div class="scroll" role="group" aria-label="Numbers" tabindex="0"><table>'
        "<thead><tr>{}</tr></thead><tbody>{}</tbody></table></div></details>"
    ).format(name, cells, body)


def ticks(high: float, count: int = TICKS) -> list[float]:
    """Return round numbers from 0 up to at least `high`, about so many.

    Examples
    --------
    >>> ticks(87), ticks(3)
    ([0.0, 20.0, 40.0, 60.0, 80.0, 100.0], [0.0, 1.0, 2.0, 3.0])
    """
    rough = max(high, 1) / count
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * by for by in (1, 2, 5, 10) if unit * by >= rough)
    step = max(step, 1.0)
    return [step * number for number in range(math.ceil(max(high, 1) / step) + 1)]


def line_chart(
    name: str,
    title: str,
    told: str,
    lines: Sequence[Line],
    *,
    x_name: str,
    goal: float | None = None,
    mark: tuple[float, str] | None = None,
) -> Markup:
    """Return shares over a number of labels.

    Parameters
    ----------
    name : str
        Of the chart on its page.
    title, told : str
        For those who do not see it.
    lines : sequence of Line
        Those without points are left out; without any, there is nothing to draw and the markup is empty.
    x_name : str
        What x counts.
    goal : float, optional
        A share that is drawn across.
    mark : (float, str), optional
        Place on the x axis with what is there.
    """
    lines = [line for line in lines if line.points]
    if not lines:
        return Markup("")
    ends = [x for line in lines for x, _ in line.points] + ([mark[0]] if mark else [])
    shares = [y for line in lines for _, y in line.points]
    shares += [low for line in lines for low, _ in line.reach] + ([goal] if goal else [])
    apart = 0.2 if min(shares) < 0.4 else 0.1  # shares between two lines of the grid
    floor = apart * max(min(math.floor(min(shares) / apart), round(1 / apart) - 1), 0)
    across = ticks(max(ends))
    last = across[-1]

    def at_x(x: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * min(max(x, 0.0), last) / last

    def at_y(share: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - (min(max(share, floor), 1.0) - floor) / (1 - floor))

    drawn = []
    for step in range(round((1 - floor) / apart) + 1):
        share = floor + step * apart
        drawn.append(_line(LEFT, at_y(share), WIDTH - RIGHT, at_y(share), "grid"))
        drawn.append(_text(LEFT - 8, at_y(share) + 4, f"{share:.0%}", "end"))
    for x in across:
        drawn.append(_text(at_x(x), HEIGHT - BOTTOM + 18, f"{x:,.0f}", "middle"))
    drawn.append(_line(LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM, "axis"))
    drawn.append(_text(WIDTH - RIGHT, HEIGHT - 4, x_name, "end"))
    if goal is not None:
        drawn.append(_line(LEFT, at_y(goal), WIDTH - RIGHT, at_y(goal), "axis dotted"))
        drawn.append(_text(LEFT + 6, at_y(goal) - 5, f"{100 * goal:.4g}%"))
    if mark is not None:
        drawn.append(_line(at_x(mark[0]), TOP, at_x(mark[0]), HEIGHT - BOTTOM, "axis dotted"))
        near_the_end = at_x(mark[0]) > WIDTH * 0.75
        drawn.append(
            _text(
                at_x(mark[0]) + (-6 if near_the_end else 6),
                HEIGHT - BOTTOM - 6,
                mark[1],
                "end" if near_the_end else "start",
            )
        )
    for line in sorted(lines, key=lambda line: not line.band):
        drawn += _drawn(line, at_x, at_y)
    return _svg(name, WIDTH, HEIGHT, title, told, drawn) + _legend(lines)


def _drawn(line: Line, at_x: Any, at_y: Any) -> list[Markup]:
    step = math.ceil(len(line.points) / POINTS)
    kept = sorted({*range(0, len(line.points), step), len(line.points) - 1})
    points = [(at_x(x), at_y(y)) for x, y in (line.points[at] for at in kept)]
    drawn = []
    if line.reach and line.band:
        low = [(at_x(line.points[at][0]), at_y(line.reach[at][0])) for at in kept]
        high = [(at_x(line.points[at][0]), at_y(line.reach[at][1])) for at in kept]
        around = " ".join(f"{x:.1f},{y:.1f}" for x, y in (*high, *reversed(low)))
        drawn.append(Markup('<polygon points="{}" class="band f{}"/>').format(around, line.series))
    elif line.reach:
        for at in kept:
            x, (low, high) = at_x(line.points[at][0]), line.reach[at]
            drawn.append(_line(x, at_y(low), x, at_y(high), f"line s{line.series}"))
    if line.dash != "points" and len(points) > 1:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        kind = f"line s{line.series} {line.dash}"
        drawn.append(Markup('<polyline points="{}" class="{}"/>').format(path, kind))
    if line.dash == "points":
        shape = Markup('<rect x="{:.1f}" y="{:.1f}" width="9" height="9" class="f{}"/>')
        drawn += [shape.format(x - 4.5, y - 4.5, line.series) for x, y in points]
    elif len(points) <= 40:
        drawn += [
            Markup('<circle cx="{:.1f}" cy="{:.1f}" r="3" class="f{}"/>').format(x, y, line.series) for x, y in points
        ]
    return drawn


def _legend(lines: Sequence[Line]) -> Markup:
    """Return the names of lines, each with a piece of it."""
    rows = Markup("")
    for line in lines:
        piece = Markup('<svg class="chart key" viewBox="0 0 34 12" aria-hidden="true">')
        if line.band:
            piece += Markup('<rect x="0" y="0" width="34" height="12" class="band f{}"/>').format(line.series)
        if line.dash == "points":
            piece += _line(17, 0, 17, 12, f"line s{line.series}")
            piece += Markup('<rect x="12.5" y="1.5" width="9" height="9" class="f{}"/>').format(line.series)
        else:
            piece += _line(0, 6, 34, 6, f"line s{line.series} {line.dash}")
        rows += Markup("<li>{}{}</li>").format(piece + Markup("</svg>"), line.name)
    return Markup('<ul class="legend">{}</ul>').format(rows)


def bars(name: str, title: str, rows: Sequence[tuple[str, int]], what: str) -> Markup:
    """Return one lying bar per row, those with the highest counts where there are many, in their order.

    Parameters
    ----------
    name, title : str
        See `line_chart`.
    rows : sequence of (str, int)
        Name and count.
    what : str
        What is counted, one of it: ``label``.
    """
    if not rows:
        return Markup("")
    if len(rows) > SHOWN:
        kept = set(sorted(range(len(rows)), key=lambda at: -rows[at][1])[: SHOWN - 1])
        others = sum(count for at, (_, count) in enumerate(rows) if at not in kept)
        shown = [row for at, row in enumerate(rows) if at in kept]
        shown.append((f"{len(rows) - len(kept):,} others", others))
    else:
        shown = list(rows)
    width, most = 400.0, max(max(count for _, count in shown), 1)
    drawn, room = [], width - 138 - 60
    for at, (label, count) in enumerate(shown):
        y = at * BAR
        drawn.append(_text(130, y + 15, _cut(label), "end"))
        drawn.append(
            Markup(
                '<rect x="138" y="{:.1f}" width="{:.1f}" height="14" class="f1"><title>{}: {:,}</title></rect>'
            ).format(y + 4, room * count / most, label, count)
        )
        drawn.append(_text(144 + room * count / most, y + 15, f"{count:,}"))
    told = f"{sum(count for _, count in rows):,} {what}s of {len(rows):,} names; the numbers follow as a table."
    return _svg(name, width, len(shown) * BAR + 4, title, told, drawn) + numbers(
        ("Name", f"{what}s".capitalize()), rows, name
    )


def columns(name: str, title: str, days: Sequence[Sequence[Any]], earlier: int = 0) -> Markup:
    """Return labels and skips of each day as standing columns.

    Parameters
    ----------
    name, title : str
        See `line_chart`.
    days : sequence of [date, labels, skips]
        Oldest first; days in between without any are drawn as well.
    earlier : int
        Labels before those.
    """
    rows = _every_day(days)
    if not rows:
        return Markup("")
    width, height, bottom = 400.0, 180.0, 24.0
    across = ticks(max(labels + skips for _, labels, skips in rows), 4)
    room = (width - LEFT - RIGHT) / max(len(rows), 7)

    def at_y(count: float) -> float:
        return TOP + (height - TOP - bottom) * (1 - count / across[-1])

    drawn = []
    for count in across:
        drawn.append(_line(LEFT, at_y(count), width - RIGHT, at_y(count), "grid"))
        drawn.append(_text(LEFT - 8, at_y(count) + 4, f"{count:,.0f}", "end"))
    for at, (day, labels, skips) in enumerate(rows):
        x, wide = LEFT + at * room + room * 0.1, room * 0.8
        column = Markup(
            '<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" class="{}"><title>{}</title></rect>'
        )
        said = f"{day}: {labels:,} labeled, {skips:,} skipped"
        drawn.append(column.format(x, at_y(labels), wide, at_y(0) - at_y(labels), "f1", said))
        if skips:
            top = at_y(labels + skips)
            drawn.append(column.format(x, top, wide, at_y(labels) - top, "hollow s2", said))
    for at in sorted({0, len(rows) // 2, len(rows) - 1}):
        drawn.append(_text(LEFT + (at + 0.5) * room, height - 6, rows[at][0][5:], "middle"))
    drawn.append(_line(LEFT, at_y(0), width - RIGHT, at_y(0), "axis"))
    total = sum(row[1] for row in days) + earlier
    told = f"{total:,} labels, {rows[-1][1]:,} of them on {rows[-1][0]}; the numbers follow as a table."
    legend = Markup(
        '<ul class="legend"><li><svg class="chart key" viewBox="0 0 34 12" aria-hidden="true">'
        '<rect width="34" height="12" class="f1"/></svg>labeled</li>'
    )
    if any(skips for _, _, skips in rows):
        legend += Markup(
            '<li><svg class="chart key" viewBox="0 0 34 12" aria-hidden="true">'
            '<rect x="1" y="1" width="32" height="10" class="hollow s2"/></svg>skipped</li>'
        )
    listed: list[Sequence[object]] = [*([("earlier", earlier, "")] if earlier else []), *days]
    return (
        _svg(name, width, height, title, told, drawn)
        + legend
        + Markup("</ul>")
        + numbers(("Day (UTC)", "Labeled", "Skipped"), listed, name)
    )


def _every_day(days: Sequence[Sequence[Any]]) -> list[tuple[str, int, int]]:
    """Return the newest days in a row, those without anything among them."""
    known = {date.fromisoformat(day): (int(labels), int(skips)) for day, labels, skips in days}
    if not known:
        return []
    last = max(known)
    first = max(min(known), last - timedelta(days=DAYS - 1))
    every = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    return [(day.isoformat(), *known.get(day, (0, 0))) for day in every]


def _cut(name: str) -> str:
    return name if len(name) <= NAME else f"{name[: NAME - 1]}…"
