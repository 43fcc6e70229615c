"""What `labelqueue simulate` compares: strategies as project settings, seeds, label counts, pools and test sets."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..allowed import needs_budget
from ..exceptions import LabelQueueError, SettingError
from ..settings import COLD_START, PROJECT, WARM, parse_project_settings
from .dataset import Truth
from .pools import HELD_OUT, Split, split
from .scores import judged

__all__ = ["Experiment", "label_counts", "parse_set", "parse_strategy", "splits"]

# These are what a simulation varies by itself, or have nothing to act on without a Label Studio.
OWN_OPTIONS = {"strategy": "--strategy", "seed": "--seeds", "embedder": "--model"}
WITHOUT_EFFECT = ("attention_ratio", "neighbourhood", "target", "prelabel", "bal_features", "balance", "label_map")
FOR_ALL = ("n_patterns",)  # what images are embedded with


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
    reference : str, default 'random'
        The strategy that the others are compared with.
    imbalance : float, optional
        How many times the largest class of the pool is to be the smallest; see `thinned`.
    keep_split : bool, default False
        Whether every seed has the test set of the label file. Else each draws its own, of the same size.
    """

    strategies: Mapping[str, dict[str, Any]]
    seeds: int
    counts: tuple[int, ...]
    reference: str = "random"
    imbalance: float | None = None
    keep_split: bool = False


def parse_strategy(name: str, settings: Mapping[str, Any], budget: int | None = None) -> dict[str, Any]:
    """Return the project settings that a name stands for.

    Parameters
    ----------
    name : str
        `auto`, a strategy, or ``COLD+WARM``, and in brackets settings of its own: ``auto[switch_after=50,trials=1]``.
    settings : mapping
        Settings common to all strategies, parsed.
    budget : int, optional
        Labels that a campaign pays for: known to a strategy that needs to know it.

    Raises
    ------
    LabelQueueError
        If there is no such strategy; the message lists what there is.
    SettingError
        If a setting in the brackets cannot be.
    """
    bare, own = _own(name)
    cold, plus, warm = bare.partition("+")
    wanted = {"strategy": "auto", "cold_start": cold, "warm": warm} if plus else {"strategy": bare}
    try:
        found = {**settings, **own, **parse_project_settings(wanted)}
    except SettingError as error:
        from poolselect import strategies

        raise LabelQueueError(
            f"unknown strategy {bare!r}; there are auto, {', '.join(sorted({*strategies(), *WARM}))}, and pairs "
            f"COLD+WARM of {', '.join(COLD_START)} + {', '.join(WARM)}"
        ) from error
    if budget is not None and needs_budget({name: setting.default for name, setting in PROJECT.items()} | found):
        found.setdefault("budget", budget)
    return found


def _own(name: str) -> tuple[str, dict[str, Any]]:
    """Return a name without its brackets, and the settings in them."""
    match = re.fullmatch(r"([^\[\]]*)\[(.*)\]", name)
    if match is None:
        if "[" in name or "]" in name:
            raise SettingError(f"--strategy {name}: expected NAME[key=value,key=value], such as auto[switch_after=50]")
        return name, {}
    bare, inside = match.groups()
    pairs = [pair.strip() for pair in inside.split(",")]
    for pair in pairs:
        if (key := pair.partition("=")[0]) in FOR_ALL:
            raise SettingError(f"--strategy {name}: {key} holds for all strategies: use --set {pair}")
    own = parse_set(pairs, f"--strategy {name}: ")
    if "+" in bare and (twice := [key for key in ("cold_start", "warm") if key in own]):
        raise SettingError(f"--strategy {name}: {twice[0]} stands before the brackets already")
    return bare, own


def parse_set(pairs: Sequence[str], where: str = "--set ") -> dict[str, Any]:
    """Return the settings of ``key=value`` pairs, values being JSON or plain text.

    Parameters
    ----------
    pairs : sequence of str
    where : str
        Put before a pair in an error.

    Raises
    ------
    SettingError
        If a pair has no `=`, a key or value is not allowed, or the key has no effect here.
    """
    raw: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise SettingError(f"{where}{pair}: expected key=value, such as control_share=0")
        if key in OWN_OPTIONS:
            raise SettingError(f"{where}{pair}: use {OWN_OPTIONS[key]} instead")
        if key in WITHOUT_EFFECT:
            raise SettingError(f"{where}{pair}: {key} has no effect in a simulation")
        try:
            raw[key] = json.loads(text)
        except ValueError:
            raw[key] = text
    try:
        return parse_project_settings(raw)
    except SettingError as error:
        raise SettingError(f"{where.removesuffix(' ').removesuffix(':')}: {error}") from error


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


def splits(labels: Truth, test: NDArray[np.bool_] | None, experiment: Experiment) -> list[Split]:
    """Return pool and test set of each seed; see `split`.

    Parameters
    ----------
    labels : ndarray of shape (n,), int64, or (n, c), bool
        See `Dataset`.
    test : ndarray of shape (n,), bool, or None
        The test set of the label file, if it names one.
    experiment : Experiment

    Raises
    ------
    LabelQueueError
        If the budget is larger than a pool, a pool has nothing to tell apart, a test set measures nothing, the file
        names no test set that could be kept, or there are no classes to thin.
    """
    multi, named = labels.ndim == 2, test is not None and bool(test.any())
    if experiment.imbalance is not None and multi:
        raise LabelQueueError(
            "--imbalance thins classes, and here an image may have several labels: fewer images of one are fewer of "
            "others too. Leave it out; labels of several are unbalanced as they are"
        )
    if experiment.keep_split and not named:
        raise LabelQueueError(
            "--split file keeps the test set of the label file, and it names none: write test in a column split, or "
            "leave the option out and a fifth is held out for each seed"
        )
    share = float(test.mean()) if test is not None and named else HELD_OUT
    kept = test if experiment.keep_split else None
    found = [
        split(labels, kept, seed=seed, share=share, imbalance=experiment.imbalance) for seed in range(experiment.seeds)
    ]
    for one in found:
        _check(one, labels, experiment)
    return found


def _check(part: Split, labels: Truth, experiment: Experiment) -> None:
    if not part.test.size:
        raise LabelQueueError(
            "the test set is empty: each class has a single image, so that none can be held out; add images, or mark "
            "some as test and say --split file"
        )
    if labels.ndim == 2 and not judged(labels[part.test]).any():
        raise LabelQueueError(
            f"no label is on some of the {part.test.size} images of the test set and not on the others: nothing can be "
            "measured; add images"
        )
    if len(np.unique(labels[part.pool], axis=0)) < 2:
        raise LabelQueueError("all images of the pool have the same label; at least two classes are needed")
    if (budget := experiment.counts[-1]) > part.pool.size:
        thinned = " and --imbalance has thinned it" if experiment.imbalance is not None else ""
        raise LabelQueueError(
            f"--budget {budget} is more than the pool has: {part.pool.size} images, once {part.test.size} of "
            f"{len(labels)} are the test set{thinned}; label at most so many"
        )
