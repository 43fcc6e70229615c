"""Learning curves: how good the model is after so many labels, as CSV and picture."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .scores import Score

__all__ = ["Point", "write_curves"]


@dataclass(frozen=True, order=True)
class Point:
    """One model on the test set.

    Attributes
    ----------
    strategy : str
    seed : int
    labels : int
        Labels that the model was trained on.
    scores : tuple of float
        Within [0, 1]; which ones, `scores_of` says.
    """

    strategy: str
    seed: int
    labels: int
    scores: tuple[float, ...]


def write_curves(points: Iterable[Point], scores: Sequence[Score], path: Path) -> None:
    """Write one line per point: strategy, seed, labels and each score (fractions of 1), by the name of its column."""
    columns = sorted((score.column, place) for place, score in enumerate(scores))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("strategy", "seed", "labels", *(name for name, _ in columns)))
        for point in points:
            cells = [f"{point.scores[place]:.6f}" for _, place in columns]
            writer.writerow((point.strategy, point.seed, point.labels, *cells))
