"""Near-duplicates: images that agree in embedding and perceptual hash, found among the neighbors in sorted hashes.

Hashes that differ in a few bits are equal in a long run of them. Sorted by the bits from there on, they stand side by
side; so the hashes are sorted 16 times, each time from another bit on, and each is compared with those that follow it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["BITS", "COSINE", "near_duplicates"]

BITS, COSINE = 7, 0.98  # of two hashes that may differ, at most, and of two embeddings, at least
SAME_BITS, SAME_COSINE = 1, 0.9  # the same where hashes are as good as equal: some models are upset by a little noise
NEIGHBORS = (1, 16, 16, 16)  # in the sorted hashes that each is compared with: first few, which settles most of a video
_TURN = 4  # bits between two ways to sort
_RUN = 1 << 14  # hashes that are compared at once
_CHUNK = 1 << 14  # pairs whose embeddings are compared at once


def near_duplicates(
    embeddings: NDArray[np.floating],
    hashes: NDArray[np.uint64],
    labels: NDArray[np.int64],
    *,
    leading: NDArray[np.bool_] | None = None,
    left_out: NDArray[np.bool_] | None = None,
) -> NDArray[np.int64]:
    """Return for each row the row that stands for it.

    Parameters
    ----------
    embeddings : ndarray of shape (n, d), floats
        In ascending order of id.
    hashes : ndarray of shape (n,), uint64
        From `poolselect.perceptual_hash.perceptual_hash`; 0 where there is none: such a row is nobody's duplicate.
    labels : ndarray of shape (n,), integers
        Code of each known label, -1 where there is none.
    leading : ndarray of shape (n,), bool, optional
        Rows that lead before others, since they were annotated. Default: those with a label.
    left_out : ndarray of shape (n,), bool, optional
        Rows that neither lead nor follow, such as skipped ones.

    Returns
    -------
    ndarray of shape (n,), int64
        Row of the leader of each row; -1 for those that lead or are alone.

    Notes
    -----
    Of two that are near, `leading` ones lead, then the first. Every row is near its leader itself: there are no chains,
    so that a slow pan is not one group. A group in which two known labels differ is none.

    All pairs are never compared: time grows with the rows. Where hundreds of thousands of images look alike, a pair
    whose hashes differ in nearly `BITS` bits may be passed over.

    Examples
    --------
    >>> vectors, same = np.array([[1.0, 0.0], [1.0, 0.1], [1.0, 0.0]]), np.array([9, 9, 9], np.uint64)
    >>> near_duplicates(vectors, same, np.array([-1, -1, -1])).tolist()
    [-1, 0, 0]
    >>> near_duplicates(vectors, same, np.array([-1, -1, 5])).tolist()
    [2, 2, -1]
    >>> near_duplicates(vectors, same, np.array([-1, 0, 1])).tolist()
    [-1, -1, -1]
    """
    first = labels >= 0 if leading is None else leading
    here = hashes != 0
    if left_out is not None:
        here = here & ~left_out
    rows = np.flatnonzero(here)
    rows = rows[np.argsort(~first[rows], kind="stable")]
    leaders = _Leaders(embeddings, hashes, rows)
    for count in NEIGHBORS:
        leaders.released = False
        for turn in range(0, 64, _TURN):
            leaders.sort_from(turn, count)
        if count > 1 and not leaders.released:
            break
    found = np.full(len(hashes), -1, dtype=np.int64)
    followers = np.flatnonzero(leaders.of >= 0)
    found[rows[followers]] = rows[leaders.of[followers]]
    return _within_labels(found, labels)


class _Leaders:
    """Who follows whom so far, in terms of `rows`, whose sequence is that of leading."""

    def __init__(self, embeddings: NDArray[np.floating], hashes: NDArray[np.uint64], rows: NDArray[np.int64]) -> None:
        self._embeddings, self._rows, self._hashes = embeddings, rows, hashes[rows]
        self.of = np.full(rows.size, -1, dtype=np.int64)
        self.released = False
        self._sorted: dict[int, tuple[NDArray[np.int64], NDArray[np.uint64]]] = {}  # by the bit from which on

    def sort_from(self, turn: int, count: int) -> None:
        """Sort those that follow nobody from one bit on, and compare each with the next few."""
        free, hashes = self._from(turn)
        pairs: list[NDArray[np.int64]] = []
        for step in range(1, min(count, free.size - 1) + 1):
            near = _near(hashes, step)
            pairs.append(np.sort(np.stack([free[near], free[near + step]]), axis=0))
            if sum(part.shape[1] for part in pairs) > free.size:  # they are all alike: the nearest have to do
                break
        if not pairs or not (near_ones := np.concatenate(pairs, axis=1)).size:
            return
        first, second = near_ones[:, self._agree(*near_ones)]
        for at in np.lexsort((first, second)).tolist():
            if self.of[second[at]] < 0 and self.of[first[at]] < 0:
                self.of[second[at]] = first[at]
        self._pass_on()

    def _from(self, turn: int) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """Return those that follow nobody, sorted from one bit on, and their hashes."""
        still = self.of < 0
        everybody = bool(still.all())
        if turn in self._sorted:
            free, hashes = self._sorted[turn]
            return (free, hashes) if everybody else (free[still[free]], hashes[still[free]])
        free = np.flatnonzero(still)
        hashes = self._hashes[free]
        free = free[_ascending((hashes << np.uint64(turn)) | (hashes >> np.uint64(64 - turn)) if turn else hashes)]
        hashes = self._hashes[free]
        if everybody:  # the next round goes through the same sequence
            self._sorted[turn] = free, hashes
        return free, hashes

    def _pass_on(self) -> None:
        """Let those whose leader follows another one now follow that one, or go free where they are not near it."""
        followers = np.flatnonzero(self.of >= 0)
        above = self.of[self.of[followers]]
        followers, above = followers[above >= 0], above[above >= 0]
        if followers.size:
            near = self._agree(followers, above)
            self.of[followers] = np.where(near, above, -1)
            self.released |= not near.all()

    def _agree(self, one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which pairs agree in both."""
        bits = np.bitwise_count(self._hashes[one] ^ self._hashes[other])
        least = np.where(bits <= SAME_BITS, SAME_COSINE, COSINE)
        agree = np.zeros(one.size, dtype=np.bool_)
        for at in range(0, one.size, _CHUNK):
            part = slice(at, at + _CHUNK)
            a = self._embeddings[self._rows[one[part]]].astype(np.float32)
            b = self._embeddings[self._rows[other[part]]].astype(np.float32)
            lengths = np.einsum("ij,ij->i", a, a) * np.einsum("ij,ij->i", b, b)
            agree[part] = np.einsum("ij,ij->i", a, b) >= least[part] * np.sqrt(lengths)
        agree &= bits <= BITS
        return agree


