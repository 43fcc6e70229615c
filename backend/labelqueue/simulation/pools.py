"""Which images are annotated and which measure the model: pools and test sets, drawn anew for each seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .dataset import Truth

__all__ = ["HELD_OUT", "Split", "split", "thinned"]

HELD_OUT = 0.2  # share of the images held out where the label file names no test set


@dataclass(frozen=True, eq=False)
class Split:
    """Which rows are annotated and which measure the model; rows of one dataset, ascending, never in both.

    Attributes
    ----------
    pool : ndarray of shape (p,), int64
    test : ndarray of shape (t,), int64
    """

    pool: NDArray[np.int64]
    test: NDArray[np.int64]


def split(
    labels: Truth, test: NDArray[np.bool_] | None, *, seed: int, share: float = HELD_OUT, imbalance: float | None = None
) -> Split:
    """Divide a dataset into pool and test set.

    Parameters
    ----------
    labels : ndarray of shape (n,), int64, or (n, c), bool
        See `Dataset`.
    test : ndarray of shape (n,), bool, or None
        The test set; None: it is drawn, class by class.
    seed : int
        Of what is drawn.
    share : float, default 0.2
        How much of each class is drawn for the test set: at least one image, and at least one stays in the pool, where
        the class has two. Where several labels may hold, as near to that for each of them as can be.
    imbalance : float, optional
        See `thinned`. The test set stays as it is.
    """
    held = test if test is not None else _drawn(labels, seed, share)
    pool = np.flatnonzero(~held)
    if imbalance is not None:
        pool = pool[thinned(labels[pool], imbalance, seed)]
    return Split(pool, np.flatnonzero(held))


def _drawn(labels: Truth, seed: int, share: float) -> NDArray[np.bool_]:
    """Return which rows are held out."""
    held, left = np.zeros(len(labels), dtype=np.bool_), np.ones(len(labels), dtype=np.bool_)
    shown = labels.T if labels.ndim == 2 else (labels == number for number in range(int(labels.max(initial=0)) + 1))
    groups = list(enumerate(shown))
    if labels.ndim == 2:
        # Rare labels have few images to divide: they come first, and those without any label last.
        groups.sort(key=lambda group: int(group[1].sum()))
        groups.append((labels.shape[1], ~labels.any(axis=1)))
    for number, mine in groups:
        # One stream per class: a class's images do not depend on how many another has.
        rows = np.random.default_rng([seed % 2**63, number]).permutation(np.flatnonzero(mine & left))
        count = int(mine.sum())
        wanted = min(max(1, round(count * share)), count - 1) if count > 1 else 0
        held[rows[: max(0, wanted - int(held[mine].sum()))]] = True
        left &= ~mine
    return held


def thinned(labels: NDArray[Any], imbalance: float, seed: int) -> NDArray[np.int64]:
    """Return the rows that are left when the smallest class is to have `imbalance` times fewer images than the largest.

    Parameters
    ----------
    labels : ndarray of shape (n,), int64
        Class of each row.
    imbalance : float
        At least 1.
    seed : int
        Of which images are left.

    Returns
    -------
    ndarray of shape (m,), int64
        Ascending.

    Notes
    -----
    The largest class keeps all its images; the others, by size and then by number, may have as many as lie between in
    a geometric series, and at least one. A class that has fewer keeps what it has.
    """
    counts = np.bincount(labels)
    order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    kept = []
    for place, number in enumerate(order.tolist()):
        most = counts[order[0]] * imbalance ** (-place / max(len(order) - 1, 1))
        rows = np.random.default_rng([seed % 2**63, number, 1]).permutation(np.flatnonzero(labels == number))
        kept.append(rows[: max(1, round(most))])
    return np.sort(np.concatenate(kept))
