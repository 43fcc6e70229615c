"""Taking a snapshot: everything that a look decides from, as it is stored at this moment."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..block import Block, find, source_hash
from ..exceptions import CacheError
from ..labels import ANNOTATED, NO_VALUE, SKIPPED, UNLABELED, Target
from ..ordering import LEFT_OUT, Features, Labels, Snapshot, Tasks, rows_in_turn
from ..store import get_fields, put_fields, scan_fields, text
from .campaigns import load_campaign
from .label_book import LabelBook
from .orders import Orders
from .pattern_cache import PatternCache
from .people import People
from .pins import Pins
from .project import Project

__all__ = ["TaskColumns", "keep_values", "read_columns", "read_values", "take_snapshot"]

NO_NETWORK = (
    "setting 'bal_features' is 'rotation', but no rotation network was trained, and BAL clusters the usual embeddings: "
    "run `labelqueue pretext {0}`, or set bal_features=vit"
)
LARGEST = 5  # values of a field that are told with their shares
MIN_GAP, GAP = 5.0, 5  # seconds between two orders that only arrivals ask for, and as a multiple of what one costs


@dataclass(frozen=True, eq=False)
class TaskColumns:
    """What is stored of every task, one row each.

    Attributes
    ----------
    ids : ndarray of shape (n,), int64
        Ascending.
    states : ndarray of shape (n,), uint8
        See `ordering.Tasks`.
    sources : ndarray of shape (n,), uint64
        `source_hash` of each image's URI.
    """

    ids: NDArray[np.int64]
    states: NDArray[np.uint8]
    sources: NDArray[np.uint64]

    def __len__(self) -> int:
        return int(self.ids.size)

    def counts(self, out: Collection[int] = ()) -> dict[str, int]:
        """Return how many tasks there are, and how many of them are labeled, only skipped, or neither and left out
        (`out`); ready for JSON."""
        counted = {"labeled": ANNOTATED, "skipped": SKIPPED}
        told = {name: int(np.count_nonzero(self.states == ord(state))) for name, state in counted.items()}
        at = find(self.ids, np.fromiter(out, dtype=np.int64, count=len(out)))
        left_out = np.count_nonzero(self.states[at[at >= 0]] == ord(UNLABELED))
        return {"tasks": len(self), **told, "left_out": int(left_out)}

    def embedded_in(self, cache: PatternCache) -> NDArray[np.bool_]:
        """Return which tasks have a row there, of the image that they have now."""
        ids, sources = cache.columns()
        at = find(ids, self.ids)
        return (at >= 0) & (sources[at] == self.sources) if ids.size else at >= 0

    def bad(self, project: Project) -> dict[int, str]:
        """Return the tasks whose present image cannot be used, and why."""
        quarantined = project.quarantined()
        found = {}
        for task, row in zip(quarantined, find(self.ids, np.array(list(quarantined), np.int64)).tolist(), strict=True):
            uri, reason = quarantined[task]
            if row >= 0 and self.sources[row] == source_hash(uri):
                found[task] = reason
        return found


def read_columns(project: Project) -> TaskColumns:
    """Return what is stored of every task of a project."""
    found = [np.empty(0, np.uint64)]
    ids, states = [np.empty(0, np.int64)], [np.empty(0, np.uint8)]
    for part in scan_fields(project.store, project.name("tasks")):
        some, codes = _states(part)
        uris = (raw[1:].decode("utf-8", "surrogatepass") for raw in part.values())
        ids.append(some)
        states.append(codes)
        found.append(np.fromiter((source_hash(uri) for uri in uris), dtype=np.uint64, count=len(part)))
    here, last = _newest(np.concatenate(ids))
    return TaskColumns(here, np.concatenate(states)[last], np.concatenate(found)[last])


def keep_values(project: Project, values: Mapping[int, str]) -> None:
    """Keep the value that each of these tasks has of the field that the setting `balance` names."""
    known = get_fields(project.store, project.name("balance"), [str(task) for task in values])
    rows = {str(task): value.encode(errors="replace") for task, value in values.items()}
    changed = {task: row for (task, row), before in zip(rows.items(), known, strict=True) if row != before}
    put_fields(project.store, project.name("balance"), changed)


def read_values(project: Project, ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return the code of each task's value of the field that the setting `balance` names, and the values by code."""
    parts = scan_fields(project.store, project.name("balance"))
    known = {int(task): text(raw) for part in parts for task, raw in part.items()}
    values = [known.get(task, NO_VALUE) for task in ids.tolist()]
    code = {value: number for number, value in enumerate(sorted(set(values)))}
    return np.fromiter((code[value] for value in values), dtype=np.int64, count=len(values)), tuple(code)


