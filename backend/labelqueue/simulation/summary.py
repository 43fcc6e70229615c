"""Learning curves, and what they come to: areas, gains over the reference, labels saved, as CSV and as a table."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..stopping import Measurement
from .scores import Score

__all__ = [
    "Interval",
    "Point",
    "Summary",
    "labels_saved",
    "summarize",
    "t_interval",
    "table",
    "write_curves",
    "write_summary",
]

CONFIDENCE = 0.95


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
    measurement : Measurement or None
        What the campaign's own labels say of the model, and a forecast is made of; None with few labels.
    """

    strategy: str
    seed: int
    labels: int
    scores: tuple[float, ...]
    measurement: Measurement | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Interval:
    """A mean, and where the true mean lies with 95 % confidence; `low` and `high` are None with a single value."""

    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Summary:
    """One strategy over all seeds.

    Attributes
    ----------
    strategy : str
    seeds : int
    areas : mapping of str to Interval
        Key of each score to the area under the curve, in points (hundredths): the score averaged over the label counts
        of the curve.
    gains : mapping of str to (Interval or None)
        Area minus the reference's, seed by seed (paired); None for the reference itself.
    labels_saved : Interval or None
        Labels, seed by seed; see the function of this name. None for the reference itself.
    """

    strategy: str
    seeds: int
    areas: Mapping[str, Interval]
    gains: Mapping[str, Interval | None]
    labels_saved: Interval | None

    def quantities(self) -> dict[str, Interval | None]:
        """Return everything that has an interval, by name."""
        found: dict[str, Interval | None] = {}
        for key, area in self.areas.items():
            found |= {f"{key}_area": area, f"{key}_gain": self.gains[key]}
        return found | {"labels_saved": self.labels_saved}

    def as_dict(self) -> dict[str, Any]:
        """Return the summary, ready for JSON."""
        intervals = {name: value and asdict(value) for name, value in self.quantities().items()}
        return {"strategy": self.strategy, "seeds": self.seeds, **intervals}


def t_interval(values: ArrayLike) -> Interval:
    """Return mean and 95 % interval of independent values by Student's t distribution.

    Examples
    --------
    >>> t_interval([4.0])
    Interval(mean=4.0, low=None, high=None)
    """
    from scipy.special import stdtrit

    array = np.asarray(values, dtype=np.float64)
    mean = float(array.mean())
    if array.size < 2:
        return Interval(mean, None, None)
    error = float(array.std(ddof=1)) / array.size**0.5
    reach = float(stdtrit(array.size - 1, (1 + CONFIDENCE) / 2)) * error
    return Interval(mean, mean - reach, mean + reach)


def labels_saved(counts: Sequence[int], scores: ArrayLike, reference: ArrayLike) -> float:
    """Return how many labels fewer a strategy needs than the reference for the best score that both reach.

    Parameters
    ----------
    counts : sequence of int, length p
        Labels at the points of both curves, rising.
    scores, reference : array_like of shape (p,)
        The strategy's curve and the reference's.

    Returns
    -------
    float
        The reference's labels minus the strategy's: below 0 where the strategy needs more, 0 where both have that score
        at their first point, and never beyond the span of the curves.

    Notes
    -----
    Both curves are made to rise first (isotonic regression, least squares): a dip is the noise of one test. The score
    is the lower one of their two ends. Where a curve first has it is interpolated, linearly in the logarithm of the
    labels. So a strategy that ends above the reference is asked where it was level with the reference's end, and one
    that ends below is asked where the reference was level with its own. The sign changes when the two change places,
    and two random orders save nothing on average.

    Examples
    --------
    >>> labels_saved([25, 100, 400], [0.5, 0.7, 0.8], [0.4, 0.6, 0.7])
    300.0
    >>> labels_saved([25, 100, 400], [0.4, 0.6, 0.7], [0.5, 0.6, 0.8])
    -200.0
    """
    rising = [_rising(np.asarray(curve, dtype=np.float64)) for curve in (reference, scores)]
    wanted = min(curve[-1] for curve in rising)
    needed = []
    for curve in rising:
        place = int(np.argmax(curve >= wanted))
        if place == 0:
            needed.append(float(counts[0]))
            continue
        below, above = curve[place - 1], curve[place]
        octaves = np.log2(counts[place] / counts[place - 1]) * (wanted - below) / (above - below)
        needed.append(float(counts[place - 1] * 2**octaves))
    return needed[0] - needed[1]