def _near(hashes: NDArray[np.uint64], step: int) -> NDArray[np.int64]:
    """Return where a hash and the one so many steps on differ in few bits."""
    found = []
    for start in range(0, hashes.size - step, _RUN):  # so that what is in between stays in the processor's cache
        ahead = hashes[start + step : start + step + _RUN]
        few = np.bitwise_count(ahead ^ hashes[start : start + ahead.size]) <= BITS
        found.append(start + np.flatnonzero(few))
    return np.concatenate(found)


def _ascending(values: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return what a stable argsort returns, sooner: where values hardly repeat, any sort is nearly stable."""
    order = np.argsort(values)
    in_order = values[order]
    same = np.flatnonzero(in_order[1:] == in_order[:-1])
    if same.size > values.size // 16:
        return np.argsort(values, kind="stable")
    if same.size:
        tied = np.union1d(same, same + 1)
        order[tied] = order[tied][np.lexsort((order[tied], in_order[tied]))]
    return order


def _within_labels(found: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the leaders without those of groups in which known labels differ."""
    group = np.where(found >= 0, found, np.arange(found.size))
    known = labels >= 0
    highest, lowest = np.full(found.size, -1, dtype=np.int64), np.full(found.size, np.iinfo(np.int64).max)
    np.maximum.at(highest, group[known], labels[known])
    np.minimum.at(lowest, group[known], labels[known])
    return np.where(highest[group] > lowest[group], -1, found)
