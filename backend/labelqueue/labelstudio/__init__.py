"""Label Studio's REST API, and nothing of ours: one client for one server and one key.

Imports only leaves.
"""

from .client import SAMPLING, LabelStudio
from .records import Skipped, TaskRecord
from .session import LabelStudioSession

__all__ = ["SAMPLING", "LabelStudio", "LabelStudioSession", "Skipped", "TaskRecord"]
