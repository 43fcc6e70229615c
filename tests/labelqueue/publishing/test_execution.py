"""Carrying a decision out: what was learned is kept before anything is published, and survives what goes wrong then."""

import time
from dataclasses import replace

import pytest

from conftest import CONFIG
from labelqueue.exceptions import EmbedderError, LabelStudioError, PublishError
from labelqueue.labels.label_config import parse_label_config
from labelqueue.ordering.campaign_state import CampaignState
from labelqueue.ordering.decision import Decision
from labelqueue.ordering.due import Due
from labelqueue.ordering.order import Order, Place
from labelqueue.ordering.snapshot import Labels, Snapshot, Tasks
from labelqueue.publishing.execution import RefillError, carry_out
from labelqueue.state.campaigns import load_campaign, save_campaign, summary_of

LEARNED = "trained on 10 labels"
BEFORE, AFTER = CampaignState(trainings=1), CampaignState(trainings=2, controls={9: "r1 FreeSel"})
PLACES = (Place(1, "why"), Place(2, "drawn", control=True), Place(9, "chosen now"))
ORDER = Order(0, "FreeSel", "FreeSel", places=PLACES)
LIVE = replace(ORDER, number=1, version="r1 FreeSel")
NEW, REFILL, NONE = Due("new", "it is due"), Due("refill", "1 published tasks are left"), Due("none", "it holds")


class Press:
    """A publisher that notes what was kept when it was called; `error` is what goes wrong."""

    def __init__(self, project):
        self.project, self.error, self.calls, self.held, self.deleted = project, None, [], True, set()

    def check(self):
        if not self.held:
            raise PublishError("this job lost its project's lock")

    def _call(self, name):
        self.calls.append((name, load_campaign(self.project).trainings, self.project.get("learned")))
        if self.error:
            raise self.error

    def publish(self, order):
        self._call("publish")
        places = tuple(place for place in order.places if place.task not in self.deleted)
        return replace(order, number=2, version="r2 FreeSel", places=places)

    def refill(self, order, places):
        self._call("refill")
        return order


def decision(due, **changes):
    order = {"order": ORDER, "places": PLACES} if due is NEW else {}
    if due is REFILL:
        order = {"order": LIVE, "places": PLACES[1:]}
    return Decision(due, AFTER, LEARNED, lambda: {"learning": {"labels": 10}}, **{**order, **changes})


@pytest.fixture
def press(project):
    return Press(project)


@pytest.fixture
def carry(project, press):
    save_campaign(project, BEFORE, CampaignState())
    project.set(retrain_wanted="now")

    def carry(decided, **seen):
        snapshot = Snapshot(
            target=parse_label_config(CONFIG), settings={}, tasks=Tasks.of({}), labels=Labels.of({}), state=BEFORE,
            live=None, generation="g", load_rows=lambda: None, **{"wanted": "now", **seen},
        )  # fmt: skip
        return carry_out(decided, snapshot, project, press)

    return carry


def kept(project):
    return load_campaign(project).trainings == 2 and summary_of(project) == {"learning": {"labels": 10}}


def test_nothing_due_is_kept_and_publishes_nothing(project, press, carry):
    assert carry(decision(NONE)) == "it holds"
    assert kept(project) and press.calls == [] and project.get("learned") == LEARNED
    assert project.store.zcard("lq:delayed") == 0


@pytest.mark.parametrize("due", [NEW, REFILL])
def test_what_was_learned_is_kept_before_anything_is_published(press, carry, due):
    carry(decision(due))
    assert press.calls == [("publish" if due is NEW else "refill", 2, LEARNED)]


def test_a_new_order_uses_up_why_it_was_due_and_a_refill_does_not(project, carry):
    assert carry(decision(REFILL)) == "r1 FreeSel refilled with 2 tasks (1 published tasks are left)"
    assert project.get("learned") == LEARNED
    assert carry(decision(NEW)) == "r2 FreeSel is live with 3 tasks (it is due)"
    assert project.get("learned") == ""


@pytest.mark.parametrize("error", [PublishError("not stored"), LabelStudioError("down"), KeyboardInterrupt()])
def test_when_publishing_fails_what_was_learned_and_why_an_order_is_due_stay(project, press, carry, error):
    press.error = error
    with pytest.raises(type(error)):
        carry(decision(NEW))
    assert kept(project) and project.get("learned") == LEARNED
    assert load_campaign(project).controls == AFTER.controls, "what was not published is not served"


@pytest.mark.parametrize("due", [NEW, REFILL])
def test_served_controls_are_written_down_and_chosen_tasks_are_none_any_more(project, carry, due):
    carry(decision(due))
    assert load_campaign(project).controls == {2: "r2 FreeSel" if due is NEW else "r1 FreeSel"}


def test_a_control_that_was_deleted_before_it_was_published_is_none(project, press, carry):
    press.deleted = {2}
    assert "with 2 tasks" in carry(decision(NEW))
    assert load_campaign(project).controls == {}


def test_a_refill_that_failed_says_so_in_a_way_of_its_own(project, press, carry):
    press.error = PublishError("stored only a part")
    with pytest.raises(RefillError, match="stored only a part"):
        carry(decision(REFILL))
    assert kept(project)
    press.error = LabelStudioError("down", status=500)
    with pytest.raises(LabelStudioError):
        carry(decision(REFILL))


def test_a_job_without_its_lock_keeps_nothing(project, press, carry):
    press.held = False
    with pytest.raises(PublishError, match="lost its project's lock"):
        carry(decision(NEW))
    assert load_campaign(project).trainings == 1 and summary_of(project) == {} and press.calls == []
    assert project.get("retrain_wanted") == "now" and project.get("learned") == ""


def test_a_draft_that_failed_is_told_after_all_else_is_kept(project, press, carry):
    with pytest.raises(EmbedderError, match="no such strategy"):
        carry(decision(NEW, order=None, places=(), failure=EmbedderError("no such strategy")))
    assert kept(project) and project.get("learned") == LEARNED and press.calls == []


def test_a_wish_for_a_training_is_fulfilled_and_one_that_came_meanwhile_is_not(project, carry):
    carry(decision(NONE))
    assert project.get("retrain_wanted") == ""
    project.set(retrain_wanted="later")
    carry(decision(NONE))
    assert project.get("retrain_wanted") == "later"


def test_waiting_asks_for_the_next_look(project, press, carry):
    carry(decision(NONE, again_in=30.0))
    ((_, at),) = project.store.zrange("lq:delayed", 0, -1, withscores=True)
    assert 0 < at - time.time() <= 30 and press.calls == []


def test_what_is_missing_is_told_until_it_is_there(project, carry):
    carry(decision(NONE), missing="no rotation network")
    assert project.get("features_error") == "no rotation network"
    carry(decision(NONE))
    assert project.get("features_error") == ""
