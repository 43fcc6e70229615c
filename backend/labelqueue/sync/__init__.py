"""The two ways between us and Label Studio: reading what changed there, and writing what was decided here.

Imports `jobs`, `state`, `labelstudio` and what is below; every write is preceded by a look at the project's lock.
"""

from .connecting import connected, find_remote, secure_webhook
from .execution import RefillError, carry_out
from .publishing import Publisher
from .reading import read_project
from .steering import steer
from .tidying import tidy

__all__ = [
    "Publisher",
    "RefillError",
    "carry_out",
    "connected",
    "find_remote",
    "read_project",
    "secure_webhook",
    "steer",
    "tidy",
]
