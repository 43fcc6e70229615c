"""Renewing a project's queue: learn, decide what is due, draft the order, publish it."""

from __future__ import annotations

import logging
import time
from functools import cache as cached
from functools import partial

from ..block import Block
from ..exceptions import CacheError, PublishError
from ..jobs import queues as jobs
from ..labels.label_config import Target
from ..ordering.campaign import Campaign, Features
from ..ordering.draft import draft
from ..ordering.order import Orders
from ..ordering.ranking import Due, due, open_places, runs_low
from ..ordering.recipe import Recipe
from ..ordering.summary import accuracy_standing, learning_standing
from ..state.campaigns import load_memory, save_memory, save_standing
from ..state.label_book import LabelBook
from ..state.pattern_cache import PatternCache
from ..state.project import SKIPPED, Project, TaskRow
from ..sync.publishing import Publisher
from .runtime import Runtime

__all__ = ["renew"]

log = logging.getLogger(__name__)

NO_NETWORK = (
    "setting 'bal_features' is 'rotation', but no rotation network was trained, and BAL clusters the usual embeddings: "
    "run `labelqueue pretext {0}`, or set bal_features=vit"
)
MIN_GAP = 5.0  # seconds between two orders that only arrivals ask for


def renew(
    runtime: Runtime,
    project: Project,
    publisher: Publisher,
    target: Target,
    tasks: dict[int, TaskRow],
    *,
    cache: PatternCache,
    sources: dict[int, int],
    arriving: bool,
    prelabels: bool,
) -> str:
    """Learn what annotators taught; publish a new order or refill the live one, if that is due.

    Parameters
    ----------
    target : Target
        What the label config asks of an image.
    tasks : dict
        Every known task.
    cache : PatternCache
        Embeddings of the generation that serves.
    sources : dict of int to int
        Embedded tasks and the hash of their image's URI.
    arriving : bool
        Whether images still wait to be embedded.
    prelabels : bool
        Whether Label Studio shows pre-labels in this project.

    Returns
    -------
    str
        What was done, for the log.
    """
    settings, live, annotators = project.settings(), Orders(project).live(), project.annotators_at_work()
    generation, arrivals = project.get("generation"), int(project.get("arrivals", "0"))
    if settings["bal_features"] == "rotation" and not project.get("rotation_generation"):
        settings |= {"bal_features": "vit"}  # the queue goes on; `status` says what is missing
        project.set(features_error=NO_NETWORK.format(project.ref.id))
    else:
        project.set(features_error="")
    rows = cached(lambda: _load(project, cache, sources))  # read when somebody asks for it first
    low = runs_low(live, tasks, horizon=settings["horizon"], annotators=annotators)

    campaign = Campaign(target, settings, before := load_memory(project), prelabels=prelabels)
    book = LabelBook(project).labels(target)
    labels = {task: value for task, value in book.values.items() if task in sources}
    if live is not None:  # a rollback, or a job that ended too early, did not say which of its tasks are controls
        campaign.served(live.version, open_places(live, tasks))
    campaign.observe(labels)
    wish = project.get("retrain_wanted")
    learned = campaign.learn(rows, labels, tasks, generation=generation, wanted=bool(wish), low=low)
    publisher.check()  # training may take long: a job that stalled must not write over what another one learned
    # Kept before anything is published: what was learned is not learned twice, and why it matters is not forgotten.
    save_memory(project, campaign.memory, before)
    learning = learning_standing(campaign, labels, tasks) | {"dropped_labels": book.dropped}
    skipped = {task for task, row in tasks.items() if row.state == SKIPPED}
    save_standing(project, learning=learning, accuracy=accuracy_standing(campaign, labels, skipped))
    project.set(learned=learned or project.get("learned"))
    # It was trained, and the order follows from `learned`: while an order is held, or cannot be published, the wish
    # would else ask for a training at every look.
    project.settle("retrain_wanted", wish)
    decision = due(
        live if live is None or project.get("refilling") != live.version else None,
        tasks=tasks,
        embedded=len(sources),
        arrivals=arrivals,
        arriving=arriving,
        recipe=campaign.recipe(),
        generation=generation,
        horizon=settings["horizon"],
        annotators=annotators,
        hold=bool(project.get("hold")),
        learned=project.get("learned"),
    )
    if decision.action == "none":
        return decision.why
    if decision.action == "new" and live is not None and not low and not project.get("learned"):
        gap = max(MIN_GAP, 5 * float(project.get("bulk_seconds", "1")))
        if arrivals > live.arrivals and (wait := live.created_at + gap - time.time()) > 0:
            jobs.request_tend(project, delay=wait)
            return f"{decision.why}; a new order follows in {wait:.0f} s"
    before, features = campaign.memory, _features(runtime, project, campaign.recipe(), sources)
    make = partial(
        draft,
        campaign,
        rows=rows(),
        tasks=tasks,
        generation=generation,
        arrivals=arrivals,
        horizon=settings["horizon"],
        annotators=annotators,
        quarantined=project.quarantined(),
        features=features,
    )
    if decision.action == "refill" and live is not None:
        more = make(decision, live).places[len(live.places) :]
        try:
            publisher.refill(live, more)
        except PublishError as error:
            log.warning("%s; a new order follows", error)
            decision = Due("new", "the refill before it failed")
        else:
            campaign.served(live.version, more)
            save_memory(project, campaign.memory, before)
            return _told(project, f"{live.version} refilled with {len(more)} tasks", decision)
    order = make(decision, live)
    if order.places:
        order = publisher.publish(order)
        campaign.served(order.version, order.places)
        save_memory(project, campaign.memory, before)
    project.set(learned="")
    if not order.places:
        return "every task is annotated"
    return _told(project, f"{order.version} is live with {len(order.places)} tasks", decision)


def _told(project: Project, what: str, decision: Due) -> str:
    outcome = f"{what} ({decision.why})"
    log.info("project %d: %s", project.ref.id, outcome)
    return outcome


def _features(runtime: Runtime, project: Project, recipe: Recipe, sources: dict[int, int]) -> Features | None:
    """Return what BAL sees instead of the embeddings, if the recipe asks for that."""
    if recipe.features == "vit":
        return None
    generation = project.get("rotation_generation")
    try:
        return Features(generation, runtime.cache(project, generation).load(sources))
    except CacheError as error:
        way_out = f"run `labelqueue pretext {project.ref.id} --retrain`, or set bal_features=vit"
        raise CacheError(f"rotation features: {error}; {way_out}") from error


def _load(project: Project, cache: PatternCache, sources: dict[int, int]) -> Block:
    try:
        return cache.load(sources)
    except CacheError:
        cache.delete()  # the next run embeds everything again
        project.set(generation="")
        raise
