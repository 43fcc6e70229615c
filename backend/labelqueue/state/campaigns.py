"""Where a project's campaign is kept between jobs, and what the web process reads of it.

What the model says of each task grows with the project: it is kept apart, in groups of neighboring ids, so that a few
tasks are looked up without the others, and read when it is asked for. Each training writes its own; the campaign names
the one that counts.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, NamedTuple

from redis.client import Pipeline

from ..exceptions import CacheError, PredictionsError, ReplacedError
from ..learning import Model, Predictions, StoredPredictions
from ..ordering import CampaignState
from ..store import get_fields, put_large_fields, scan_fields, text
from .project import Project

__all__ = ["load_campaign", "predictions_of", "rows_keys", "save_campaign", "save_summary", "summary_of"]

log = logging.getLogger(__name__)

# Of the hash. Others keep their own, since 0.1.0 cannot read facts with a field that it does not know, and before
# format 3 the predictions were one value, `outlook`; theirs is read here until there is one of this format.
FORMAT, FORMAT_BEFORE = "3", "2"
SAID, GROUPS = "said", "groups"  # fields of the hash: which predictions count, and in how many groups they are
WRITING = 3600  # seconds after which Redis removes predictions that nobody came to name
TRIES = 10  # trainings that may end while one reads
_ALWAYS = "what the model of project {} says is replaced all the time: try again"


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


def load_campaign(project: Project, *, whole: bool = False) -> CampaignState:
    """Return the state of the project's campaign; that of one that begins when there is none.

    A model that cannot be read, such as one of another format, is forgotten: a training needs the labels only.

    Parameters
    ----------
    project : Project
    whole : bool
        Whether the predictions are read, and checked, as well. Else it is seen that they are there, and they are read
        when they are asked for: that raises `PredictionsError`, or `ReplacedError` once there are others.
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
            predictions = None
            if SAID in parts:
                predictions = _stored(project, parts[SAID])
                _see(project, parts)
            if predictions is not None and whole:
                predictions.fetch()
        except ReplacedError:  # a training ended meanwhile
            parts = _parts(project, key)
            continue
        except CacheError as error:
            log.warning("project %d: it is trained anew from its labels: %s", project.ref.id, error)
            return _without_model(parts)
        return _loaded(project, parts, predictions)
    raise ReplacedError(_ALWAYS.format(project.ref.id))


def save_campaign(project: Project, state: CampaignState, before: CampaignState) -> None:
    """Keep what changed; a reader sees all of it or nothing."""
    key, rows = project.name("campaign", FORMAT), ""
    changed, gone = state.changes(before)
    if state.predictions is not before.predictions:
        if state.predictions is None:
            gone += [SAID, GROUPS]
        else:
            said, groups = _write_rows(project, state.predictions)
            changed |= {SAID: json.dumps(said).encode(), GROUPS: str(groups).encode()}
            rows = _rows_key(project, said)
    if not changed and not gone:
        return

    def write(pipe: Pipeline) -> None:
        named = pipe.hget(key, SAID) if rows or SAID in gone else None
        pipe.multi()
        if changed:
            pipe.hset(key, mapping=changed)  # type: ignore[arg-type]
        if gone:
            pipe.hdel(key, *gone)
        if rows:
            pipe.persist(rows)
        if named is not None:
            pipe.unlink(_rows_key(project, _said(named)))

    project.store.transaction(write, key)


