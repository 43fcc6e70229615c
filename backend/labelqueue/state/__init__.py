"""Everything that we remember of projects, in Redis, and the snapshot that a look takes of it.

Imports `store`, and `ordering`, `learning` and `labels`, whose values it keeps.
"""

from ..store import EmbeddedRedis, Redis, add_members, connect, list_items, remove, socket_path, text
from .campaigns import predictions_of, save_campaign, save_summary, summary_of
from .formats import make_readable
from .journal import Event, Journal, read_event
from .label_book import LabelBook
from .lock import ProjectLock
from .orders import Orders
from .pattern_cache import PatternCache
from .project import LIVE_VERSION, NOT_CONNECTED, SECRET_HEADER, Project, ProjectRef, TaskRow
from .snapshots import TaskColumns, read_columns, read_states, take_snapshot

__all__ = [
    "LIVE_VERSION",
    "NOT_CONNECTED",
    "SECRET_HEADER",
    "EmbeddedRedis",
    "Event",
    "Journal",
    "LabelBook",
    "Orders",
    "PatternCache",
    "Project",
    "ProjectLock",
    "ProjectRef",
    "Redis",
    "TaskColumns",
    "TaskRow",
    "add_members",
    "connect",
    "list_items",
    "make_readable",
    "predictions_of",
    "read_columns",
    "read_event",
    "read_states",
    "remove",
    "save_campaign",
    "save_summary",
    "socket_path",
    "summary_of",
    "take_snapshot",
    "text",
]
