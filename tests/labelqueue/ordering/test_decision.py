"""One decision from one snapshot: what is due, what is kept, and that nothing of the snapshot is changed by it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelqueue.block import Block
from labelqueue.exceptions import CacheError, PredictionsError, ReplacedError, SettingError
from labelqueue.labels.annotations import ANNOTATED, SKIPPED, UNLABELED
from labelqueue.labels.label_config import parse_label_config
from labelqueue.learning.predictions import StoredPredictions
from labelqueue.learning.random_controls import is_control
from labelqueue.ordering.campaign_state import CampaignState
from labelqueue.ordering.decision import decide
from labelqueue.ordering.order_size import order_size
from labelqueue.ordering.snapshot import Features, Labels, Snapshot, Tasks
from labelqueue.settings import PROJECT
from labelqueue.simulation.replay import label_config

CLASSES = ("cat", "dog")
SETTINGS = {name: setting.default for name, setting in PROJECT.items()} | {
    "trials": 1, "horizon": 10, "strategy": "freesel", "prelabel": "off", "control_share": 0.2,
}  # fmt: skip
SIZE, LOW = order_size(10, annotators=0).full, order_size(10, annotators=0).low


def answer(task):
    return CLASSES[task % 2]


def block_of(ids):
    """Two clouds of images, by what the answer is; a task's row depends on its id alone."""
    ids = np.array(sorted(ids), dtype=np.int64)
    noise = [np.random.default_rng(int(task)).normal(size=8) for task in ids]
    rows = (np.eye(2, 8)[ids % 2] * 4 + np.array(noise).reshape(len(ids), 8)).astype(np.float16)
    return Block(ids, np.zeros(len(ids), np.uint64), rows, rows, np.arange(len(ids) + 1, dtype=np.int64))


def unreadable():
    raise CacheError("block 1 does not match its checksum")


def world(n=100, embedded=None, states=None, **changes):
    """Return the snapshot of a project with tasks 1 to n, all of them embedded and nothing labeled."""
    embedded = range(1, n + 1) if embedded is None else embedded
    states = dict.fromkeys(range(1, n + 1), UNLABELED) | (states or {})
    block = block_of(embedded)
    parts = {
        "target": parse_label_config(label_config(CLASSES)), "settings": SETTINGS,
        "tasks": Tasks.of(states, embedded), "labels": Labels.of({}), "state": CampaignState(), "live": None,
        "generation": "g", "load_rows": lambda: block, "now": 1000.0, "arrivals": len(block), "prelabels": False,
    }  # fmt: skip
    return Snapshot(**parts | changes)


def with_settings(snapshot, **changes):
    return replace(snapshot, settings={**snapshot.settings, **changes})


def states_of(tasks):
    return {task: chr(code) for task, code in zip(tasks.ids.tolist(), tasks.states.tolist(), strict=True)}


def label(snapshot, tasks):
    """Return the snapshot after people labeled these tasks."""
    states = states_of(snapshot.tasks) | dict.fromkeys(tasks, ANNOTATED)
    embedded = snapshot.tasks.ids[snapshot.tasks.rows >= 0].tolist()
    labels = snapshot.labels.by_task | {task: answer(task) for task in tasks if task in set(embedded)}
    return replace(snapshot, tasks=Tasks.of(states, embedded, snapshot.tasks.bad), labels=Labels.of(labels))


def served(snapshot, decision, number=1):
    """Return the snapshot after the decision was carried out, as the service does it."""
    state, learned, order = decision.state, decision.learned, decision.order
    if order is not None:
        if decision.due.action == "new":
            order, learned = replace(order, number=number, version=f"r{number} {order.version}", created_at=1000.0), ""
        state = state.serving(order.version, decision.places)
    live = snapshot.live if order is None else order
    return replace(snapshot, state=state, learned=learned, live=live, wanted="", cut_short=False)


def first(**changes):
    """Return the snapshot of a project whose first order is live."""
    snapshot = world(**changes)
    return served(snapshot, decide(snapshot))


def ahead(snapshot, count):
    """Return the next tasks that the live order serves."""
    still = snapshot.tasks.open([place.task for place in snapshot.live.places])
    return [place.task for place, fits in zip(snapshot.live.places, still, strict=True) if fits][:count]


