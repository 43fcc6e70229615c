"""Pre-labels: what an annotator finds filled in, in the form Label Studio stores it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..labels.annotations import Value
from ..labels.label_config import PATH, Target
from .model import Model

__all__ = ["TRUSTED", "confidence", "fits", "least_probability", "prelabel", "result_of"]

TRUSTED = 0.5  # trust from which `prelabel = auto` fills answers in


def least_probability(setting: str | float, trust: float, target: Target) -> float | None:
    """Return the probability an answer needs to be filled in, or None when nothing is filled in.

    Whether a label is present somewhere in an image is no box and no mask: region controls get no pre-labels.
    """
    if target.kind != "classification" or setting == "off":
        return None
    if setting == "auto":
        return 0.0 if trust > TRUSTED else None
    return 0.0 if setting == "on" else float(setting)


def fits(model: Model, target: Target) -> bool:
    """Tell whether what a model says is an answer to this target: the label config may have changed since."""
    return model.multi == target.multi and (target.open or set(model.classes) <= set(target.labels))


def confidence(model: Model, probabilities: NDArray[np.float32]) -> float:
    """Return how sure the model is of one task: the probability of its class, or the least of its labels', present or
    absent; `probabilities` has shape (c,)."""
    return float(np.maximum(probabilities, 1 - probabilities).min() if model.multi else probabilities.max())


def prelabel(model: Model, probabilities: NDArray[np.float32], least: float) -> Value | None:
    """Return the answer to fill in, or None when the model is less sure than `least`.

    Parameters
    ----------
    model : Model
        Where the probabilities come from.
    probabilities : ndarray of shape (c,), float32
        Of one task.
    least : float
        Single choice: least probability of the class. Several labels: each must be this sure, present or absent.
    """
    return model.decide(probabilities[None])[0] if confidence(model, probabilities) >= least else None


def result_of(value: Value | None, target: Target) -> list[dict[str, Any]]:
    """Return the `result` of a prediction; an empty list leaves the form empty, as always where regions are drawn."""
    if value is None or value == () or target.kind != "classification":
        return []
    labels: list[Any] = [value] if isinstance(value, str) else list(value)
    kind = target.control_tag.lower()
    if kind == "rating":
        content: Any = int(labels[0])
    elif target.nested:
        content = [label.split(PATH) for label in labels]
    else:
        content = labels
    return [{"from_name": target.control_name, "to_name": target.image_name, "type": kind, "value": {kind: content}}]
