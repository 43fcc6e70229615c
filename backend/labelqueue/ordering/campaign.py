"""The course of a labeling campaign: observe labels, train, move between phases, rank what comes next.

The live service and `labelqueue simulate` both go through here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import takewhile
from operator import ne
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..block import Block, Origin
from ..labels import Target, Value, classes_of
from ..learning import (
    Course,
    Model,
    Predictions,
    Trust,
    advance,
    blank_share,
    is_blank,
    least_probability,
    measure_trust,
    served_in_turn,
    train,
    training_fingerprint,
)
from ..telemetry import timed
from .campaign_state import CampaignState, Cycle, Guess
from .order import Place
from .recipe import Recipe, make_recipe, needs_model, next_cycle, paper_cycle, waits_for_model
from .snapshot import Tasks

__all__ = ["Campaign", "share_of"]

# Labels that one look's trainings may add up to: seconds, and minutes where there are hundreds of classes.
WORK = 200_000


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

    Attributes
    ----------
    behind : int
        Labels that the last `follow` left to the next one, since there were so many that it would have taken long.
    """

    def __init__(
        self, target: Target, settings: Mapping[str, Any], state: CampaignState | None = None, *, prelabels: bool = True
    ) -> None:
        self.target = target
        self.settings = settings
        before, several = state or CampaignState(), "several labels" if target.multi else "one label"
        self.state = before.asking(f"{several} of {target.control_name}")
        self._asks_anew = self.state.question != before.question != ""
        self._prelabels = prelabels
        self.behind = 0
        self._said: tuple[Model, Block, NDArray[np.float32]] | None = None

    # -- labels

    def follow(
        self,
        rows: Callable[[], Block],
        labels: Mapping[int, Value],
        tasks: Tasks,
        *,
        generation: str,
        mark: str = "",
        wanted: bool = False,
        places: Sequence[Place] = (),
        annotators: int = 1,
    ) -> str:
        """Go through the labels that are new one by one, in order of creation, as if each had been looked at by itself.

        Parameters
        ----------
        rows : callable
            Returns the embedded tasks, ids ascending; called only when it is needed.
        labels : mapping
            Every label there is, in order of creation.
        tasks : Tasks
        generation, mark : str
            Fingerprint of the embeddings, and how far their cache was filled.
        wanted : bool
            A person asked for a training.
        places, annotators
            Places of the live order, and how many people are at work.

        Returns
        -------
        str
            Why a new order is due, of the last reason that came up; empty when nothing was learned that changes an
            order. `state.boundary` says which labels it may see.

        Notes
        -----
        So trainings, phases and cycles depend on the labels alone, not on how many of them a look happened to find.
        What comes with no place among the labels (one that changed or was deleted, other settings, other embeddings, a
        new label config) takes effect before the first new label of the look that finds it.
        """
        state = self.state
        # Answers to another question were given without a model for this one: there is nothing to go through.
        known = labels.keys() if self._asks_anew else state.trained_on.keys() | set(state.heard)
        new = [] if labels.keys() <= known else [task for task in labels if task not in known]
        seen = dict(labels)
        for task in new:
            del seen[task]
        learn = partial(self.learn, rows, seen, tasks, generation=generation, mark=mark)
        self._fill()
        learned, boundary, newest = learn(), 0, next(reversed(seen), 0)
        order = [one.task for one in places] if new else []
        in_turn = served_in_turn(order, new, tasks.still(order), annotators)
        shown = {one.task for one in places if one.prelabel is not None} if new else set()
        later = {*takewhile(partial(ne, newest), reversed([*labels]))} if new else set[int]()
        guessed, guesses = {guess.task for guess in state.guesses}, list[Guess]()
        if new and self.state.predictions is not None:  # of no more of them, before there is another model
            self.state.predictions.fetch(new[: self.step(len(labels))])
        changed = self.state.unlearned(seen) if new else 0
        work, trainings = 0, self.state.trainings
        for task in new:
            if work > WORK:
                break
            seen[task] = labels[task]
            newest = task if task in later else newest
            changed += 1
            if task not in guessed:
                guesses += self._guess(task, task in in_turn, task in shown)
            if self._idle(seen, task, changed):
                continue
            self.state, guesses = self.state.with_guesses(guesses), []
            if reason := learn():
                learned, boundary = reason, newest
            changed = self.state.unlearned(seen)
            if self.state.trainings > trainings:
                work, trainings = work + len(seen), self.state.trainings
        self.state = self.state.with_guesses(guesses)
        if wanted:
            learned, boundary = learn(wanted=True), 0
        self.behind = len(labels) - len(seen)
        unlearned = tuple(task for task in seen if task not in self.state.trained_on)
        self.state = replace(self.state, heard=unlearned, boundary=boundary if learned else self.state.boundary)
        return learned

    def _guess(self, task: int, in_turn: bool, shown: bool) -> list[Guess]:
        """Return what the model says of a task whose label is new, before it learns it; nothing where it says none."""
        state = self.state
        if state.model is None or state.predictions is None:
            return []
        if (said := state.predictions.decide(state.model, task)) is None:
            return []
        control = state.controls.get(task, "") if in_turn else ""
        seed, share = self.settings["seed"], blank_share(self.settings)
        blind = not shown and (not state.filling or bool(is_blank(seed, np.array([task]), share)[0]))
        return [Guess(task, said, state.trainings, len(state.trained_on), control, blind=blind)]

    def _fill(self) -> None:
        """Note that pre-labels are filled in from now on, or that they cannot be any more."""
        if self.least_probability() is not None:
            self.state = replace(self.state, filling=True)
        elif not self._prelabels or least_probability(self.settings["prelabel"], 1.0, self.target) is None:
            self.state = replace(self.state, filling=False)

    def _idle(self, labels: Mapping[int, Value], newest: int, changed: int) -> bool:
        """Tell that the newest label can neither ask for a training nor move the phase."""
        course, value = self.state.course, labels[newest]
        names = {value} if isinstance(value, str) else {*value}
        if changed >= self.step(len(labels)) or (self.target.open and not names <= {*course.classes}):
            return False
        if course.phase == "warm" or self.state.model is None:
            return True
        return bool(len(labels) - course.since_labels < self.settings["switch_after"])

    def step(self, labels: int) -> int:
        """Return how many labels make a training, when there are so many."""
        usual = paper_cycle(self.settings, 0).size if self.active() == "bal_paper" else share_of(labels)
        return int(self.settings["retrain_every"] or usual)

    def trust(self, labels: Mapping[int, Value]) -> Trust:
        """Return how far the model can be trusted, from its guesses of labels it had not seen."""
        pairs = [(guess.predicted, labels[guess.task]) for guess in self.state.blind_guesses() if guess.task in labels]
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
        mark: str = "",
        wanted: bool = False,
    ) -> str:
        """Train if that is due, and move between the phases.

        Parameters
        ----------
        rows, labels, tasks, generation, mark, wanted
            See `follow`; the labels are those there are by now.

        Returns
        -------
        str
            Why a new order is due; empty when nothing was learned that changes the order.
        """
        now, classes = self.trust(labels), self.classes(labels)
        before, steered, stretch = self.state.course, self._ranks_by_model(), self._stretch()
        why = self._training_due(labels, classes, generation, wanted=wanted)
        course = self._advance(labels, classes, tasks, has_model=self.state.model is not None)
        phased = self.settings["strategy"] != "bal_paper"  # the paper's cycles know no phases
        if not why and phased and course.phase != before.phase and self.state.unlearned(labels):
            why = course.reason
        trained = bool(why) and self._train(rows(), labels, tasks, classes, now, generation, mark)
        if why:
            course = self._advance(labels, classes, tasks, has_model=self.state.model is not None)
        moved = course.phase != before.phase
        if moved:
            self.state = replace(self.state, newest_task=tasks.newest)
        self.state = replace(self.state, course=course)
        if trained or moved:
            self._plan_cycle(len(labels), moved)
            self._fill()
        steered |= self._ranks_by_model()
        if moved and phased and (self.settings["strategy"] == "auto" or steered):
            return course.reason
        if wanted:
            return "a new order was asked for"
        return f"trained on {len(labels)} labels" if (trained and steered) or self._stretch() != stretch else ""

    def _training_due(
        self, labels: Mapping[int, Value], classes: Sequence[str], generation: str, *, wanted: bool
    ) -> str:
        state = self.state
        if wanted:
            return "training was asked for"
        if state.model is not None and (state.generation, state.classes) != (generation, tuple(classes)):
            return "the images were embedded anew, or the label config changed"
        if not state.trained_on.keys() <= labels.keys():
            return "labels were deleted"
        return "there are enough new labels" if self.state.unlearned(labels) >= self.step(len(labels)) else ""

    @timed("training_seconds")
    def _train(
        self,
        rows: Block,
        labels: Mapping[int, Value],
        tasks: Tasks,
        classes: Sequence[str],
        now: Trust,
        generation: str,
        mark: str,
    ) -> bool:
        """Train on every label whose image is embedded; return whether there is another model than before."""
        seed = self.settings["seed"]
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
            seed=seed,
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
            seed=seed,
            origin=Origin.of(rows.take(at), generation, mark),
            predictions=None if model is None else Predictions(rows.ids, self.chances(model, rows).astype(np.float16)),
        ).watched(self.state, tasks.ids, now)
        return (old and old.fingerprint) != (model and model.fingerprint)

    def _advance(
        self,
        labels: Mapping[int, Value],
        classes: Sequence[str],
        tasks: Tasks,
        *,
        has_model: bool,
    ) -> Course:
        return advance(
            self.state.course,
            values=list(labels.values()),
            classes=classes,
            multi=self.target.multi,
            pool=len(tasks),
            new_tasks=tasks.newer(self.state.newest_task) if self.state.newest_task else 0,
            switch_after=self.settings["switch_after"],
            has_model=has_model,
        )

    def _plan_cycle(self, labels: int, moved: bool) -> None:
        """Fix where BAL stands until the next training, or the next phase."""
        state, size = self.state, self.settings["batch_size"] or share_of(labels)
        rows = len(state.predictions) if state.predictions is not None else 0
        begun, number = state.course.since_labels, 0 if moved else state.cycle.number + 1
        self.state = replace(state, cycle=next_cycle(self.settings, labels, begun, size, number, rows, state.trust))

    # -- orders

    def active(self) -> str:
        """Return the name of the strategy that ranks now: one that needs a model waits for it in the cold start."""
        chosen = self.settings["strategy"]
        if chosen == "auto":
            chosen = self.settings["cold_start" if self.state.course.phase == "cold" else "warm"]
        if waits_for_model(chosen) and self.state.model is None:
            chosen = self.settings["cold_start"]
        return str(chosen)

    def _ranks_by_model(self) -> bool:
        return self.state.model is not None and (needs_model(self.active()) or self.least_probability() is not None)

    def least_probability(self) -> float | None:
        """Return the probability that a pre-label needs now, or None while there are no pre-labels."""
        if not self._prelabels or self.state.model is None:
            return None
        return least_probability(self.settings["prelabel"], self.state.trust, self.target)

    @property
    def cycle(self) -> Cycle:
        """Where BAL stands; by the paper, that follows from the labels that the model knows."""
        if self.active() == "bal_paper":
            return paper_cycle(self.settings, len(self.state.trained_on))
        return self.state.cycle

    def _stretch(self) -> int:
        """Return the number of the paper's cycle, which goes on without a model too; -1 for other strategies."""
        return self.cycle.number if self.active() == "bal_paper" else -1

    def recipe(self) -> Recipe:
        """Return what an order made now would be made with."""
        name, state = self.active(), self.state
        return make_recipe(
            name,
            self.settings,
            self.cycle,
            phase="warm" if state.course.phase == "warm" else "cold",
            model=state.model.fingerprint if state.model and self._ranks_by_model() else "",
            prelabel=self.least_probability(),
            classes=len(self.target.labels),
            centroids=state.geometry.centroids if name == "bal" and state.geometry else None,
        )

    def chances(self, model: Model, rows: Block) -> NDArray[np.float32]:
        """Let the model predict rows, once: a training and the order after it ask for the same."""
        if self._said is None or self._said[0] is not model or self._said[1] is not rows:
            self._said = model, rows, model.predict(rows.embeddings)
        return self._said[2]

    def serving(self, version: str, places: Sequence[Place]) -> None:
        """Write down what is served; see `CampaignState.serving`."""
        self.state = self.state.serving(version, places)
