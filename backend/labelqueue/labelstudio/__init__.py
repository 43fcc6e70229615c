"""Label Studio's REST API, and nothing of ours: one client for one server and one key.

Imports only leaves.
"""

from .client import Hooks, LabelStudio
from .records import Skipped, TaskRecord
from .session import LabelStudioSession

__all__ = ["Hooks", "LabelStudio", "LabelStudioSession", "Skipped", "TaskRecord"]
