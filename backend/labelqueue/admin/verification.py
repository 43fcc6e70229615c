"""Verifying an order: computed again from what is on record of it, and compared place by place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..block import Block, Origin
from ..exceptions import LabelQueueError
from ..ordering import Inputs, Order, Place, load_inputs, ranked
from ..state import Orders, PatternCache, Project
from .lines import Record, fact

__all__ = ["DIFFERS", "SAME", "verification_lines", "verify_order"]

SAME, DIFFERS, UNVERIFIABLE = "same", "differs", "cannot be verified"
BEFORE = "it was made before inputs were recorded, or they are not on record any more"


def verify_order(project: Project, order: Order, open_cache: Callable[[str], PatternCache]) -> dict[str, Any]:
    """Compute an order again, refills included, and tell whether it comes out the same to the last bit.

    Parameters
    ----------
    project : Project
    order : Order
    open_cache : callable
        Returns the project's cache of a generation of embeddings.

    Returns
    -------
    dict
        ``outcome``: ``same``, ``differs`` or ``cannot be verified``; ``why`` for the latter two; how many places were
        compared; and the parts that the record names.

    Notes
    -----
    Nothing of the campaign's present state is used: the model is trained again and BAL's clusters are fitted again,
    from the labels, seeds and embeddings that the record names. Embeddings are read as they were then; where they are
    gone the order cannot be verified, which says nothing against it.
    """
    told: dict[str, Any] = {"project": project.ref.id, "version": order.version, "published": len(order.places)}
    stored = Orders(project).inputs(order.number)

    def recall(ids: Any, origin: Origin) -> Block:
        return open_cache(origin.generation).recall(ids, origin)

    compared = 0
    try:
        parts = load_inputs(stored)
        told |= {"inputs_bytes": len(stored), "parts": [_described(part) for part in parts]}
        if not parts or parts[0].start:
            return told | {"outcome": UNVERIFIABLE, "why": BEFORE, "compared": 0}
        for number, part in enumerate(parts):
            stop = parts[number + 1].start if number + 1 < len(parts) else len(order.places)
            if why := _difference(order, part, stop, recall, whole=number == 0):
                return told | {"outcome": DIFFERS, "why": why, "compared": compared}
            compared = stop
    except LabelQueueError as error:
        return told | {"outcome": UNVERIFIABLE, "why": str(error), "compared": compared}
    return told | {"outcome": SAME, "why": "", "compared": compared}


def _difference(order: Order, inputs: Inputs, stop: int, recall: Callable[[Any, Origin], Block], *, whole: bool) -> str:
    """Return how one part of an order differs from what follows from its inputs; empty when it does not."""
    material = inputs.material(recall)
    if why := inputs.differs(material):
        return why
    parameters = inputs.recipe(material.centroids).parameters
    if whole and parameters != order.parameters:
        either = parameters.keys() | order.parameters.keys()
        names = sorted(key for key in either if parameters.get(key) != order.parameters.get(key))
        return f"its parameters are recorded otherwise: {', '.join(names)}"
    recorded = _ranking(order, inputs.start, stop)
    before = {place.task for place in order.places[: inputs.start]}
    found = ranked(inputs, material, len(recorded), before)
    for rank, (place, (task, published)) in enumerate(zip(found, recorded, strict=False), start=inputs.start + 1):
        if place.task != task or (published is not None and place != published):
            was = published or Place(task, "left out")
            return (
                f"place {rank} is task {was.task} ({was.reason}) on record, and task {place.task} ({place.reason}) now"
            )
    if len(found) < len(recorded):
        return f"{len(recorded)} places are on record, and {len(found)} follow from the inputs"
    return ""


def _ranking(order: Order, start: int, stop: int) -> Sequence[tuple[int, Place | None]]:
    """Return the ranking that an order was published from: every task, with its place, None where it was left out."""
    found: list[tuple[int, Place | None]] = []
    left_out = iter([(at, task) for at, task in order.left_out if start <= at < stop])
    nearest = next(left_out, None)
    for number in range(start, stop):
        while nearest is not None and nearest[0] == number:
            found.append((nearest[1], None))
            nearest = next(left_out, None)
        found.append((order.places[number].task, order.places[number]))
    return found


def _described(inputs: Inputs) -> dict[str, Any]:
    """Return what a part of an order was made of, in short."""
    lesson = inputs.lesson
    return {
        "from_place": inputs.start + 1,
        "strategy": inputs.name,
        "tasks": len(inputs.tasks),
        "embedded": inputs.tasks.embedded,
        "answered": int((~inputs.tasks.unlabeled).sum()),
        "labels": 0 if lesson is None else len(lesson.ids),
        "generation": inputs.origin.generation,
        "seed": inputs.settings["seed"],
    }


def verification_lines(verified: Record) -> Iterator[str]:
    """Yield the outcome for people; see `verify_order`."""
    yield f"project {verified['project']}: {verified['version']}: {verified['outcome']}"
    if verified["why"]:
        yield fact("because", verified["why"])
    yield fact("compared", f"{verified['compared']} of {verified['published']} places")
    for part in verified.get("parts", ()):
        made = (
            f"{part['strategy']} on {part['embedded']} embedded of {part['tasks']} tasks, {part['answered']} answered"
        )
        yield fact(
            f"from place {part['from_place']}", f"{made}, a model of {part['labels']} labels, seed {part['seed']}"
        )
