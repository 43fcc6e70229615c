"""Where a project's campaign is kept between jobs, and what the web process reads of it.

What the model says of each task grows with the project: it is kept apart, in groups of neighboring ids, so that a few
tasks are looked up without the others. Each training writes its own; the campaign names the one that counts.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

from redis.client import Pipeline

from ..exceptions import CacheError
from ..learning import Model, Predictions
from ..ordering import CampaignState
from ..store import get_fields, put_large_fields, scan_fields, text
from .project import Project

__all__ = ["load_campaign", "predictions_of", "rows_keys", "save_campaign", "save_summary", "summary_of"]

log = logging.getLogger(__name__)

# Of the hash. Others keep their own, since 0.1.0 cannot read facts with a field that it does not know, and before
# format 3 the predictions were one value, `outlook`; theirs is read here until there is one of this format.
FORMAT, FORMAT_BEFORE = "3", "2"
SAID = "said"  # field of the hash: which predictions count
WRITING = 3600  # seconds after which Redis removes predictions that nobody came to name
TRIES = 10  # trainings that may end while one reads


class _Said(NamedTuple):
    """Which predictions count.

    Attributes
    ----------
    token : str
        In the name of their key.
    rows, classes : int
    """

    token: str
    rows: int
    classes: int


def load_campaign(project: Project) -> CampaignState:
    """Return the state of the project's campaign; that of one that begins when there is none.

    A model that cannot be read, such as one of another format, is forgotten: a training needs the labels only.
    """
    key = project.name("campaign", FORMAT)
    parts = _parts(project, key)
    if not parts:
        older = next(filter(None, (_parts(project, before) for before in _before(project))), {})
        state = _loaded(project, older, None)
        save_campaign(project, state, CampaignState())
        return state
    for _ in range(TRIES):
        try:
            said = _said(parts.get(SAID))
            predictions = None if said is None else _all_rows(project, said)
        except CacheError as error:
            if (now := _parts(project, key)).get(SAID) != parts.get(SAID):  # a training ended meanwhile
                parts = now
                continue
            log.warning("project %d: it is trained anew from its labels: %s", project.ref.id, error)
            return _without_model(parts)
        return _loaded(project, parts, predictions)
    raise CacheError(f"what the model of project {project.ref.id} says is replaced all the time: try again")


def save_campaign(project: Project, state: CampaignState, before: CampaignState) -> None:
    """Keep what changed; a reader sees all of it or nothing."""
    key, parts, old = project.name("campaign", FORMAT), state.dump(outlook=False), before.dump(outlook=False)
    changed = {name: part for name, part in parts.items() if old.get(name) != part}
    gone, rows = [name for name in old if name not in parts], ""
    if state.predictions is not before.predictions:
        if state.predictions is None:
            gone.append(SAID)
        else:
            said = _write_rows(project, state.predictions)
            changed[SAID], rows = json.dumps(said).encode(), _rows_key(project, said)
    if not changed and not gone:
        return

    def write(pipe: Pipeline) -> None:
        replaced = _said(pipe.hget(key, SAID)) if rows or SAID in gone else None
        pipe.multi()
        if changed:
            pipe.hset(key, mapping=changed)  # type: ignore[arg-type]
        if gone:
            pipe.hdel(key, *gone)
        if rows:
            pipe.persist(rows)
        if replaced is not None:
            pipe.unlink(_rows_key(project, replaced))

    project.store.transaction(write, key)


def rows_keys(project: Project) -> list[str]:
    """Return the keys besides the campaign's own, which go when another campaign takes its place."""
    said = _said(project.store.hget(project.name("campaign", FORMAT), SAID))
    return [] if said is None else [_rows_key(project, said)]


def save_summary(project: Project, summary: Mapping[str, Any]) -> None:
    """Keep what `summary_of` returns; the web process has neither the means nor the time to work it out."""
    project.set(standing=json.dumps(summary))


def summary_of(project: Project) -> dict[str, Any]:
    """Return what people are told of labels, model and accuracy; empty before the first look at the labels."""
    parts: dict[str, Any] = json.loads(project.get("standing", "{}"))
    return parts


