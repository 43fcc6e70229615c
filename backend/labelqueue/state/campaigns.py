"""Where a project's campaign is kept between jobs, and what the web process reads of it."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from ..exceptions import CacheError
from ..learning import Model, Predictions
from ..ordering import CampaignState
from ..store import text
from .project import Project

__all__ = ["load_campaign", "predictions_of", "save_campaign", "save_summary", "summary_of"]

log = logging.getLogger(__name__)

# Of the hash. 0.1.0 cannot read facts with a field that it does not know: it keeps its own, which is read here until
# there is one of this format.
FORMAT = "2"


def load_campaign(project: Project) -> CampaignState:
    """Return the state of the project's campaign; that of one that begins when there is none.

    A model that cannot be read, such as one of another format, is forgotten: a training needs the labels only.
    """
    found = project.store.hgetall(project.name("campaign", FORMAT))
    if not found and project.store.copy(project.name("campaign"), project.name("campaign", FORMAT)):
        return load_campaign(project)
    parts = {text(name): part for name, part in found.items() if isinstance(part, bytes)}
    for readable in (parts, {name: part for name, part in parts.items() if name == "facts"}):
        try:
            state = CampaignState.load(readable)
        except CacheError as error:
            log.warning("project %d: it is trained anew from its labels: %s", project.ref.id, error)
        else:
            if readable is parts:
                return state
            return replace(state, trained_on={}, heard=(*state.trained_on, *state.heard))
    return CampaignState()


def save_campaign(project: Project, state: CampaignState, before: CampaignState) -> None:
    """Keep what changed; a reader sees all of it or nothing."""
    key, parts, old = project.name("campaign", FORMAT), state.dump(), before.dump()
    changed = {name: part for name, part in parts.items() if old.get(name) != part}
    if not changed and parts.keys() == old.keys():
        return
    with project.store.pipeline(transaction=True) as pipe:
        if changed:
            pipe.hset(key, mapping=changed)  # type: ignore[arg-type]
        for name in old.keys() - parts.keys():
            pipe.hdel(key, name)
        pipe.execute()


def save_summary(project: Project, summary: Mapping[str, Any]) -> None:
    """Keep what `summary_of` returns; the web process has neither the means nor the time to work it out."""
    project.set(standing=json.dumps(summary))


def summary_of(project: Project) -> dict[str, Any]:
    """Return what people are told of labels, model and accuracy; empty before the first look at the labels."""
    parts: dict[str, Any] = json.loads(project.get("standing", "{}"))
    return parts


def predictions_of(project: Project) -> tuple[Model, Predictions] | None:
    """Return the project's model and its predictions, or None before the first training."""
    parts = ["model", "outlook"]
    found = project.store.hmget(project.name("campaign", FORMAT), parts)
    model, predictions = found if any(found) else project.store.hmget(project.name("campaign"), parts)
    if not isinstance(model, bytes) or not isinstance(predictions, bytes):
        return None
    return _parse(model, predictions)


@lru_cache(maxsize=4)
def _parse(model: bytes, predictions: bytes) -> tuple[Model, Predictions]:
    return Model.from_bytes(model), Predictions.from_bytes(predictions)
