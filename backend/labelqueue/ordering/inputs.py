"""The inputs of an order: everything it is made of, in a form that is kept, and the order that follows from them."""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection, Hashable, Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..block import Block, Origin
from ..exceptions import CacheError
from ..learning import Clusters, Lesson, Model, Recall, digest_of
from ..records import pack, pack_ids, unpack, unpack_ids
from .campaign_state import Cycle
from .order import Place
from .ranking import BLOCK, NO_FEATURES, NOT_EMBEDDED, balance_of, fill_in, rank_tasks
from .recipe import Recipe, make_recipe, needs_model
from .snapshot import Features, Tasks, rows_in_turn

__all__ = ["SHAPING", "Inputs", "Material", "dump_inputs", "inputs_again", "load_inputs", "ranked"]

TAG, FORMAT = "labelqueue_inputs", 1
PLAIN = ("start", "first", "name", "phase", "prelabel", "classes", "multi")  # fields that JSON holds as they are
# Places that are ranked at once. What follows is ranked anew, with these counting as selected: the refill of a long
# order then costs no more than that of a short one.
SPAN = 1000
# Settings that can change an order besides what is written down by itself.
SHAPING = (
    "seed", "trials", "metric", "uncertainty", "balancing_factor", "control_share", "control_share_start",
    "bal_features", "budget", "batch_size", "duplicates", "balance",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Material:
    """What an order is ranked with, had by way of its inputs.

    Attributes
    ----------
    rows : Block
        Embedded tasks, ids ascending.
    features : Features or None
        What BAL sees instead.
    model : Model or None
    centroids : ndarray of shape (s, k, d), float32, or None
    chances : ndarray of shape (n, c), float32, or None
        What the model says of the rows, where that is known already.
    """

    rows: Block
    features: Features | None = None
    model: Model | None = None
    centroids: NDArray[np.float32] | None = None
    chances: NDArray[np.float32] | None = None


@dataclass(frozen=True, eq=False)
class Inputs:
    """Everything that an order, or the places from one on, is made of. The embeddings themselves are only named.

    Attributes
    ----------
    start : int
        Places that the order has from elsewhere; 0 but for what was appended to an order that could not go on.
    first : int
        Absolute position in the queue of the first place: tasks that were answered by then, and places before.
    tasks : Tasks
        Every task the order may see, and what had become of it.
    name : str
        The strategy's name in the settings.
    settings : mapping
        Those of `SHAPING`.
    cycle : Cycle
        Where BAL stood.
    phase : {'cold', 'warm'}
    prelabel : float or None
        Probability that a pre-label needs.
    classes : int
        Classes of the label config, 0 for an open one.
    multi : bool
        Whether a task may have several labels.
    origin : Origin
        Of the embeddings of every embedded task.
    features : Origin or None
        Of what BAL sees instead.
    featured : ndarray of shape (f,), int64
        Tasks that have such features.
    lesson : Lesson or None
    clusters : Clusters or None
    followers, leaders : ndarray of shape (k,), int64
        Near-duplicates, ids ascending, and the task that stands for each.
    served : ndarray of shape (m,), int64
        The last tasks that had places before, oldest first, where places are shared out among values of a field.
    """

    start: int
    first: int
    tasks: Tasks
    name: str
    settings: Mapping[str, Any]
    cycle: Cycle
    phase: Literal["cold", "warm"]
    prelabel: float | None
    classes: int
    multi: bool
    origin: Origin
    features: Origin | None
    featured: NDArray[np.int64]
    lesson: Lesson | None
    clusters: Clusters | None
    followers: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    leaders: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    served: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))

    def recipe(self, centroids: NDArray[np.float32] | None) -> Recipe:
        """Return the recipe, which follows from the rest."""
        return make_recipe(
            self.name,
            self.settings,
            self.cycle,
            phase=self.phase,
            model="" if self.lesson is None else self.lesson.fingerprint,
            prelabel=self.prelabel,
            classes=self.classes,
            centroids=centroids,
        )

    def material(
        self, recall: Recall, *, model: Model | None = None, centroids: NDArray[np.float32] | None = None
    ) -> Material:
        """Return what it is ranked with: embeddings that are recalled; a model and centroids that are computed again,
        unless they are given.

        Raises
        ------
        CacheError
            If anything cannot be had any more; the message says what.
        """
        rows = recall(self.tasks.ids[self.tasks.rows >= 0], self.origin)
        features = None
        if self.features is not None:
            features = Features(self.features.generation, recall(self.featured, self.features), self.features.mark)
        if self.lesson is not None and model is None:
            model = self.lesson.model(recall)
        if self.clusters is not None and centroids is None:
            centroids = self.clusters.centroids(recall)
        return Material(rows, features, model, centroids)

    def differs(self, material: Material) -> str:
        """Return what came out otherwise when it was computed again; empty when nothing did."""
        model, centroids = material.model, material.centroids
        if self.lesson is not None and model is not None and model.digest != self.lesson.digest:
            return "its model, trained again on the same labels, is another one"
        if self.clusters is not None and centroids is not None and digest_of(centroids) != self.clusters.digest:
            return "its clusters, fitted again on the same images, are others"
        return ""

    def to_bytes(self) -> bytes:
        """Return the stored form: columns, packed and compressed."""
        lesson, clusters = self.lesson, self.clusters
        facts = {
            "format": FORMAT,
            **{name: getattr(self, name) for name in PLAIN},
            "settings": dict(self.settings),
            "cycle": asdict(self.cycle),
            "origin": asdict(self.origin),
            "features": None if self.features is None else asdict(self.features),
            "bad": list(self.tasks.bad.items()),
            "lesson": None if lesson is None else lesson.facts(),
            "clusters": None if clusters is None else clusters.facts(),
        }
        columns = {
            "ids": pack_ids(self.tasks.ids),
            "states": self.tasks.states.tobytes(),
            "embedded": np.packbits(self.tasks.rows >= 0).tobytes(),
            "featured": pack_ids(self.featured),
            "followers": pack_ids(self.followers),
            "leaders": pack_ids(self.leaders),
        }
        if lesson is not None:
            columns |= {"taught": pack_ids(lesson.ids), "codes": pack_ids(lesson.codes)}
        if clusters is not None:
            columns["fitted"] = clusters.fitted
        if self.tasks.groups is not None:
            columns |= {"groups": pack_ids(self.tasks.groups), "served": pack_ids(self.served)}
        arrays = {name: np.frombuffer(data, dtype=np.uint8) for name, data in columns.items()}
        return zlib.compress(pack(arrays, TAG, json.dumps(facts)))

    @classmethod
    def from_bytes(cls, data: bytes) -> Inputs:
        """Parse `to_bytes`'s form; raises CacheError when it is damaged or of another format."""
        try:
            arrays, note = unpack(zlib.decompress(data), TAG)
        except zlib.error as error:
            raise CacheError(f"inputs: these {len(data)} bytes are damaged ({error})") from error
        facts: dict[str, Any] = json.loads(note or "{}")
        if facts.get("format") != FORMAT:
            raise CacheError(f"inputs: format {facts.get('format')!r}, this version reads format {FORMAT}")
        columns = {name: array.tobytes() for name, array in arrays.items()}
        ids = unpack_ids(columns["ids"])
        embedded = np.unpackbits(arrays["embedded"], count=ids.size).astype(bool)
        nothing = pack_ids(np.empty(0, np.int64))  # of orders from before there were near-duplicates
        lesson, clusters, features = facts["lesson"], facts["clusters"], facts["features"]
        if lesson is not None:
            lesson = Lesson.parse(lesson, unpack_ids(columns["taught"]), unpack_ids(columns["codes"]))
        if clusters is not None:
            clusters = Clusters.parse(clusters, columns["fitted"])
        return cls(
            tasks=Tasks(
                ids,
                arrays["states"].copy(),
                rows_in_turn(embedded),
                dict(facts["bad"]),
                unpack_ids(columns["groups"]) if "groups" in columns else None,
            ),
            cycle=Cycle(**facts["cycle"]),
            origin=Origin(**facts["origin"]),
            features=None if features is None else Origin(**features),
            featured=unpack_ids(columns["featured"]),
            lesson=lesson,
            clusters=clusters,
            followers=unpack_ids(columns.get("followers", nothing)),
            leaders=unpack_ids(columns.get("leaders", nothing)),
            served=unpack_ids(columns.get("served", nothing)),
            **{name: facts[name] for name in (*PLAIN, "settings")},
        )


