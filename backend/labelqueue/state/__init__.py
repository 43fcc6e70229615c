"""Everything that we remember of projects, in Redis.

Imports `store`, and `ordering`, `learning` and `labels`, whose values it keeps.
"""

from ..store import (
    PROBE,
    EmbeddedRedis,
    ProjectLock,
    Redis,
    StoreFacts,
    add_members,
    connect,
    get_fields,
    list_items,
    plain,
    put_fields,
    remove,
    scan_fields,
    scan_members,
    shared_time,
    socket_path,
    store_facts,
    text,
    why_refused,
)
from .campaigns import load_campaign, predictions_of, rows_keys, save_campaign, save_summary, summary_of
from .columns import TaskColumns, keep_values, parse_tasks, read_columns
from .formats import ERRORS, PARTS, make_readable
from .journal import ACTIONS, Event, Journal, is_echo, read_event
from .label_book import LabelBook, parse_labels
from .orders import WHOLE, Orders
from .pattern_cache import PatternCache
from .people import People
from .pins import WHOLE_ACTS, Act, Kind, Pins, Wish
from .project import (
    ASIDE,
    FORGOTTEN,
    LIVE_VERSION,
    NOT_CONNECTED,
    PER_TASK,
    SECRET_HEADER,
    Project,
    ProjectRef,
    is_id,
)
from .setting_choices import Choice, is_readable
from .task_row import TaskRow

__all__ = [
    "ACTIONS",
    "ASIDE",
    "ERRORS",
    "FORGOTTEN",
    "LIVE_VERSION",
    "NOT_CONNECTED",
    "PARTS",
    "PER_TASK",
    "PROBE",
    "SECRET_HEADER",
    "WHOLE",
    "WHOLE_ACTS",
    "Act",
    "Choice",
    "EmbeddedRedis",
    "Event",
    "Journal",
    "Kind",
    "LabelBook",
    "Orders",
    "PatternCache",
    "People",
    "Pins",
    "Project",
    "ProjectLock",
    "ProjectRef",
    "Redis",
    "StoreFacts",
    "TaskColumns",
    "TaskRow",
    "Wish",
    "add_members",
    "connect",
    "get_fields",
    "is_echo",
    "is_id",
    "is_readable",
    "keep_values",
    "list_items",
    "load_campaign",
    "make_readable",
    "parse_labels",
    "parse_tasks",
    "plain",
    "predictions_of",
    "put_fields",
    "read_columns",
    "read_event",
    "remove",
    "rows_keys",
    "save_campaign",
    "save_summary",
    "scan_fields",
    "scan_members",
    "shared_time",
    "socket_path",
    "store_facts",
    "summary_of",
    "text",
    "why_refused",
]
