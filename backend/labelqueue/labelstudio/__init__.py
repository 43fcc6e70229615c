"""Label Studio's REST API, and nothing of ours: one client for one server and one key.

Imports only leaves.
"""

from .client import LabelStudio

__all__ = [
    "LabelStudio",
]
