"""From embeddings to places on a map: PCA at once, t-SNE of some images when there is time, all others beside these."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from ..block import draws

__all__ = ["LANDMARKS", "Floats", "choose_landmarks", "fit_plane", "fit_tsne", "near_landmarks", "on_plane", "unit"]

Floats = NDArray[np.float32]

LANDMARKS = 5_000  # images that t-SNE lays out: it takes half a minute for so many
FEWEST = 10  # images, below which there are no neighborhoods to keep
NEIGHBORS = 5  # landmarks that an image stands between
WIDTH = 65_535  # of the map, the largest uint16
MARGIN = 0.02  # of the map on each side that is free when it is made: later images may stand there
PERPLEXITY = 30.0  # neighbors that t-SNE cares for
COMPONENTS = 50  # of PCA, that t-SNE sees
STEPS = 500  # of t-SNE; twice as many take twice as long and keep no more neighbors together
AGAIN = 20.0  # spread, in the units of t-SNE, of what it made before
SEED = 0
NOBODY = np.empty(0, np.int64)
ROWS = 2_048  # compared with the landmarks at once: 40 MB


def unit(embeddings: NDArray[np.floating]) -> Floats:
    """Return vectors of shape (n, d) with length 1; one of length 0 stays."""
    x = embeddings.astype(np.float32)
    lengths = np.sqrt(np.einsum("ij,ij->i", x, x))
    x /= np.where(lengths > 0, lengths, 1)[:, None]
    return x


def choose_landmarks(
    ids: NDArray[np.int64], first: NDArray[np.int64] = NOBODY, count: int = LANDMARKS
) -> NDArray[np.int64]:
    """Return which images are landmarks.

    Parameters
    ----------
    ids : ndarray of shape (n,), int64
        All tasks.
    first : ndarray of shape (m,), int64
        Tasks that were chosen to stand for the others, best first.
    count : int
        How many.

    Returns
    -------
    ndarray of shape (min(n, count),), int64
        Rows of `ids`, ascending: half of them at most are the first of `first`, the others are drawn at random, so that
        there are many where images are many; the same ones each time.
    """
    if ids.size <= count:
        return np.arange(ids.size)
    turn = draws("landmarks", ids).astype(np.float64)
    place = {task: at for at, task in enumerate(first[: count // 2].tolist())}
    rows = np.flatnonzero(np.isin(ids, first[: count // 2]))
    turn[rows] = [place[task] - float(count) for task in ids[rows].tolist()]  # before all others
    return np.sort(np.argpartition(turn, count - 1)[:count])


def fit_plane(vectors: Floats) -> tuple[Floats, Floats]:
    """Return the mean, shape (d,), of unit vectors, shape (n, d), and the axes, shape (d, 2), that make a map of them:
    ``(vectors - mean) @ axes`` is where they stand from its middle, and at least most of them stand on it."""
    mean = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    axes = _components(vectors - mean, 2)
    spread = np.abs((vectors - mean) @ axes).max(initial=0.0)
    return mean, axes * np.float32(_reach() / spread) if spread > 0 else axes


def on_plane(vectors: Floats, mean: Floats, axes: Floats) -> NDArray[np.uint16]:
    """Return where unit vectors stand on the map of `fit_plane`; what lies outside stands at its edge."""
    return rounded((vectors - mean) @ axes + np.float32(WIDTH / 2))


def fit_tsne(vectors: Floats, start: NDArray[Any], *, again: bool = False) -> Floats:
    """Return where t-SNE puts unit vectors.

    Parameters
    ----------
    vectors : ndarray of shape (n, d), float32
    start : ndarray of shape (n, 2)
        Where they stand so far: what is above stays above, roughly.
    again : bool
        Whether they stand there by t-SNE: then groups stay where they are, and only details change.

    Returns
    -------
    ndarray of shape (n, 2), float32
        In the units of the map. Images that are all alike stand where they stood.

    Notes
    -----
    The same numbers on the same machine; another processor may give others, so they are kept and never made twice.
    """
    from sklearn.manifold import TSNE

    centered = vectors - vectors.mean(axis=0)
    if len(vectors) < FEWEST or not np.abs(centered).max(initial=0.0) > 1e-6:
        return np.asarray(start, dtype=np.float32)
    reduced = centered @ _components(centered, min(COMPONENTS, *centered.shape))
    begin = np.asarray(start, dtype=np.float64)
    begin = begin - begin.mean(axis=0)
    # Images that stand at one place could never part.
    begin += np.random.default_rng(SEED).normal(size=begin.shape) * max(float(begin.std()), 1e-9) * 1e-3
    begin *= (AGAIN if again else 1e-4) / begin.std()
    model = TSNE(
        perplexity=min(PERPLEXITY, (len(vectors) - 1) / 3),
        early_exaggeration=1.0 if again else 12.0,
        init=begin.astype(np.float32),
        max_iter=STEPS,
        random_state=SEED,
    )
    with threadpool_limits(limits=1):  # on a busy machine, threads that wait for each other take ten times as long
        return _filling(np.asarray(model.fit_transform(reduced)))


def near_landmarks(vectors: Floats, anchors: Floats, places: Floats) -> NDArray[np.uint16]:
    """Return where images stand among landmarks: beside the nearest, towards those of the five nearest around it.

    Parameters
    ----------
    vectors : ndarray of shape (n, d), float32
        Unit vectors.
    anchors : ndarray of shape (k, d), float32
        Those of the landmarks.
    places : ndarray of shape (k, 2), float32
        Where they stand.

    Returns
    -------
    ndarray of shape (n, 2), uint16

    Notes
    -----
    Weighted are the squared cosine distance, and how far a landmark stands from the nearest one on the map: the mean of
    landmarks in two groups would lie between the groups, where nothing alike is (benchmarks/map.md).
    """
    reach = WIDTH / np.sqrt(len(anchors))  # between two landmarks, if they stood evenly
    found = np.empty((len(vectors), 2), dtype=np.uint16)
    many = min(NEIGHBORS, len(anchors))
    for at in range(0, len(vectors), ROWS):
        part = slice(at, at + ROWS)
        likeness = vectors[part] @ anchors.T
        near = np.argpartition(likeness, len(anchors) - many, axis=1)[:, -many:]
        apart = np.maximum(1 - np.take_along_axis(likeness, near, axis=1), 1e-6)
        around = places[near]
        nearest = np.take_along_axis(around, apart.argmin(axis=1)[:, None, None], axis=1)
        weights = np.exp(-((around - nearest) ** 2).sum(axis=2) / (2 * reach**2)) / apart**2
        weights /= weights.sum(axis=1, keepdims=True)
        found[part] = rounded(np.einsum("ij,ijk->ik", weights, around))
    return found


def has_neighborhoods(count: int) -> bool:
    """Tell whether so many images are enough for t-SNE."""
    return count >= FEWEST


def _components(centered: Floats, count: int) -> Floats:
    """Return the first principal axes, shape (d, count), of rows whose mean is 0; of each the largest number is
    positive, so that a map is never the mirror image of the one before."""
    values = centered.astype(np.float64)
    _, vectors = np.linalg.eigh(values.T @ values)
    axes = vectors[:, ::-1][:, :count]
    axes = np.pad(axes, ((0, 0), (0, count - axes.shape[1])))  # of vectors of one number
    largest = np.abs(axes).argmax(axis=0)
    signs = np.where(axes[largest, np.arange(axes.shape[1])] < 0, -1.0, 1.0)
    return np.asarray(axes * signs, dtype=np.float32)


def _reach() -> float:
    return WIDTH / 2 * (1 - 2 * MARGIN)


def _filling(places: NDArray[np.floating]) -> Floats:
    """Return places moved and stretched, alike to both sides, so that they fill the map."""
    low, high = places.min(axis=0), places.max(axis=0)
    reach = max(float((high - low).max()) / 2, 1e-12)
    return np.asarray((places - (low + high) / 2) / reach * _reach() + WIDTH / 2, dtype=np.float32)


def rounded(places: NDArray[np.floating]) -> NDArray[np.uint16]:
    """Return places as they are kept; one outside the map goes to its edge."""
    return np.asarray(np.rint(np.clip(places, 0, WIDTH)), dtype=np.uint16)
