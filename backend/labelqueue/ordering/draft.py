"""Drafting an order: what stands in the queue after a new order, or a refill, is published."""

from __future__ import annotations

from dataclasses import replace

from .campaign import Campaign
from .due import Due, open_places, size_of
from .order import Order
from .snapshot import Snapshot

__all__ = ["draft"]


def draft(campaign: Campaign, snapshot: Snapshot, what: Due) -> Order:
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
    size = size_of(snapshot.settings["horizon"], snapshot.annotators)
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