def rows_keys(project: Project) -> list[str]:
    """Return the keys besides the campaign's own, which go when another campaign takes its place."""
    named = project.store.hget(project.name("campaign", FORMAT), SAID)
    return [] if named is None else [_rows_key(project, _said(named))]


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
        If what is stored is damaged, or of another format. Of other tasks than these it is read when they are asked
        for: that may raise `ReplacedError`, too.
    """
    key = project.name("campaign", FORMAT)
    for _ in range(TRIES):
        model, raw = project.store.hmget(key, ["model", SAID])
        if not isinstance(model, bytes) or not isinstance(raw, bytes):
            return None if project.store.exists(key) else _said_before(project)
        predictions = _stored(project, raw)
        try:
            predictions.fetch(tasks)
        except ReplacedError:
            continue
        return _model(model), predictions
    raise ReplacedError(_ALWAYS.format(project.ref.id))


def _before(project: Project) -> tuple[str, str]:
    """Return the keys of earlier formats, the newest first."""
    return project.name("campaign", FORMAT_BEFORE), project.name("campaign")


def _parts(project: Project, key: str) -> dict[str, bytes]:
    found = project.store.hgetall(key)
    return {text(part): raw for part, raw in found.items() if isinstance(raw, bytes)}


def _loaded(project: Project, parts: Mapping[str, bytes], predictions: Predictions | None) -> CampaignState:
    try:
        state = _parsed(*sorted(item for item in parts.items() if item[0] not in (SAID, GROUPS)))
    except CacheError as error:
        log.warning("project %d: it is trained anew from its labels: %s", project.ref.id, error)
        return _without_model(parts)
    return state if predictions is None else replace(state, predictions=predictions)


def _without_model(parts: Mapping[str, bytes]) -> CampaignState:
    """Return what can be read of a state without its model; its labels are to be learned again."""
    try:
        return CampaignState.load({name: part for name, part in parts.items() if name == "facts"}).forgetting()
    except CacheError:
        return CampaignState()


def _said(raw: bytes | str) -> _Said:
    return _Said(*json.loads(raw))


def _rows_key(project: Project, said: _Said) -> str:
    return project.name("campaign", FORMAT, "said", said.token)


def _write_rows(project: Project, predictions: Predictions) -> tuple[_Said, int]:
    """Write predictions, and return their name and the number of groups; until it is written down, they go by
    themselves after an hour."""
    said = _Said(secrets.token_hex(6), *map(int, predictions.probabilities.shape))
    key, groups = _rows_key(project, said), ((str(number), rows) for number, rows in predictions.groups())
    put_large_fields(project.store, key, groups, lifetime=WRITING)
    return said, int(project.store.hlen(key))


def _stored(project: Project, raw: bytes) -> StoredPredictions:
    """Return the predictions of this name, which are read when they are asked for."""
    return StoredPredictions(_said(raw).rows, partial(_read_rows, project, raw))


def _see(project: Project, parts: Mapping[str, bytes]) -> None:
    """See that the predictions that count are there; raises what `_read_rows` raises."""
    said = _said(parts[SAID])
    there = int(project.store.hlen(_rows_key(project, said)))
    wanted = int(parts.get(GROUPS, there))  # earlier it was not written down
    if there != wanted or bool(there) != bool(said.rows):
        _still(project, parts[SAID])
        raise PredictionsError(
            f"predictions: {there:,} of {wanted or said.rows:,} groups of rows are there: train again"
        )


def _read_rows(project: Project, raw: bytes, tasks: Sequence[int] | None) -> Predictions:
    """Return what the predictions of this name say of tasks and their neighbors, or of all.

    Raises
    ------
    PredictionsError
        If a group is damaged, or, of all, not every row is there.
    ReplacedError
        If it is not the name of those that count any more.
    """
    said = _said(raw)
    key = _rows_key(project, said)
    if tasks is None:
        parts = scan_fields(project.store, key, large=True)
        rows = {int(group): row for part in parts for group, row in part.items()}
    else:
        groups = Predictions.groups_of(tasks)
        found = get_fields(project.store, key, [str(group) for group in groups])
        rows = {group: row for group, row in zip(groups, found, strict=True) if row is not None}
    _still(project, raw)
    read = Predictions.from_groups(rows, said.classes)
    if tasks is None and len(read) != said.rows:
        raise PredictionsError(f"predictions: {len(read):,} of {said.rows:,} rows are there: train again")
    return read


def _still(project: Project, raw: bytes) -> None:
    """Raise ReplacedError when it is not these predictions that count: they are dropped in the step that names others,
    so what is still named was there all the while."""
    if project.store.hget(project.name("campaign", FORMAT), SAID) != raw:
        raise ReplacedError(f"what the model of project {project.ref.id} says was replaced meanwhile: try again")


def _said_before(project: Project) -> tuple[Model, Predictions] | None:
    """Return the same of an earlier format, whose predictions are one value."""
    for key in _before(project):
        model, outlook = project.store.hmget(key, ["model", "outlook"])
        if isinstance(model, bytes) and isinstance(outlook, bytes):
            return _model(model), Predictions.from_bytes(outlook)
    return None


@lru_cache(maxsize=2)  # a look at which nothing was learned reads what the one before did
def _parsed(*parts: tuple[str, bytes]) -> CampaignState:
    return CampaignState.load(dict(parts))


@lru_cache(maxsize=4)
def _model(data: bytes) -> Model:
    return Model.from_bytes(data)
