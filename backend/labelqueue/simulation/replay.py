"""One annotation campaign replayed: the live service's decisions, an annotator who is always right, and an exam."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
from threadpoolctl import threadpool_limits

from poolselect.threads import single_threaded_blas

from ..block import Block
from ..labels import ANNOTATED, UNLABELED, Value, parse_label_config
from ..learning import train
from ..ordering import CampaignState, Labels, Order, Snapshot, Tasks, decide
from ..settings import PROJECT
from .curves import Point
from .dataset import Dataset
from .pools import Split
from .scores import measure

__all__ = ["Replay", "label_config", "replay"]

GENERATION = "replay"  # the embeddings never change
ANNOTATORS = 1


class Replay:
    """A campaign on a pool whose labels are known.

    Parameters
    ----------
    rows : Block
        The pool; ids ascend from 1.
    answers : mapping of int to Value
        What an annotator says of each id: its class, or the labels that it shows.
    classes : tuple of str
        All classes, as a label config would list them.
    multi : bool
        Whether an image may show several labels, or none.
    settings : mapping
        Project settings; missing ones have their defaults.

    Attributes
    ----------
    labels : dict of int to Value
        What was annotated, in that order.
    order : Order or None
        What is served.
    """

    def __init__(
        self,
        rows: Block,
        answers: Mapping[int, Value],
        classes: tuple[str, ...],
        settings: Mapping[str, Any],
        *,
        multi: bool = False,
    ) -> None:
        self._answers, self._states = answers, np.full(len(rows), ord(UNLABELED), dtype=np.uint8)
        self.labels: dict[int, Value] = {}
        self.order: Order | None = None
        self._before = Snapshot(
            target=parse_label_config(label_config(classes, multi=multi)),
            settings={setting.name: setting.default for setting in PROJECT.values()} | dict(settings),
            tasks=Tasks(rows.ids, self._states, np.arange(len(rows), dtype=np.int64)),
            labels=Labels.of({}),
            state=CampaignState(),
            live=None,
            generation=GENERATION,
            load_rows=lambda: rows,
            arrivals=len(rows),
            annotators=ANNOTATORS,
            prelabels=False,  # they change no answer of this annotator
        )

    def annotate(self) -> int:
        """Label the next task of the queue and let the service act on it; return the task."""
        task = self.next()
        self.label(task)
        return task

    def next(self) -> int:
        """Return the task that the queue serves next."""
        if self.order is None:
            self._look()
        assert self.order is not None
        still = self._before.tasks.open([place.task for place in self.order.places])
        return self.order.places[int(still.argmax())].task

    def label(self, task: int) -> None:
        """Label a task, whether the queue served it or somebody picked it, and let the service act on it."""
        self.labels[task] = self._answers[task]
        self._states[task - 1] = ord(ANNOTATED)
        self._look()

    @property
    def state(self) -> CampaignState:
        """What the campaign has learned and decided."""
        return self._before.state

    def _look(self) -> None:
        """Let the service decide, and serve what it decides."""
        tasks = replace(self._before.tasks, states=self._states.copy())
        snapshot = replace(self._before, tasks=tasks, labels=Labels.of(self.labels))
        decision = decide(snapshot)
        state, learned, order = decision.state, decision.learned, self.order
        if decision.order is not None:
            order, learned = decision.order, "" if decision.due.action == "new" else learned
            if decision.due.action == "new":
                number = 1 + (self.order.number if self.order else 0)
                order = replace(order, number=number, version=f"r{number} {order.version}")
            state = state.serving(order.version, decision.places)
        self.order = order
        self._before = replace(snapshot, state=state, learned=learned, live=order)


def label_config(classes: tuple[str, ...], *, multi: bool = False) -> str:
    """Return a label config that asks for one of the classes, or for all that are shown."""
    several = ' choice="multiple"' if multi else ""
    choices = "".join(f"<Choice value={quoteattr(name)}/>" for name in classes)
    control = f'<Choices name="choice" toName="image"{several}>{choices}</Choices>'
    return f'<View><Image name="image" value="$image"/>{control}</View>'


def replay(
    dataset: Dataset,
    part: Split,
    *,
    strategy: str,
    settings: Mapping[str, Any],
    counts: tuple[int, ...],
    labeled: Callable[[int], None] = lambda _: None,
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
    labeled : callable, optional
        Called with the number of labels that came since it was called last.

    Returns
    -------
    list of Point
        One per count.
    """
    seed = int(settings["seed"])
    # The label file may be sorted by class; ids must not tell.
    pool = np.random.default_rng([seed % 2**63, 1]).permutation(part.pool)
    rows = dataset.rows.take(pool)
    ids = np.arange(1, len(pool) + 1, dtype=np.int64)
    answers = {task: dataset.answer(row) for task, row in zip(ids.tolist(), pool.tolist(), strict=True)}
    block = replace(rows, ids=ids)
    # One thread: the order of a sum, and so the last bit, must not depend on how many processes share the machine. The
    # library asks for that too, each time anew; inside of this it need not look again which libraries are loaded.
    with threadpool_limits(1), single_threaded_blas():
        campaign = Replay(block, answers, dataset.classes, settings, multi=dataset.multi)
        points = []
        for before, count in zip((0, *counts), counts, strict=False):
            while len(campaign.labels) < count:
                campaign.annotate()
            points.append(Point(strategy, seed, count, _exam(dataset, part, block, campaign.labels, seed)))
            labeled(count - before)
    return points


def _exam(dataset: Dataset, part: Split, rows: Block, labels: Mapping[int, Value], seed: int) -> tuple[float, ...]:
    tasks = sorted(labels)  # ids are places from 1
    values = [labels[task] for task in tasks]
    vectors = rows.embeddings[np.array(tasks) - 1].astype(np.float32)
    model = train(vectors, values, classes=dataset.classes, multi=dataset.multi, seed=seed, fingerprint="exam")
    test = dataset.rows.embeddings[part.test].astype(np.float32)
    return measure(model, test, dataset.labels[part.test], dataset.classes, values[0])
