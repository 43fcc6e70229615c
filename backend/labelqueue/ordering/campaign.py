"""The course of a labeling campaign: observe labels, train, move between phases, rank what comes next.

The live service and `labelqueue simulate` both go through here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poolselect import default_clusters, rolling_cycles

from ..block import Block
from ..labels.annotations import Value, classes_of
from ..labels.label_config import Target
from ..learning import phase
from ..learning.geometry import Geometry
from ..learning.learner import train, training_fingerprint
from ..learning.model import Model
from ..learning.predictions import Outlook
from ..learning.prelabels import least_probability, prelabel
from ..learning.trust import Trust, trust
from ..state.project import TaskRow
from .campaign_state import Cycle, Guess, Memory
from .order import Place
from .ranking import NOT_EMBEDDED, rank_tasks
from .recipe import Recipe, make_strategy, needs_model

__all__ = ["Campaign", "Features", "share_of"]

NO_FEATURES = "it has no rotation features yet: run `labelqueue pretext` again"


def share_of(labels: int) -> int:
    """Return how many labels make a cycle, and a training, when no setting says so."""
    return max(10, labels // 20)


@dataclass(frozen=True)
class Features:
    """What BAL's clusters are made of instead of the embeddings.

    Attributes
    ----------
    generation : str
        Fingerprint of the network they come from.
    rows : Block
        Ids ascending; tasks may be missing.
    """

    generation: str
    rows: Block


class Campaign:
    """One project's campaign.

    Parameters
    ----------
    target : Target
        What is asked of an image.
    settings : mapping
        The project's settings.
    memory : Memory, optional
        What was learned before; afterwards `memory` holds what is to be kept.
    prelabels : bool, default True
        Whether Label Studio shows pre-labels at all.
    """

    def __init__(
        self, target: Target, settings: Mapping[str, Any], memory: Memory | None = None, *, prelabels: bool = True
    ) -> None:
        self.target = target
        self.settings = settings
        several = "several labels" if target.multi else "one label"
        self.memory = (memory or Memory()).asking(f"{several} of {target.control_name}")
        self._prelabels = prelabels
        self._said: tuple[Model, Block, NDArray[np.float32]] | None = None

    # -- labels

    def observe(self, labels: Mapping[int, Value]) -> int:
        """Write down what the model said of tasks whose labels are new, before it learns them.

        Parameters
        ----------
        labels : mapping
            Every label there is, oldest first.

        Returns
        -------
        int
            Guesses written down.
        """
        memory = self.memory
        model, outlook = memory.model, memory.outlook
        if model is None or outlook is None:
            return 0
        known = {guess.task for guess in memory.guesses} | memory.trained_on.keys()
        guesses = [
            Guess(task, said, memory.trainings, len(memory.trained_on), memory.controls.get(task, ""))
            for task in labels
            if task not in known and (said := outlook.decide(model, task)) is not None
        ]
        if guesses:
            self.memory = memory.with_guesses(guesses)
        return len(guesses)

    def trust(self, labels: Mapping[int, Value]) -> Trust:
        """Return how far the model can be trusted, from its guesses of labels it had not seen."""
        pairs = [(guess.predicted, labels[guess.task]) for guess in self.memory.guesses if guess.task in labels]
        predicted, actual = [p for p, _ in pairs], [a for _, a in pairs]
        return trust(predicted, actual, classes=self.classes(labels), multi=self.target.multi)

    def classes(self, labels: Mapping[int, Value]) -> tuple[str, ...]:
        """Return the classes of the label config, or, where it leaves them open, those seen."""
        return classes_of(self.target, labels.values())

    # -- learning

    def learn(
        self,
        rows: Callable[[], Block],
        labels: Mapping[int, Value],
        tasks: Collection[int],
        *,
        generation: str,
        wanted: bool = False,
        low: bool = False,
    ) -> str:
        """Train if that is due, and move between the phases.

        Parameters
        ----------
        rows : callable
            Returns the embedded tasks, ids ascending; called only when it is needed.
        labels : mapping
            Every label there is, oldest first.
        tasks : collection of int
            Every known task.
        generation : str
            Fingerprint of the embeddings.
        wanted : bool
            A person asked for it.
        low : bool
            The head is used up, so that a new order costs no more than a refill.

        Returns
        -------
        str
            Why a new order is due; empty when nothing was learned that changes the order.
        """
        now, classes = self.trust(labels), self.classes(labels)
        before = self.memory.course
        why = self._training_due(labels, classes, generation, wanted=wanted, low=low)
        course = self._advance(labels, classes, tasks, now, has_model=self.memory.model is not None)
        if not why and course.phase != before.phase and self.unlearned(labels):
            why = course.reason
        trained = bool(why) and self._train(rows(), labels, classes, generation, now)
        course = self._advance(labels, classes, tasks, now, has_model=self.memory.model is not None)
        moved = course.phase != before.phase
        if moved:
            self.memory = replace(self.memory, newest_task=max(tasks, default=0))
        self.memory = replace(self.memory, course=course)
        if trained or moved:
            self._plan_cycle(len(labels), len(self.memory.outlook.ids) if self.memory.outlook else 0, moved)
        if moved and (self.settings["strategy"] == "auto" or self._ranks_by_model()):
            return course.reason
        if wanted:
            return "a new order was asked for"
        return f"trained on {len(labels)} labels" if trained and self._ranks_by_model() else ""

    def unlearned(self, labels: Mapping[int, Value]) -> int:
        """Count the labels that the model does not know, knows otherwise, or knows though they are gone."""
        old = self.memory.trained_on
        return sum(1 for task, value in labels.items() if old.get(task) != value) + len(old.keys() - labels.keys())

    def _training_due(
        self, labels: Mapping[int, Value], classes: Sequence[str], generation: str, *, wanted: bool, low: bool
    ) -> str:
        memory, changed = self.memory, self.unlearned(labels)
        if wanted:
            return "training was asked for"
        if memory.model is not None and (memory.generation, memory.classes) != (generation, tuple(classes)):
            return "the images were embedded anew, or the label config changed"
        if memory.trained_on.keys() - labels.keys():
            return "labels were deleted"
        if changed >= (self.settings["retrain_every"] or share_of(len(labels))):
            return f"{changed} new labels"
        if low and changed and self._ranks_by_model():
            return "the head is used up"
        return ""

    def _train(
        self,
        rows: Block,
        labels: Mapping[int, Value],
        classes: Sequence[str],
        generation: str,
        now: Trust,
    ) -> bool:
        """Train on every label whose image is embedded; return whether there is another model than before."""
        place = {task: row for row, task in enumerate(rows.ids.tolist())}
        known = {task: labels[task] for task in sorted(labels) if task in place}
        at = np.array([place[task] for task in known], dtype=np.int64)
        values = list(known.values())
        old = self.memory.model
        model = train(
            rows.embeddings[at].astype(np.float32),
            values,
            classes=classes,
            multi=self.target.multi,
            seed=self.settings["seed"],
            fingerprint=training_fingerprint(list(known), values, generation),
            previous=old if self.memory.generation == generation else None,
        )
        if model is not None and now.count:
            model = replace(model, accuracy=now.balanced_accuracy)
        self.memory = replace(
            self.memory,
            model=model,
            trainings=self.memory.trainings + 1,
            trained_on=dict(labels),
            classes=tuple(classes),
            generation=generation,
            trust=now.value if model is not None else 0.0,
            outlook=None if model is None else Outlook(rows.ids, self._chances(model, rows).astype(np.float16)),
        )
        return (old and old.fingerprint) != (model and model.fingerprint)

    def _advance(
        self,
        labels: Mapping[int, Value],
        classes: Sequence[str],
        tasks: Collection[int],
        now: Trust,
        *,
        has_model: bool,
    ) -> phase.Course:
        return phase.advance(
            self.memory.course,
            values=list(labels.values()),
            classes=classes,
            multi=self.target.multi,
            pool=len(tasks),
            new_tasks=sum(1 for task in tasks if task > self.memory.newest_task) if self.memory.newest_task else 0,
            trust=now,
            switch_after=self.settings["switch_after"],
            has_model=has_model,
        )

    def _plan_cycle(self, labels: int, rows: int, moved: bool) -> None:
        """Fix where BAL stands until the next training, or the next phase."""
        size = self.settings["batch_size"] or share_of(labels)
        begun = self.memory.course.since_labels
        if self.settings["budget"] is not None:
            slots = max(1, -(-(self.settings["budget"] - begun) // size))
            number = min(max(labels - begun, 0) // size, slots - 1)
            cycles = float(slots)
        else:
            slots, number = None, 0 if moved else self.memory.cycle.number + 1
            cycles = rolling_cycles(rows, size)
        factor = phase.balancing_factor(self.memory.trust, cycles)
        self.memory = replace(self.memory, cycle=Cycle(number, size, slots, factor))

    # -- orders

    def active(self) -> str:
        """Return the name of the strategy that ranks now: one that needs a model waits for it in the cold start."""
        chosen = self.settings["strategy"]
        if chosen == "auto":
            chosen = self.settings["cold_start" if self.memory.course.phase == "cold" else "warm"]
        if needs_model(chosen) and self.memory.model is None:
            chosen = self.settings["cold_start"]
        return str(chosen)

    def _ranks_by_model(self) -> bool:
        return self.memory.model is not None and (needs_model(self.active()) or self.least_probability() is not None)

    def least_probability(self) -> float | None:
        """Return the probability that a pre-label needs now, or None while there are no pre-labels."""
        if not self._prelabels or self.memory.model is None:
            return None
        return least_probability(self.settings["prelabel"], self.memory.trust, self.target)

    def recipe(self) -> Recipe:
        """Return what an order made now would be made with."""
        name, memory = self.active(), self.memory
        centroids = memory.geometry.centroids if name == "bal" and memory.geometry else None
        strategy = make_strategy(name, self.settings, memory.cycle, centroids)
        title = type(strategy).__name__
        return Recipe(
            name=name,
            title=f"{title} cycle {memory.cycle.number + 1}" if name == "bal" else title,
            strategy=strategy,
            phase="warm" if memory.course.phase == "warm" else "cold",
            model=memory.model.fingerprint if memory.model and self._ranks_by_model() else "",
            prelabel=self.least_probability(),
            control_share=self.settings["control_share"],
            features=self.settings["bal_features"] if name == "bal" else "vit",
        )

    def fit_geometry(self, rows: Block, source: str) -> str:
        """Fit BAL's centroids if there are none or the pool has outgrown them; return why, or an empty string."""
        classes, old = len(self.target.labels) or None, self.memory.geometry
        k = default_clusters(len(rows.ids), classes)
        # Without classes k goes with the pool's size: then it is the growth of the pool that counts, not that of k.
        why = "first clusters" if old is None else old.outgrown(rows, k if classes else old.wanted, source)
        if why:
            fresh = Geometry.fit(rows, k, seed=self.settings["seed"], source=source, why=why)
            self.memory = replace(self.memory, geometry=fresh)
        return why

    def rank(
        self,
        rows: Block,
        tasks: Mapping[int, TaskRow],
        *,
        size: int,
        first: int,
        published: Collection[int] = (),
        quarantined: Mapping[int, tuple[str, str]] | None = None,
        features: Features | None = None,
    ) -> list[Place]:
        """Rank the next tasks by the present recipe.

        Parameters
        ----------
        rows : Block
            Embedded tasks, ids ascending.
        features : Features, optional
            What BAL sees instead of the embeddings.
        tasks, size, first, published, quarantined
            See `ordering.rank_tasks`.

        Returns
        -------
        list of Place
            With pre-labels where the recipe asks for them; never on a control, which must not be anchored.
        """
        seen = rows if features is None else features.rows
        if self.active() == "bal" and len(seen.ids):
            self.fit_geometry(seen, self.memory.generation if features is None else features.generation)
        recipe, model = self.recipe(), self.memory.model
        chances = self._chances(model, rows) if model is not None and recipe.model else None
        of_seen = chances
        if features is not None and chances is not None:
            _, at, of_rows = np.intersect1d(seen.ids, rows.ids, assume_unique=True, return_indices=True)
            seen, of_seen = seen.take(at), chances[of_rows]
        places = rank_tasks(
            recipe,
            seen,
            tasks,
            size=size,
            first=first,
            published=published,
            quarantined=quarantined,
            probabilities=of_seen if needs_model(recipe.name) else None,
            class_names=model.classes if model is not None else (),
            multilabel=self.target.multi,
            missing=NOT_EMBEDDED if features is None else NO_FEATURES,
        )
        if recipe.prelabel is None or model is None or chances is None:
            return places
        row_of = {task: row for row, task in enumerate(rows.ids.tolist())}
        return [
            replace(place, prelabel=prelabel(model, chances[row_of[place.task]], recipe.prelabel))
            if place.task in row_of and not place.control
            else place
            for place in places
        ]

    def _chances(self, model: Model, rows: Block) -> NDArray[np.float32]:
        """Let the model predict rows, once: a training and the order after it ask for the same."""
        if self._said is None or self._said[0] is not model or self._said[1] is not rows:
            self._said = model, rows, model.predict(rows.embeddings)
        return self._said[2]

    def served(self, version: str, places: Sequence[Place]) -> None:
        """Write down which places of a published order, or of its refill, are controls.

        A task that an earlier order drew at random, and a later one chose, is no control any more.
        """
        controls = dict(self.memory.controls)
        for place in places:
            if place.control:
                controls[place.task] = version
            else:
                controls.pop(place.task, None)
        self.memory = replace(self.memory, controls=controls)
