"""Forecasts of simulated campaigns, each beside what came: how often the band holds.

For images of one class each: where several labels may hold, the curve is of another score than the forecast.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..stopping import MEASURES, Forecast, Measurement
from .scores import SINGLE
from .summary import Point

__all__ = ["Outcome", "coverage", "coverage_line", "outcomes", "write_forecasts"]

FARTHEST = 2.0  # times the labels that a forecast was made with
_COLUMNS = ("strategy", "seed", "made_at", "labels", "measure", "low", "middle", "high", "came", "covered")


@dataclass(frozen=True)
class Outcome:
    """One forecast and what came.

    Attributes
    ----------
    strategy : str
    seed : int
    made_at : int
        Labels that it was made with.
    labels : int
        Labels that it is for.
    measure : str
    low, middle, high : float
        The band, for a test set of this size.
    came : float
        On the test set.
    """

    strategy: str
    seed: int
    made_at: int
    labels: int
    measure: str
    low: float
    middle: float
    high: float
    came: float

    @property
    def covered(self) -> bool:
        """Whether what came lies in the band."""
        return self.low <= self.came <= self.high


def outcomes(points: Iterable[Point], tests: Mapping[int, NDArray[np.int64]]) -> list[Outcome]:
    """Compare each forecast with what came, up to twice the labels that it was made with.

    Parameters
    ----------
    points : iterable of Point
        In the order in which `simulate` returns them.
    tests : mapping of int to ndarray
        Images of each class in the test set, by seed. What is measured on a small test set differs from what holds for
        all images: the bands are widened by its standard error.
    """
    campaigns: dict[tuple[str, int], list[Point]] = defaultdict(list)
    for point in points:
        campaigns[point.strategy, point.seed].append(point)
    found = []
    for (strategy, seed), curve in campaigns.items():
        counts = tests[seed][tests[seed] > 0]
        measurements: list[Measurement] = []
        for place, point in enumerate(curve):
            if point.measurement is None:
                continue
            measurements.append(point.measurement)
            for name in MEASURES:
                forecast, place_of = Forecast(measurements, name), [score.column for score in SINGLE].index(name)
                for later in curve[place + 1 :]:
                    if later.labels > FARTHEST * point.labels:
                        break
                    share = forecast.band(later.labels).middle
                    spread = share * (1 - share)
                    balanced = spread * (1 / counts).sum() / counts.size**2
                    variance = spread / counts.sum() if name == "accuracy" else balanced
                    band = forecast.band(later.labels, noise=float(variance) ** 0.5)
                    ends = (band.low, band.middle, band.high)
                    found.append(
                        Outcome(strategy, seed, point.labels, later.labels, name, *ends, later.scores[place_of])
                    )
    return found


def coverage(found: Iterable[Outcome]) -> list[dict[str, Any]]:
    """Return how often the band held, for each strategy and measure."""
    held: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for one in found:
        held[one.strategy, one.measure].append(one.covered)
    return [
        {"strategy": strategy, "measure": name, "covered": sum(hits), "forecasts": len(hits)}
        for (strategy, name), hits in held.items()
    ]


def coverage_line(found: Iterable[Outcome]) -> str:
    """Return how often the band held, for people; empty without a forecast."""
    told, all_of = [], list(found)
    for name in MEASURES:
        hits = [one.covered for one in all_of if one.measure == name]
        if hits:
            told.append(f"{name.replace('_', ' ')} {sum(hits):,} of {len(hits):,} ({sum(hits) / len(hits):.0%})")
    return f"Forecasts of up to twice the labels whose 90% band held: {', '.join(told)}." if told else ""


def write_forecasts(found: Iterable[Outcome], path: Path) -> None:
    """Write one line per forecast, shares as fractions of 1."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for one in found:
            shares = (f"{getattr(one, name):.6f}" for name in ("low", "middle", "high", "came"))
            writer.writerow(
                (one.strategy, one.seed, one.made_at, one.labels, one.measure, *shares, "yes" if one.covered else "no")
            )
