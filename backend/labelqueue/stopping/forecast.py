"""The forecast: how good the model will be with more labels, and how many labels a wish takes. Plain arithmetic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, Literal

from .curve import Measurement

__all__ = ["CONFIDENCE", "MEASURES", "Band", "Forecast", "Need", "next_target", "nice"]

Measure = Literal["accuracy", "balanced_accuracy"]
MEASURES: tuple[Measure, ...] = ("accuracy", "balanced_accuracy")
ERRORS = {"accuracy": "accuracy_error", "balanced_accuracy": "balanced_error"}
CONFIDENCE = 0.9

# Measured in simulated campaigns, see docs/forecast.md.
SLOPE, SLOPE_SPREAD = 0.22, 0.12  # of the error, as a power of the number of labels, before a campaign shows its own
INFLATION = 1.2  # of the standard error: labels that were chosen are fewer than they look
BIAS = 0.03  # what the correction for active choice is off by, however many labels there are
APART = 2.0  # times the labels: measurements nearer to each other share their errors, and tell nothing of the slope

FARTHEST = 10  # times the present labels: nothing is said of more
STEP = 1.02  # between numbers of labels that are tried
HORIZONS = (1.5, 2.0, 4.0)  # times the present labels: what people are told of
TARGETS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)


@dataclass(frozen=True)
class Band:
    """Where a share will lie at one number of labels, with 90 % confidence; each from 0 to 1."""

    labels: int
    low: float
    middle: float
    high: float

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {name: round(value, 4) if isinstance(value, float) else value for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Need:
    """How many labels a share takes.

    Attributes
    ----------
    target : float
        The share.
    low, middle, high : int or None
        Labels at which the upper end of the band, its middle and its lower end reach it; None: not within ten times the
        present labels.
    """

    target: float
    low: int | None
    middle: int | None
    high: int | None

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self)


class Forecast:
    """What the measurements of a campaign say of more labels.

    Parameters
    ----------
    measurements : sequence of Measurement
        Oldest first, at least one. The last one is the present.
    measure : {'accuracy', 'balanced_accuracy'}
        Which of the two is forecast.

    Notes
    -----
    Errors fall as a power of the number of labels, so the logarithm of the error is a straight line over that of the
    labels. Its level comes from the measurements, its slope too as far as they tell it: a normal prior on the slope,
    from other campaigns, counts beside them (Bayesian linear regression). A curve that ends at a plateau is flatter:
    its measurements say so once there are hundreds of labels. To what the regression does not know comes what the
    correction for active choice may be off by.
    """

    def __init__(self, measurements: Sequence[Measurement], measure: Measure = "accuracy") -> None:
        self.present = measurements[-1]
        self._unseen = self.present.unseen if measure == "balanced_accuracy" else 0.0
        a = b = 0.0  # of the precision matrix of level and slope, [[a, b], [b, d]], and what stands beside it
        d, at_level, at_slope = SLOPE_SPREAD**-2, 0.0, SLOPE * SLOPE_SPREAD**-2
        for measurement in _apart(measurements):
            error = _error(getattr(measurement, measure))
            spread = INFLATION * max(getattr(measurement, ERRORS[measure]), 0.5 / measurement.labels)
            # What the present one is off by is added in the end; an earlier one was off by something else.
            bias = 0.0 if measurement is self.present else BIAS
            weight = error**2 / (spread**2 + bias**2)
            back = math.log(self.present.labels / measurement.labels)
            a, b, d = a + weight, b + weight * back, d + weight * back**2
            at_level, at_slope = at_level + weight * math.log(error), at_slope + weight * back * math.log(error)
        determinant = a * d - b * b
        self._level = (d * at_level - b * at_slope) / determinant
        self._slope = (a * at_slope - b * at_level) / determinant
        self._variances = d / determinant, -b / determinant, a / determinant

    def band(self, labels: float, *, noise: float = 0.0) -> Band:
        """Return the band at a number of labels, from the present one on.

        Parameters
        ----------
        labels : float
        noise : float
            Standard error of a measurement that the band is to be compared with, such as that of a small test set.
        """
        farther = math.log(max(labels / self.present.labels, 1.0))
        middle = self._level - self._slope * farther
        of_level, of_both, of_slope = self._variances
        variance = of_level - 2 * of_both * farther + of_slope * farther**2
        variance += (BIAS * math.exp(-self._level)) ** 2 + (noise * math.exp(-middle)) ** 2
        reach = NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * math.sqrt(variance)
        low, share, high = (max(1 - math.exp(middle + by), 0.0) for by in (reach, 0.0, -reach))
        # A class without a label is not recognized, if there is one: that is the low end of what may be.
        return Band(round(labels), low * (1 - self._unseen), share, high)

    def need(self, target: float) -> Need:
        """Return how many labels it takes to reach a share; the present number where it is reached."""
        found: dict[str, int] = {}
        for power in range(math.ceil(math.log(FARTHEST) / math.log(STEP)) + 1):
            labels = self.present.labels * STEP**power
            band = self.band(labels)
            for name, share in (("low", band.high), ("middle", band.middle), ("high", band.low)):
                if share >= target:
                    found.setdefault(name, max(nice(labels), self.present.labels) if power else self.present.labels)
        return Need(target, found.get("low"), found.get("middle"), found.get("high"))

    def horizons(self) -> list[Band]:
        """Return the bands that people are told of: now, and up to where every image is labeled."""
        present = self.present.labels
        wanted = (max(min(nice(times * present), self.present.tasks), present) for times in HORIZONS)
        return [self.band(labels) for labels in dict.fromkeys((present, *wanted))]

    def line(self, target: float, what: str) -> str:
        """Return the forecast as a sentence for people.

        Parameters
        ----------
        target : float
            The share that somebody wants.
        what : str
            What the share is of.
        """
        now, *later = self.horizons()
        bands = ", ".join(f"at {band.labels:,} labels {band.low:.0%} to {band.high:.0%}" for band in later[:2])
        present = f"{what}: now {now.low:.0%} to {now.high:.0%}"
        return "; ".join(filter(None, (present, bands, self._told(self.need(target)))))

    def _told(self, need: Need) -> str:
        share, tasks = f"{100 * need.target:.4g}%", self.present.tasks
        if need.middle == self.present.labels:
            return f"{share} is reached, as far as this can tell"
        if need.low is None:
            return f"{share} is not reached within {FARTHEST} times the labels there are"
        if need.low > tasks or (need.middle or 0) > tasks:
            return f"{share} needs more than the {tasks:,} images there are"
        if need.middle is None:
            return f"{share} needs {need.low:,} at least"
        end = min(FARTHEST * self.present.labels, tasks)
        last = f"{need.high:,}" if need.high and need.high <= end else f"more than {end:,}"
        return f"{share} needs about {need.middle:,} ({need.low:,} to {last})"


def next_target(share: float) -> float:
    """Return the next round share that is above one."""
    return next((target for target in TARGETS if target > share and target >= 0.9), TARGETS[-1])


def nice(labels: float) -> int:
    """Return a number of labels with two digits that count.

    Examples
    --------
    >>> nice(87.4), nice(437), nice(1234)
    (87, 440, 1200)
    """
    unit: int = 10 ** max(math.floor(math.log10(labels)) - 1, 0)
    return round(labels / unit) * unit


def _error(share: float) -> float:
    """Return what is missing from 1, never nothing: of a model without a mistake so far, the next one is not known."""
    return max(1 - share, 0.005)


def _apart(measurements: Sequence[Measurement]) -> list[Measurement]:
    """Return the last measurement, and those before it that are far enough from each other."""
    chosen: list[Measurement] = []
    for measurement in reversed(measurements):
        if not chosen or measurement.labels * APART <= chosen[-1].labels:
            chosen.append(measurement)
    return chosen
