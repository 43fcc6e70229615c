"""Label Studio's REST API, and nothing of ours: one client for one server and one key.

Imports `transport` and leaves.
"""

from .client import LabelStudio
from .records import Skipped, TaskRecord
from .session import LabelStudioSession

__all__ = ["LabelStudio", "LabelStudioSession", "Skipped", "TaskRecord"]