def ranked(inputs: Inputs, material: Material, count: int, before: Collection[int] = ()) -> list[Place]:
    """Return the first places of the order that follows from its inputs: of more places, fewer are the beginning.

    Parameters
    ----------
    inputs : Inputs
    material : Material
    count : int
        How many; fewer are returned when there are no more tasks.
    before : collection of int
        Tasks of the order's places before `inputs.start`.

    Returns
    -------
    list of Place
        With pre-labels where the recipe asks for them; never on a control, which must not be anchored, and not on as
        many other tasks, which hide it.
    """
    recipe, model, rows, features = inputs.recipe(material.centroids), material.model, material.rows, material.features
    chances = material.chances
    if model is not None and chances is None:
        chances = model.predict(rows.embeddings)
    seen, of_seen = rows, chances
    if features is not None:
        seen = features.rows
        if chances is not None:
            _, at, of_rows = np.intersect1d(seen.ids, rows.ids, assume_unique=True, return_indices=True)
            seen, of_seen = seen.take(at), chances[of_rows]
    leaders = dict(zip(inputs.followers.tolist(), inputs.leaders.tolist(), strict=True))
    balance = balance_of(inputs.tasks, inputs.served)
    # Without a mark, other vectors may go by the same name.
    facts = _facts(inputs.origin) if features is None and inputs.origin.mark else None
    found: list[Place] = []
    while len(found) < count:
        size = min(SPAN if balance is None else BLOCK, count - len(found))
        more = rank_tasks(
            recipe,
            seen,
            inputs.tasks,
            size=size,
            first=inputs.first + len(found),
            published={*before, *(place.task for place in found)},
            probabilities=of_seen if needs_model(recipe.name) else None,
            class_names=model.classes if model is not None else (),
            multilabel=inputs.multi,
            missing=NOT_EMBEDDED if features is None else NO_FEATURES,
            leaders=leaders,
            balance=balance,
            facts=facts,
        )
        if recipe.prelabel is not None and model is not None and chances is not None:
            more = fill_in(more, model, chances, inputs.tasks, recipe)
        found += more
        if len(more) < size:
            break
    return found


@lru_cache(maxsize=2)
def _facts(origin: Origin) -> dict[Hashable, Any]:
    """Return what is known of the embeddings of an origin: a process ranks the same ones again and again."""
    return {}


def dump_inputs(parts: Collection[Inputs]) -> bytes:
    """Return the inputs of one order as they are stored: mostly one, more where it could not go on by the first."""
    packed = [part.to_bytes() for part in parts]
    return b"".join(len(data).to_bytes(4, "big") + data for data in packed)


def load_inputs(data: bytes) -> tuple[Inputs, ...]:
    """Parse `dump_inputs`'s form; raises CacheError when it is damaged."""
    parts, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        parts.append(Inputs.from_bytes(data[at + 4 : at + 4 + size]))
        at += 4 + size
    return tuple(parts)


def inputs_again(data: bytes) -> bytes:
    """Return the stored inputs for an order that is published again without those of its tasks that are answered.

    None are left where a part of it has other inputs: from which place on, nobody knows any more.
    """
    try:
        parts = load_inputs(data)
    except CacheError:
        return b""
    return data if len(parts) == 1 and not parts[0].start else b""
