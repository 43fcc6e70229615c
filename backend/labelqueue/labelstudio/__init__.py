"""Label Studio's REST API, and nothing of ours: one client for one server and one key.

Imports `transport`, `telemetry` and leaves.
"""

from .client import SAMPLING, LabelStudio
from .new_tasks import make_tasks
from .records import Hooks, Skipped, TaskRecord
from .session import LabelStudioSession

__all__ = ["SAMPLING", "Hooks", "LabelStudio", "LabelStudioSession", "Skipped", "TaskRecord", "make_tasks"]
