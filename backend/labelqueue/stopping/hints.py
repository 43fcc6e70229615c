"""Stop hints: what the models that followed each other say of whether more labels still change anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..block import find
from ..learning import Model, Predictions
from ..records import known_fields

__all__ = ["Hint", "Step", "step", "stop_hints"]

AGREED, WINDOW = 0.99, 3  # kappa, and over how many trainings
ROWS = 4096  # images whose entropy is computed at once
CERTAIN = 0.1  # mean uncertainty, of at most 1
UNCHANGED, TWICE = 0.001, 2  # share of images, and in how many trainings in a row


@dataclass(frozen=True)
class Step:
    """What one training changed; every number is about the images that had no label.

    Attributes
    ----------
    labels : int
        That the model knows.
    guessed : float or None
        Balanced accuracy of the latest guesses that were made before their label was learned; None without any.
    guesses : int
        How many of them.
    doubt : float
        Mean entropy of what the model predicts, from 0 to 1 (all answers alike).
    agreement : float or None
        Cohen's kappa of this model and the one before; None of the first one.
    changed : float or None
        Share that this model answers otherwise than the one before.
    """

    labels: int
    guessed: float | None
    guesses: int
    doubt: float
    agreement: float | None
    changed: float | None

    def dump(self) -> dict[str, Any]:
        """Return the form that goes into JSON."""
        return {name: round(value, 5) if isinstance(value, float) else value for name, value in vars(self).items()}

    @classmethod
    def load(cls, row: Mapping[str, Any]) -> Step:
        """Parse `dump`'s form."""
        return cls(**known_fields(cls, row))


@dataclass(frozen=True)
class Hint:
    """One sign that labeling may end.

    Attributes
    ----------
    name : str
    met : bool or None
        Whether it is there; None while there were too few trainings to tell.
    told : str
        What it goes by, with the present number, for people.
    """

    name: str
    met: bool | None
    told: str

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self)


def step(
    before: tuple[Model, Predictions] | None,
    now: tuple[Model, Predictions],
    unlabeled: NDArray[np.int64],
    *,
    labels: int,
    guessed: float | None = None,
    guesses: int = 0,
) -> Step:
    """Compare a model with the one before.

    Parameters
    ----------
    before, now : Model and Predictions
        What they say of every image that was embedded when they were trained; `before` is None for the first one.
    unlabeled : ndarray of shape (u,), int64
        Tasks without a label, ascending.
    labels, guessed, guesses
        See `Step`.
    """
    model, predictions = now
    at = find(predictions.ids, unlabeled)
    ids, at = unlabeled[at >= 0], at[at >= 0]
    doubt = _entropy(predictions.probabilities[at], model.multi)
    agreement = changed = None
    if before is not None and before[0].multi == model.multi:
        there = find(before[1].ids, ids)
        both = there >= 0
        if both.any():
            old = _answers(before[0], before[1].probabilities[there[both]], model.classes)
            new = _answers(model, predictions.probabilities[at[both]], model.classes)
            agreement = _kappa(old, new)
            changed = float((old != new).reshape(len(old), -1).any(axis=1).mean())
    return Step(labels, guessed, guesses, doubt, agreement, changed)


def stop_hints(steps: Sequence[Step]) -> list[Hint]:
    """Return the signs that labeling may end, in the order of `RULES`.

    Parameters
    ----------
    steps : sequence of Step
        Oldest first.

    Notes
    -----
    - `stable predictions` (Bloodgood and Vijay-Shanker 2009): the mean of kappa over the last three trainings is at
      least 0.99. They ask it of a fixed set of examples that nobody labels, here it is asked of all images without one.
    - `overall uncertainty` (Zhu, Wang, Hovy and Ma 2010): the mean entropy of what is predicted is below a threshold,
      here a tenth of its largest value.
    - `no change` (Zhu, Wang and Hovy 2008): in two trainings in a row no image without a label is classified
      otherwise; one in a thousand is let pass, else no large project would ever meet it.

    They say that the model stands still, not that it is good: a strategy that finds nothing new, or a model that cannot
    learn what is asked, stands still too. So they are hints, beside the forecast.
    """
    return [rule(steps) for rule in RULES]


def _stable(steps: Sequence[Step]) -> Hint:
    name, rule = "stable predictions", f"mean agreement (kappa) of the last {WINDOW} trainings at least {AGREED}"
    last = [one.agreement for one in steps[-WINDOW:] if one.agreement is not None]
    if len(last) < WINDOW:
        return Hint(name, None, f"{rule}: too few trainings yet")
    mean = sum(last) / WINDOW
    return Hint(name, mean >= AGREED, f"{rule}: {mean:.3f}")


def _certain(steps: Sequence[Step]) -> Hint:
    name, rule = "overall uncertainty", f"mean uncertainty of what has no label below {CERTAIN:g} (of 1)"
    if not steps:
        return Hint(name, None, f"{rule}: no model yet")
    return Hint(name, steps[-1].doubt < CERTAIN, f"{rule}: {steps[-1].doubt:.2f}")


def _unchanged(steps: Sequence[Step]) -> Hint:
    name, rule = (
        "no change",
        f"at most {UNCHANGED:.1%} of what has no label classified otherwise, {TWICE} trainings in a row",
    )
    last = [one.changed for one in steps[-TWICE:] if one.changed is not None]
    if len(last) < TWICE:
        return Hint(name, None, f"{rule}: too few trainings yet")
    return Hint(name, max(last) <= UNCHANGED, f"{rule}: {max(last):.1%}")


RULES: tuple[Callable[[Sequence[Step]], Hint], ...] = (_stable, _certain, _unchanged)


def _entropy(probabilities: NDArray[np.floating[Any]], multi: bool) -> float:
    """Return the mean entropy, 1 where all answers are equally likely; 0 of no images."""
    if not len(probabilities):
        return 0.0
    total = 0.0
    for start in range(0, len(probabilities), ROWS):  # a few MB at a time, however many images and labels
        p = probabilities[start : start + ROWS].astype(np.float64)
        total -= float((p * np.log(np.maximum(p, 1e-12))).sum())
        if multi:
            total -= float(((1 - p) * np.log(np.maximum(1 - p, 1e-12))).sum())
    answers = probabilities.size if multi else len(probabilities)
    return total / answers / float(np.log(2 if multi else max(probabilities.shape[1], 2)))


def _answers(
    model: Model, probabilities: NDArray[np.float16], classes: Sequence[str]
) -> NDArray[np.int64] | NDArray[np.bool_]:
    """Return a model's answers, as numbers in `classes` (-1 for another one), or which of them hold."""
    if model.multi:
        found = {name: probabilities[:, place] > 0.5 for place, name in enumerate(model.classes)}
        none = np.zeros(len(probabilities), dtype=bool)
        return np.stack([found.get(name, none) for name in classes], axis=1)
    number = np.array([classes.index(name) if name in classes else -1 for name in model.classes], dtype=np.int64)
    return np.asarray(number[probabilities.argmax(axis=1)])


def _kappa(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Return Cohen's kappa of two raters; 1 when they agree on everything, even if all is alike."""
    one, other = one.ravel(), other.ravel()
    agreed = float((one == other).mean())
    if agreed == 1.0:
        return 1.0
    values = np.array([False, True]) if one.dtype == np.bool_ else np.union1d(np.unique(one), np.unique(other))
    by_chance = sum(float((one == value).mean() * (other == value).mean()) for value in values.tolist())
    return (agreed - by_chance) / (1 - by_chance)
