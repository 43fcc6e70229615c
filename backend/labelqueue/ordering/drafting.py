"""Drafting: a new order, or more places of the live one, as they follow from what is written down as its inputs."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..block import Block, Origin, find
from ..exceptions import CacheError
from ..learning import Clusters, Geometry, Lesson
from ..telemetry import timed
from .campaign import Campaign
from .inputs import SHAPING, Inputs, Material, dump_inputs, load_inputs, ranked
from .order import Order, Place
from .order_size import OrderSize, open_places
from .ranking import NOT_EMBEDDED, SKIPPED_BEFORE, Said, ask, fill_in
from .recipe import BAL, needs_model
from .snapshot import Snapshot, Tasks

__all__ = ["continued", "drafted", "fit_geometry", "inputs_of", "pinned_places"]

log = logging.getLogger(__name__)

PINNED = 1000  # pinned tasks that stand in front at once: each order publishes them all
PINNED_BY = "pinned by an admin"
REMEMBERED = 5000  # places that are looked back on, to share out the next ones


def inputs_of(
    campaign: Campaign, snapshot: Snapshot, tasks: Tasks, *, first: int, start: int = 0, standing: Sequence[int] = ()
) -> tuple[Inputs, Material]:
    """Return everything that an order made now is made of; ranking adds nothing to it.

    Parameters
    ----------
    campaign : Campaign
        As it stands after this look's labels. BAL's centroids are fitted here when there are none that do.
    snapshot : Snapshot
    tasks : Tasks
        Every known task, as the order may see it.
    first, start : int
        See `Inputs`.
    standing : sequence of int
        Tasks of the live order that are served before, when this goes on behind them.
    """
    name, target, rows = campaign.active(), campaign.target, snapshot.rows
    features = snapshot.features if name in BAL and campaign.settings["bal_features"] != "vit" else None
    if name == "bal":
        seen = (rows, snapshot.generation, snapshot.mark)
        if features is not None:
            seen = (features.rows, features.generation, features.mark)
        if len(seen[0]):
            fit_geometry(campaign, *seen)
    recipe, state = campaign.recipe(), campaign.state
    model = state.model if recipe.model else None
    geometry = state.geometry if name == "bal" else None
    lesson = None
    if model is not None:
        here = set(snapshot.tasks.ids[snapshot.tasks.rows >= 0].tolist())
        labels = {task: value for task, value in state.trained_on.items() if task in here}
        lesson = Lesson.of(labels, model, classes=state.classes, seed=state.seed, origin=state.origin)
    followers, leaders = _duplicates(campaign, snapshot, tasks)
    inputs = Inputs(
        start=start,
        first=first,
        tasks=tasks,
        name=name,
        # One that is empty leaves no trace: without it, inputs are what they were before there was a choice.
        settings={key: campaign.settings[key] for key in SHAPING if key != "balance" or campaign.settings.get(key)},
        cycle=campaign.cycle,
        phase=recipe.phase,
        prelabel=recipe.prelabel,
        classes=len(target.labels),
        multi=target.multi,
        origin=Origin.of(rows, snapshot.generation, snapshot.mark),
        features=None if features is None else Origin.of(features.rows, features.generation, features.mark),
        featured=np.empty(0, np.int64) if features is None else features.rows.ids,
        lesson=lesson,
        clusters=None if geometry is None else Clusters.of(geometry),
        followers=followers,
        leaders=leaders,
        served=_served(snapshot, standing) if tasks.groups is not None else np.empty(0, np.int64),
    )
    chances = None if model is None else campaign.chances(model, rows)
    return inputs, Material(rows, features, model, None if geometry is None else geometry.centroids, chances)


def _duplicates(campaign: Campaign, snapshot: Snapshot, tasks: Tasks) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the near-duplicates among the embedded tasks, and who stands for each: see `Inputs`."""
    rows = snapshot.rows
    if campaign.settings["duplicates"] == "serve" or not rows.hashes.any():
        return np.empty(0, np.int64), np.empty(0, np.int64)
    from poolselect import near_duplicates

    at = tasks.find(rows.ids)
    known = at >= 0
    annotated, open_ = known & tasks.annotated[at], known & tasks.free[at]
    labels = np.full(len(rows), -1, dtype=np.int64)
    of_label = find(rows.ids, snapshot.labels.tasks)
    labels[of_label[of_label >= 0]] = snapshot.labels.codes[of_label >= 0]
    labels[~annotated] = -1  # it came after the label that asked for the order
    leaders = near_duplicates(rows.embeddings, rows.hashes, labels, leading=annotated, left_out=~(annotated | open_))
    followers = np.flatnonzero((leaders >= 0) & open_)
    return rows.ids[followers], rows.ids[leaders[followers]]


