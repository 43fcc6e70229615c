"""The decision: what a look at a project leads to, as one pure function of what it sees.

The live service carries decisions out; `labelqueue simulate` replays the very same function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..exceptions import LabelQueueError
from .campaign import Campaign, share_of
from .campaign_state import CampaignState
from .due import Due, due
from .order import Order, Place
from .order_size import OrderSize, open_places, order_size, runs_low
from .snapshot import Snapshot
from .summary import accuracy_summary, learning_summary

__all__ = ["Decision", "decide"]


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
    """

    due: Due
    state: CampaignState
    learned: str
    summarize: Callable[[], Mapping[str, Any]]
    order: Order | None = None
    places: tuple[Place, ...] = ()
    again_in: float | None = None
    failure: LabelQueueError | None = None


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
    """
    settings, live, tasks, labels = snapshot.settings, snapshot.live, snapshot.tasks, snapshot.labels.by_task
    annotators, size = snapshot.annotators, _size(snapshot)
    low = runs_low(live, tasks, size.low)

    campaign = Campaign(snapshot.target, settings, snapshot.state, prelabels=snapshot.prelabels)
    if live is not None:  # a rollback, or a job that ended too early, did not say which of its tasks are controls
        campaign.state = campaign.state.of_order(live.version, tasks.skipped_ids)
        campaign.serving(live.version, open_places(live, tasks))
    campaign.observe(labels, tasks, live.places if live is not None else (), annotators)
    reason = campaign.learn(
        lambda: snapshot.rows, labels, tasks, generation=snapshot.generation, wanted=bool(snapshot.wanted), low=low
    )
    learned = reason or snapshot.learned

    def summary() -> Mapping[str, Any]:
        learning = learning_summary(campaign, labels, pool=len(tasks))
        told = {"dropped_labels": snapshot.labels.dropped, "without_label": snapshot.labels.without}
        return {"learning": learning | told, "accuracy": accuracy_summary(campaign, labels, tasks.skipped_ids)}

    try:
        recipe = campaign.recipe()
    except LabelQueueError as error:  # its strategy was uninstalled, say
        return Decision(Due("none", str(error)), campaign.state, learned, summary, failure=error)
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
        return Decision(what, campaign.state, learned, summary)
    if what.action == "new" and live is not None and not (low or learned or snapshot.cut_short or snapshot.lost):
        wait = live.created_at + snapshot.gap - snapshot.now
        if snapshot.arrivals > live.arrivals and wait > 0:
            later = Due("none", f"{what.why}; a new order follows in {wait:.0f} s")
            return Decision(later, campaign.state, learned, summary, again_in=wait)
    before = campaign.state
    try:
        order = _draft(campaign, snapshot, what)
    except LabelQueueError as error:
        return Decision(what, before, learned, summary, failure=error)
    kept = len(live.places) if live is not None and what.action == "refill" else 0
    if not order.places[kept:]:
        return Decision(Due("none", "every task is annotated"), campaign.state, "", summary)
    return Decision(what, campaign.state, learned, summary, order, order.places[kept:])


def _size(snapshot: Snapshot) -> OrderSize:
    """Return how many tasks are published now."""
    settings = snapshot.settings
    cycle = settings["retrain_every"] or share_of(len(snapshot.labels))
    return order_size(settings["horizon"], annotators=snapshot.annotators, pace=snapshot.pace, cycle=cycle)


def _draft(campaign: Campaign, snapshot: Snapshot, what: Due) -> Order:
    """Return the order that follows from what is due.

    Parameters
    ----------
    campaign : Campaign
        As it stands after this look's labels.
    snapshot : Snapshot
    what : Due
        ``new`` or ``refill``.

    Returns
    -------
    Order
        A refill: the live order with places appended. A new one: number 0, and its title as version. No places when
        every task is annotated.
    """
    live, tasks, rows = snapshot.live, snapshot.tasks, snapshot.rows
    features = snapshot.features if campaign.recipe().features != "vit" else None
    size = _size(snapshot).full
    if what.action == "refill" and live is not None:
        more = campaign.rank(
            rows,
            tasks,
            size=max(size - len(open_places(live, tasks)), 1),
            first=live.labeled + len(live.places),
            published={place.task for place in live.places},
            features=features,
        )
        return replace(live, places=(*live.places, *more))
    done = int((~tasks.unlabeled).sum())
    places = campaign.rank(rows, tasks, size=size, first=done, features=features)
    recipe, state, clusters = campaign.recipe(), campaign.state, campaign.state.geometry
    return Order(
        number=0,
        version=recipe.title,
        strategy=type(recipe.strategy).__name__,
        parameters=recipe.parameters,
        generation=snapshot.generation,
        arrivals=snapshot.arrivals,
        labeled=done,
        embedded=len(rows.ids),
        created_at=0.0,
        places=tuple(places),
        phase=recipe.phase,
        why=what.why,
        model=state.model.fingerprint if state.model else "",
        labels=len(state.trained_on) if state.model else 0,
        trust=state.trust,
        centroids=f"{clusters.digest} ({clusters.why})" if clusters and recipe.name == "bal" else "",
    )
