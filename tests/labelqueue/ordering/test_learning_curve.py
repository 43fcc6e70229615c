"""What is noted of a campaign is kept, forgotten where it belongs to something else, and changes no order."""

from dataclasses import replace

import numpy as np

from labelqueue.block import Block
from labelqueue.labels.annotations import ANNOTATED, UNLABELED
from labelqueue.labels.label_config import parse_label_config
from labelqueue.ordering.campaign_state import CampaignState
from labelqueue.ordering.decision import decide
from labelqueue.ordering.snapshot import Labels, Snapshot, Tasks
from labelqueue.settings import PROJECT
from labelqueue.simulation.replay import label_config
from labelqueue.stopping.watch import STEPS, Watch

CLASSES = ("ant", "bee", "cat")
N = 240
SETTINGS = {name: setting.default for name, setting in PROJECT.items()} | {
    "trials": 1, "horizon": 10, "strategy": "margin", "control_share": 0.2,
}  # fmt: skip


def images(seed=0):
    rng = np.random.default_rng(seed)
    kinds = rng.integers(0, 3, size=N)
    rows = (np.eye(3, 6)[kinds] * 3 + rng.normal(size=(N, 6))).astype(np.float16)
    ids = np.arange(1, N + 1, dtype=np.int64)
    return Block(ids, np.zeros(N, np.uint64), rows, rows, np.arange(N + 1, dtype=np.int64)), kinds


BLOCK, KINDS = images()


def look(labels, before=None, *, config=None, **change):
    """Decide on a project whose first so many tasks are labeled, after a look before; return the order that is made and
    the state that the next look leaves, which has none to make and measures."""
    labels = {task: CLASSES[KINDS[task - 1]] for task in range(1, labels + 1)} if isinstance(labels, int) else labels
    states = {task: ANNOTATED if task in labels else UNLABELED for task in range(1, N + 1)}
    snapshot = Snapshot(
        parse_label_config(config or label_config(CLASSES)), SETTINGS, Tasks.of(states, states), Labels.of(labels),
        CampaignState() if before is None else before.state, None if before is None else before.order, "g",
        lambda: BLOCK, arrivals=N,
    )  # fmt: skip
    snapshot = replace(snapshot, **change)
    found = decide(snapshot)
    if found.order is None:
        return found
    after = decide(replace(snapshot, state=found.state, live=found.order))
    assert after.due.action == "none"
    return replace(found, state=after.state, summarize=after.summarize)


def told(decision):
    return decision.summarize()["learning_curve"]


def test_each_training_leaves_a_step_and_marks_come_when_labels_grew_by_a_tenth():
    few = look(30)
    assert [step.labels for step in few.state.watch.steps] == [10, 20, 30] and few.state.watch.measurements == ()
    assert few.state.watch.steps[0].agreement is None and few.state.watch.steps[-1].agreement is not None
    assert few.state.watch.steps[-1].guesses > 0
    more = look(120, few)
    assert [measurement.labels for measurement in more.state.watch.measurements] == [
        120
    ] and more.state.watch.measurements[0].tasks == N
    again = look(120, more)
    assert again.state.watch.measurements == more.state.watch.measurements
    assert [measurement.labels for measurement in look(140, more).state.watch.measurements] == [120, 140]


def test_it_comes_back():
    state = look(60).state
    again = CampaignState.load(state.dump())
    assert (
        again.dump() == state.dump()
        and again.watch.measurements[0].labels == 60
        and len(again.watch.steps) == len(state.watch.steps) > 2
    )


def test_it_changes_no_order():
    one, other = look(80), look(80, curve=False)
    assert one.state.watch.measurements and not other.state.watch.measurements
    assert [place.task for place in one.order.places] == [place.task for place in other.order.places]
    assert one.order.inputs == other.order.inputs
    assert replace(one.state, watch=other.state.watch).dump() == other.state.dump()


def test_the_same_labels_give_the_same_marks_however_they_came():
    at_once, in_turn = look(100), look(100, look(99, look(55, curve=False), curve=False))
    assert at_once.state.watch.measurements == in_turn.state.watch.measurements


def test_marks_of_labels_that_are_gone_go_too():
    before = look(140, look(120))
    fewer = look({task: CLASSES[KINDS[task - 1]] for task in range(1, 101)}, before)
    assert [measurement.labels for measurement in fewer.state.watch.measurements] == [100]
    none = look({}, before)
    assert (none.state.watch.measurements, none.state.watch.steps) == ((), ()) and told(none)["waits_for"].endswith(
        "there are 0"
    )


def test_other_embeddings_begin_another_curve():
    after = look(120, look(140), generation="another")
    assert len(after.state.watch.steps) == 1 and after.state.watch.steps[0].agreement is None
    assert [measurement.labels for measurement in after.state.watch.measurements] == [120]


def test_another_question_forgets_the_curve():
    before = look(120)
    config = label_config(CLASSES).replace('name="choice"', 'name="other"')
    after = look({}, before, config=config)
    assert (after.state.watch.steps, after.state.watch.measurements) == ((), ())


def test_only_the_latest_steps_are_kept():
    before = look(60)
    crowd = replace(before.state, watch=Watch(before.state.watch.steps * STEPS))
    after = look(75, replace(before, state=crowd))
    assert len(after.state.watch.steps) == STEPS and after.state.watch.steps[-1].labels == 70


def test_people_are_told_why_there_is_no_forecast_yet():
    assert told(look(10))["waits_for"] == "it takes 40 labels, there are 10"
    alike = look(dict.fromkeys(range(1, 61), "ant"))
    assert told(alike)["waits_for"] == "all labels say the same so far" and told(alike)["hints"] == []
    empty = '<View><Image name="image" value="$image"/></View>'
    assert told(look({}, config=empty))["waits_for"] == "the label config has no control to learn from"
    assert told(look(60))["waits_for"] == ""


def test_people_are_told_of_controls_beside_the_forecast():
    before = look(40)
    labels = {task: CLASSES[KINDS[task - 1]] for task in range(1, 41)}
    served = replace(before, state=before.state.serving("r1", before.order.places))
    order = replace(before.order, number=1, version="r1")
    for place in order.places[:25]:
        labels[place.task] = CLASSES[KINDS[place.task - 1]]
    after = look(labels, replace(served, order=order))
    controls = told(after)["controls"]
    assert sum(one["count"] for one in controls) == sum(place.control for place in order.places[:25]) > 0
    assert all(one["labels"] >= 40 and 0 <= one["right"] <= one["count"] for one in controls)
    assert told(after)["hints"] and len(told(after)["steps"]) == len(after.state.watch.steps)
