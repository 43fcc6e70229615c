"""The decision: what a look at a project leads to, as one pure function of what it sees.

The live service carries decisions out; `labelqueue simulate` replays the very same function.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import compress
from typing import Any

import numpy as np

from ..exceptions import LabelQueueError, PredictionsError
from ..labels import Value
from ..learning import ControlRecord, places_for, report, waits_for
from .campaign import Campaign
from .campaign_state import CampaignState
from .drafting import continued, drafted, pinned_places
from .due import Due, due
from .inputs import inputs_again
from .order import Order, Overlay, Place
from .order_size import OrderSize, open_places, order_size, runs_low
from .pinning import arranged, moved
from .recipe import BAL, sub_pool
from .snapshot import Snapshot, Tasks

__all__ = ["Decision", "decide"]

log = logging.getLogger(__name__)

MOVES = 300  # predictions whose score is changed one by one; for more, an order is published once more
NOTHING_TO_LEARN = "a control to learn from, and the label config has none: the cold start orders for ever"


@dataclass(frozen=True, eq=False)
class Decision:
    """What follows from a snapshot.

    Attributes
    ----------
    due : Due
        A new order, a refill of the live one, or nothing; and why.
    state : CampaignState
        To be kept before anything is published: what was learned is not learned twice.
    learned : str
        Why a new order is due, to be kept until one is published; empty when what was learned changes no order.
    summarize : callable
        Returns what people are told of labels, model and accuracy, ready for JSON.
    order : Order or None
        A new order (number 0, its title as version), or the live one with places appended.
    places : tuple of Place
        Those of `order` that are not published yet.
    again_in : float or None
        Seconds after which the next look is due, when waiting is what was decided.
    failure : LabelQueueError or None
        Why no order could be drafted; the rest of the decision holds.
    arranged : Order or None
        The order, or the live one where it stays, with pinned tasks in front and without those left out; None when it
        has them so.
    """

    due: Due
    state: CampaignState
    learned: str
    summarize: Callable[[], Mapping[str, Any]]
    order: Order | None = None
    places: tuple[Place, ...] = ()
    again_in: float | None = None
    failure: LabelQueueError | None = None
    arranged: Order | None = None


def decide(snapshot: Snapshot) -> Decision:
    """Learn what annotators taught, and decide what to publish.

    Parameters
    ----------
    snapshot : Snapshot
        The project as this look sees it; nothing of it is changed.

    Returns
    -------
    Decision

    Raises
    ------
    CacheError
        If the embeddings cannot be read; then nothing was learned.
    ReplacedError
        If somebody else trained another model meanwhile: then another snapshot has to be taken.
    """
    try:
        return _decision(snapshot)
    except PredictionsError as error:
        log.warning("the model is trained anew from its labels: %s", error)
        return _decision(replace(snapshot, state=snapshot.state.forgetting()))


def _decision(snapshot: Snapshot) -> Decision:
    campaign = Campaign(snapshot.target, snapshot.settings, snapshot.state, prelabels=snapshot.prelabels)
    decision = _decided(campaign, snapshot)
    if decision.failure is not None:
        return decision
    if decision.order is not None and decision.due.action == "new":
        return replace(decision, order=_arranged(campaign, snapshot, decision.order, fresh=True) or decision.order)
    order = decision.order or snapshot.live
    if order is None or not (snapshot.pins or snapshot.tasks.excluded or order.overlay != Overlay(act=snapshot.act)):
        return decision
    wanted = _arranged(campaign, snapshot, order)
    if wanted == order:
        return decision
    if wanted is None or len(moved(order, wanted) & order.scores.keys()) > MOVES:
        return _renewed(campaign, snapshot, decision)
    return replace(decision, arranged=wanted)


def _arranged(campaign: Campaign, snapshot: Snapshot, order: Order, *, fresh: bool = False) -> Order | None:
    """Return an order with what admins pinned and left out; None where only one under another version can have it."""
    tasks = snapshot.tasks
    ids = [place.task for place in order.queue]
    last = tasks.excluded.keys() & tasks.skipped_ids  # others may still be served what somebody skipped
    done = set(compress(ids, (~tasks.open(ids)).tolist())) - last
    pins = pinned_places(campaign, snapshot, order)
    return arranged(order, pins, tasks.excluded, done, act=snapshot.act, fresh=fresh)


def _renewed(campaign: Campaign, snapshot: Snapshot, decision: Decision) -> Decision:
    """Return the decision to publish the live order once more, for what is left of it to label: so many scores would
    have to change, or there is no room between two."""
    live = snapshot.live
    assert live is not None
    left = live.keeping(set(snapshot.tasks.ids[~snapshot.tasks.annotated].tolist()))
    again = replace(
        left,
        number=0,
        version=f"back to r{live.origin}",
        labeled=live.labeled + len(live.places) - len(left.places),
        why=f"{live.version!r} with what was pinned and left out since",
        again=live.origin,
        inputs=inputs_again(live.inputs or (snapshot.load_inputs() if snapshot.load_inputs is not None else b"")),
    )
    order = _arranged(campaign, snapshot, again, fresh=True) or again
    return replace(decision, due=Due("new", order.why), order=order, places=order.places, arranged=None)


def _decided(campaign: Campaign, snapshot: Snapshot) -> Decision:
    """Decide what to publish, whatever is pinned."""
    live, tasks, labels = snapshot.live, snapshot.tasks, snapshot.labels.by_task
    annotators = snapshot.annotators
    if live is not None:  # a rollback, or a job that ended too early, did not say which of its tasks are controls
        campaign.state = campaign.state.of_order(live.version, tasks.skipped_ids)
        campaign.serving(live.version, open_places(live, tasks))
    reason = campaign.follow(
        lambda: snapshot.rows,
        labels,
        tasks,
        generation=snapshot.generation,
        mark=snapshot.mark,
        wanted=bool(snapshot.wanted),
        places=live.queue if live is not None else (),
        annotators=annotators,
    )
    if campaign.state.predictions is not None:  # so that people can be told of these whatever comes
        campaign.state.predictions.fetch(_missing(campaign.state, tasks))
    learned, size = reason or snapshot.learned, _size(campaign, snapshot)
    low = runs_low(live, tasks, size.low)

    def summary() -> Mapping[str, Any]:
        learning = _learning(campaign, labels)
        told = {"dropped_labels": snapshot.labels.dropped, "without_label": snapshot.labels.without}
        accuracy, curve = _accuracy(campaign, labels, tasks), _curve(campaign, labels, tasks)
        passed_on = {"work": snapshot.work, "balance": snapshot.shares}
        return {"learning": learning | told, "accuracy": accuracy, "learning_curve": curve, **passed_on}

    try:
        recipe = campaign.recipe()
    except LabelQueueError as error:  # its strategy was uninstalled, say
        return Decision(Due("none", str(error)), campaign.state, learned, summary, failure=error)
    again_in = 0.0 if campaign.behind else None
    if campaign.behind and live is not None and not (low or snapshot.cut_short or snapshot.lost):
        later = Due("none", f"{campaign.behind:,} more labels are gone through first")
        return Decision(later, campaign.state, learned, summary, again_in=again_in)
    what = due(
        live,
        tasks=tasks,
        embedded=tasks.embedded,
        arrivals=snapshot.arrivals,
        arriving=snapshot.arriving,
        recipe=recipe,
        generation=snapshot.generation,
        low=size.low,
        hold=snapshot.hold,
        cut_short=snapshot.cut_short,
        lost=snapshot.lost,
        learned=learned,
    )
    if what.action == "none":
        if snapshot.curve and not campaign.behind:  # a few trainings, for which no new order has to wait
            campaign.state = _measured(campaign.state, snapshot)
        return Decision(what, campaign.state, learned, summary, again_in=again_in)
    if what.action == "new" and live is not None and not (low or learned or snapshot.cut_short or snapshot.lost):
        wait = live.created_at + snapshot.gap - snapshot.now
        if snapshot.arrivals > live.arrivals and wait > 0:
            later = Due("none", f"{what.why}; a new order follows in {wait:.0f} s")
            return Decision(later, campaign.state, learned, summary, again_in=wait)
    before = campaign.state
    try:
        if what.action == "refill" and live is not None:
            order = continued(campaign, snapshot, live, size)
        else:
            order = drafted(campaign, snapshot, what.why, campaign.state.boundary if learned else 0, size)
    except LabelQueueError as error:
        return Decision(what, before, learned, summary, failure=error)
    kept = len(live.places) if live is not None and what.action == "refill" else 0
    if not {place.task for place in order.places[kept:]} - tasks.excluded.keys():
        why = f"every task is annotated{' or left out' if tasks.excluded else ''}"
        return Decision(Due("none", why), campaign.state, "", summary)
    return Decision(what, campaign.state, learned, summary, order, order.places[kept:], again_in)


def _size(campaign: Campaign, snapshot: Snapshot) -> OrderSize:
    """Return how many tasks are published now."""
    cycle = campaign.step(len(snapshot.labels))
    return order_size(snapshot.settings["horizon"], annotators=snapshot.annotators, pace=snapshot.pace, cycle=cycle)


def _measured(state: CampaignState, snapshot: Snapshot) -> CampaignState:
    """Return the state with a measurement of the learning curve, when one is due."""
    if state.model is None or state.generation != snapshot.generation:
        return state
    watch = state.watch.measured(state.model, lambda: snapshot.rows, state.trained_on, state.classes, state.seed)
    return replace(state, watch=watch)


def _curve(campaign: Campaign, labels: Mapping[int, Value], tasks: Tasks) -> dict[str, Any]:
    """Return the learning curve, and the controls that stand beside it; the forecast follows from it."""
    state, controls = campaign.state, dict[int, list[bool]]()
    for guess in state.guesses:
        if guess.control and guess.task in labels and guess.task not in tasks.excluded:
            controls.setdefault(guess.labels, []).append(guess.predicted == labels[guess.task])
    beside = [{"labels": known, "right": sum(hits), "count": len(hits)} for known, hits in controls.items()]
    told = state.watch.told(len(labels), model=state.model, teaches=campaign.target.kind != "none")
    return told | {"controls": beside}


def _learning(campaign: Campaign, labels: Mapping[int, Value]) -> dict[str, Any]:
    """Return phase, model and labels.

    Parameters
    ----------
    labels : mapping
        Every label there is, oldest first.
    """
    state, course, settings = campaign.state, campaign.state.course, campaign.settings
    classes = campaign.classes(labels)
    waits = waits_for(
        course,
        labels=len(labels),
        multi=campaign.target.multi,
        switch_after=settings["switch_after"],
        has_model=state.model is not None,
    )
    if campaign.target.kind == "none":
        waits = [NOTHING_TO_LEARN]
    counts = Counter[str]()
    for value, count in Counter(labels.values()).items():
        for name in [value] if isinstance(value, str) else value:
            counts[name] += count
    return {
        "phase": course.phase,
        "reason": course.reason,
        "waits_for": waits if course.phase == "cold" else [],
        "cycle": campaign.cycle.number + 1 if campaign.active() in BAL else None,
        "labels": len(labels),
        "labels_per_class": {name: counts[name] for name in classes},
        "trained_on": state.model.labels if state.model else 0,
        "unlearned": campaign.state.unlearned(labels),
        "retrain_every": campaign.step(len(labels)),
        "trust": round(state.trust, 3),
        "sub_pool": _sub_pool(campaign),
        "model": state.model.fingerprint if state.model else "",
        "regularization": state.model.regularization if state.model else None,
        "prelabels": campaign.least_probability() is not None,
    }


def _sub_pool(campaign: Campaign) -> float | None:
    """Return the share of the pool that BAL looks at, or None when it does not rank by a model."""
    known = campaign.state.predictions
    if campaign.active() != "bal" or known is None:
        return None
    return round(sub_pool(campaign.cycle, campaign.settings["balancing_factor"], len(known)), 3)


def _accuracy(campaign: Campaign, labels: Mapping[int, Value], tasks: Tasks) -> dict[str, Any]:
    """Return what the random controls say of the model; see `learning.report`, and `lines` for people.

    Notes
    -----
    A skipped control is missing, and is counted as such. What an admin left out, labeled or not, is none of the images
    that this speaks of.
    """
    out, skipped = tasks.excluded, tasks.skipped_ids - tasks.excluded.keys()
    state = campaign.state
    records = [
        ControlRecord(guess.task, guess.control, guess.training, guess.labels, guess.predicted)
        for guess in state.guesses
        if guess.control and guess.task not in out
    ]
    if state.said is not None:
        model, said = state.said
        records += [
            ControlRecord(task, state.controls[task], state.trainings, model.labels, said.decide(model, task))
            for task in _missing(state, tasks)
        ]
    told = report(records, labels, skipped, classes=campaign.classes(labels), excluded=len(out))
    share, start = campaign.settings["control_share"], campaign.settings["control_share_start"]
    left = places_for(told.wanted, len(labels) + len(skipped), share, start) if told.wanted else 0
    open_tasks = int(np.count_nonzero(tasks.free))
    lines = [*told.lines(), _until(told.wanted, left, open_tasks)] if told.wanted else told.lines()
    return {"controls": told.overall.count, **told.as_dict(), "labels_wanted": left, "lines": lines}


def _missing(state: CampaignState, tasks: Tasks) -> list[int]:
    """Return the controls that somebody skipped and the model was not heard on."""
    skipped = [task for task in state.controls if task in tasks.skipped_ids and task not in tasks.excluded]
    counted = {guess.task for guess in state.guesses if guess.control} if skipped else set[int]()
    return [task for task in skipped if task not in counted]


def _until(controls: int, labels: int | None, left: int) -> str:
    """Say how many more labels an interval of 10 points to either side takes, of so many tasks that are left."""
    after = f"about {labels:,} more labels" if labels is not None else "not enough will come, since control_share is 0"
    if labels is not None and labels > left:
        after = f"more labels than the {left:,} images that are left"
    return f"An interval of ±10 points takes {controls} more of them: {after}."
