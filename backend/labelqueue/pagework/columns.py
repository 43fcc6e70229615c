"""What the map can be colored by: for each image a byte, and for each column what its bytes mean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..block import find
from ..gallery import MISSING
from ..labels import ANNOTATED, SKIPPED, Value
from ..learning import Model, Predictions
from ..ordering import Labels, Place

__all__ = ["STATES", "Scene", "doubt_of", "make_columns", "name_of", "state_codes"]

Bytes = NDArray[np.uint8]
Column = tuple[Bytes, dict[str, Any]]  # a byte for each image, and what the bytes mean

TOP = 254  # the byte of the high end of a scale
NAMES = 255  # names that a byte tells apart, besides no value
NO_LABEL, NOTHING, OTHER = "", "none of the labels", "all others"
STATES = ("unlabeled", "labeled", "annotated without a label", "skipped", "pinned", "left out")
ORDER = ("not in the order", "next in the order", "spare tail", "random control", "answered since", "left out, last")
DOUBT = "1 - (probability of the likeliest class - that of the second), of unlabeled images"
DOUBTS = "mean of 1 - |2 p - 1| over the labels, of unlabeled images"
ALONE = "no near-duplicates"


@dataclass(frozen=True, eq=False)
class Scene:
    """What is known of the images on the map.

    Attributes
    ----------
    ids : ndarray of shape (n,), int64
        Their tasks, ascending.
    states : ndarray of shape (n,), uint8
        See `ordering.Tasks`.
    labels : Labels
    classes : sequence of str
        Of the label config, in its sequence.
    model : Model or None
    predictions : Predictions or None
        Of that model.
    places : sequence of Place
        Of the live order, in the sequence in which they are served.
    open : ndarray of shape (p,), bool
        Which of them are of tasks that nobody answered.
    head : int
        Open places that are no spare tail.
    followers, leaders : ndarray of shape (k,), int64
        Near-duplicates, and the task that stands for each.
    pinned, left_out : collection of int
        Tasks.
    """

    ids: NDArray[np.int64]
    states: Bytes
    labels: Labels
    classes: Sequence[str] = ()
    model: Model | None = None
    predictions: Predictions | None = None
    places: Sequence[Place] = ()
    open: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, np.bool_))
    head: int = 0
    followers: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    leaders: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    pinned: Collection[int] = ()
    left_out: Collection[int] = ()

    @property
    def answered(self) -> NDArray[np.bool_]:
        """Which images are annotated or skipped."""
        return np.isin(self.states, [ord(ANNOTATED), ord(SKIPPED)])


def make_columns(scene: Scene) -> tuple[dict[str, Bytes], dict[str, dict[str, Any]]]:
    """Return the columns of the map, shape (n,) each, and what their bytes mean: see `gallery.Maps.facts`."""
    label, prediction = _values(scene)
    made = {
        "state": (state_codes(scene), {"kind": "categories", "names": list(STATES)}),
        "label": label,
        "prediction": prediction,
        "doubt": _doubt(scene),
        **dict(zip(("rank", "order"), _standing(scene), strict=True)),
        "duplicates": _duplicates(scene),
        "arrival": _arrival(scene),
    }
    return {name: column for name, (column, _) in made.items()}, {name: about for name, (_, about) in made.items()}


def state_codes(scene: Scene) -> Bytes:
    """Return what became of each image: its row in `STATES`."""
    codes = np.zeros(scene.ids.size, np.uint8)
    codes[_rows(scene, scene.left_out)] = STATES.index("left out")
    codes[_rows(scene, scene.pinned)] = STATES.index("pinned")
    codes[scene.states == ord(SKIPPED)] = STATES.index("skipped")
    codes[scene.states == ord(ANNOTATED)] = STATES.index("annotated without a label")
    at = find(scene.ids, scene.labels.tasks)
    codes[at[at >= 0]] = STATES.index("labeled")
    return codes


def name_of(value: Value | None) -> str:
    """Return what people read for a label, or for several."""
    if value is None:
        return NO_LABEL
    return value if isinstance(value, str) else " + ".join(value) or NOTHING


def doubt_of(model: Model, probabilities: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return how unsure the model is of each row of probabilities, from 0 to 1: see `poolselect.margin`."""
    from poolselect import margin

    return margin(probabilities.astype(np.float32), multilabel=model.multi).astype(np.float32)


def _values(scene: Scene) -> tuple[Column, Column]:
    """Return labels and predictions, in the same names."""
    said = [name_of(value) for value in scene.labels.values]
    codes, predicted = _predicted(scene)
    counts = Counter(dict(zip(said, np.bincount(scene.labels.codes, minlength=len(said)).tolist(), strict=True)))
    counts.update(dict(zip(predicted, np.bincount(codes[codes >= 0], minlength=len(predicted)).tolist(), strict=True)))
    names = [NO_LABEL, *dict.fromkeys([*scene.classes, *sorted(counts)])]
    if len(names) > NAMES:
        often = {name for name, _ in counts.most_common(NAMES - 2)}
        names = [NO_LABEL, *(name for name in names if name in often), OTHER]
    byte = {name: code for code, name in enumerate(names)}

    def of(name: str) -> int:
        return byte.get(name, len(names) - 1)

    labels = np.zeros(scene.ids.size, np.uint8)
    at = find(scene.ids, scene.labels.tasks)
    table = np.array([of(name) for name in said], dtype=np.uint8)
    labels[at[at >= 0]] = table[scene.labels.codes[at >= 0]]
    table = np.array([*(of(name) for name in predicted), 0], dtype=np.uint8)  # the last for -1
    about = {"kind": "categories", "names": names}
    return (labels, about), (table[codes], about)


