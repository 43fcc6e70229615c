"""Drafting an order: what stands in the queue after a new order, or a refill, is published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..block import Block
from ..state.project import UNLABELED, TaskRow
from .campaign import Campaign, Features
from .order import Order
from .ranking import Due, open_places, size_of

__all__ = ["draft"]


def draft(
    campaign: Campaign,
    decision: Due,
    live: Order | None,
    *,
    rows: Block,
    tasks: Mapping[int, TaskRow],
    generation: str,
    arrivals: int,
    horizon: int,
    annotators: int,
    quarantined: Mapping[int, tuple[str, str]] | None = None,
    features: Features | None = None,
) -> Order:
    """Return the order that follows from a decision.

    Parameters
    ----------
    decision : Due
        ``new`` or ``refill``.
    live : Order or None
        The order that is served; it is what a refill extends.
    rows, features, quarantined
        See `Campaign.rank`.
    tasks : mapping
        Every known task.
    generation, arrivals
        What the embeddings are, and how many there ever were.
    horizon, annotators : int
        Tasks in the head; people at work.

    Returns
    -------
    Order
        A refill: `live` with places appended. A new one: number 0, and its title as version. No places when every task
        is annotated.
    """
    size = size_of(horizon, annotators)
    if decision.action == "refill" and live is not None:
        more = campaign.rank(
            rows,
            tasks,
            size=max(size - len(open_places(live, tasks)), 1),
            first=live.labeled + len(live.places),
            published={place.task for place in live.places},
            quarantined=quarantined,
            features=features,
        )
        return replace(live, places=(*live.places, *more))
    done = sum(1 for row in tasks.values() if row.state != UNLABELED)
    places = campaign.rank(rows, tasks, size=size, first=done, quarantined=quarantined, features=features)
    recipe, memory, clusters = campaign.recipe(), campaign.memory, campaign.memory.geometry
    return Order(
        number=0,
        version=recipe.title,
        strategy=type(recipe.strategy).__name__,
        parameters=recipe.parameters,
        generation=generation,
        arrivals=arrivals,
        labeled=done,
        embedded=len(rows.ids),
        created_at=0.0,
        places=tuple(places),
        phase=recipe.phase,
        why=decision.why,
        model=memory.model.fingerprint if memory.model else "",
        labels=len(memory.trained_on) if memory.model else 0,
        trust=memory.trust,
        centroids=f"{clusters.digest} ({clusters.why})" if clusters and recipe.name == "bal" else "",
    )
