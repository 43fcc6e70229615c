"""An order: which tasks stand where in the queue, why, and how it came about."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..exceptions import CacheError
from ..labels import Value
from ..records import known_fields

__all__ = ["END", "LEFT_OUT", "Order", "Overlay", "Place", "score"]

# score(rank) = (rank + 1) / (rank + 1 + HALF): grows with the rank and stays within (0, 1), so a refill appends under
# the same version; neighbors stay distinct doubles beyond a hundred million ranks.
HALF = 1000
FORMAT = 1  # of a stored order
LEFT_OUT = "left out by an admin"  # how the reason of such a place begins
NO_LONGER = "it was pinned, and is no more: it waits for the next order"
IN_AGAIN = "it was left out, and is no more: it stands elsewhere in the next order"


def score(rank: int) -> float:
    """Return the prediction score of a rank counted from 0; Label Studio serves low scores first."""
    return (rank + 1) / (rank + 1 + HALF)


END = score(10**8)  # from here on stands what comes last: behind every refill, whatever its rank


@dataclass(frozen=True)
class Place:
    """One task's place in an order.

    Attributes
    ----------
    task : int
        Its id.
    reason : str
        Why it stands here, in a short sentence.
    control : bool
        Drawn at random, so that the model's accuracy can be measured on it.
    prelabel : str or tuple of str, optional
        What its annotator finds filled in.
    pinned, excluded : bool
        It stands where it does because an admin wished it first, or left it out. Only places of `Order.queue` say so.
    """

    task: int
    reason: str
    control: bool = False
    prelabel: Value | None = None
    pinned: bool = False
    excluded: bool = False

    def dump(self) -> list[Any]:
        """Return the JSON form, as short as it gets: an order has hundreds of places."""
        row = [self.task, self.reason, self.control, self.prelabel]
        while row[-1] in (None, False):
            row.pop()
        return row

    @classmethod
    def load(cls, row: list[Any]) -> Place:
        """Parse `dump`'s form."""
        if len(row) > 3 and isinstance(row[3], list):
            row = [*row[:3], tuple(row[3])]
        return cls(*row[:4])


@dataclass(frozen=True)
class Overlay:
    """Where tasks stand in a published order because admins say so, beside where the strategy put them.

    Attributes
    ----------
    scores : mapping of int to float
        Score of each task that has another one than that of its rank, or that is not among the places.
    pins : tuple of Place
        Pinned tasks in the strategy's order, and those that were and keep their prediction. One that is a random
        control stands at its position, not in front.
    excluded : mapping of int to str
        Tasks of the queue that are left out, and the reason for people.
    act : int
        Number of the newest act that this follows.
    """

    scores: Mapping[int, float] = field(default_factory=dict)
    pins: tuple[Place, ...] = ()
    excluded: Mapping[int, str] = field(default_factory=dict)
    act: int = 0

    def dump(self) -> dict[str, Any]:
        """Return the JSON form; empty when it holds nothing."""
        if self == Overlay():
            return {}
        pins = [place.dump() for place in self.pins]
        kept = {"scores": list(self.scores.items()), "pins": pins, "excluded": list(self.excluded.items())}
        return {**kept, "act": self.act}

    @classmethod
    def load(cls, row: Mapping[str, Any]) -> Overlay:
        """Parse `dump`'s form."""
        pins = tuple(Place.load(pin) for pin in row.get("pins", ()))
        return cls(dict(row.get("scores", ())), pins, dict(row.get("excluded", ())), row.get("act", 0))