def dump(decision):
    """Return all of a decision in a form that can be compared."""
    return (
        decision.due,
        decision.state.dump(),
        decision.learned,
        json.dumps(decision.summarize()),
        decision.order and decision.order.dump(),
        [place.dump() for place in decision.places],
        decision.again_in,
        repr(decision.failure),
    )


def frozen(snapshot):
    """Return all of a snapshot in a form that can be compared."""
    tasks, labels, rows = snapshot.tasks, snapshot.labels, snapshot.rows
    arrays = (tasks.ids, tasks.states, tasks.rows, labels.tasks, labels.codes, rows.ids, rows.embeddings, rows.patterns)
    return (
        [array.tobytes() for array in arrays],
        json.dumps([dict(snapshot.settings), dict(tasks.bad), labels.values, dict(labels.dropped)]),
        snapshot.state.dump(),
        snapshot.live and snapshot.live.dump(),
        (snapshot.now, snapshot.arrivals, snapshot.hold, snapshot.cut_short, snapshot.wanted, snapshot.learned),
    )


# -- what is due


def test_without_an_embedding_nothing_is_due_and_none_is_read():
    decision = decide(world(embedded=(), load_rows=unreadable))
    assert (decision.due.action, decision.due.why) == ("none", "no image is embedded yet")
    assert (decision.order, decision.places, decision.failure, decision.again_in) == (None, (), None, None)


def test_the_first_order_says_how_it_came_about():
    snapshot = world(n=100, states={1: ANNOTATED, 2: SKIPPED}, embedded=range(1, 91), generation="gen", arrivals=95)
    decision = decide(snapshot)
    order = decision.order
    assert (decision.due.action, order.why) == ("new", "first order")
    assert (order.number, order.version, order.strategy, order.phase) == (0, "FreeSel", "FreeSel", "cold")
    assert (order.generation, order.arrivals, order.labeled, order.embedded) == ("gen", 95, 2, 90)
    assert len(order.places) == SIZE and order.places == decision.places
    assert not {1, 2} & {place.task for place in order.places}
    assert (order.model, order.labels, order.trust, order.centroids) == ("", 0, 0.0, "")


def test_when_every_task_is_annotated_no_order_is_made():
    decision = decide(world(n=3, states=dict.fromkeys((1, 2, 3), ANNOTATED), learned="trained on 10 labels"))
    assert (decision.due.why, decision.order, decision.learned) == ("every task is annotated", None, "")


def test_a_live_order_holds_while_nothing_happens():
    snapshot = first()
    decision = decide(snapshot)
    assert (decision.due.why, decision.order) == ("the live order holds", None)
    assert decision.state.dump() == snapshot.state.dump()


def test_a_refill_appends_to_what_is_published():
    snapshot = first()
    labeled = ahead(snapshot, SIZE - LOW)
    assert decide(label(snapshot, labeled)).due.action == "none", "as many are left as may be"
    labeled = ahead(snapshot, SIZE - LOW + 1)
    decision = decide(label(snapshot, labeled))
    live, order = snapshot.live, decision.order
    assert (decision.due.action, decision.due.why) == ("refill", f"{LOW - 1} published tasks are left")
    assert order == replace(live, places=(*live.places, *decision.places))
    assert len(order.places) - len(labeled) == SIZE, "as many are open again as at first"
    assert decision.learned == "", "nothing was learned that changes an order"


def test_many_annotators_are_refilled_earlier_and_with_more():
    snapshot = first()
    assert decide(snapshot).due.action == "none"
    decision = decide(replace(snapshot, annotators=10))
    assert decision.due.action == "refill" and len(decision.order.places) == order_size(10, annotators=10).full > SIZE


def test_auto_publishes_for_a_cycle_and_ten_minutes_and_refills_before_that_is_used_up():
    auto = {**SETTINGS, "horizon": None}
    snapshot = first(settings=auto)
    size = order_size(None, annotators=0, cycle=10)
    assert len(snapshot.live.places) == size.full == 60
    assert decide(snapshot).due.action == "none"
    decision = decide(replace(snapshot, annotators=1, pace=400))
    assert decision.due.action == "refill", "people are faster than the reserve lasts"
    assert len(decision.order.places) == order_size(None, annotators=1, pace=400, cycle=10).full
    long = decide(replace(snapshot, live=None, settings={**auto, "retrain_every": 40}))
    assert len(long.order.places) == order_size(None, annotators=0, cycle=40).full


