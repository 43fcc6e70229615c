"""Making tasks in Label Studio."""

from __future__ import annotations

from collections.abc import Sequence

from .client import LabelStudio
from .records import Json, one_object
from .session import TIMEOUT

__all__ = ["make_tasks"]

ROW_SECONDS = 0.05  # that an import may take for each task


def make_tasks(client: LabelStudio, project: int, data: Sequence[Json]) -> int:
    """Import tasks at once, in this order; return how many Label Studio says it made.

    Parameters
    ----------
    client : LabelStudio
    project : int
    data : sequence of dict
        The data of each task.

    Raises
    ------
    LabelStudioError
        If it cannot be reached or refuses; without an answer it may have made them all the same.
    """
    timeout = TIMEOUT[0], TIMEOUT[1] + ROW_SECONDS * len(data)
    tasks = [{"data": one} for one in data]
    answer = client._json("POST", f"/api/projects/{project}/import", json=tasks, timeout=timeout)
    return int(one_object(answer, "import", task_count=int)["task_count"])
