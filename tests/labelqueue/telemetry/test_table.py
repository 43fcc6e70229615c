"""The table of metrics: names as Prometheus wants them, and docs and dashboard that say the same."""

import json
import re
from pathlib import Path

import pytest

from labelqueue.telemetry import METRICS, PREFIX, Metric, metrics_table
from labelqueue.telemetry.table import PROJECT

ROOT = Path(__file__).parents[3]
DASHBOARD = json.loads((ROOT / "docs" / "grafana.json").read_text())
SUFFIXES = {"counter": ("",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
KNOWN = {f"{PREFIX}{metric.name}{suffix}" for metric in METRICS.values() for suffix in SUFFIXES[metric.kind]}


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_names_are_as_prometheus_wants_them(metric):
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert metric.kind != "histogram" or metric.name.endswith("_seconds")
    assert metric.help and not metric.help.endswith(".")
    assert list(metric.buckets) == sorted(set(metric.buckets)) and bool(metric.buckets) == (metric.kind == "histogram")
    assert set(metric.labels) <= {PROJECT, "kind", "outcome", "queue", "method", "version"}, "no label without bounds"
    for label, values in metric.labels.items():
        assert values or label in (PROJECT, "version")
        assert all(re.fullmatch(r"[\w-]+", value) for value in values)


def test_a_value_that_the_table_does_not_name_becomes_its_last_one():
    metric = METRICS["events_total"]
    assert metric.values_of({"kind": "TASKS_CREATED", "outcome": "accepted"}) == ("TASKS_CREATED", "accepted")
    assert metric.values_of({"kind": "<script>", "outcome": "accepted"}) == ("other", "accepted")
    for wrong in ({}, {"kind": "other"}, {"kind": "other", "outcome": "accepted", "task": "1"}):
        with pytest.raises(TypeError, match="has the labels"):
            metric.values_of(wrong)


def test_bounds_are_written_as_prometheus_writes_them():
    metric = Metric("x_seconds", "histogram", "x", buckets=(0.005, 1.0, 300.0))
    assert metric.bounds == ("0.005", "1.0", "300.0", "+Inf")


def test_the_docs_have_the_codes_table():
    text = (ROOT / "docs" / "metrics.md").read_text()
    assert text.split("<!-- metrics:start -->\n")[1].split("<!-- metrics:end -->")[0] == metrics_table()
    named = set(re.findall(rf"{PREFIX}\w+", text))
    assert named - KNOWN <= {f"{PREFIX}{metric.name}" for metric in METRICS.values()}


def expressions():
    """Every expression of the dashboard, with the place where it stands."""
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"], target["legendFormat"]
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["definition"], ""


@pytest.mark.parametrize(("place", "expression", "legend"), list(expressions()))
def test_the_dashboard_asks_for_what_there_is(place, expression, legend):
    named = re.findall(rf"{PREFIX}\w+", expression)
    assert named and set(named) <= KNOWN, place
    metrics = [METRICS[re.sub("_(bucket|sum|count)$", "", name.removeprefix(PREFIX))] for name in named]
    labels = {"le"} | {label for metric in metrics for label in metric.labels}
    asked = set(re.findall(r"(\w+)=~?\"", expression)) | set(re.findall(r"{{(\w+)}}", legend))
    asked |= {name for group in re.findall(r"by \(([\w, ]+)\)", expression) for name in group.split(", ")}
    assert asked <= labels, place
    for label, value in re.findall(r'(\w+)="(\w+)"', expression):
        assert any(value in metric.labels[label] for metric in metrics), place


def test_the_dashboard_can_be_imported():
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids)) and DASHBOARD["uid"] and DASHBOARD["schemaVersion"]
    taken = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24 and not cells & taken, panel["title"]
        taken |= cells
    sources = {panel["datasource"]["uid"] for panel in DASHBOARD["panels"] if panel["type"] != "row"}
    assert sources == {"${datasource}"}, "whoever imports it has another one"
