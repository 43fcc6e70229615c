"""The benchmark of the live loop runs, and what it says of a small project adds up."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")
sys.path.insert(0, BENCHMARKS)  # as when a script is run
try:
    import live_loop
    import live_loop_scene
finally:
    sys.path.remove(BENCHMARKS)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

TASKS = 200
SWITCH = "PATCH /api/projects/N (model_version, sampling)"


def test_each_part_of_the_loop_is_measured_and_shared_out(label_studio):
    pytest.importorskip("pyarrow")
    with live_loop_scene.beside(label_studio.url, TASKS, {"Label Studio": label_studio.pid}) as here:
        found = list(live_loop.run(here, 1, labels=4))
        assert here.api.project(here.number)["model_version"] == here.live()
    times = {what: sum(span.what == what for span in found) for what in live_loop.PARTS}
    assert times == {what: 2 if what == live_loop.LABEL else 1 for what in live_loop.PARTS}
    for span in found:
        assert 0 <= span.ours <= span.seconds and span.waited <= span.seconds and span.our_cpu >= 0, span
    for span in (one for one in found if one.what == live_loop.LABEL):
        assert span.calls[SWITCH][0] == 1 and span.theirs > span.calls[SWITCH][1] > 0
        assert {"Label Studio", "Redis", "tending worker", "web"} <= span.cpu.keys()
    told = live_loop.summary(found)
    assert f"| {live_loop.LABEL} | 2 |" in told and f"| `{SWITCH}` | {live_loop.LABEL} | 1.0 |" in told


@pytest.mark.parametrize(
    ("method", "path", "body", "kind"),
    [
        ("GET", "/api/projects/12", b"", "GET /api/projects/N"),
        ("PATCH", "/api/projects/12", b'{"sampling": "x", "model_version": "y"}', SWITCH),
        ("PATCH", "/api/projects/12", b"junk", "PATCH /api/projects/N"),
        (
            "GET",
            "/api/tasks?project=1&query=%7B%22ordering%22%3A%5B%22-tasks%3Aupdated_at%22%5D%7D",
            b"",
            "newest change",
        ),
        (
            "GET",
            "/api/tasks?project=1&include=id,annotations&query={%22selectedItems%22:1}",
            b"",
            "annotations of named",
        ),
    ],
)
def test_calls_are_counted_by_what_they_are_for(method, path, body, kind):
    found = live_loop_scene.kind_of(method, path, body)
    assert found == kind or found == f"GET /api/tasks ({kind})"


def test_time_in_which_two_calls_overlap_counts_once():
    assert live_loop_scene.union([(4.0, 5.0), (1.0, 3.0), (2.0, 2.5), (2.5, 4.0)]) == 4.0
