"""What `labelqueue simulate` compares: strategies as project settings, seeds, label counts, pools and test sets."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..allowed import needs_budget
from ..exceptions import LabelQueueError, SettingError
from ..settings import COLD_START, PROJECT, WARM, parse_project_settings
from .dataset import Split, split

__all__ = ["Experiment", "label_counts", "parse_set", "parse_strategy", "splits"]

# These are what a simulation varies by itself, or have nothing to act on without a Label Studio.
OWN_OPTIONS = {"strategy": "--strategy", "seed": "--seeds"}
WITHOUT_EFFECT = ("attention_ratio", "neighbourhood", "target", "prelabel", "bal_features")


@dataclass(frozen=True)
class Experiment:
    """What is simulated.

    Attributes
    ----------
    strategies : mapping of str to dict
        Project settings of each strategy by the name it was asked for, without the seed.
    seeds : int
        Campaigns per strategy, seeds 0 to `seeds - 1`.
    counts : tuple of int
        Numbers of labels at which the model is measured, rising; the last is the budget.
    imbalance : float, default 1.0
        See `labelqueue.dataset.split`.
    """

    strategies: Mapping[str, dict[str, Any]]
    seeds: int
    counts: tuple[int, ...]
    imbalance: float = 1.0


def parse_strategy(name: str, settings: Mapping[str, Any], budget: int | None = None) -> dict[str, Any]:
    """Return the project settings that a name stands for.

    Parameters
    ----------
    name : str
        `auto`, a strategy, or ``COLD+WARM``.
    settings : mapping
        Settings common to all strategies, parsed.
    budget : int, optional
        Labels that a campaign pays for: known to a strategy that needs to know it.

    Raises
    ------
    LabelQueueError
        If there is no such strategy; the message lists what there is.
    """
    cold, plus, warm = name.partition("+")
    wanted = {"strategy": "auto", "cold_start": cold, "warm": warm} if plus else {"strategy": name}
    try:
        found = {**settings, **parse_project_settings(wanted)}
    except SettingError as error:
        from poolselect import strategies

        raise LabelQueueError(
            f"unknown strategy {name!r}; there are auto, {', '.join(sorted({*strategies(), *WARM}))}, and pairs "
            f"COLD+WARM of {', '.join(COLD_START)} + {', '.join(WARM)}"
        ) from error
    if budget is not None and needs_budget({name: setting.default for name, setting in PROJECT.items()} | found):
        found.setdefault("budget", budget)
    return found


def parse_set(pairs: Sequence[str]) -> dict[str, Any]:
    """Return the settings of ``key=value`` pairs, values being JSON or plain text.

    Raises
    ------
    SettingError
        If a pair has no `=`, a key or value is not allowed, or the key has no effect here.
    """
    raw: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise SettingError(f"--set {pair}: expected key=value, such as control_share=0")
        if key in OWN_OPTIONS:
            raise SettingError(f"--set {pair}: use {OWN_OPTIONS[key]} instead")
        if key in WITHOUT_EFFECT:
            raise SettingError(f"--set {pair}: {key} has no effect in a simulation")
        try:
            raw[key] = json.loads(text)
        except ValueError:
            raw[key] = text
    return parse_project_settings(raw)


def label_counts(start: int, budget: int, step: int | None = None) -> tuple[int, ...]:
    """Return the label counts of a curve, from `start` to `budget`.

    Without `step` each is about the square root of two times the one before: a curve changes most where labels are few.

    Examples
    --------
    >>> label_counts(20, 200)
    (20, 28, 40, 57, 80, 113, 160, 200)
    >>> label_counts(20, 100, 30)
    (20, 50, 80, 100)
    """
    counts, place = [], 0
    while (count := start + place * step if step else round(start * 2 ** (place / 2))) < budget:
        counts.append(count)
        place += 1
    return (*dict.fromkeys(counts), budget)


def splits(labels: NDArray[np.int64], test: NDArray[np.bool_] | None, experiment: Experiment) -> list[Split]:
    """Return pool and test set of each seed; see `labelqueue.dataset.split`.

    Raises
    ------
    LabelQueueError
        If the budget is larger than a pool, or there is nothing to test on.
    """
    found = [split(labels, test, seed=seed, imbalance=experiment.imbalance) for seed in range(experiment.seeds)]
    if not all(one.test.size for one in found):
        raise LabelQueueError("the test set is empty: each class has a single image, and the CSV names no test set")
    smallest = min(one.pool.size for one in found)
    if experiment.counts[-1] > smallest:
        raise LabelQueueError(
            f"--budget {experiment.counts[-1]} is more than the pool has: {smallest} images; label at most so many"
        )
    return found