def value_shares(field: str, codes: NDArray[np.int64], values: Sequence[str]) -> dict[str, Any]:
    """Return how the tasks' values of a field are spread, for people and ready for JSON.

    Parameters
    ----------
    field : str
        Its name.
    codes, values
        As `read_values` returns them.

    Returns
    -------
    dict
        ``field``; ``values``, how many there are, 0 where no task has one; ``largest``, each with its share of tasks.
    """
    if set(values) <= {NO_VALUE}:
        return {"field": field, "values": 0, "largest": []}
    counts = np.bincount(codes, minlength=len(values))
    largest = [
        {"value": values[code], "share": round(float(counts[code]) / len(codes), 4)}
        for code in np.argsort(-counts, kind="stable")[:LARGEST].tolist()
    ]
    return {"field": field, "values": len(values), "largest": largest}


def _states(part: Mapping[bytes, bytes]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    ids = np.fromiter(map(int, part), dtype=np.int64, count=len(part))
    return ids, np.fromiter((raw[0] for raw in part.values()), dtype=np.uint8, count=len(part))


def _newest(ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the ids, ascending and each once, and where each stands last: a task may come twice."""
    here, last = np.unique(ids[::-1], return_index=True)
    return here, ids.size - 1 - last


def take_snapshot(
    project: Project,
    target: Target,
    columns: TaskColumns,
    cache: PatternCache,
    *,
    arriving: bool,
    prelabels: bool,
    lost: str,
    open_cache: Callable[[str], PatternCache],
) -> Snapshot:
    """Return what a look decides from.

    Parameters
    ----------
    project : Project
    target : Target
        What the label config asks of an image.
    columns : TaskColumns
        The project's tasks.
    cache : PatternCache
        Embeddings of the generation that serves.
    arriving : bool
        Whether images still wait to be embedded.
    prelabels : bool
        Whether Label Studio shows pre-labels in this project.
    lost : str
        What Label Studio no longer has of the live order, for people; empty when it has everything.
    open_cache : callable
        Returns the cache of another generation: that of the rotation features, or of an earlier order.
    """
    settings, facts, live = project.settings(), project.info(), Orders(project).live()
    embedded = columns.embedded_in(cache)
    ids, sources = columns.ids[embedded], columns.sources[embedded]
    book, here = LabelBook(project).labels(target), set(ids.tolist())
    values = {task: value for task, value in book.values.items() if task in here}
    pins = Pins(project)
    out = {task: f"{LEFT_OUT}: {wish.reason}" for task, wish in pins.exclusions().items()}
    network, missing, mark = facts.get("rotation_generation", ""), "", cache.mark()
    if settings["bal_features"] == "rotation" and not network:
        settings |= {"bal_features": "vit"}  # the queue goes on, and people are told
        missing = NO_NETWORK.format(project.ref.id)
    if settings["balance"] != facts.get("balance_field", ""):
        settings |= {"balance": ""}  # until the tasks were read for it
    groups, shares = None, dict[str, Any]()
    if settings["balance"]:
        groups, values_there = read_values(project, columns.ids)
        shares = value_shares(settings["balance"], groups, values_there)
    return Snapshot(
        target=target,
        settings=settings,
        tasks=Tasks(columns.ids, columns.states, rows_in_turn(embedded), columns.bad(project) | out, groups),
        labels=Labels.of(values, book.dropped, book.without),
        state=load_campaign(project),
        live=live,
        generation=cache.generation,
        load_rows=lambda: _load_rows(project, cache, ids, sources, mark),
        load_features=(lambda: _load_features(project, open_cache(network), ids, sources)) if network else None,
        now=time.time(),
        arrivals=int(facts.get("arrivals", "0")),
        arriving=arriving,
        annotators=People(project).at_work(),
        pace=People(project).pace(),
        prelabels=prelabels,
        hold=bool(facts.get("hold")),
        cut_short=live is not None and facts.get("refilling") == live.version,
        lost=lost,
        wanted=facts.get("retrain_wanted", ""),
        learned=facts.get("learned", ""),
        gap=max(MIN_GAP, GAP * float(facts.get("bulk_seconds", "1"))),
        missing=missing,
        mark=mark,
        answers=np.array(book.answers, dtype=np.int64),
        work=book.work,
        shares=shares,
        load_inputs=lambda: Orders(project).inputs(live.number) if live is not None else b"",
        recall=lambda ids, origin: open_cache(origin.generation).recall(ids, origin),
        pins=frozenset(pins.pins()),
        act=int(facts.get("act_number") or 0),
    )


def _load_rows(
    project: Project, cache: PatternCache, ids: NDArray[np.int64], sources: NDArray[np.uint64], mark: str
) -> Block:
    try:
        return cache.load(ids, sources, until=mark)
    except CacheError:
        if cache.stands(mark):  # nothing was stored anew meanwhile: it is damaged, and everything is embedded again
            cache.delete()
            project.set(generation="")
        raise


def _load_features(
    project: Project, cache: PatternCache, ids: NDArray[np.int64], sources: NDArray[np.uint64]
) -> Features:
    try:
        mark = cache.mark()
        return Features(cache.generation, cache.load(ids, sources, until=mark), mark)
    except CacheError as error:
        way_out = f"run `labelqueue pretext {project.ref.id} --retrain`, or set bal_features=vit"
        raise CacheError(f"rotation features: {error}; {way_out}") from error