@dataclass(frozen=True)
class Order:
    """One published order.

    Attributes
    ----------
    number : int
        Counts every attempt to publish in this project, from 1.
    version : str
        Label Studio's `model_version`, such as ``r1·k7f FreeSel`` ``r12·k7f BAL cycle 3``; see `publishing.versions`.
    strategy : str
        Name of the query strategy.
    parameters : dict
        Its hyper-parameters, seed included, and what else shaped the order: control share, pre-labels, model.
    generation : str
        Fingerprint of the embeddings: model, digest of its weights, parameters.
    arrivals : int
        Rows ever embedded for this project when the order was made; a larger count now means newer images.
    labeled : int
        Tasks that counted as selected because they were annotated.
    embedded : int
        Rows the strategy saw.
    created_at : float
        Unix time.
    places : tuple of Place
        Tasks in order, refills included.
    phase : str
        ``cold`` or ``warm``.
    why : str
        Why this order was made, in a sentence.
    model : str
        Fingerprint of the model at that time; empty without one.
    labels : int
        Labels it was trained on.
    trust : float
        Trust in it at that time.
    centroids : str
        Digest of the centroids of BAL's clusters, and why they were fitted; empty for other strategies.
    again : int
        Number of the order that is published again here since its predictions were gone; 0 in most orders.
    forgotten : int
        Places that are no longer on record: with any, this is a summary.
    left_out : tuple of (int, int)
        Tasks that the ranking has and the order has not, since they were answered or deleted before it was published:
        each with the number of places in front of it.
    duplicates, duplicate_groups : int
        Images that were put last as near-duplicates when the order was made, and groups that they are of.
    overlay : Overlay
        What admins pinned and left out, as it is published.
    inputs : bytes
        What a new order, or what was appended, is made of (`inputs.dump_inputs`). It is kept beside the record, and
        empty when it was not asked for.
    """

    number: int
    version: str
    strategy: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    generation: str = ""
    arrivals: int = 0
    labeled: int = 0
    embedded: int = 0
    created_at: float = 0.0
    places: tuple[Place, ...] = ()
    phase: str = "cold"
    why: str = ""
    model: str = ""
    labels: int = 0
    trust: float = 0.0
    centroids: str = ""
    again: int = 0
    forgotten: int = 0
    left_out: tuple[tuple[int, int], ...] = field(default=(), compare=False)
    duplicates: int = 0
    duplicate_groups: int = 0
    overlay: Overlay = Overlay()
    inputs: bytes = field(default=b"", compare=False, repr=False)

    @property
    def origin(self) -> int:
        """Number of the order that this one is: its own, or that of the order that was published again."""
        return self.again or self.number

    @cached_property
    def home(self) -> Mapping[int, float]:
        """Score of each place by its rank alone."""
        ranks = np.arange(1, len(self.places) + 1)
        return dict(zip([place.task for place in self.places], (ranks / (ranks + HALF)).tolist(), strict=True))

    @cached_property
    def drawn(self) -> tuple[tuple[int, Place], ...]:
        """Rank and place of each random control."""
        return tuple((rank, place) for rank, place in enumerate(self.places) if place.control)

    @cached_property
    def scores(self) -> Mapping[int, float]:
        """Score of the prediction of every task in the queue."""
        return {**self.home, **self.overlay.scores} if self.overlay.scores else self.home

    @cached_property
    def queue(self) -> tuple[Place, ...]:
        """Every task as Label Studio serves it, pinned ones that are not among the places included."""
        overlay, scores = self.overlay, self.scores
        if overlay == Overlay():
            return self.places
        pins = {pin.task: pin for pin in overlay.pins}
        found = [*self.places, *(pin for pin in overlay.pins if pin.task not in self.home)]
        for number, place in enumerate(found):
            if place.task in overlay.excluded:
                found[number] = replace(place, reason=overlay.excluded[place.task], excluded=True)
            elif (pin := pins.get(place.task)) is not None:
                last = scores[place.task] >= END
                found[number] = replace(place, reason=NO_LONGER if last else pin.reason, pinned=not last)
            elif place.reason.startswith(LEFT_OUT):
                found[number] = replace(place, reason=IN_AGAIN)
        return tuple(sorted(found, key=lambda place: scores[place.task]))

    @cached_property
    def standing(self) -> tuple[tuple[Place, ...], NDArray[np.int64]]:
        """What of the queue stands in turn, not at its end since an admin left it out or pinned it no longer; and the
        tasks, shape (p,)."""
        scores = self.scores
        ahead = bisect_left(self.queue, END, key=lambda place: scores[place.task])
        places = self.queue[:ahead]
        return places, np.fromiter((place.task for place in places), dtype=np.int64, count=ahead)

    def summary(self) -> Order:
        """Return the record without its places."""
        return replace(self, places=(), left_out=(), forgotten=len(self.places), overlay=Overlay())

    def keeping(self, tasks: Collection[int]) -> Order:
        """Return the order without tasks that are not among these; they are remembered as left out.

        It has no overlay: what is left has other ranks.
        """
        kept: list[Place] = []
        left_out: list[tuple[int, int]] = []
        earlier = iter([*self.left_out, (len(self.places), 0)])
        at, task = next(earlier)
        for number, place in enumerate(self.places):
            while at == number:
                left_out.append((len(kept), task))
                at, task = next(earlier)
            if place.task in tasks:
                kept.append(place)
            else:
                left_out.append((len(kept), place.task))
        left = tuple(one for one in left_out if one[0] < len(kept))
        return replace(self, places=tuple(kept), left_out=left, overlay=Overlay())

    def dump(self) -> str:
        """Return the JSON form, without the inputs."""
        row = asdict(replace(self, places=(), overlay=Overlay(), inputs=b""))
        del row["inputs"], row["overlay"]
        if overlay := self.overlay.dump():
            row["overlay"] = overlay
        return json.dumps({"format": FORMAT, **row, "places": [place.dump() for place in self.places]})

    @classmethod
    def load(cls, raw: bytes | str) -> Order:
        """Parse `dump`'s form.

        Raises
        ------
        CacheError
            If it is of another format.
        """
        row = json.loads(raw)
        if (version := row.get("format", FORMAT)) != FORMAT:
            raise CacheError(f"order {row.get('number')}: format {version!r}, this version reads format {FORMAT}")
        left_out = tuple((int(at), int(task)) for at, task in row.get("left_out", ()))
        places = tuple(Place.load(place) for place in row.get("places", ()))
        overlay = Overlay.load(row.get("overlay", {}))
        return cls(**{**known_fields(cls, row), "left_out": left_out, "places": places, "overlay": overlay})
