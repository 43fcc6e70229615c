"""The picture of learning curves: mean over the seeds with its interval, over labels on a logarithmic axis."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from .summary import Point, t_interval

__all__ = ["plot", "ticks"]

# Okabe and Ito's colors, told apart by people with any kind of color vision; the reference is black.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31", "#7F7F7F")
MARKERS = "osD^vP*X<>"
MARGIN = 8  # points that the picture shows above and below the mean curves
TICKS = 10  # label counts that have room below the axis


def plot(points: Iterable[Point], path: Path, *, reference: str, score: str, title: str) -> None:
    """Draw mean curves of the first score with 95 % bands as PNG.

    Parameters
    ----------
    points : iterable of Point
        Every strategy with the same seeds and label counts.
    path : Path
        The file to write.
    reference : str
        Drawn dashed and in black.
    score : str
        Its name, for people.
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
        values[point.strategy][point.labels].append(100 * point.scores[0])
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
    # Each doubling of the labels is as wide as the next: on a linear axis the beginning, where strategies differ, is a
    # sliver.
    axes.set_xscale("log", base=2)
    shown = ticks(sorted({count for of_strategy in values.values() for count in of_strategy}))
    axes.set_xticks(shown, labels=[f"{count:,}" for count in shown])
    axes.set_xticks([], minor=True)
    axes.set_xlabel("labels (logarithmic)")
    axes.set_ylabel(f"{score} on the test set (%)")
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower right", fontsize=8, ncols=2 if len(values) > 6 else 1)
    figure.savefig(path)


def ticks(counts: Sequence[int]) -> list[int]:
    """Return the label counts to write below a logarithmic axis: the ends, and those between them that have room.

    Examples
    --------
    >>> ticks([20, 40, 80, 100])
    [20, 40, 80, 100]
    >>> ticks(range(100, 201, 10))
    [100, 110, 120, 130, 140, 150, 160, 180, 200]
    """
    reach = (counts[-1] / counts[0]) ** (1 / TICKS)  # the least ratio of neighbors
    found = [counts[0]]
    for count in counts[1:-1]:
        if count >= found[-1] * reach and counts[-1] >= count * reach:
            found.append(count)
    return [*found, counts[-1]] if len(counts) > 1 else found
