"""Charts: inside their frame, every name escaped, no style in attributes, and nothing where there is nothing."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labelqueue.console import charts
from labelqueue.console.charts import Line, bars, columns, line_chart, numbers, ticks
from labelqueue.console.overview import GROUPS, LEAST, _groups, learning_chart

NASTY = "<script>alert('x')</script>\"&"
BUSY = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])  # of a busy machine


def parsed(markup):
    """The chart as a tree, which it has to be one of; checked for what the policy forbids and for its names."""
    assert not re.search(r"\s(style|on\w+)=", markup)
    tree = ElementTree.fromstring(f"<div>{markup}</div>")
    assert not list(tree.iter("script"))
    chart = tree.find("svg")
    assert chart.get("role") == "img"
    ids = {element.get("id") for element in tree.iter() if element.get("id")}
    assert set(chart.get("aria-labelledby").split()) <= ids
    assert chart.find("title").text and chart.find("desc").text
    return tree


def inside(tree):
    """Whether everything is drawn within the frame."""
    chart = tree.find("svg")
    _, _, width, height = map(float, chart.get("viewBox").split())
    for element in chart.iter():
        for name, value in element.attrib.items():
            if name in ("x", "x1", "x2", "cx"):
                assert -0.1 <= float(value) <= width + 0.1, (element.tag, name, value)
            if name in ("y", "y1", "y2", "cy"):
                assert -0.1 <= float(value) <= height + 0.1, (element.tag, name, value)
            if name in ("width", "height") and element.tag == "rect":
                assert float(value) >= 0
            if name == "points":
                for point in value.split():
                    x, y = map(float, point.split(","))
                    assert -0.1 <= x <= width + 0.1 and -0.1 <= y <= height + 0.1
    return True


def test_nothing_is_drawn_of_nothing():
    assert line_chart("c", "t", "d", [], x_name="labels") == ""
    assert line_chart("c", "t", "d", [Line("a", [], 1)], x_name="labels") == ""
    assert bars("c", "t", [], "label") == columns("c", "t", []) == ""
    assert learning_chart(None) == ""
    begun = {"measurements": [], "forecast": None, "steps": [{"labels": 20, "guessed": 0.2}]}
    assert learning_chart(begun) == "", "one dot is no curve"
    assert learning_chart(begun | {"steps": [*begun["steps"], {"labels": 30, "guessed": 0.4}]}) != ""


def test_one_point_is_a_mark():
    tree = parsed(line_chart("c", "t", "d", [Line("a", [(40, 0.8)], 1)], x_name="labels"))
    assert inside(tree) and len(list(tree.iter("circle"))) == 1 and not list(tree.iter("polyline"))


@BUSY
@given(
    st.lists(st.tuples(st.integers(1, 100_000), st.floats(0, 1)), min_size=1, max_size=150),
    st.sampled_from(["", "dashed", "dotted", "points"]),
    st.booleans(),
    st.none() | st.floats(0.01, 0.99),
    st.none() | st.integers(1, 200_000),
)
def test_whatever_is_measured_is_drawn_within_the_frame(points, dash, band, goal, mark):
    points = sorted(points)
    reach = [(max(y - 0.3, 0.0), min(y + 0.3, 1.0)) for _, y in points]
    lines = [Line("one", points, 1, dash, reach, band), Line("two", points[:1], 2)]
    marked = None if mark is None else (float(mark), NASTY)
    assert inside(parsed(line_chart("c", NASTY, NASTY, lines, x_name=NASTY, goal=goal, mark=marked)))


def test_many_points_are_drawn_as_fewer_with_the_last():
    points = [(number, 0.5) for number in range(1, 1001)]
    tree = parsed(line_chart("c", "t", "d", [Line("a", points, 1)], x_name="labels"))
    drawn = next(tree.iter("polyline")).get("points").split()
    assert len(drawn) <= charts.POINTS + 1 and float(drawn[-1].split(",")[0]) > float(drawn[-2].split(",")[0])


def test_lines_differ_in_more_than_color():
    curve = CURVE | {"controls": [{"labels": 50, "right": 9, "count": 12}]}
    tree = parsed(learning_chart(curve, 0.9))
    looks = [(one.get("class") or "").split() for one in tree.find("svg").iter("polyline")]
    dashes = {tuple(sorted(set(look) & {"dashed", "dotted"})) for look in looks}
    assert len(dashes) == 3, "solid, dashed and dotted"


@BUSY
@given(st.lists(st.tuples(st.text(max_size=30), st.integers(0, 10**6)), min_size=1, max_size=60))
def test_bars_stay_within_and_no_label_is_lost(rows):
    rows = [(re.sub(r"[^ -~äöü…]", "?", name), count) for name, count in rows]
    tree = parsed(bars("c", "t", rows, "label"))
    assert inside(tree)
    shown = list(tree.find("svg").iter("rect"))
    assert len(shown) == min(len(rows), charts.SHOWN)
    counted = [int(one.find("title").text.rpartition(": ")[2].replace(",", "")) for one in shown]
    assert sum(counted) == sum(count for _, count in rows)
    assert len(list(tree.iter("tr"))) == len(rows) + 1, "the table has every one"


def test_long_names_are_cut_in_the_drawing_only():
    html = bars("c", "t", [("a" * 60, 3)], "label")
    assert "a" * 60 in html and f">{'a' * (charts.NAME - 1)}…<" in html


def test_names_are_escaped():
    for html in (
        bars("c", NASTY, [(NASTY, 1)], "label"),
        columns("c", NASTY, [["2026-11-28", 1, 0]]),
        line_chart("c", NASTY, NASTY, [Line(NASTY, [(1, 0.5), (2, 0.6)], 1)], x_name=NASTY),
        numbers([NASTY], [[NASTY]]),
    ):
        assert "<script>" not in html


def test_days_without_labels_are_there_and_old_ones_only_in_the_table():
    days = [["2026-08-01", 5, 0], ["2026-11-25", 3, 1], ["2026-11-28", 4, 0]]
    tree = parsed(columns("c", "t", days, 7))
    assert inside(tree)
    said = [one.find("title").text for one in tree.find("svg").iter("rect")]
    assert len([one for one in said if "labeled" in one]) == charts.DAYS + 1, "one of them has skips too"
    assert "2026-11-26: 0 labeled, 0 skipped" in said and not any("2026-08" in one for one in said)
    assert ["earlier", "7", None] in [[cell.text for cell in row] for row in tree.iter("tr")]
    assert ["2026-08-01", "5", "0"] in [[cell.text for cell in row] for row in tree.iter("tr")]


@pytest.mark.parametrize("high", [0, 0.3, 1, 3, 7, 87, 100, 12_345, 10**7])
def test_ticks_are_round_and_reach_the_end(high):
    found = ticks(high)
    assert found[0] == 0 and found[-1] >= high and 2 <= len(found) <= 8
    assert all(tick == int(tick) for tick in found)


CURVE = {
    "measurements": [
        {"labels": 40, "accuracy": 0.7, "chosen_accuracy": 0.66},
        {"labels": 60, "accuracy": 0.8, "chosen_accuracy": 0.75},
    ],
    "steps": [{"labels": 30, "guessed": None}, {"labels": 40, "guessed": 0.6}, {"labels": 60, "guessed": 0.7}],
    "controls": [],
    "forecast": {
        "accuracy": {
            "bands": [
                {"labels": 60, "low": 0.7, "middle": 0.8, "high": 0.9},
                {"labels": 120, "low": 0.75, "middle": 0.85, "high": 0.93},
                {"labels": 240, "low": 0.8, "middle": 0.9, "high": 0.97},
            ],
            "need": {"target": 0.9, "low": 100, "middle": 240, "high": None},
        }
    },
}


def test_the_learning_curve_shows_its_five_lines_and_the_labels_that_a_goal_takes():
    checks = [{"labels": 20 + number, "right": 2, "count": 3} for number in range(20)]
    tree = parsed(learning_chart(CURVE | {"controls": checks}, 0.9))
    assert inside(tree)
    assert [one.find("svg") is not None for one in tree.find("ul")] == [True] * 5
    said = "".join(tree.find("svg").itertext())
    assert "90%" in said and "about 240 labels" in said
    rows = ["".join(row.itertext()) for row in tree.iter("tr")]
    assert any("240" in row and "80.0%97.0%" in row for row in rows), "the band reaches as far as the goal"
    without = "".join(parsed(learning_chart(CURVE)).find("svg").itertext())
    assert "about 240" not in without


def test_random_checks_come_in_a_few_groups_with_all_of_them():
    checks = [{"labels": number, "right": number % 2, "count": 1} for number in range(100, 0, -1)]
    groups = _groups(checks)
    assert 2 <= len(groups) <= GROUPS + 1
    assert (sum(right for _, right, _ in groups), sum(count for _, _, count in groups)) == (50, 100)
    assert all(count >= LEAST for _, _, count in groups)
    assert _groups([]) == [] and _groups([{"labels": 3, "right": 0, "count": 0}]) == []
    assert _groups([{"labels": 3, "right": 1, "count": 2}]) == [] and _groups(checks[:10])[0][2] == 10