def predictions_of(project: Project, tasks: Sequence[int] | None = None) -> tuple[Model, Predictions] | None:
    """Return the project's model and what it says, or None before the first training.

    Parameters
    ----------
    project : Project
    tasks : sequence of int, optional
        Those that are asked about: their rows are read, and a few of their neighbors'. None for every task.

    Raises
    ------
    CacheError
        If what is stored is damaged, or of another format.
    """
    key = project.name("campaign", FORMAT)
    for _ in range(TRIES):
        model, raw = project.store.hmget(key, ["model", SAID])
        said = _said(raw)
        if not isinstance(model, bytes) or said is None:
            return None if project.store.exists(key) else _said_before(project)
        if tasks is None:
            try:
                return _model(model), _all_rows(project, said)
            except CacheError:
                if project.store.hget(key, SAID) == raw:
                    raise
                continue
        groups = Predictions.groups_of(tasks)
        found = get_fields(project.store, _rows_key(project, said), [str(group) for group in groups])
        # They are dropped in the step that names others: what is still named was there all the while.
        if project.store.hget(key, SAID) == raw:
            rows = {group: row for group, row in zip(groups, found, strict=True) if row is not None}
            return _model(model), Predictions.from_groups(rows, said.classes)
    raise CacheError(f"what the model of project {project.ref.id} says is replaced all the time: try again")


def _before(project: Project) -> tuple[str, str]:
    """Return the keys of earlier formats, the newest first."""
    return project.name("campaign", FORMAT_BEFORE), project.name("campaign")


def _parts(project: Project, key: str) -> dict[str, bytes]:
    found = project.store.hgetall(key)
    return {text(part): raw for part, raw in found.items() if isinstance(raw, bytes)}


def _loaded(project: Project, parts: Mapping[str, bytes], predictions: Predictions | None) -> CampaignState:
    try:
        state = CampaignState.load(parts)
    except CacheError as error:
        log.warning("project %d: it is trained anew from its labels: %s", project.ref.id, error)
        return _without_model(parts)
    return state if predictions is None else replace(state, predictions=predictions)


def _without_model(parts: Mapping[str, bytes]) -> CampaignState:
    """Return what can be read of a state without its model; its labels are to be learned again."""
    try:
        state = CampaignState.load({name: part for name, part in parts.items() if name == "facts"})
    except CacheError:
        return CampaignState()
    return replace(state, trained_on={}, heard=(*state.trained_on, *state.heard))


def _said(raw: bytes | str | None) -> _Said | None:
    return None if raw is None else _Said(*json.loads(raw))


def _rows_key(project: Project, said: _Said) -> str:
    return project.name("campaign", FORMAT, "said", said.token)


def _write_rows(project: Project, predictions: Predictions) -> _Said:
    """Write predictions, and return their name; until it is written down, they go by themselves after an hour."""
    said = _Said(secrets.token_hex(6), *map(int, predictions.probabilities.shape))
    key, groups = _rows_key(project, said), ((str(number), rows) for number, rows in predictions.groups())
    put_large_fields(project.store, key, groups, lifetime=WRITING)
    return said


def _all_rows(project: Project, said: _Said) -> Predictions:
    """Return all predictions; raises CacheError when not all of them are there."""
    parts = scan_fields(project.store, _rows_key(project, said), large=True)
    rows = {int(group): row for part in parts for group, row in part.items()}
    found = Predictions.from_groups(rows, said.classes)
    if len(found.ids) != said.rows:
        raise CacheError(f"predictions: {len(found.ids):,} of {said.rows:,} rows are there: train again")
    return found


def _said_before(project: Project) -> tuple[Model, Predictions] | None:
    """Return the same of an earlier format, whose predictions are one value."""
    for key in _before(project):
        model, outlook = project.store.hmget(key, ["model", "outlook"])
        if isinstance(model, bytes) and isinstance(outlook, bytes):
            return _model(model), Predictions.from_bytes(outlook)
    return None


@lru_cache(maxsize=4)
def _model(data: bytes) -> Model:
    return Model.from_bytes(data)
