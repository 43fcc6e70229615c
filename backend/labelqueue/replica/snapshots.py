"""Taking a snapshot: everything that a look decides from, at this moment."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..block import Block, find
from ..exceptions import CacheError
from ..labels import NO_VALUE, Target
from ..ordering import LEFT_OUT, Features, Labels, Snapshot, Tasks, rows_in_turn
from ..state import Orders, PatternCache, People, Project, load_campaign
from .replica import Replica

__all__ = ["take_snapshot"]

NO_NETWORK = (
    "setting 'bal_features' is 'rotation', but no rotation network was trained, and BAL clusters the usual embeddings: "
    "run `labelqueue pretext {0}`, or set bal_features=vit"
)
LARGEST = 5  # values of a field that are told with their shares
MIN_GAP, GAP = 5.0, 5  # seconds between two orders that only arrivals ask for, and as a multiple of what one costs


def take_snapshot(
    project: Project,
    target: Target,
    replica: Replica,
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
    replica : Replica
        The project's tasks and labels.
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
    columns, embedded, book = replica.columns, replica.embedded(cache), replica.labels(target)
    at = find(columns.ids, np.fromiter(book.values, dtype=np.int64, count=len(book.values)))
    seen = ((at >= 0) & embedded[at] if len(columns) else at >= 0).tolist()
    values = {task: value for (task, value), here in zip(book.values.items(), seen, strict=True) if here}
    out = {task: f"{LEFT_OUT}: {wish.reason}" for task, wish in replica.left_out().items()}
    network, missing, mark = facts.get("rotation_generation", ""), "", replica.mark(cache)
    if settings["bal_features"] == "rotation" and not network:
        settings |= {"bal_features": "vit"}  # the queue goes on, and people are told
        missing = NO_NETWORK.format(project.ref.id)
    if settings["balance"] != facts.get("balance_field", ""):
        settings |= {"balance": ""}  # until the tasks were read for it
    groups, shares = None, dict[str, Any]()
    if settings["balance"]:
        groups, values_there = replica.values()
        shares = value_shares(settings["balance"], groups, values_there)
    return Snapshot(
        target=target,
        settings=settings,
        tasks=Tasks(columns.ids, columns.states, rows_in_turn(embedded), replica.bad() | out, groups),
        labels=Labels.of(values, book.dropped, book.without),
        state=load_campaign(project),
        live=live,
        generation=cache.generation,
        load_rows=lambda: _load_rows(project, cache, columns.ids[embedded], columns.sources[embedded], mark),
        load_features=(
            (lambda: _load_features(project, open_cache(network), columns.ids[embedded], columns.sources[embedded]))
            if network
            else None
        ),
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
        pins=frozenset(replica.pinned()),
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


def value_shares(field: str, codes: NDArray[np.int64], values: Sequence[str]) -> dict[str, Any]:
    """Return how the tasks' values of a field are spread, for people and ready for JSON.

    Parameters
    ----------
    field : str
        Its name.
    codes, values
        As `Replica.values` returns them.

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