def _served(snapshot: Snapshot, standing: Sequence[int]) -> NDArray[np.int64]:
    """Return the last tasks before an order's places: those answered, in turn, and those that stand in front of it."""
    answers = snapshot.labels.tasks if snapshot.answers is None else snapshot.answers
    tasks = dict.fromkeys([*np.abs(answers).tolist(), *standing])
    return np.array(list(tasks)[-REMEMBERED:], dtype=np.int64)


def fit_geometry(campaign: Campaign, rows: Block, source: str, mark: str = "") -> str:
    """Fit BAL's centroids if there are none or the pool has outgrown them; return why, or an empty string."""
    from poolselect import default_clusters

    classes, old = len(campaign.target.labels) or None, campaign.state.geometry
    k = default_clusters(len(rows.ids), classes)
    # Without classes k goes with the pool's size: then it is the growth of the pool that counts, not that of k.
    why = "first clusters" if old is None else old.outgrown(rows, k if classes else old.wanted, source)
    if why:
        seed = campaign.settings["seed"]
        fresh = Geometry.fit(rows, k, seed=seed, source=source, why=why, mark=mark)
        campaign.state = replace(campaign.state, geometry=fresh)
    return why


@timed("ordering_seconds")
def drafted(campaign: Campaign, snapshot: Snapshot, why: str, boundary: int, size: OrderSize) -> Order:
    """Return a new order: number 0, its title as version. No places when every task is annotated.

    Parameters
    ----------
    campaign : Campaign
        As it stands after this look's labels.
    snapshot : Snapshot
    why : str
        Why an order is due.
    boundary : int
        Task whose label asked for it: what was answered later is not seen, so that the order is the one that a look at
        that very moment would have made. 0, or where places are shared out among values of a field: everything is seen.
    size : OrderSize
        How many tasks are published.
    """
    # What a value had its share of counts, whoever answered it when.
    seen = snapshot.as_of(boundary) if boundary and snapshot.tasks.groups is None else snapshot.tasks
    done = int((~seen.unlabeled).sum())
    inputs, material = inputs_of(campaign, snapshot, seen, first=done)
    moved = _moved(seen, snapshot.tasks)
    ranking = ranked(inputs, material, size.full + len(moved))
    wanted = size.full - sum(place.task in moved for place in ranking[: size.full])
    if wanted < size.low:
        wanted = size.full  # a look at that moment would have refilled it by now
    places, left_out = _still(ranking, moved, wanted)
    recipe, state, clusters = inputs.recipe(material.centroids), campaign.state, campaign.state.geometry
    return Order(
        number=0,
        version=recipe.title,
        strategy=type(recipe.strategy).__name__,
        parameters=recipe.parameters,
        generation=snapshot.generation,
        arrivals=snapshot.arrivals,
        labeled=done,
        embedded=len(material.rows),
        created_at=0.0,
        places=places,
        phase=recipe.phase,
        why=why,
        model=state.model.fingerprint if state.model else "",
        labels=len(state.trained_on) if state.model else 0,
        trust=state.trust,
        centroids=f"{clusters.digest} ({clusters.why})" if clusters and recipe.name == "bal" else "",
        left_out=left_out,
        duplicates=len(inputs.followers),
        duplicate_groups=len(np.unique(inputs.leaders)),
        inputs=dump_inputs([inputs]),
    )


