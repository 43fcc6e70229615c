"""What a worker keeps of a project in memory: a copy of its columns, and the snapshot of a look that is taken from it.

Imports `state` and `ordering`; nothing here is written anywhere.
"""

from .replica import Replica
from .snapshots import take_snapshot

__all__ = ["Replica", "take_snapshot"]
