"""Queries for Label Studio's list of tasks, in the form in which its Data Manager writes them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

__all__ = ["ANNOTATION_FIELDS", "having", "listing"]

ANNOTATION_FIELDS = (
    "id", "updated_at", "created_at", "lead_time", "completed_by", "ground_truth", "was_cancelled", "result",
)  # fmt: skip


def listing(since: datetime | None, after: int) -> str:
    """Return the query for tasks by id: those after one, changed since an aware time."""
    items: list[dict[str, Any]] = []
    if after:
        items.append({"filter": "filter:tasks:id", "operator": "greater", "type": "Number", "value": after})
    if since is not None:
        # Label Studio parses exactly this form.
        when = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        items.append({"filter": "filter:tasks:updated_at", "operator": "greater", "type": "Datetime", "value": when})
    return _query(items)


def having(version: str) -> str:
    """Return the query for the tasks that have a prediction of a version, or of one whose name contains it."""
    # Of several names, only a list is looked at: a text would be taken letter by letter.
    column = "filter:tasks:predictions_model_versions"
    return _query([{"filter": column, "operator": "contains", "type": "List", "value": [version]}])


def _query(items: list[dict[str, Any]]) -> str:
    filters = {"filters": {"conjunction": "and", "items": items}} if items else {}
    return json.dumps({**filters, "ordering": ["tasks:id"]})
