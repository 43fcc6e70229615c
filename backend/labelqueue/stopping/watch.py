"""The watch over a campaign: what each training changed, and the learning curve. No order depends on any of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..block import Block, draws, find
from ..labels import Value
from ..learning import Model, Predictions, Trust
from .curve import LEAST, SAMPLE, Measurement, due, measure
from .hints import Step, step, stop_hints

__all__ = ["Said", "Watch", "measurement_of"]

STEPS = 300  # that are kept

Said = tuple[Model, Predictions]  # what a model says of every image that was embedded when it was trained


@dataclass(frozen=True)
class Watch:
    """What was noted of a campaign.

    Attributes
    ----------
    steps : tuple of Step
        What the latest trainings changed, oldest first.
    measurements : tuple of Measurement
        The learning curve so far, by rising numbers of labels.
    """

    steps: tuple[Step, ...] = ()
    measurements: tuple[Measurement, ...] = ()

    def trained(self, before: Said | None, now: Said | None, unlabeled: NDArray[np.int64], trust: Trust) -> Watch:
        """Return the watch after a training.

        Parameters
        ----------
        before, now : Said or None
            The models before and after it; None where there was none, or one of other embeddings, with which nothing
            that was noted can be compared.
        unlabeled : ndarray of shape (u,), int64
            Tasks without a label, ascending.
        trust : Trust
            From the guesses that were made before the training.
        """
        if now is None:
            return Watch()
        guessed = trust.balanced_accuracy if trust.count else None
        labels = now[0].labels
        taken = step(before, now, unlabeled, labels=labels, guessed=guessed, guesses=trust.count)
        if before is None:
            return Watch((taken,))
        # Marks of more labels belong to labels that are gone.
        measurements = tuple(measurement for measurement in self.measurements if measurement.labels <= labels)
        return Watch((*self.steps, taken)[-STEPS:], measurements)

    def measured(
        self, model: Model, rows: Callable[[], Block], labels: Mapping[int, Value], classes: Sequence[str], seed: int
    ) -> Watch:
        """Return the watch with a measurement of the present model, when one is due.

        Parameters
        ----------
        model : Model
        rows : callable
            Returns the embedded tasks; called only when a measurement is due.
        labels : mapping of int to Value
            That the model was trained on.
        classes : sequence of str
        seed : int
        """
        if not due(self.measurements, model.labels):
            return self
        measurement = measurement_of(model, rows(), labels, classes, seed)
        return self if measurement is None else replace(self, measurements=(*self.measurements, measurement))

    def told(self, labels: int, *, model: Model | None, teaches: bool) -> dict[str, Any]:
        """Return what people are told, but for the forecast, ready for JSON.

        Parameters
        ----------
        labels : int
            That there are.
        model : Model or None
        teaches : bool
            Whether the label config has a control to learn from.
        """
        waits = ""
        if not self.measurements:
            if not teaches:
                waits = "the label config has no control to learn from"
            elif labels < LEAST:
                waits = f"it takes {LEAST} labels, there are {labels}"
            else:
                waits = "all labels say the same so far" if model is None else "it comes with one of the next looks"
        return {
            "waits_for": waits,
            "several": model is not None and model.multi,
            **self.dump(),
            "hints": [hint.as_dict() for hint in stop_hints(self.steps)] if model is not None else [],
        }

    def dump(self) -> dict[str, Any]:
        """Return the form that goes into JSON."""
        return {
            "measurements": [measurement.dump() for measurement in self.measurements],
            "steps": [taken.dump() for taken in self.steps],
        }

    @classmethod
    def load(cls, row: Mapping[str, Any]) -> Watch:
        """Parse `dump`'s form; what is missing was not noted."""
        return cls(
            tuple(map(Step.load, row.get("steps", ()))), tuple(map(Measurement.load, row.get("measurements", ())))
        )


def measurement_of(
    model: Model, rows: Block, labels: Mapping[int, Value], classes: Sequence[str], seed: int
) -> Measurement | None:
    """Return the measurement of a model; see `measure`.

    Parameters
    ----------
    model : Model
    rows : Block
        The embedded tasks, ids ascending.
    labels : mapping of int to Value
        That the model was trained on.
    classes : sequence of str
    seed : int
        Of the folds, and of the sample of what has no label.
    """
    labeled: NDArray[np.int64] = np.array(sorted(labels), dtype=np.int64)
    at = find(rows.ids, labeled)
    labeled, at = labeled[at >= 0], at[at >= 0]
    others = np.setdiff1d(np.arange(len(rows)), at)
    others = others[np.argsort(draws(f"learning curve {seed}", rows.ids[others]), kind="stable")[:SAMPLE]]
    return measure(
        rows.embeddings[at].astype(np.float32),
        [labels[task] for task in labeled.tolist()],
        rows.embeddings[others].astype(np.float32),
        model=model,
        classes=classes,
        tasks=len(rows),
        seed=seed,
    )
