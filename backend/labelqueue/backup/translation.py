"""What is remembered of tasks, told with the ids that the tasks have in another project."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

import numpy as np

from ..block import Block
from ..learning import Predictions
from ..ordering import CampaignState, Order
from .matching import Match

__all__ = ["told_block", "told_campaign", "told_order"]

Value = TypeVar("Value")


def told_order(order: Order, match: Match) -> Order:
    """Return an order's record with the ids of another project, of the tasks that are there.

    It stays a record for people. What it was made of names other ids and cannot be computed again: that is left out.
    """
    here = _ids(match)
    kept = order.keeping(here.keys())
    places = tuple(replace(place, task=here[place.task]) for place in kept.places)
    return replace(kept, places=places, left_out=(), inputs=b"")


def told_campaign(state: CampaignState, match: Match) -> CampaignState:
    """Return a campaign's state with the ids of another project.

    The model stays; clusters are fitted anew, which takes embeddings only. What a training was made of is not on record
    for the other ids, so that its orders cannot be computed again until the next one.
    """
    here = _ids(match)
    before = [now for then, now in here.items() if then <= state.newest_task]
    return replace(
        state,
        newest_task=max(before, default=0),
        trained_on=_told(state.trained_on, here),
        guesses=tuple(replace(guess, task=here[guess.task]) for guess in state.guesses if guess.task in here),
        controls=_told(state.controls, here),
        heard=tuple(here[task] for task in state.heard if task in here),
        boundary=here.get(state.boundary, 0),
        predictions=None if state.predictions is None else _told_predictions(state.predictions, match),
        geometry=None,
        origin=None,
    )


def told_block(block: Block, match: Match) -> Block:
    """Return the rows of a block whose tasks are in the other project with the same image, with their ids there."""
    rows = np.flatnonzero(match.rows(block.ids, block.sources))
    kept = block.take(rows)
    return replace(kept, ids=match.of(kept.ids))


def _told_predictions(predictions: Predictions, match: Match) -> Predictions:
    now = match.of(predictions.ids)
    order = np.argsort(now, kind="stable")
    order = order[now[order] >= 0]
    return Predictions(now[order], predictions.probabilities[order])


def _told(said: Mapping[int, Value], here: Mapping[int, int]) -> dict[int, Value]:
    return {here[task]: value for task, value in said.items() if task in here}


def _ids(match: Match) -> dict[int, int]:
    return dict(zip(match.then.tolist(), match.now.tolist(), strict=True))
