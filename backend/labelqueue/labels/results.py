"""Results: a label in the form in which Label Studio stores an answer, as predictions carry it."""

from __future__ import annotations

from typing import Any

from .label_config import Target
from .values import Value

__all__ = ["result_of"]


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
        content = [list(target.path_of(label)) for label in labels]
    else:
        content = labels
    return [{"from_name": target.control_name, "to_name": target.image_name, "type": kind, "value": {kind: content}}]
