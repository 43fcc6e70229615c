"""What people are told of the learning curve: the forecast for a share that they want, and the stop hints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..exceptions import SettingError
from .curve import Measurement
from .forecast import CONFIDENCE, MEASURES, Forecast, next_target

__all__ = ["learning_curve", "wanted_share"]

# What each measure is of: for one label per image, and for several.
OF = {
    "accuracy": ("right on all images", "right answers on all images"),
    "balanced_accuracy": ("every class counting alike", "present and absent, and every label, counting alike"),
}


def wanted_share(text: str) -> float:
    """Return the share that somebody wants to reach.

    Raises
    ------
    SettingError
        If it is none.
    """
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise SettingError(f"target is {text[:80]!r}; expected a share above 0 and below 1, such as 0.9 for 90%")
    return share


def learning_curve(measured: Mapping[str, Any] | None, target: float | None = None) -> dict[str, Any] | None:
    """Return what a look measured with the forecast that follows from it, ready for JSON.

    Parameters
    ----------
    measured : mapping or None
        See `Watch.told`, with the controls beside it; None before the first look.
    target : float, optional
        The share that people want. Default: 0.9, or the next one above what is reached.
    """
    if measured is None:
        return None
    measurements = [Measurement.load(row) for row in measured["measurements"]]
    forecast = None
    if measurements:
        target = target or next_target(measurements[-1].accuracy)
        forecasts = {name: Forecast(measurements, name) for name in MEASURES}
        forecast = {"confidence": CONFIDENCE, "target": target} | {
            name: {
                "bands": [band.as_dict() for band in one.horizons()],
                "need": one.need(target).as_dict(),
                "line": one.line(target, OF[name][measured["several"]]),
            }
            for name, one in forecasts.items()
        }
    told = {**measured, "forecast": forecast}
    return told | {"lines": list(_lines(told)), "hint_lines": list(_hint_lines(told["hints"]))}


def _lines(curve: Mapping[str, Any]) -> Iterator[str]:
    if curve["forecast"] is None:
        yield f"none yet: {curve['waits_for']}"
        return
    for name in MEASURES:
        yield curve["forecast"][name]["line"]
    now, guessed = curve["measurements"][-1], [one["guessed"] for one in curve["steps"] if one["guessed"] is not None]
    before = f"; the latest guesses before their label was learned {guessed[-1]:.0%}" if guessed else ""
    yield (
        f"{CONFIDENCE:.0%} bands, from {now['labels']:,} labels and corrected for their choice; cross-validated on "
        f"these labels alone {now['chosen_accuracy']:.0%} (every class alike {now['chosen_balanced']:.0%}){before}"
    )


def _hint_lines(hints: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if hints:
        yield f"{sum(bool(hint['met']) for hint in hints)} of {len(hints)} signs that more labels change little"
    for hint in hints:
        yield f"{hint['name']}: {'yes' if hint['met'] else 'no'}; {hint['told']}"
