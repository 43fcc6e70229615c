"""The shared tab of Label Studio's Data Manager that shows the order to people."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ..exceptions import LabelStudioError
from ..labelstudio import LabelStudio, Skipped
from ..reading import note_skipped
from ..state import Project

__all__ = ["HIDDEN", "TAB", "TAB_DATA", "save_tab"]

log = logging.getLogger(__name__)

TAB = "Order: don't label here"  # people who label "as displayed" there would all get the same task
# What is left are the task, its image, how often it was annotated, and its score.
HIDDEN = [
    f"tasks:{column}"
    for column in (
        "completed_at",
        "cancelled_annotations",
        "total_predictions",
        "annotators",
        "annotations_results",
        "annotations_ids",
        "file_upload",
        "storage_filename",
        "created_at",
        "updated_at",
        "updated_by",
        "avg_lead_time",
        "draft_exists",
        "ground_truth",
        "predictions_results",
        "predictions_model_versions",
        "inner_id",
        "reviewers",
    )
]


def _filter(column: str, operator: str, value: int) -> dict[str, str | int]:
    return {"filter": f"filter:tasks:{column}", "operator": operator, "type": "Number", "value": value}


TAB_DATA = {
    "type": "list",
    "target": "tasks",
    "ordering": ["tasks:predictions_score"],
    "filters": {
        "conjunction": "and",
        # Only predictions of the live version count here, and their scores are positive.
        "items": [_filter("predictions_score", "greater", 0), _filter("total_annotations", "equal", 0)],
    },
    "hiddenColumns": {"explore": HIDDEN, "labeling": HIDDEN},
}


def save_tab(project: Project, client: LabelStudio, check: Callable[[], None]) -> None:
    """Keep the tab as it should be; a tab that cannot be saved stops nothing.

    Parameters
    ----------
    project : Project
    client : LabelStudio
    check : callable
        Raises when this job no longer holds the project's lock.
    """
    try:
        skipped = Skipped()
        check()
        client.save_tab(project.ref.id, TAB, TAB_DATA, skipped=skipped)
        note_skipped(project, "tabs", skipped)
    except LabelStudioError as error:
        log.warning("the tab that shows the order could not be saved: %s", error)
