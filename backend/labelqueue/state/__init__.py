"""Everything that we remember of projects, in Redis, and the snapshot that a look takes of it.

Imports `ordering`, `learning` and `labels`, whose values it keeps.
"""

from .campaigns import predictions_of, save_campaign, save_summary, summary_of
from .formats import make_readable
from .journal import Event, Journal, read_event
from .label_book import LabelBook
from .lock import ProjectLock
from .orders import WHOLE, Orders
from .pattern_cache import PatternCache
from .project import LIVE_VERSION, NOT_CONNECTED, SECRET_HEADER, Project, ProjectRef, TaskRow
from .redis_connection import Redis, connect, text
from .redis_server import EmbeddedRedis, socket_path
from .snapshots import TaskColumns, read_columns, take_snapshot

__all__ = [
    "LIVE_VERSION",
    "NOT_CONNECTED",
    "SECRET_HEADER",
    "WHOLE",
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
    "connect",
    "make_readable",
    "predictions_of",
    "read_columns",
    "read_event",
    "save_campaign",
    "save_summary",
    "socket_path",
    "summary_of",
    "take_snapshot",
    "text",
]