def _rising(curve: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the nearest curve that never falls: points that do are replaced by their mean."""
    steps: list[tuple[float, int]] = []  # sum and number of the points that share a value
    for total in curve.tolist():
        count = 1
        while steps and steps[-1][0] * count >= total * steps[-1][1]:
            before, more = steps.pop()
            total, count = total + before, count + more
        steps.append((total, count))
    return np.repeat([total / count for total, count in steps], [count for _, count in steps])


def summarize(points: Iterable[Point], reference: str, scores: Sequence[Score]) -> list[Summary]:
    """Compare strategies with one of them.

    Parameters
    ----------
    points : iterable of Point
        Every strategy with the same seeds and label counts.
    reference : str
        One of the strategies.
    scores : sequence of Score
        Those of the points; labels saved are of the first one.

    Returns
    -------
    list of Summary
        Best area of the first score first; equal ones by name.
    """
    curves: dict[str, dict[int, dict[int, tuple[float, ...]]]] = defaultdict(lambda: defaultdict(dict))
    for point in points:
        curves[point.strategy][point.seed][point.labels] = point.scores
    seeds, counts = sorted(curves[reference]), sorted(next(iter(curves[reference].values())))
    # strategy to an array of shape (seeds, counts, scores)
    array = {
        name: np.array([[of_seed[seed][count] for count in counts] for seed in seeds])
        for name, of_seed in curves.items()
    }
    base = array[reference]
    summaries = []
    for name, mine in array.items():
        areas = {score.key: 100 * mine[:, :, place].mean(axis=1) for place, score in enumerate(scores)}
        gains: dict[str, Interval | None] = dict.fromkeys(areas)
        saved = None
        if name != reference:
            for place, score in enumerate(scores):
                gains[score.key] = t_interval(areas[score.key] - 100 * base[:, :, place].mean(axis=1))
            pairs = zip(mine[:, :, 0], base[:, :, 0], strict=True)
            saved = t_interval([labels_saved(counts, own, other) for own, other in pairs])
        intervals = {key: t_interval(area) for key, area in areas.items()}
        summaries.append(Summary(name, len(seeds), intervals, gains, saved))
    first = scores[0].key
    return sorted(summaries, key=lambda summary: (-summary.areas[first].mean, summary.strategy))


def write_summary(summaries: Iterable[Summary], path: Path) -> None:
    """Write one line per strategy: each quantity with `_low` and `_high`, empty where there is none."""
    rows = [(summary, summary.quantities()) for summary in summaries]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        names = [name + end for name in rows[0][1] for end in ("", "_low", "_high")]
        writer.writerow(("strategy", "seeds", *names))
        for summary, quantities in rows:
            cells: list[str] = []
            for interval in quantities.values():
                numbers = (interval.mean, interval.low, interval.high) if interval else (None, None, None)
                cells += ["" if number is None else f"{number:.4f}" for number in numbers]
            writer.writerow((summary.strategy, summary.seeds, *cells))


def table(summaries: Sequence[Summary], reference: str, scores: Sequence[Score]) -> str:
    """Return the summaries as text for people, one line per strategy."""
    first, second = scores
    rows = [("strategy", first.name, f"minus {reference}", "labels saved", second.name)]
    for summary in summaries:
        rows.append(
            (
                summary.strategy,
                _cell(summary.areas[first.key]),
                _cell(summary.gains[first.key], "+"),
                _saved(summary.labels_saved),
                _cell(summary.areas[second.key]),
            )
        )
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    )


def _cell(interval: Interval | None, sign: str = "", digits: int = 1) -> str:
    if interval is None:
        return ""
    mean = f"{interval.mean:{sign}.{digits}f}"
    return mean if interval.high is None else f"{mean} ± {interval.high - interval.mean:.{digits}f}"


def _saved(interval: Interval | None) -> str:
    """Return labels saved for people, who read `12 more` more easily than a loss as a saving below zero."""
    if interval is None or interval.mean > -0.5:
        return _cell(interval, digits=0).removeprefix("-")  # -0
    reach = "" if interval.high is None else f" ± {interval.high - interval.mean:.0f}"
    return f"{-interval.mean:.0f}{reach} more"


def write_curves(points: Iterable[Point], scores: Sequence[Score], path: Path) -> None:
    """Write one line per point: strategy, seed, labels and each score (fractions of 1), by the name of its column."""
    columns = sorted((score.column, place) for place, score in enumerate(scores))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("strategy", "seed", "labels", *(name for name, _ in columns)))
        for point in points:
            cells = [f"{point.scores[place]:.6f}" for _, place in columns]
            writer.writerow((point.strategy, point.seed, point.labels, *cells))
