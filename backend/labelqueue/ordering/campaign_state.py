"""The state of a campaign: its model, what the model said before it knew better, the phase, the random controls."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from operator import ne
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..block import Origin
from ..exceptions import CacheError
from ..labels import Value
from ..learning import Course, Geometry, Model, Predictions, Trust
from ..records import known_fields
from ..stopping import Said, Watch
from .order import Place

__all__ = ["CampaignState", "Cycle", "Guess"]

FORMAT = 1  # of the facts
PARTS = ("model", "geometry")  # that are stored beside the facts
GUESSES = 1000  # guesses kept besides those of controls; trust looks at the newest few only


@dataclass(frozen=True)
class Cycle:
    """Where BAL stands; fixed when the model was trained, so that an order does not change while images arrive.

    Attributes
    ----------
    number : int
        BAL cycle, from 0.
    size : int
        Labels per cycle.
    slots : int or None
        Cycles in all when the budget is known; None lets the sub-pools go round in a circle.
    balancing_factor : float
        Width of a sub-pool in slots.
    """

    number: int = 0
    size: int = 10
    slots: int | None = None
    balancing_factor: float = 1.0


@dataclass(frozen=True)
class Guess:
    """What the model said of a task before it was trained on its label.

    Attributes
    ----------
    task : int
    predicted : str or tuple of str
    training : int
        Number of the model, counted from 1.
    labels : int
        Labels it was trained on.
    control : str
        Version of the order that served the task as a random control, at its position; empty for any other task.
    blind : bool
        Whether its answer was surely given without a pre-label: one that was filled in tells of the model alone.
    """

    task: int
    predicted: Value
    training: int
    labels: int
    control: str = ""
    blind: bool = True


@dataclass(frozen=True, eq=False)
class CampaignState:
    """Everything a campaign has learned and decided; a value that is replaced, never changed.

    Attributes
    ----------
    course : Course
        Phase, and why.
    cycle : Cycle
        Where BAL stands.
    newest_task : int
        Highest task id when the phase began; 0 before the first one ended.
    trainings : int
        Models trained so far.
    trained_on : dict of int to Value
        The labels that the model was trained on.
    classes : tuple of str
        Classes of the label config then.
    generation : str
        Fingerprint of the embeddings then.
    trust : float
        Trust in the model then, from its predecessors' guesses.
    guesses : tuple of Guess
        Oldest first.
    controls : dict of int to str
        Control tasks and the version each was served under.
    model : Model or None
    predictions : Predictions or None
        What the model says of every task that was embedded when it was trained.
    geometry : Geometry or None
        Of BAL's clusters.
    question : str
        The control that counts, and how many of its labels a task may have; empty before it was noted.
    heard : tuple of int
        Labeled tasks that were observed and that the model was not trained on yet.
    boundary : int
        Task whose label brought what was learned last and asks for an order: that order sees no later label. 0: it sees
        every label, for it was no label that asked for it.
    filling : bool
        Pre-labels may have been filled in since. From then on only tasks that never get one tell how far to trust.
    seed : int
        Of the training.
    origin : Origin or None
        Which embeddings the model was trained on; None when that was not noted.
    watch : Watch
        What was noted of the trainings; no order depends on it.
    """

    course: Course = field(default_factory=Course)
    cycle: Cycle = field(default_factory=Cycle)
    newest_task: int = 0
    trainings: int = 0
    trained_on: Mapping[int, Value] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    generation: str = ""
    trust: float = 0.0
    guesses: tuple[Guess, ...] = ()
    controls: Mapping[int, str] = field(default_factory=dict)
    model: Model | None = None
    predictions: Predictions | None = None
    geometry: Geometry | None = None
    question: str = ""
    heard: tuple[int, ...] = ()
    boundary: int = 0
    filling: bool = False
    seed: int = 0
    origin: Origin | None = None
    watch: Watch = field(default_factory=Watch)

    @property
    def said(self) -> Said | None:
        """The model and what it says, or None without one."""
        return None if self.model is None or self.predictions is None else (self.model, self.predictions)

    def unlearned(self, labels: Mapping[int, Value]) -> int:
        """Count the labels that the model does not know, knows otherwise, or knows though they are gone."""
        old = self.trained_on
        # Of tens of thousands of labels, at each look: no step of it is one of Python's.
        other = sum(map(bool, map(ne, map(old.get, labels), labels.values())))
        return other if old.keys() <= labels.keys() else other + len(old.keys() - labels.keys())

    def watched(self, before: CampaignState, tasks: NDArray[np.int64], trust: Trust) -> CampaignState:
        """Return the state after a training with what the training changed.

        Parameters
        ----------
        before : CampaignState
            As it was before the training.
        tasks : ndarray of shape (n,), int64
            Every known task, ascending.
        trust : Trust
            From the guesses that were made before it.
        """
        fresh = tasks[~np.isin(tasks, np.fromiter(self.trained_on, dtype=np.int64, count=len(self.trained_on)))]
        old = before.said if before.generation == self.generation else None
        return replace(self, watch=self.watch.trained(old, self.said, fresh, trust))

    def asking(self, question: str) -> CampaignState:
        """Return the state for this question: answers to another one are no labels, and no guesses, for it."""
        if self.question in ("", question):
            return self if self.question else replace(self, question=question)
        begins = Course(reason="the label config asks something else")
        return CampaignState(begins, trainings=self.trainings, controls=self.controls, question=question)

    def forgetting(self) -> CampaignState:
        """Return the state without its model, whose labels are to be learned again."""
        heard = (*self.trained_on, *self.heard)
        return replace(self, model=None, predictions=None, geometry=None, trained_on={}, heard=heard)

    def of_order(self, version: str, skipped: Collection[int]) -> CampaignState:
        """Return the state without the controls that orders before this one did not come to serve.

        Parameters
        ----------
        version : str
            The live order's.
        skipped : collection of int
            Tasks that people skipped: they were served, and are missing.
        """
        controls = {task: by for task, by in self.controls.items() if by == version or task in skipped}
        return self if len(controls) == len(self.controls) else replace(self, controls=controls)

    def serving(self, version: str, places: Sequence[Place]) -> CampaignState:
        """Return the state once these places, of a new order or of its refill, are served.

        Notes
        -----
        Those that are random controls are written down. A task that an earlier order drew at random, and a later one
        chose, is no control any more.
        """
        drawn = {place.task: version for place in places if place.control}
        chosen = self.controls.keys() & {place.task for place in places if not place.control}
        if not chosen and drawn.items() <= self.controls.items():
            return self
        kept = {task: by for task, by in self.controls.items() if task not in chosen}
        return replace(self, controls=kept | drawn)

    def with_guesses(self, new: Sequence[Guess]) -> CampaignState:
        """Return the state with these guesses added; old ones that count for nothing any more are dropped.

        A task that the model was not trained on keeps its guess: without it, the task would be guessed again.
        """
        if not new:
            return self
        added = (*self.guesses, *new)
        learned = [guess for guess in added if guess.task in self.trained_on]
        blind = [guess.task for guess in learned if guess.blind]
        dropped = set(blind[: max(len(blind) - GUESSES, 0)]) | {guess.task for guess in learned if not guess.blind}
        return replace(self, guesses=tuple(guess for guess in added if guess.control or guess.task not in dropped))

    def blind_guesses(self) -> list[Guess]:
        """Return the guesses that trust goes by, oldest first: the newest blind ones, controls or not."""
        return [guess for guess in self.guesses if guess.blind][-GUESSES:]

    def changes(self, before: CampaignState) -> tuple[dict[str, bytes], list[str]]:
        """Return the parts that are other ones than before, as they are stored, and the names of those that are gone;
        the predictions are no matter of this."""
        names = (one.name for one in fields(self) if one.name not in (*PARTS, "predictions"))
        pairs = ((getattr(self, name), getattr(before, name)) for name in names)
        changed = {} if all(now is then or now == then for now, then in pairs) else {"facts": self._facts()}
        gone = []
        for name in PARTS:
            now, then = getattr(self, name), getattr(before, name)
            if now is None and then is not None:
                gone.append(name)
            elif now is not then:
                changed[name] = now.to_bytes()
        return changed, gone

    def dump(self) -> dict[str, bytes]:
        """Return all parts, the predictions among them, which grow with the project: see `load`."""
        parts = {"facts": self._facts()}
        stored = {**{name: getattr(self, name) for name in PARTS}, "outlook": self.predictions}
        return parts | {name: part.to_bytes() for name, part in stored.items() if part is not None}

    def _facts(self) -> bytes:
        facts = {
            "format": FORMAT,
            "course": self.course.dump(),
            "cycle": asdict(self.cycle),
            "newest_task": self.newest_task,
            "trainings": self.trainings,
            "trained_on": list(self.trained_on.items()),
            "classes": self.classes,
            "generation": self.generation,
            "trust": self.trust,
            "guesses": [[g.task, g.predicted, g.training, g.labels, g.control, g.blind] for g in self.guesses],
            "controls": list(self.controls.items()),
            "question": self.question,
            "heard": self.heard,
            "boundary": self.boundary,
            "filling": self.filling,
            "seed": self.seed,
            "origin": None if self.origin is None else asdict(self.origin),
            "watch": self.watch.dump(),
        }
        return json.dumps(facts).encode()

    @classmethod
    def load(cls, parts: Mapping[str, bytes]) -> CampaignState:
        """Parse `dump`'s parts; none at all is the state of a campaign that begins.

        Raises
        ------
        CacheError
            If a part is damaged, or of another format.
        """
        if "facts" not in parts:
            return cls()
        facts: dict[str, Any] = json.loads(parts["facts"])
        if (version := facts.get("format", FORMAT)) != FORMAT:
            raise CacheError(f"campaign: format {version!r}, this version reads format {FORMAT}")
        guesses = (Guess(g[0], _value(g[1]), *g[2:6]) for g in facts.get("guesses", ()))
        return cls(
            **known_fields(cls, facts)
            | {
                "course": Course.load(facts.get("course", {})),
                "cycle": Cycle(**known_fields(Cycle, facts.get("cycle", {}))),
                "trained_on": {task: _value(value) for task, value in facts.get("trained_on", ())},
                "classes": tuple(facts.get("classes", ())),
                "guesses": tuple(guesses),
                "controls": dict(facts.get("controls", ())),
                "heard": tuple(facts.get("heard", ())),
                "origin": Origin(**known_fields(Origin, facts["origin"])) if facts.get("origin") else None,
                "watch": Watch.load(facts.get("watch", {})),
                "model": Model.from_bytes(parts["model"]) if "model" in parts else None,
                "predictions": Predictions.from_bytes(parts["outlook"]) if "outlook" in parts else None,
                "geometry": Geometry.from_bytes(parts["geometry"]) if "geometry" in parts else None,
            }
        )


def _value(raw: str | list[str]) -> Value:
    return raw if isinstance(raw, str) else tuple(raw)