def test_positions_are_counted_from_the_first_label_on_whatever_was_refilled():
    """Whether one is a control depends on its number only, so that nobody can tell from how the queue was made."""
    snapshot = first(states={1: ANNOTATED, 2: SKIPPED})
    for _ in range(2):
        snapshot = label(snapshot, ahead(snapshot, SIZE - LOW + 1))
        snapshot = served(snapshot, decide(snapshot))
    controls = [place.control for place in snapshot.live.places]
    assert len(controls) == SIZE + 2 * (SIZE - LOW + 1)
    assert controls == is_control(SETTINGS["seed"], 2, len(controls), SETTINGS["control_share"]).tolist()


def test_a_refill_is_made_though_an_order_is_held():
    snapshot = replace(first(), hold=True)
    assert decide(label(snapshot, ahead(snapshot, SIZE - LOW + 1))).due.action == "refill"


def test_a_new_order_follows_a_training_when_the_strategy_ranks_by_the_model():
    snapshot = label(with_settings(first(), strategy="margin"), range(1, 11))
    decision = decide(snapshot)
    assert (decision.due.action, decision.due.why, decision.learned) == ("new", *["trained on 10 labels"] * 2)
    assert decision.state.trainings == 1 and decision.state.trained_on == snapshot.labels.by_task
    assert (decision.order.version, decision.order.labels) == ("Margin", 10)
    assert decision.order.model == decision.state.model.fingerprint


def test_a_training_that_changes_no_order_makes_none():
    decision = decide(label(first(), range(1, 11)))
    assert decision.state.trainings == 1 and decision.state.model is not None
    assert (decision.due.action, decision.learned) == ("none", "")


def test_what_was_learned_is_not_learned_twice():
    snapshot = label(with_settings(first(), strategy="margin"), range(1, 11))
    decision = decide(snapshot)
    again = decide(served(snapshot, decision, 2))
    assert (again.due.action, again.state.trainings) == ("none", 1)


def test_what_the_model_said_of_new_labels_is_written_down_before_it_learns_them():
    snapshot = label(with_settings(first(), strategy="margin"), range(1, 11))
    snapshot = label(served(snapshot, decide(snapshot), 2), range(11, 21))
    model = snapshot.state.model
    decision = decide(snapshot)
    assert decision.state.trainings == 2
    said = {guess.task: (guess.predicted, guess.training, guess.labels) for guess in decision.state.guesses}
    assert said == {task: (snapshot.state.predictions.decide(model, task), 1, 10) for task in range(11, 21)}
    assert decide(label(served(snapshot, decision, 3), range(21, 31))).state.trust > 0.5


def test_a_model_whose_predictions_are_damaged_is_trained_anew(caplog):
    snapshot = label(with_settings(first(), strategy="margin"), range(1, 11))
    snapshot = label(served(snapshot, decide(snapshot), 2), range(11, 14))

    def damaged(tasks):
        raise PredictionsError("predictions: group 0 is damaged")

    state = replace(snapshot.state, predictions=StoredPredictions(100, damaged))
    decision = decide(replace(snapshot, state=state))
    assert "trained anew from its labels: predictions: group 0 is damaged" in caplog.text
    assert dump(decision) == dump(decide(replace(snapshot, state=state.forgetting())))
    assert (decision.state.trainings, [*decision.state.trained_on]) == (2, [*range(1, 11)])

    def replaced(tasks):
        raise ReplacedError("there is another model")

    with pytest.raises(ReplacedError):
        decide(replace(snapshot, state=replace(state, predictions=StoredPredictions(100, replaced))))


def test_an_order_that_could_not_be_published_stays_due():
    snapshot = label(with_settings(first(), strategy="margin"), range(1, 11))
    decision = decide(snapshot)
    again = decide(replace(snapshot, state=decision.state, learned=decision.learned))  # kept, but not published
    assert again.state.trainings == 1 and (again.due.action, again.due.why) == ("new", "trained on 10 labels")
    assert again.order.dump() == decision.order.dump()


def test_a_held_order_is_not_replaced_and_why_one_is_due_is_kept():
    snapshot = label(with_settings(replace(first(), hold=True), strategy="margin"), range(1, 6))
    snapshot = replace(snapshot, wanted="now", arrivals=10_000)
    decision = decide(snapshot)
    assert (decision.due.action, decision.order) == ("none", None)
    assert decision.learned == "a new order was asked for" and decision.state.trainings == 1
    decision = decide(replace(snapshot, hold=False, wanted="", state=decision.state, learned=decision.learned))
    assert (decision.due.why, decision.state.trainings) == ("a new order was asked for", 1)


