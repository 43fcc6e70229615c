"""One annotation campaign replayed: the live service's decisions, an annotator who is always right, and an exam."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
from threadpoolctl import threadpool_limits

from ..block import Block
from ..labels.annotations import Value
from ..labels.label_config import parse_label_config
from ..learning.learner import train
from ..ordering.campaign import Campaign
from ..ordering.draft import draft
from ..ordering.order import Order
from ..ordering.ranking import due, runs_low
from ..settings import PROJECT
from ..state.project import ANNOTATED, UNLABELED, TaskRow
from .curves import Point, accuracy, balanced_accuracy
from .dataset import Dataset, Split

__all__ = ["Replay", "label_config", "replay"]

GENERATION = "replay"  # the embeddings never change
ANNOTATORS = 1


class Replay:
    """A campaign on a pool whose labels are known.

    Parameters
    ----------
    rows : Block
        The pool; ids ascend from 1.
    answers : mapping of int to str
        Class of each id.
    classes : tuple of str
        All classes, as a label config would list them.
    settings : mapping
        Project settings; missing ones have their defaults.

    Attributes
    ----------
    labels : dict of int to str
        What was annotated, in that order.
    order : Order or None
        What is served.
    """

    def __init__(
        self, rows: Block, answers: Mapping[int, str], classes: tuple[str, ...], settings: Mapping[str, Any]
    ) -> None:
        self._rows, self._answers = rows, answers
        self._settings = {setting.name: setting.default for setting in PROJECT.values()} | dict(settings)
        # Pre-labels change no answer of this annotator.
        self._campaign = Campaign(parse_label_config(label_config(classes)), self._settings, prelabels=False)
        self._tasks = {task: TaskRow("", UNLABELED) for task in rows.ids.tolist()}
        self.labels: dict[int, Value] = {}
        self.order: Order | None = None

    def annotate(self) -> int:
        """Label the next task of the queue and let the service act on it; return the task."""
        if self.order is None:
            self._renew("")
        assert self.order is not None
        task = next(place.task for place in self.order.places if self._tasks[place.task].state == UNLABELED)
        self.labels[task] = self._answers[task]
        self._tasks[task] = TaskRow("", ANNOTATED)
        self._campaign.observe(self.labels)
        low = runs_low(self.order, self._tasks, horizon=self._settings["horizon"], annotators=ANNOTATORS)
        self._renew(self._campaign.learn(lambda: self._rows, self.labels, self._tasks, generation=GENERATION, low=low))
        return task

    def _renew(self, learned: str) -> None:
        """Make a new order or refill the live one, if that is due."""
        facts: dict[str, Any] = {"generation": GENERATION, "arrivals": len(self._tasks), "annotators": ANNOTATORS}
        facts["horizon"] = self._settings["horizon"]
        recipe, live = self._campaign.recipe(), self.order
        decision = due(
            live,
            tasks=self._tasks,
            embedded=len(self._tasks),
            arriving=False,
            recipe=recipe,
            hold=False,
            learned=learned,
            **facts,
        )
        if decision.action == "none" or len(self.labels) == len(self._tasks):
            return
        order = draft(self._campaign, decision, live, rows=self._rows, tasks=self._tasks, **facts)
        kept = len(live.places) if live is not None and decision.action == "refill" else 0
        if not kept:
            number = 1 + (live.number if live else 0)
            order = replace(order, number=number, version=f"r{number} {order.version}")
        self._campaign.served(order.version, order.places[kept:])
        self.order = order


def label_config(classes: tuple[str, ...]) -> str:
    """Return a label config that asks for one of the classes."""
    choices = "".join(f"<Choice value={quoteattr(name)}/>" for name in classes)
    return f'<View><Image name="image" value="$image"/><Choices name="choice" toName="image">{choices}</Choices></View>'


def replay(
    dataset: Dataset, part: Split, *, strategy: str, settings: Mapping[str, Any], counts: tuple[int, ...]
) -> list[Point]:
    """Replay a campaign and measure it.

    Parameters
    ----------
    dataset : Dataset
    part : Split
        Pool and test set.
    strategy : str
        Name on the curve.
    settings : mapping
        Project settings, with the seed.
    counts : tuple of int
        Numbers of labels, rising, at most the size of the pool. At each a model is trained from nothing on the labels
        so far and measured on the test set; it has no part in the campaign.

    Returns
    -------
    list of Point
        One per count.
    """
    seed = int(settings["seed"])
    # The CSV may be sorted by class; ids must not tell.
    pool = np.random.default_rng([seed % 2**63, 1]).permutation(part.pool)
    rows = dataset.rows.take(pool)
    ids = np.arange(1, len(pool) + 1, dtype=np.int64)
    answers = {task: dataset.classes[number] for task, number in zip(ids.tolist(), dataset.labels[pool], strict=True)}
    block = Block(ids, rows.sources, rows.embeddings, rows.patterns, rows.offsets)
    # One thread: the order of a sum, and so the last bit, must not depend on how many processes share the machine.
    with threadpool_limits(1):
        campaign = Replay(block, answers, dataset.classes, settings)
        points = []
        for count in counts:
            while len(campaign.labels) < count:
                campaign.annotate()
            points.append(_exam(dataset, part, block, campaign.labels, strategy, seed))
    return points


def _exam(dataset: Dataset, part: Split, rows: Block, labels: Mapping[int, Value], strategy: str, seed: int) -> Point:
    tasks = sorted(labels)  # ids are places from 1
    values = [labels[task] for task in tasks]
    vectors = rows.embeddings[np.array(tasks) - 1].astype(np.float32)
    model = train(vectors, values, classes=dataset.classes, multi=False, seed=seed, fingerprint="exam")
    actual = dataset.labels[part.test]
    if model is None:  # one class so far: nothing else can be said
        said = [values[0]] * len(actual)
    else:
        said = model.decide(model.predict(dataset.rows.embeddings[part.test].astype(np.float32)))
    number = {name: place for place, name in enumerate(dataset.classes)}
    predicted = np.array([number[str(value)] for value in said], dtype=np.int64)
    scores = accuracy(actual, predicted), balanced_accuracy(actual, predicted)
    return Point(strategy, seed, len(labels), *scores)