@timed("ordering_seconds")
def continued(campaign: Campaign, snapshot: Snapshot, live: Order, size: OrderSize) -> Order:
    """Return the live order with places appended: it goes on as if it had been published longer.

    Notes
    -----
    An order that cannot go on, since its ranking is at its end or what it was made of is gone, gets places of a ranking
    by the present recipe, whose inputs are kept beside its own.
    """
    tasks = snapshot.tasks
    _ = snapshot.rows  # without them there is no order of any kind
    more = max(size.full - len(open_places(live, tasks)), 1)
    published = {place.task for place in live.places}
    stored = live.inputs or (snapshot.load_inputs() if snapshot.load_inputs is not None else b"")
    parts: tuple[Inputs, ...] = ()
    try:
        parts = load_inputs(stored)
        if parts and (longer := _going_on(campaign, snapshot, live, parts[-1], more)) is not None:
            return replace(longer, inputs=live.inputs)
    except CacheError as error:  # no reason for an empty queue
        log.info("%s cannot go on by its own ranking: %s", live.version, error)
    start = len(live.places)
    standing = [place.task for place in open_places(live, tasks)]
    inputs, material = inputs_of(campaign, snapshot, tasks, first=live.labeled + start, start=start, standing=standing)
    places = ranked(inputs, material, more, published)
    return replace(live, places=(*live.places, *places), inputs=dump_inputs([*parts, inputs]))


def _going_on(campaign: Campaign, snapshot: Snapshot, live: Order, inputs: Inputs, more: int) -> Order | None:
    """Return the order with so many places more of the same ranking, fewer at its end; None when none is left."""
    before = {place.task for place in live.places[: inputs.start]}
    done = len(live.places) - inputs.start + sum(at >= inputs.start for at, _ in live.left_out)
    moved, material = _moved(inputs.tasks, snapshot.tasks), _material(campaign, snapshot, inputs)
    wished = {*inputs.tasks.excluded} ^ {*snapshot.tasks.excluded}  # what was left out since, or is so no longer
    if wished & {*inputs.leaders.tolist()}:  # another one of the near-duplicates stands for them now
        return None
    published, count = {place.task for place in live.places}, done + more + len(moved)
    while True:
        ranking = ranked(inputs, material, count, before)
        further = [place for place in ranking[done:] if place.task not in published]
        places, left_out = _still(further, moved | wished, more)
        if len(places) == more or len(ranking) < count:
            break
        count *= 2
    if not {place.task for place in places} - snapshot.tasks.excluded.keys():
        return None
    if left_out and inputs.tasks.groups is not None:  # what is passed over had its value's place
        return None
    start = len(live.places)
    gone = tuple((start + at, task) for at, task in left_out)
    return replace(live, places=(*live.places, *places), left_out=(*live.left_out, *gone))


