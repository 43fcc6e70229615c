"""Learning curves: how good the model is after so many labels, with intervals over seeds, as CSV, table and picture."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..stopping import Measurement

__all__ = [
    "Interval",
    "Point",
    "Summary",
    "accuracy",
    "balanced_accuracy",
    "plot",
    "summarize",
    "t_interval",
    "table",
    "write_curves",
    "write_summary",
]

CONFIDENCE = 0.95
# Okabe and Ito's colors, told apart by people with any kind of color vision; the reference is black.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31", "#7F7F7F")
MARKERS = "osD^vP*X<>"
MARGIN = 8  # points that the picture shows above and below the mean curves
_SUMMARY_COLUMNS = ("balanced_area", "balanced_gain", "accuracy_area", "accuracy_gain")


@dataclass(frozen=True, order=True)
class Point:
    """One model on the test set.

    Attributes
    ----------
    strategy : str
    seed : int
    labels : int
        Labels that the model was trained on.
    accuracy, balanced_accuracy : float
        Within [0, 1].
    measurement : Measurement or None
        What the campaign's own labels say of the model, and a forecast is made of; None with few labels.
    """

    strategy: str
    seed: int
    labels: int
    accuracy: float
    balanced_accuracy: float
    measurement: Measurement | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Interval:
    """A mean, and where the true mean lies with 95 % confidence; `low` and `high` are None with a single value."""

    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Summary:
    """One strategy over all seeds, in points (hundredths).

    Attributes
    ----------
    strategy : str
    seeds : int
    balanced_area, accuracy_area : Interval
        Area under the curve: balanced accuracy and accuracy, averaged over the label counts of the curve.
    balanced_gain, accuracy_gain : Interval or None
        Area minus the reference's, seed by seed (paired); None for the reference itself.
    """

    strategy: str
    seeds: int
    balanced_area: Interval
    balanced_gain: Interval | None
    accuracy_area: Interval
    accuracy_gain: Interval | None


def accuracy(actual: NDArray[np.int64], predicted: NDArray[np.int64]) -> float:
    """Return the share of equal classes; both of shape (n,), n > 0."""
    return float(np.mean(actual == predicted))


def balanced_accuracy(actual: NDArray[np.int64], predicted: NDArray[np.int64]) -> float:
    """Return the mean over the classes of `actual` of the share found; both of shape (n,), n > 0."""
    return float(np.mean([np.mean(predicted[actual == number] == number) for number in np.unique(actual)]))


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


def summarize(points: Iterable[Point], reference: str) -> list[Summary]:
    """Compare strategies with one of them.

    Parameters
    ----------
    points : iterable of Point
        Every strategy with the same seeds and label counts.
    reference : str
        One of the strategies.

    Returns
    -------
    list of Summary
        Best area of balanced accuracy first; equal ones by name.
    """
    areas: dict[str, dict[int, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    for point in points:
        areas[point.strategy][point.seed].append((100 * point.balanced_accuracy, 100 * point.accuracy))
    mean = {
        name: np.array([np.mean(of_seed[seed], axis=0) for seed in sorted(of_seed)]) for name, of_seed in areas.items()
    }
    summaries = []
    for name, values in mean.items():
        gain = None if name == reference else values - mean[reference]
        summaries.append(
            Summary(
                name,
                len(values),
                t_interval(values[:, 0]),
                None if gain is None else t_interval(gain[:, 0]),
                t_interval(values[:, 1]),
                None if gain is None else t_interval(gain[:, 1]),
            )
        )
    return sorted(summaries, key=lambda summary: (-summary.balanced_area.mean, summary.strategy))


def write_curves(points: Iterable[Point], path: Path) -> None:
    """Write one line per point: strategy, seed, labels, accuracy, balanced_accuracy (fractions of 1)."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("strategy", "seed", "labels", "accuracy", "balanced_accuracy"))
        for point in points:
            scores = (f"{point.accuracy:.6f}", f"{point.balanced_accuracy:.6f}")
            writer.writerow((point.strategy, point.seed, point.labels, *scores))


def write_summary(summaries: Iterable[Summary], path: Path) -> None:
    """Write one line per strategy: each quantity with `_low` and `_high`, empty where there is none, in points."""
    ends = ("", "_low", "_high")
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("strategy", "seeds", *(name + end for name in _SUMMARY_COLUMNS for end in ends)))
        for summary in summaries:
            cells: list[str] = []
            for name in _SUMMARY_COLUMNS:
                interval = getattr(summary, name) or Interval(float("nan"), None, None)
                numbers = (interval.mean, interval.low, interval.high)
                cells += ["" if number is None or number != number else f"{number:.4f}" for number in numbers]
            writer.writerow((summary.strategy, summary.seeds, *cells))


def table(summaries: Sequence[Summary], reference: str) -> str:
    """Return the summaries as text for people, one line per strategy."""
    width = max(len("strategy"), *(len(summary.strategy) for summary in summaries))
    lines = [f"{'strategy':<{width}}  {'balanced accuracy':>22}  {'minus ' + reference:>22}  {'accuracy':>22}"]
    for summary in summaries:
        cells = [_cell(summary.balanced_area), _cell(summary.balanced_gain, "+"), _cell(summary.accuracy_area)]
        lines.append("  ".join([f"{summary.strategy:<{width}}", *(f"{cell:>22}" for cell in cells)]))
    return "\n".join(lines)


def _cell(interval: Interval | None, sign: str = "") -> str:
    if interval is None:
        return ""
    if interval.high is None:
        return f"{interval.mean:{sign}.1f}"
    return f"{interval.mean:{sign}.1f} ± {interval.high - interval.mean:.1f}"


def plot(points: Iterable[Point], path: Path, *, reference: str, title: str) -> None:
    """Draw mean curves of balanced accuracy with 95 % bands as PNG.

    Parameters
    ----------
    points : iterable of Point
        Every strategy with the same seeds and label counts.
    path : Path
        The file to write.
    reference : str
        Drawn dashed and in black.
    title : str
        What is seen, such as the number of images.

    Raises
    ------
    ImportError
        Without matplotlib, which only the extra ``offline`` of this distribution asks for.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    values: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for point in points:
        values[point.strategy][point.labels].append(100 * point.balanced_accuracy)
    figure = Figure(figsize=(8, 5), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    others = [name for name in values if name != reference]
    lowest, highest = 100.0, 0.0
    for place, name in enumerate([*others, *(name for name in values if name == reference)]):
        counts = sorted(values[name])
        intervals = [t_interval(values[name][count]) for count in counts]
        if name == reference:
            color, style, marker = "black", "--", ""
        else:  # beyond eight strategies a color returns with another line
            color, style = COLORS[place % len(COLORS)], "-" if place < len(COLORS) else ":"
            marker = MARKERS[place % len(MARKERS)]
        means = [interval.mean for interval in intervals]
        lowest, highest = min(lowest, *means), max(highest, *means)
        axes.plot(counts, means, style, color=color, marker=marker, markersize=4, linewidth=1.6, label=name)
        bands = [(interval.low, interval.high) for interval in intervals if interval.low is not None]
        if bands:
            low, high = zip(*bands, strict=True)
            axes.fill_between(counts, low, high, color=color, alpha=0.12, linewidth=0)
    # The means decide what is seen: bands of two or three seeds would press them flat.
    axes.set_ylim(max(lowest - MARGIN, -1), min(highest + MARGIN, 101))
    axes.set_xlabel("labels")
    axes.set_ylabel("balanced accuracy on the test set (%)")
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower right", fontsize=8, ncols=2 if len(values) > 6 else 1)
    figure.savefig(path)
