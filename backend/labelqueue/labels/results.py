"""Results: a label in the form in which Label Studio stores an answer, as predictions carry it."""

from __future__ import annotations

from typing import Any

from .label_config import Target
from .values import Value

__all__ = ["importable", "result_of"]


def result_of(value: Value | None, target: Target) -> list[dict[str, Any]]:
    """Return the `result` of a prediction; an empty list leaves the form empty, as always where regions are drawn."""
    if value is None or value == () or target.kind != "classification":
        return []
    labels: list[str] = [value] if isinstance(value, str) else list(value)
    kind = target.control_tag.lower()
    content: Any
    if kind == "rating":
        content = int(labels[0])
    elif target.nested:
        # The editor knows nested choices by their path only: in a list of names it finds none of them.
        content = [list(target.path_of(label)) for label in labels]
    else:
        content = labels
    return [{"from_name": target.control_name, "to_name": target.image_name, "type": kind, "value": {kind: content}}]


def importable(target: Target) -> bool:
    """Whether Label Studio's bulk import takes `result_of`'s form: of choices it takes names only, and no paths, though
    its editor submits, and shows, nothing else where choices nest. A single POST takes both."""
    return not (target.nested and target.control_tag == "Choices")