def pinned_places(campaign: Campaign, snapshot: Snapshot, order: Order) -> tuple[Place, ...]:
    """Return the pinned tasks that come first in an order, as its own recipe ranks them: one query with them alone as
    candidates, those without embeddings after them by id, and last those that were skipped.

    What was ranked once stays as it is, until there are others. Of many pins, the first thousand come first; more
    follow when half of these are labeled.
    """
    tasks, before = snapshot.tasks, order.overlay
    pinned = tasks.among(snapshot.pins) & ~tasks.annotated & ~tasks.out
    wanted = set(tasks.ids[pinned].tolist())
    recorded = [pin for pin in before.pins if pin.task in wanted]
    more = wanted - {pin.task for pin in recorded}
    same = snapshot.act == before.act
    if not more or (same and len(recorded) > PINNED // 2):
        return tuple(recorded)
    if same:  # what stands in front already stays there
        pinned &= tasks.among(more)
    else:
        recorded = []
    stored = order.inputs or (snapshot.load_inputs() if snapshot.load_inputs is not None else b"")
    rows, model, recipe = snapshot.rows, campaign.state.model, campaign.recipe()
    try:
        if parts := load_inputs(stored):
            own = _material(campaign, snapshot, parts[-1], of_all=False)
            model, recipe = own.model, parts[-1].recipe(own.centroids)
    except CacheError as error:
        log.info("%s: pinned tasks stand as an order made now has them: %s", order.version, error)
    chances = None if model is None else campaign.chances(model, rows)
    seen, said = rows, chances
    if recipe.features != "vit" and snapshot.features is not None:
        seen = snapshot.features.rows
        if chances is not None:
            _, at, of_rows = np.intersect1d(seen.ids, rows.ids, assume_unique=True, return_indices=True)
            seen, said = seen.take(at), chances[of_rows]
    at = tasks.find(seen.ids)
    asked = (at >= 0) & (pinned & tasks.unlabeled)[at]
    reasons: dict[int, str] = {}
    if asked.any():
        told = None
        if model is not None and said is not None and needs_model(recipe.name):
            told = Said(said, model.classes, campaign.target.multi)
        picks = ask(recipe, seen, asked, (at >= 0) & ~tasks.unlabeled[at], PINNED, told)
        reasons = dict(zip(seen.ids[picks.indices].tolist(), picks.reasons, strict=True))
    for which, why in ((tasks.unlabeled, NOT_EMBEDDED), (tasks.skipped, SKIPPED_BEFORE)):
        reasons |= {task: why for task in tasks.ids[pinned & which].tolist() if task not in reasons}
    in_front = {pin.task for pin in before.pins if not pin.control}
    controls = {place.task for place in order.places if place.control} - in_front
    places = [
        Place(task, f"{PINNED_BY}; {f'bad image: {tasks.bad[task]}' if task in tasks.bad else why}", task in controls)
        for task, why in reasons.items()
    ]
    if recipe.prelabel is not None and model is not None and chances is not None:
        places = fill_in(places, model, chances, tasks, recipe)
    return (*recorded, *places[: max(PINNED - len(recorded), 0)])


def _material(campaign: Campaign, snapshot: Snapshot, inputs: Inputs, *, of_all: bool = True) -> Material:
    """Return what the inputs stand for, computed again only where it is not at hand; `of_all`: embeddings as they were
    then, else as they are."""
    state, lesson, clusters = campaign.state, inputs.lesson, inputs.clusters
    model = state.model if lesson and state.model and state.model.digest == lesson.digest else None
    geometry = state.geometry if clusters and state.geometry and state.geometry.digest == clusters.digest else None

    def recall(ids: NDArray[np.int64], origin: Origin) -> Block:
        if (origin.generation, origin.mark) == (snapshot.generation, snapshot.mark):
            at = find(snapshot.rows.ids, ids)
            rows = snapshot.rows if ids.size == len(snapshot.rows) else snapshot.rows.take(at[at >= 0])
            if Origin.of(rows, origin.generation, origin.mark) == origin:
                return rows
        if snapshot.recall is None:
            raise CacheError(f"the embeddings {origin.generation!r} are not at hand")
        return snapshot.recall(ids, origin)

    centroids = None if geometry is None else geometry.centroids
    if of_all:
        return inputs.material(recall, model=model, centroids=centroids)
    if inputs.lesson is not None and model is None:
        model = inputs.lesson.model(recall)
    if inputs.clusters is not None and centroids is None:
        centroids = inputs.clusters.centroids(recall)
    return Material(snapshot.rows, None, model, centroids)


def _moved(then: Tasks, now: Tasks) -> set[int]:
    """Return the tasks that something became of since, or that are gone."""
    at = now.find(then.ids)
    return set(then.ids[(at < 0) | (then.states != now.states[at])].tolist()) if len(now) else set(then.ids.tolist())


def _still(
    ranking: Sequence[Place], moved: Collection[int], wanted: int
) -> tuple[tuple[Place, ...], tuple[tuple[int, int], ...]]:
    """Return the first places whose task is as it was, and those passed over before the last of them: see `Order`."""
    places: list[Place] = []
    left_out: list[tuple[int, int]] = []
    for place in ranking:
        if len(places) == wanted:
            break
        if place.task in moved:
            left_out.append((len(places), place.task))
        else:
            places.append(place)
    return tuple(places), tuple(one for one in left_out if one[0] < len(places))