def test_a_training_that_is_asked_for_makes_an_order_whatever_ranks():
    decision = decide(replace(first(), wanted="now"))
    assert (decision.due.action, decision.due.why) == ("new", "a new order was asked for")


@pytest.mark.parametrize("hold", [False, True])
def test_after_half_a_refill_only_a_new_order_helps(hold):
    snapshot = first()
    snapshot = replace(label(snapshot, ahead(snapshot, 9)), cut_short=True, hold=hold)
    decision = decide(snapshot)
    assert (decision.due.action, decision.due.why) == ("new", "the refill before it failed")
    assert len(decision.places) == SIZE


def test_controls_of_a_live_order_count_though_nobody_wrote_them_down():
    snapshot = replace(first(), state=CampaignState())
    drawn = {place.task: snapshot.live.version for place in snapshot.live.places if place.control}
    assert drawn and decide(snapshot).state.controls == drawn


# -- waiting


class TestGap:
    """Orders that only arrivals ask for keep a distance, which goes with what one costs."""

    @pytest.fixture
    def arrived(self):
        return replace(first(), arrivals=200, gap=30.0)

    def test_the_next_look_is_due_when_it_is_over(self, arrived):
        decision = decide(replace(arrived, now=1010.0))
        assert (decision.due.action, decision.order, decision.again_in) == ("none", None, 20.0)
        assert decision.due.why == "100 more images are embedded; a new order follows in 20 s"
        decision = decide(replace(arrived, now=1030.0))
        assert (decision.due.action, decision.due.why) == ("new", "100 more images are embedded")
        assert decision.again_in is None

    def test_while_more_are_arriving_the_pool_has_to_double(self, arrived):
        late = replace(arrived, now=2000.0, arriving=True)
        assert decide(late).due.action == "none"
        assert decide(replace(late, live=replace(late.live, embedded=50))).due.action == "new"

    def test_nobody_waits_for_it_when_the_queue_runs_low(self, arrived):
        low = label(arrived, ahead(arrived, SIZE - LOW + 1))
        assert decide(replace(low, now=1010.0)).due.action == "new"

    def test_nor_when_something_was_learned_or_a_refill_failed(self, arrived):
        early = replace(arrived, now=1010.0)
        assert decide(replace(early, learned="trained on 10 labels")).due.action == "new"
        assert decide(replace(early, cut_short=True)).due.action == "new"

    def test_nor_when_settings_changed_without_an_arrival(self, arrived):
        early = replace(arrived, arrivals=100, now=1010.0)
        assert decide(with_settings(early, seed=5)).due == decide(with_settings(early, seed=6)).due
        assert decide(with_settings(early, seed=5)).due.why == "settings changed"


# -- failures


def test_an_order_that_cannot_be_drafted_loses_nothing_that_was_learned():
    snapshot = label(with_settings(first(), strategy="bal", bal_features="rotation"), range(1, 11))
    decision = decide(replace(snapshot, load_features=unreadable))
    assert isinstance(decision.failure, CacheError) and (decision.order, decision.places) == (None, ())
    assert decision.due.action == "new" and decision.learned == "trained on 10 labels"
    assert decision.state.trainings == 1 and decision.state.geometry is None
    assert decision.summarize()["learning"]["trained_on"] == 10
    features = Features("net", block_of(range(1, 101)))
    again = decide(replace(snapshot, state=decision.state, learned=decision.learned, load_features=lambda: features))
    assert again.failure is None and again.order.strategy == "BAL" and again.state.trainings == 1
    assert again.state.geometry.source == "net"


def test_a_strategy_that_is_not_installed_any_more_loses_nothing_that_was_learned():
    snapshot = label(with_settings(first(), strategy="uninstalled"), range(1, 11))
    decision = decide(snapshot)
    assert isinstance(decision.failure, SettingError) and "'uninstalled' is not installed here" in str(decision.failure)
    assert decision.state.trainings == 1 and decision.learned == "trained on 10 labels" and decision.order is None
    again = decide(replace(snapshot, state=decision.state, learned=decision.learned))
    assert again.state.trainings == 1 and isinstance(again.failure, SettingError)