def _predicted(scene: Scene) -> tuple[NDArray[np.int64], list[str]]:
    """Return for each image the row of what the model says of it in the list of names, -1 where it says nothing."""
    codes = np.full(scene.ids.size, -1, dtype=np.int64)
    if scene.model is None or scene.predictions is None:
        return codes, []
    at = find(scene.predictions.ids, scene.ids)
    here, p = at >= 0, scene.predictions.probabilities[at[at >= 0]]
    if not scene.model.multi:
        codes[here] = p.argmax(axis=1)
        return codes, list(scene.model.classes)
    # Each combination of labels once.
    packed = np.ascontiguousarray(np.packbits(p > 0.5, axis=1))
    rows, first, inverse = np.unique(packed, axis=0, return_index=True, return_inverse=True)
    codes[here] = inverse.reshape(-1)
    return codes, [name_of(value) for value in scene.model.decide(p[first[: len(rows)]])]


def _doubt(scene: Scene) -> Column:
    column = np.full(scene.ids.size, MISSING, np.uint8)
    model, predictions = scene.model, scene.predictions
    about = DOUBTS if model is not None and model.multi else DOUBT
    if model is not None and predictions is not None:
        at = np.where(scene.answered, -1, find(predictions.ids, scene.ids))
        doubt = doubt_of(model, predictions.probabilities[at[at >= 0]])
        column[at >= 0] = np.rint(doubt * TOP)
    return column, {"kind": "scale", "low": 0, "high": 1, "about": about}


def _standing(scene: Scene) -> tuple[Column, Column]:
    """Return the rank in the live order and the part of it."""
    ranks = np.full(scene.ids.size, MISSING, np.uint8)
    parts = np.zeros(scene.ids.size, np.uint8)
    last = np.array([place.excluded for place in scene.places], dtype=bool)
    control = np.array([place.control for place in scene.places], dtype=bool)
    rank, most = np.cumsum(scene.open), int(np.count_nonzero(scene.open))
    part = np.full(rank.size, ORDER.index("spare tail"))
    part[rank <= scene.head] = ORDER.index("next in the order")
    part[control] = ORDER.index("random control")
    part[last] = ORDER.index("left out, last")
    part[~scene.open] = ORDER.index("answered since")
    at = find(scene.ids, np.array([place.task for place in scene.places], dtype=np.int64))
    parts[at[at >= 0]] = part[at >= 0]
    still = (at >= 0) & scene.open
    # In factors: the first ten differ as much as the first hundred from the first thousand.
    ranks[at[still]] = np.rint(np.log(rank[still]) / max(np.log(max(most, 1)), 1e-9) * TOP)
    about = {"kind": "scale", "low": 1, "high": max(most, 1), "log": True, "about": "1 is served next"}
    return (ranks, about), (parts, {"kind": "categories", "names": list(ORDER)})


def _duplicates(scene: Scene) -> Column:
    """Return the groups of near-duplicates, the largest first."""
    column = np.zeros(scene.ids.size, np.uint8)
    leaders, of, counts = np.unique(scene.leaders, return_inverse=True, return_counts=True)
    turn = np.argsort(-counts, kind="stable")
    single = min(leaders.size, NAMES - (1 if leaders.size < NAMES else 2))
    code = np.empty(leaders.size, np.int64)
    code[turn] = np.minimum(np.arange(leaders.size), single) + 1
    for tasks, codes in ((scene.followers, code[of.reshape(-1)]), (leaders, code)):
        at = find(scene.ids, tasks)
        column[at[at >= 0]] = codes[at >= 0]
    names = [f"like task {leaders[at]} ({counts[at] + 1} images)" for at in turn[:single]]
    rest = [OTHER] if leaders.size > single else []
    about = "groups that the live order knows, the largest first"
    return column, {"kind": "categories", "names": [ALONE, *names, *rest], "about": about}


def _arrival(scene: Scene) -> Column:
    """Return which came first: ids rise as tasks are imported."""
    n = scene.ids.size
    column = np.rint(np.arange(n) / max(n - 1, 1) * TOP).astype(np.uint8)
    return column, {"kind": "scale", "low": 1, "high": max(n, 1), "about": "1 was imported first"}


def _rows(scene: Scene, tasks: Collection[int]) -> NDArray[np.int64]:
    at = find(scene.ids, np.fromiter(tasks, dtype=np.int64, count=len(tasks)))
    return at[at >= 0]


def counts_by_name(column: Bytes, about: Mapping[str, Any]) -> dict[str, int]:
    """Return how many images have each name of a column of categories, the most first."""
    counts = np.bincount(column, minlength=MISSING + 1)[:MISSING]
    rows = np.argsort(-counts, kind="stable")
    return {about["names"][row]: int(counts[row]) for row in rows.tolist() if counts[row]}
