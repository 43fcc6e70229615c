"""How far the model can be trusted to steer the queue: a gate, never shown as the model's quality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..labels import Value

__all__ = ["Trust", "measure_trust"]

LEAST = 20  # pairs that the window holds at least


@dataclass(frozen=True)
class Trust:
    """What the latest prequential predictions say of the model.

    Attributes
    ----------
    value : float
        From -1 to 1: 0 is what a constant answer earns at best, 1 is no error. It is biased low where tasks are chosen
        for being hard.
    balanced_accuracy : float
        Mean recall of the classes in the window, or, where several labels may hold, the mean over labels of the mean
        of both recalls; 0 without any.
    count : int
        Pairs in the window.
    """

    value: float = 0.0
    balanced_accuracy: float = 0.0
    count: int = 0


def measure_trust(predicted: Sequence[Value], actual: Sequence[Value], *, classes: Sequence[str], multi: bool) -> Trust:
    """Compare predictions, each made before the model was trained on its label, with the labels that came.

    Parameters
    ----------
    predicted, actual : sequence of Value, equally long
        All pairs, oldest first.
    classes : sequence of str
        Classes of the label config.
    multi : bool
        Whether several labels may hold for one task.

    Returns
    -------
    Trust
        Of the last ``max(20, 2 c)`` pairs, c being the classes seen in all of them (2 for each of several labels). Its
        value is ``(a - 1/c) / (1 - 1/c)`` with the balanced accuracy a, and 0 when there are fewer pairs, or when the
        labels in the window all say the same.

    Raises
    ------
    ValueError
        If the two are not equally long.

    Notes
    -----
    The c of the value counts the classes in the window, so that a constant answer earns 0 at best, however few of the
    classes the window shows. Were it all classes seen, always saying the commoner of two would pass the gate.
    """
    pairs = list(zip(predicted, actual, strict=True))
    if multi:
        window = pairs[-LEAST:]
        scores = [
            score
            for name in classes
            if (score := _balanced([(name in said, name in came) for said, came in window])) is not None
        ]
        balanced, c = (sum(scores) / len(scores) if scores else 0.0), (2 if scores else 0)
        needed = LEAST
    else:
        needed = max(LEAST, 2 * len(set(actual)))
        window = pairs[-needed:]
        c = len({came for _, came in window})
        balanced = _mean_recall(window)
    if len(window) < needed or c < 2:
        return Trust(0.0, balanced, len(window))
    return Trust((balanced - 1 / c) / (1 - 1 / c), balanced, len(window))


def _balanced(pairs: Sequence[tuple[bool, bool]]) -> float | None:
    """Return the balanced accuracy of one label, or None where it is always present or always absent."""
    return _mean_recall(pairs) if len({came for _, came in pairs}) == 2 else None


def _mean_recall(pairs: Sequence[tuple[object, object]]) -> float:
    """Return the mean, over what came, of the share that was said; 0 for no pairs."""
    hits: dict[object, list[bool]] = {}
    for said, came in pairs:
        hits.setdefault(came, []).append(said == came)
    return sum(sum(each) / len(each) for each in hits.values()) / len(hits) if hits else 0.0