def test_rows_that_cannot_be_read_are_an_error_before_anything_is_learned():
    with pytest.raises(CacheError):
        decide(label(replace(first(), load_rows=unreadable), range(1, 11)))
    decision = decide(world(load_rows=unreadable))
    assert isinstance(decision.failure, CacheError), "there was nothing to learn"


# -- what people are told


def test_the_summary_counts_what_was_seen():
    snapshot = label(with_settings(first(), control_share=0.5), range(1, 11))
    snapshot = replace(snapshot, labels=Labels.of(snapshot.labels.by_task, {"whale": 3}))
    told = json.loads(json.dumps(decide(snapshot).summarize()))
    assert told["learning"]["labels_per_class"] == {"cat": 5, "dog": 5}
    assert (told["learning"]["labels"], told["learning"]["trained_on"], told["learning"]["unlearned"]) == (10, 10, 0)
    assert told["learning"]["dropped_labels"] == {"whale": 3} and told["learning"]["phase"] == "cold"
    assert told["accuracy"]["controls"] == 0, "there was no model when they were served"


# -- pure

SITUATIONS = {
    "first": world,
    "holds": first,
    "refill": lambda: (lambda s: label(s, ahead(s, SIZE - LOW + 1)))(first()),
    "trains": lambda: label(with_settings(first(), strategy="margin"), range(1, 21)),
    "clusters": lambda: label(with_settings(first(), strategy="bal", prelabel="on"), range(1, 41)),
    "waits": lambda: replace(first(), arrivals=200, gap=30.0),
    "fails": lambda: world(load_rows=unreadable, state=CampaignState(trainings=3)),
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_nothing_of_the_snapshot_is_changed_and_the_same_one_leads_to_the_same_decision(situation):
    snapshot = SITUATIONS[situation]()
    readable = situation != "fails"
    before = frozen(snapshot) if readable else snapshot.state.dump()
    one, other = dump(decide(snapshot)), dump(decide(snapshot))
    assert one == other
    assert (frozen(snapshot) if readable else snapshot.state.dump()) == before
    assert dump(decide(SITUATIONS[situation]())) == one, "nor does anything depend on what was decided before"


STRATEGIES = ["auto", "freesel", "random", "kcenter", "margin", "bal"]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_whatever_people_do_no_annotated_task_is_offered_and_none_twice(data):
    n = data.draw(st.integers(1, 60), "tasks")
    numbers = st.integers(1, n)
    states = data.draw(st.dictionaries(numbers, st.sampled_from([ANNOTATED, SKIPPED]), max_size=10), "states")
    embedded = data.draw(st.just(range(1, n + 1)) | st.sets(numbers), "embedded")
    bad = dict.fromkeys(data.draw(st.sets(numbers, max_size=3), "bad"), "broken")
    chosen = {
        "strategy": data.draw(st.sampled_from(STRATEGIES)),
        "control_share": data.draw(st.sampled_from([0.0, 0.3])),
        "seed": data.draw(st.integers(0, 5)),
        "switch_after": 20,
    }
    snapshot = with_settings(world(n=n, states=states, embedded=embedded), **chosen)
    snapshot = label(
        replace(snapshot, tasks=replace(snapshot.tasks, bad=bad)), [t for t in states if states[t] == ANNOTATED]
    )
    for number in range(1, 5):
        snapshot = replace(
            snapshot,
            hold=data.draw(st.booleans(), "hold"),
            cut_short=data.draw(st.booleans(), "cut short") and snapshot.live is not None,
            wanted=data.draw(st.sampled_from(["", "", "now"]), "wanted"),
        )
        decision = decide(snapshot)
        assert decision.failure is None
        annotated = set(snapshot.tasks.ids[snapshot.tasks.annotated].tolist())
        offered = [place.task for place in decision.places]
        assert not annotated & set(offered) and set(offered) <= set(range(1, n + 1))
        if decision.order is not None:
            assert max(Counter(place.task for place in decision.order.places).values()) == 1
            kept = snapshot.live.places if decision.due.action == "refill" else ()
            assert decision.order.places == (*kept, *decision.places) and decision.places
            if decision.due.action == "refill":
                assert decision.order == replace(snapshot.live, places=decision.order.places)
        assert not annotated & {place.task for place in decision.places if place.control}
        snapshot = served(snapshot, decision, number)
        if snapshot.live is not None:
            snapshot = label(snapshot, ahead(snapshot, data.draw(st.integers(0, 30), "labels")))
