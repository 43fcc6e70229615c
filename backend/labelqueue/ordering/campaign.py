"""The course of a labeling campaign: observe labels, train, move between phases, rank what comes next.

The live service and `labelqueue simulate` both go through here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..block import Block
from ..labels import Target, Value, classes_of
from ..learning import (
    Course,
    Geometry,
    Model,
    Predictions,
    Trust,
    advance,
    balancing_factor,
    least_probability,
    measure_trust,
    train,
    training_fingerprint,
)
from .campaign_state import CampaignState, Cycle, Guess
from .order import Place
from .random_controls import served_in_turn
from .ranking import NOT_EMBEDDED, fill_in, rank_tasks
from .recipe import Recipe, make_strategy, needs_model
from .snapshot import Features, Tasks

__all__ = ["Campaign", "share_of"]

NO_FEATURES = "it has no rotation features yet: run `labelqueue pretext` again"


def share_of(labels: int) -> int:
    """Return how many labels make a cycle, and a training, when no setting says so."""
    return max(10, labels // 20)


class Campaign:
    """One project's campaign.

    Parameters
    ----------
    target : Target
        What is asked of an image.
    settings : mapping
        The project's settings.
    state : CampaignState, optional
        What was learned before; afterwards `state` holds what is to be kept.
    prelabels : bool, default True
        Whether Label Studio shows pre-labels at all.
    """

    def __init__(
        self, target: Target, settings: Mapping[str, Any], state: CampaignState | None = None, *, prelabels: bool = True
    ) -> None:
        self.target = target
        self.settings = settings
        several = "several labels" if target.multi else "one label"
        self.state = (state or CampaignState()).asking(f"{several} of {target.control_name}")
        self._prelabels = prelabels
        self._said: tuple[Model, Block, NDArray[np.float32]] | None = None

    # -- labels

    def observe(
        self, labels: Mapping[int, Value], tasks: Tasks | None = None, places: Sequence[Place] = (), annotators: int = 1
    ) -> int:
        """Write down what the model said of tasks whose labels are new, before it learns them.

        Parameters
        ----------
        labels : mapping
            Every label there is, oldest first.
        tasks : Tasks, optional
            Every known task; none without an order.
        places : sequence of Place
            Of the live order.
        annotators : int
            People at work.

        Returns
        -------
        int
            Guesses written down.
        """
        state = self.state
        model, predictions = state.model, state.predictions
        if model is None or predictions is None:
            return 0
        known = {guess.task for guess in state.guesses} | state.trained_on.keys()
        new = [task for task in labels if task not in known]
        order = [place.task for place in places]
        waiting = [task for task, still in zip(order, tasks.open(order), strict=True) if still] if tasks else []
        in_turn = served_in_turn(order, new, waiting, annotators)
        filled_in = {place.task: place.prelabel is not None for place in places}
        elsewhere = self.least_probability() is not None  # a task that is opened by hand may show what /predict says
        guesses = [
            Guess(
                task,
                said,
                state.trainings,
                len(state.trained_on),
                state.controls.get(task, "") if task in in_turn else "",
                blind=not filled_in.get(task, elsewhere),
            )
            for task in new
            if (said := predictions.decide(model, task)) is not None
        ]
        if guesses:
            self.state = state.with_guesses(guesses)
        return len(guesses)

    def trust(self, labels: Mapping[int, Value]) -> Trust:
        """Return how far the model can be trusted, from its guesses of labels it had not seen."""
        pairs = [
            (guess.predicted, labels[guess.task])
            for guess in self.state.guesses
            if guess.blind and guess.task in labels
        ]
        predicted, actual = [p for p, _ in pairs], [a for _, a in pairs]
        return measure_trust(predicted, actual, classes=self.classes(labels), multi=self.target.multi)

    def classes(self, labels: Mapping[int, Value]) -> tuple[str, ...]:
        """Return the classes of the label config, or, where it leaves them open, those seen."""
        return classes_of(self.target, labels.values())

    # -- learning

    def learn(
        self,
        rows: Callable[[], Block],
        labels: Mapping[int, Value],
        tasks: Tasks,
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
        tasks : Tasks
            Every known task, with its row in `rows`.
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
        before = self.state.course
        why = self._training_due(labels, classes, generation, wanted=wanted, low=low)
        course = self._advance(labels, classes, tasks, now, has_model=self.state.model is not None)
        if not why and course.phase != before.phase and self.unlearned(labels):
            why = course.reason
        trained = bool(why) and self._train(rows(), labels, tasks, classes, generation, now)
        course = self._advance(labels, classes, tasks, now, has_model=self.state.model is not None)
        moved = course.phase != before.phase
        if moved:
            self.state = replace(self.state, newest_task=tasks.newest)
        self.state = replace(self.state, course=course)
        if trained or moved:
            self._plan_cycle(len(labels), len(self.state.predictions.ids) if self.state.predictions else 0, moved)
        if moved and (self.settings["strategy"] == "auto" or self._ranks_by_model()):
            return course.reason
        if wanted:
            return "a new order was asked for"
        return f"trained on {len(labels)} labels" if trained and self._ranks_by_model() else ""

    def unlearned(self, labels: Mapping[int, Value]) -> int:
        """Count the labels that the model does not know, knows otherwise, or knows though they are gone."""
        old = self.state.trained_on
        return sum(1 for task, value in labels.items() if old.get(task) != value) + len(old.keys() - labels.keys())

    def _training_due(
        self, labels: Mapping[int, Value], classes: Sequence[str], generation: str, *, wanted: bool, low: bool
    ) -> str:
        state, changed = self.state, self.unlearned(labels)
        if wanted:
            return "training was asked for"
        if state.model is not None and (state.generation, state.classes) != (generation, tuple(classes)):
            return "the images were embedded anew, or the label config changed"
        if state.trained_on.keys() - labels.keys():
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
        tasks: Tasks,
        classes: Sequence[str],
        generation: str,
        now: Trust,
    ) -> bool:
        """Train on every label whose image is embedded; return whether there is another model than before."""
        labeled = np.array(sorted(labels), dtype=np.int64)
        at = tasks.rows_of(labeled)
        labeled, at = labeled[at >= 0].tolist(), at[at >= 0]
        values = [labels[task] for task in labeled]
        old = self.state.model
        model = train(
            rows.embeddings[at].astype(np.float32),
            values,
            classes=classes,
            multi=self.target.multi,
            seed=self.settings["seed"],
            fingerprint=training_fingerprint(labeled, values, generation),
            previous=old if self.state.generation == generation else None,
        )
        if model is not None and now.count:
            model = replace(model, accuracy=now.balanced_accuracy)
        self.state = replace(
            self.state,
            model=model,
            trainings=self.state.trainings + 1,
            trained_on=dict(labels),
            classes=tuple(classes),
            generation=generation,
            trust=now.value if model is not None else 0.0,
            predictions=None if model is None else Predictions(rows.ids, self._chances(model, rows).astype(np.float16)),
        )
        return (old and old.fingerprint) != (model and model.fingerprint)

    def _advance(
        self,
        labels: Mapping[int, Value],
        classes: Sequence[str],
        tasks: Tasks,
        now: Trust,
        *,
        has_model: bool,
    ) -> Course:
        return advance(
            self.state.course,
            values=list(labels.values()),
            classes=classes,
            multi=self.target.multi,
            pool=len(tasks),
            new_tasks=int((tasks.ids > self.state.newest_task).sum()) if self.state.newest_task else 0,
            trust=now,
            switch_after=self.settings["switch_after"],
            has_model=has_model,
        )

    def _plan_cycle(self, labels: int, rows: int, moved: bool) -> None:
        """Fix where BAL stands until the next training, or the next phase."""
        size = self.settings["batch_size"] or share_of(labels)
        begun = self.state.course.since_labels
        if self.settings["budget"] is not None:
            slots = max(1, -(-(self.settings["budget"] - begun) // size))
            number = min(max(labels - begun, 0) // size, slots - 1)
            cycles = float(slots)
        else:
            from poolselect import rolling_cycles

            slots, number = None, 0 if moved else self.state.cycle.number + 1
            cycles = rolling_cycles(rows, size)
        factor = balancing_factor(self.state.trust, cycles)
        self.state = replace(self.state, cycle=Cycle(number, size, slots, factor))

    # -- orders

    def active(self) -> str:
        """Return the name of the strategy that ranks now: one that needs a model waits for it in the cold start."""
        chosen = self.settings["strategy"]
        if chosen == "auto":
            chosen = self.settings["cold_start" if self.state.course.phase == "cold" else "warm"]
        if needs_model(chosen) and self.state.model is None:
            chosen = self.settings["cold_start"]
        return str(chosen)

    def _ranks_by_model(self) -> bool:
        return self.state.model is not None and (needs_model(self.active()) or self.least_probability() is not None)

    def least_probability(self) -> float | None:
        """Return the probability that a pre-label needs now, or None while there are no pre-labels."""
        if not self._prelabels or self.state.model is None:
            return None
        return least_probability(self.settings["prelabel"], self.state.trust, self.target)

    def recipe(self) -> Recipe:
        """Return what an order made now would be made with."""
        name, state = self.active(), self.state
        centroids = state.geometry.centroids if name == "bal" and state.geometry else None
        strategy = make_strategy(name, self.settings, state.cycle, centroids)
        title = type(strategy).__name__
        return Recipe(
            name=name,
            title=f"{title} cycle {state.cycle.number + 1}" if name == "bal" else title,
            strategy=strategy,
            phase="warm" if state.course.phase == "warm" else "cold",
            model=state.model.fingerprint if state.model and self._ranks_by_model() else "",
            prelabel=self.least_probability(),
            control_share=self.settings["control_share"],
            features=self.settings["bal_features"] if name == "bal" else "vit",
        )

    def fit_geometry(self, rows: Block, source: str) -> str:
        """Fit BAL's centroids if there are none or the pool has outgrown them; return why, or an empty string."""
        from poolselect import default_clusters

        classes, old = len(self.target.labels) or None, self.state.geometry
        k = default_clusters(len(rows.ids), classes)
        # Without classes k goes with the pool's size: then it is the growth of the pool that counts, not that of k.
        why = "first clusters" if old is None else old.outgrown(rows, k if classes else old.wanted, source)
        if why:
            fresh = Geometry.fit(rows, k, seed=self.settings["seed"], source=source, why=why)
            self.state = replace(self.state, geometry=fresh)
        return why

    def rank(
        self,
        rows: Block,
        tasks: Tasks,
        *,
        size: int,
        first: int,
        published: Collection[int] = (),
        features: Features | None = None,
    ) -> list[Place]:
        """Rank the next tasks by the present recipe.

        Parameters
        ----------
        rows : Block
            Embedded tasks, ids ascending.
        features : Features, optional
            What BAL sees instead of the embeddings.
        tasks, size, first, published
            See `ranking.rank_tasks`.

        Returns
        -------
        list of Place
            With pre-labels where the recipe asks for them; never on a control, which must not be anchored, and not at
            as many other positions, which hide it.
        """
        seen = rows if features is None else features.rows
        if self.active() == "bal" and len(seen.ids):
            self.fit_geometry(seen, self.state.generation if features is None else features.generation)
        recipe, model = self.recipe(), self.state.model
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
            probabilities=of_seen if needs_model(recipe.name) else None,
            class_names=model.classes if model is not None else (),
            multilabel=self.target.multi,
            missing=NOT_EMBEDDED if features is None else NO_FEATURES,
        )
        if recipe.prelabel is None or model is None or chances is None:
            return places
        return fill_in(places, model, chances, tasks, recipe, first=first)

    def _chances(self, model: Model, rows: Block) -> NDArray[np.float32]:
        """Let the model predict rows, once: a training and the order after it ask for the same."""
        if self._said is None or self._said[0] is not model or self._said[1] is not rows:
            self._said = model, rows, model.predict(rows.embeddings)
        return self._said[2]

    def serving(self, version: str, places: Sequence[Place]) -> None:
        """Write down what is served; see `CampaignState.serving`."""
        self.state = self.state.serving(version, places)
