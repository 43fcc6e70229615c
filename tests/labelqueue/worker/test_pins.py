"""Pins and exclusions from a wish to what is served: whole looks, with a Label Studio that answers at once."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from desk import Desk
from labelqueue.admin import (
    exclude,
    include,
    order_audit,
    pin,
    project_glance,
    project_order,
    undo,
    unpin,
    verify_order,
)
from labelqueue.console.sentences import stage, standing
from labelqueue.exceptions import LabelStudioError
from labelqueue.ordering import END, drafting
from labelqueue.ordering import decision as deciding
from labelqueue.state import Journal, Orders, summary_of
from labelqueue.state.journal import Event
from labelqueue.worker.runtime import Runtime

N = 120


@pytest.fixture
def desk(project, deployment):
    project.put_settings({"trials": 1, "strategy": "freesel", "control_share": 0.1}, "test")
    desk = Desk(Runtime(deployment), project, N)
    assert "is live" in desk.tend()
    return desk


def places(desk):
    return [place.task for place in desk.live.places]


def far(desk, count=1):
    """Tasks at the end of the order, which are no controls."""
    return [place.task for place in desk.live.places if not place.control][-count:]


def unpublished(desk):
    scores = desk.live.scores
    return [task for task, row in desk.server.rows.items() if task not in scores and not row["annotations"]]


def ahead(desk, count):
    return [row["task"] for row in project_order(desk.project, count)["tasks"]]


def stored(desk):
    """Task to score, of the live version in Label Studio."""
    version = desk.live.version
    rows = [row for rows in desk.server.imported for row in rows if row["model_version"] == version]
    found = {row["task"]: row["score"] for row in rows}
    assert len(found) == len(rows), "never two predictions of one version for one task"
    return found


def test_a_pin_is_next_without_a_new_version(desk, project):
    (task,), version = far(desk), desk.live.version
    recorded, imported = places(desk), len(desk.server.imported)
    pin(project, [task], "x")
    assert "follows what was pinned" in desk.tend() and desk.next().task == task
    assert (desk.live.version, desk.server.remote["model_version"]) == (version, version)
    assert places(desk) == recorded and len(desk.server.imported) == imported and desk.server.moves < 10
    first = project_order(project)["tasks"][0]
    assert first["pinned"] and first["reason"].startswith("pinned by an admin; ") and first["task"] == task
    assert order_audit(project, desk.live)["tasks"][0]["pinned"]
    assert stored(desk) == desk.live.scores
    desk.tend()
    assert desk.server.moves < 10, "a look with nothing to do moves nothing"


def test_several_stand_in_the_strategys_order_whoever_was_named_first(desk, project):
    old, new, before = far(desk, 3), unpublished(desk)[:3], ahead(desk, 100)
    controls = {place.task: at for at, place in enumerate(desk.live.places) if place.control}
    pin(project, [*new, *old], "lasso")
    desk.tend()
    queue = desk.live.queue
    assert {queue[at].task: at for at in controls.values()} == controls, "controls keep their positions"
    front = [place.task for place in queue if not place.control][:6]
    assert set(front) == {*old, *new}
    unpin(project, [*new, *old], "x")
    desk.tend()
    assert ahead(desk, 100) == before and stored(desk) == desk.live.scores
    pin(project, [*old, *new], "one by one")
    desk.tend()
    assert [place.task for place in desk.live.queue if not place.control][:6] == front
    assert stored(desk) == desk.live.scores


def test_what_is_left_out_is_served_last_and_comes_back(desk, project):
    before = ahead(desk, 10)
    task = desk.next().task
    act = exclude(project, [task], "blurry", "x")["act"]
    desk.tend()
    assert desk.next().task != task and task not in ahead(desk, 10)
    last = project_order(project, 1000)["tasks"][-1]
    assert (last["task"], last["excluded"], last["reason"]) == (task, True, "left out by an admin: blurry")
    assert stored(desk)[task] >= END
    undo(project, act)
    desk.tend()
    assert ahead(desk, 10) == before and stored(desk) == desk.live.scores


def test_pins_outlive_a_new_order_and_what_is_left_out_is_none_of_it(desk, project, deployment):
    pinned, out = far(desk), unpublished(desk)[:5]
    desk.label(1)
    pin(project, pinned, "x")
    exclude(project, out, "blurry", "x")
    desk.tend()
    project.put_settings({"seed": 5}, "test")
    assert "settings changed" in desk.tend()
    assert desk.next().task == pinned[0] and not {*places(desk)} & {*out}
    runtime = desk.runtime
    verified = verify_order(project, desk.live, partial(runtime.cache, project))
    assert verified["outcome"] == "same" and verified["compared"] == len(desk.live.places)


def test_refills_give_no_task_a_second_prediction(desk, project):
    pinned, out = unpublished(desk)[:4], unpublished(desk)[4:8]
    project.put_settings({"retrain_every": 1000}, "test")
    pin(project, pinned, "x")
    exclude(project, out, "dark", "x")
    for _ in range(12):
        desk.label(4)
        desk.tend()
        assert stored(desk) == {**desk.live.scores}
        assert not {row["task"] for row in project_order(project, 20)["tasks"]} & {*out}
    assert len(places(desk)) > 60 and desk.live.number <= 2
    verified = verify_order(project, desk.live, partial(desk.runtime.cache, project))
    assert verified["outcome"] == "same", verified
    include(project, out, "x")
    desk.tend()
    assert stored(desk) == desk.live.scores


def test_rollback_takes_pins_along(desk, project):
    from labelqueue.admin import rollback

    first = desk.live.version
    project.put_settings({"seed": 5}, "test")
    desk.tend()
    pin(project, far(desk), "x")
    exclude(project, [desk.next().task], "blurry", "x")
    rollback(project)
    desk.tend()
    assert desk.live.version == first and desk.next().pinned
    assert stored(desk) == desk.live.scores


def test_while_paused_nothing_is_written_and_then_it_counts(desk, project):
    from labelqueue.admin import pause, resume

    pause(project)
    desk.tend()
    task = far(desk)[0]
    pin(project, [task], "x")
    desk.tend()
    assert desk.server.moves == 0 and desk.next().task != task
    resume(project)
    desk.tend()
    assert desk.next().task == task


@pytest.mark.parametrize("after", [0, 1, 2, 3])
def test_a_job_that_ends_half_way_loses_nothing(desk, project, after, monkeypatch):
    pinned, version = [*far(desk, 3), *unpublished(desk)[:3]], desk.live.version
    pin(project, pinned, "x")
    left = [after]

    def fails(call):
        def dying(*arguments):
            left[0] -= 1
            if left[0] < 0:
                raise LabelStudioError("killed")
            return call(*arguments)

        return dying

    with monkeypatch.context() as patch:
        for name in ("move_prediction", "create_prediction", "import_predictions"):
            patch.setattr(desk.server, name, fails(getattr(desk.server, name)))
        with pytest.raises(LabelStudioError, match="killed"):
            desk.tend()
    desk.tend()
    assert stored(desk) == desk.live.scores and desk.live.version == version
    assert {place.task for place in desk.live.queue if place.pinned} == {*pinned}
    assert project.get("moving") in ("", "{}")


def test_annotated_pins_are_done_and_move_nothing(desk, project):
    pinned = unpublished(desk)[:3]
    pin(project, pinned, "x")
    desk.tend()
    moves = desk.server.moves
    for _ in range(3):
        assert desk.next().task in pinned or desk.next().control
        desk.label(1)
        desk.tend()
    assert desk.server.moves == moves and stored(desk) == desk.live.scores


@pytest.mark.parametrize("strategy", ["auto", "uherding"])
def test_a_model_ranks_the_pinned_ones_and_fills_them_in(desk, project, strategy):
    project.put_settings({"strategy": strategy, "switch_after": 20, "prelabel": 0.5, "retrain_every": 10}, "test")
    desk.play(40, step=10)
    assert desk.memory.model is not None and desk.live.model
    pinned = unpublished(desk)[:12]
    pin(project, pinned, "x")
    desk.tend()
    front = [place for place in desk.live.queue if place.pinned]
    assert {place.task for place in front} == {*pinned} and any(place.prelabel for place in front)
    reasons = {place.reason.removeprefix("pinned by an admin; ") for place in front}
    assert all(reason and "pinned" not in reason for reason in reasons) and stored(desk) == desk.live.scores


def test_a_pinned_task_without_embeddings_and_one_that_was_skipped_come_after_the_others(desk, project):
    one, two, three = unpublished(desk)[:3]
    project.quarantine({two: (f"u{two}", "truncated")})
    skip = {"id": 999, "updated_at": "1", "result": [], "was_cancelled": True}
    desk.server.rows[three] = desk.server._row(three, [skip], 1) | {"total_annotations": 0, "cancelled_annotations": 1}
    Journal(project).append(Event("ANNOTATION_CREATED", (three,), (999,), (1,)))
    pin(project, [three, two, one], "x")
    desk.runtime.cache(project, project.get("generation")).retain(
        np.array([task for task in range(1, N + 1) if task != two])
    )
    desk.tend()
    front = [(place.task, place.reason) for place in desk.live.queue if place.pinned]
    assert [task for task, _ in front] == [one, two, three]
    assert front[1][1].endswith("bad image: truncated") and front[2][1].endswith("skipped before")


def test_many_pins_come_first_by_and_by(desk, project, monkeypatch):
    monkeypatch.setattr(drafting, "PINNED", 6)
    pinned = unpublished(desk)[:20]
    pin(project, pinned, "x")
    desk.tend()
    assert sum(place.pinned for place in desk.live.queue) == 6
    seen = set()
    for _ in range(20):
        assert desk.next().task in pinned or desk.next().control
        seen.add(desk.next().task)
        desk.label(1)
        desk.tend()
        assert stored(desk) == desk.live.scores
    assert len(seen & {*pinned}) >= 15


def test_deleted_tasks_leave_pins_and_exclusions(desk, project):
    one, two = unpublished(desk)[:2]
    pin(project, [one], "x")
    exclude(project, [two], "dark", "x")
    desk.tend()
    for task in (one, two):
        del desk.server.rows[task]
    Journal(project).append(Event("TASKS_DELETED", (one, two)))
    desk.tend()
    from labelqueue.admin import curation

    found = curation(project)
    assert (found["pins"], found["exclusions"]) == ([], [])


def test_so_much_to_move_that_the_order_is_published_once_more(desk, project, monkeypatch):
    monkeypatch.setattr(deciding, "MOVES", 3)
    before, number = desk.live, desk.live.number
    exclude(project, places(desk)[:10], "dark", "x")
    desk.tend()
    assert desk.live.again == before.number and desk.live.number > number
    assert desk.server.moves == 0 and stored(desk) == desk.live.scores
    assert not {*ahead(desk, 20)} & {*places(desk)[:10]}
    verified = verify_order(project, desk.live, partial(desk.runtime.cache, project))
    assert verified["outcome"] == "same", verified


def test_what_is_left_out_and_labeled_anyway_teaches_and_counts_for_no_accuracy(desk, project):
    desk.play(20)
    controls = [place.task for place in desk.live.places if place.control]
    exclude(project, controls[:1], "dark", "x")
    desk.server.label(controls[0], desk.truth[controls[0]])
    Journal(project).append(Event("ANNOTATION_CREATED", (controls[0],), (controls[0],), (controls[0],)))
    desk.tend()
    assert controls[0] in {*desk.memory.trained_on, *desk.memory.heard}
    told = summary_of(project)["accuracy"]
    assert told["excluded"] == 1 and "left out" in " ".join(told["lines"])


def test_when_everything_is_labeled_or_left_out_nothing_is_published(desk, project):
    exclude(project, range(21, N + 1), "dark", "x")
    desk.tend()
    desk.label(20)
    Journal(project).append(Event("ANNOTATION_CREATED", tuple(range(1, 21)), tuple(range(1, 21)), (1,)))
    desk.tend()
    assert Orders(project).live() is not None
    outcome = desk.tend()
    assert "error" not in outcome and project.get("error") == ""
    facts = project_glance(project)
    assert (facts["tasks"], facts["labeled"], facts["left_out"]) == (N, 20, N - 20)
    assert stage(facts).word == "all labeled" and "labeled, skipped or left out" in " ".join(standing(facts))


def test_a_refill_passes_over_what_was_left_out_since(desk, project):
    project.put_settings({"horizon": 10, "retrain_every": 1000}, "test")
    desk.tend()
    out, start = unpublished(desk)[:-12], len(places(desk))
    exclude(project, out, "dark", "x")
    desk.tend()
    for left in range(start + 12, 0, -4):
        assert len(ahead(desk, N)) >= min(20, left), "a refill comes before the queue runs dry"
        desk.label(min(4, left))
        desk.tend()
    assert not ahead(desk, N) and {*places(desk)} == {*range(1, N + 1)} - {*out}
    verified = verify_order(project, desk.live, partial(desk.runtime.cache, project))
    assert verified["outcome"] == "same", verified


def test_what_is_no_longer_left_out_is_served_by_the_same_order(desk, project):
    out = unpublished(desk)[:6]
    exclude(project, out, "dark", "x")
    project.put_settings({"seed": 5, "horizon": 40, "retrain_every": 1000}, "test")
    desk.tend()
    version = desk.live.version
    include(project, out, "x")
    for _ in range(N // 5):
        desk.tend()
        told = {row["task"]: row["reason"] for row in project_order(project, N)["tasks"]}
        assert not any(told[task].startswith("left out") for task in out if task in told)
        desk.label(min(5, len(told)))
    assert desk.live.version == version and all(desk.server.rows[task]["annotations"] for task in out)
