"""Pre-labels: which answers an annotator finds filled in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..block import draws
from ..labels import Target, Value
from .model import Model

__all__ = ["TRUSTED", "blank_share", "confidence", "fits", "is_blank", "least_probability", "prelabel"]

TRUSTED = 0.5  # trust from which `prelabel = auto` fills answers in


def least_probability(setting: str | float, trust: float, target: Target) -> float | None:
    """Return the probability an answer needs to be filled in, or None when nothing is filled in.

    Whether a label is present somewhere in an image is no box and no mask: region controls get no pre-labels. Nor does
    a control whose choices come with each task: the model may know labels that this task does not offer.
    """
    if target.kind != "classification" or target.open or setting == "off":
        return None
    if setting == "auto":
        return 0.0 if trust > TRUSTED else None
    return 0.0 if setting == "on" else float(setting)


def fits(model: Model, target: Target) -> bool:
    """Tell whether what a model says is an answer to this target: the label config may have changed since."""
    return model.multi == target.multi and (target.open or set(model.classes) <= set(target.labels))


def confidence(model: Model, probabilities: NDArray[np.float32]) -> float:
    """Return how likely the model's answer to one task is right: the class it decides for, or the least certain of its
    labels, present or absent; `probabilities`, of shape (c,), are those of `Model.predict`."""
    often = model.in_proportion(probabilities[None])[0]
    if model.multi:
        return float(np.where(probabilities > 0.5, often, 1 - often).min())
    return float(often[probabilities.argmax()])


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


def blank_share(settings: Mapping[str, Any]) -> float:
    """Return the share of tasks that never get a pre-label: as many as there are controls, when there are most.

    Parameters
    ----------
    settings : mapping
        The project's.
    """
    return float(max(settings["control_share"], settings.get("control_share_start") or 0.0))


def is_blank(seed: int, tasks: NDArray[np.int64], share: float) -> NDArray[np.bool_]:
    """Return which tasks never get a pre-label, whatever the order, the place in it and the model.

    Parameters
    ----------
    seed : int
        Any integer.
    tasks : ndarray of shape (n,), int64
        Ids.
    share : float
        Chance of each, from 0 to 1.

    Returns
    -------
    ndarray of shape (n,), bool

    Notes
    -----
    Who accepts what is filled in tells nothing of the model, so trust has these tasks to go by. They depend on the id
    alone: which order somebody was served, and so when we looked, cannot change what is learned from an answer.
    """
    return (draws(f"blank task {seed}", tasks) >> np.uint64(11)) * 2.0**-53 < share
