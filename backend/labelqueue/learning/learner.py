"""Training: labels and embeddings in, a linear model out, in seconds on one core."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..labels import Value
from .model import Model

__all__ = ["Searched", "train", "training_fingerprint"]

# Measured on CIFAR-10 with ViT-Tiny embeddings, 5 to 400 labels: whole decades cost up to 0.8 points of balanced
# accuracy, beyond these ends nothing was won, and below 40 labels the search was up to 3 points worse than a constant.
GRID = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
SEARCHED_FROM = 40  # labels
FEW, LEAST_OF_FEW = 200, 0.03  # with fewer labels, the grid begins here
UNSEARCHED = 0.3  # C until then
FOLDS = 5
SEARCHED_LABELS = 8  # where several labels may hold: the most evenly divided ones stand for all in the search
SCALE_PRIOR = 100  # rows: how many labels a feature's own variance needs to weigh as much as the mean variance
TOLERANCE, ROUGH = 1e-4, 1e-3  # of the mean loss's gradient: for the model, and while searching
STEPS = 10_000  # never reached: the penalty makes every problem strongly convex

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Searched:
    """What a training takes over from the model before it.

    Attributes
    ----------
    regularization : float
        `C`.
    searched_at : int
        Labels there were when it was searched; 0 when it was not.
    """

    regularization: float
    searched_at: int


def train(
    embeddings: NDArray[np.float32],
    values: Sequence[Value],
    *,
    classes: Sequence[str],
    multi: bool,
    seed: int,
    fingerprint: str,
    previous: Model | Searched | None = None,
) -> Model | None:
    """Train a logistic regression on everything that is labeled.

    Parameters
    ----------
    embeddings : ndarray of shape (n, d), float32
        Finite. Rows in an order that does not depend on history, such as by task id: folds go by row.
    values : sequence of Value, length n
        Their labels.
    classes : sequence of str
        Classes of the label config, in its order.
    multi : bool
        Whether several labels may hold for one task: then one regression per label. Else one multinomial regression.
    seed : int
        Of the folds.
    fingerprint : str
        See `training_fingerprint`.
    previous : Model or Searched, optional
        The model before this one, or what counts of it. Its `C` serves again until the labels have doubled, or halved,
        since its search.

    Returns
    -------
    Model or None
        None when there is nothing to tell apart: fewer than two classes seen, or no label with both values.

    Raises
    ------
    ValueError
        If a label is not of the kind expected or not in `classes`, or the lengths differ.

    Notes
    -----
    Embeddings are standardized; the variance of each feature is shrunk towards the mean variance as if that had been
    seen in 100 rows more, which is worth half a point of balanced accuracy at 20 to 50 labels and nothing later. From
    40 labels on `C` minimizes the log-loss in a stratified cross-validation with at most 5 folds, and never more than
    the rarest class has labels; a class with one label is always trained on. Classes weigh equally in training and in
    that loss, however many labels each has, so the probabilities are those of equally frequent classes; how often an
    answer is right, `Model.in_proportion` says. A label with one value so far is a constant: the rule of
    succession gives its probability. The solver starts from zero, not from `previous`: that would save hundredths of a
    second, and make the model depend on history.
    """
    x = np.asarray(embeddings, dtype=np.float32)
    if x.ndim != 2 or len(x) != len(values):
        raise ValueError(f"embeddings of shape {x.shape} for {len(values)} labels: one row per label is needed")
    _check(values, classes, multi)
    n = len(values)
    if multi:
        names = tuple(classes)
        y = np.array([[name in value for name in names] for value in values], dtype=np.int64).reshape(n, len(names))
        targets = [y[:, k] for k in range(len(names))]
    else:
        present = set(values)
        names = tuple(name for name in classes if name in present)
        number = {name: k for k, name in enumerate(names)}
        targets = [np.array([number[str(value)] for value in values], dtype=np.int64)]
    if not any(np.unique(target).size > 1 for target in targets):
        return None
    from poolselect.threads import single_threaded_blas

    with single_threaded_blas(), warnings.catch_warnings():
        # Many classes and few labels are where a queue begins, not a regression by mistake.
        warnings.filterwarnings("ignore", "The number of unique classes is greater than 50%", UserWarning)
        mean, scale = _standardization(x)
        z = (x.astype(np.float64) - mean) / scale
        # The penalty does not change when the axes are turned: in the span of the rows, at most n numbers wide, the
        # problem is the same, and far smaller while there are few labels.
        axes = np.linalg.qr(z.T)[0] if n < x.shape[1] else None
        rows = z if axes is None else z @ axes
        if n < SEARCHED_FROM:
            strength, searched_at = UNSEARCHED, 0
        elif previous is not None and previous.searched_at / 2 < n < 2 * previous.searched_at:
            strength, searched_at = previous.regularization, previous.searched_at
        else:
            strength, searched_at = _search(rows, targets, seed), n
        fits = [_fit(rows, target, strength, TOLERANCE) for target in targets]
    weights, bias = np.vstack([w for w, _ in fits]), np.concatenate([b for _, b in fits])
    if not multi and len(names) == 2:  # one logit for two classes: half of it for each, with opposite signs
        weights, bias = np.vstack([-weights, weights]) / 2, np.concatenate([-bias, bias]) / 2
    return Model(
        classes=names,
        multi=multi,
        mean=mean.astype(np.float32),
        scale=scale.astype(np.float32),
        weights=(weights if axes is None else weights @ axes.T).astype(np.float32),
        bias=bias.astype(np.float32),
        regularization=strength,
        shares=_shares(targets, multi),
        labels=n,
        searched_at=searched_at,
        fingerprint=fingerprint,
    )


def training_fingerprint(ids: Sequence[int], values: Sequence[Value], generation: str) -> str:
    """Return a name for training data: 32 hex digits.

    Parameters
    ----------
    ids : sequence of int
        Labeled tasks, in any order.
    values : sequence of Value, equally long
        Their labels.
    generation : str
        Fingerprint of the embeddings.
    """
    labels = sorted([int(task), value] for task, value in zip(ids, values, strict=True))
    return hashlib.sha256(json.dumps([generation, labels]).encode()).hexdigest()[:32]


def _check(values: Sequence[Value], classes: Sequence[str], multi: bool) -> None:
    known = set(classes)
    for value in values:
        if isinstance(value, tuple) != multi:
            wanted = "a tuple of the labels present" if multi else "the name of one class"
            raise ValueError(f"label {value!r}: must be {wanted}")
        unknown = sorted({value} - known if isinstance(value, str) else set(value) - known)
        if unknown:
            raise ValueError(f"label {unknown[0]!r} is not in the label config ({', '.join(classes)})")


def _standardization(x: NDArray[np.float32]) -> tuple[Array, Array]:
    """Return mean and scale of each feature; 1 for the scale where nothing varies at all."""
    wide = x.astype(np.float64)
    variance = wide.var(axis=0)
    scale = np.sqrt((len(x) * variance + SCALE_PRIOR * variance.mean()) / (len(x) + SCALE_PRIOR))
    # Rounded here, so that the model standardizes with the very numbers it was trained on.
    scale = scale.astype(np.float32).astype(np.float64)
    scale[scale == 0] = 1.0
    return wide.mean(axis=0).astype(np.float32).astype(np.float64), scale


def _regression(**options: Any) -> Any:
    # The web process knows models too, and has no need of scikit-learn.
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=STEPS, class_weight="balanced", **options)


def _fit(rows: Array, target: NDArray[np.int64], strength: float, tolerance: float) -> tuple[Array, Array]:
    """Return weights (k, d) and bias (k,): k = 1 for two values, else one per value; values are 0, 1, ... without gaps.

    A target with one value gives a constant.
    """
    if target.min() == target.max():
        # The rule of succession: after n times the same, the other has a chance of 1 in n + 2.
        logit = np.log(len(target) + 1.0)
        return np.zeros((1, rows.shape[1])), np.array([logit if target[0] else -logit])
    fitted = _regression(C=strength, tol=tolerance).fit(rows, target)
    return fitted.coef_, fitted.intercept_


def _search(rows: Array, targets: Sequence[NDArray[np.int64]], seed: int) -> float:
    """Return the C with the lowest log-loss on rows held out, classes weighing equally; the smaller of equals."""
    varied = [target for target in targets if np.unique(target).size > 1]
    varied.sort(key=lambda target: -np.bincount(target).min())  # stable: ties in the order of the config
    # Few labels that a strategy chose to differ predict each other badly, and cross-validation blames the weights: in a
    # pool of 320 drawn images FreeSel's gain over random was 3.0 points with the whole grid and 7.6 without its lower
    # end (6 seeds, up to 113 labels). With 400 random labels of CIFAR-10 it is the lower end that gains a point.
    grid = tuple(strength for strength in GRID if strength >= LEAST_OF_FEW or len(rows) >= FEW)
    losses = np.zeros(len(grid))
    for target in varied[:SEARCHED_LABELS]:
        fold = _folds(target, seed)
        # The only row of a class is never held out, so that class has no weight.
        weight = 1.0 / np.maximum(np.bincount(target[fold >= 0], minlength=target.max() + 1), 1)
        for k in range(fold.max() + 1):
            kept, held = fold != k, fold == k
            losses += _path(grid, rows[kept], target[kept], rows[held], target[held], weight)
    return grid[int(losses.argmin())] if losses.any() else UNSEARCHED


def _path(
    grid: Sequence[float],
    rows: Array,
    target: NDArray[np.int64],
    held: Array,
    wanted: NDArray[np.int64],
    weight: Array,
) -> Array:
    """Return the weighted log-loss on the held rows for each C of a grid; each fit starts where the last one ended."""
    fitted = _regression(tol=ROUGH, warm_start=True)
    losses = []
    for strength in grid:
        fitted.set_params(C=strength).fit(rows, target)
        chance = fitted.predict_proba(held)[np.arange(len(wanted)), wanted]
        # A chance may underflow to 0.
        losses.append(-weight[wanted] @ np.log(np.maximum(chance, np.finfo(np.float64).tiny)))
    return np.array(losses)


def _shares(targets: Sequence[NDArray[np.int64]], multi: bool) -> NDArray[np.float32]:
    """Return how frequent each class is, by the rule of succession.

    A label with one value so far is a constant that says its frequency itself: 1/2 leaves it as it is.
    """
    if not multi:
        counts = np.bincount(targets[0]) + 1.0
        return np.asarray(counts / counts.sum(), dtype=np.float32)
    ends = [(int(target.sum()), len(target)) for target in targets]
    return np.array([(k + 1) / (n + 2) if 0 < k < n else 0.5 for k, n in ends], dtype=np.float32)


def _folds(target: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Return the fold of each row, -1 for the only row of a value; -1 everywhere if every value has one row only."""
    counts = np.bincount(target)
    repeated = counts[counts > 1]
    fold = np.full(len(target), -1, dtype=np.int64)
    if not repeated.size:
        return fold
    folds, offset = min(FOLDS, int(repeated.min())), 0
    random = np.random.default_rng(seed % 2**64)
    for value in np.flatnonzero(counts > 1):
        rows = random.permutation(np.flatnonzero(target == value))
        # Going on where the value before stopped keeps the folds equally large.
        fold[rows] = (offset + np.arange(len(rows))) % folds
        offset += len(rows)
    return fold
