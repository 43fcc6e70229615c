"""Redis itself: the connection, a server of our own, a lock, and commands on many items; of projects it knows names.

Imports leaves only; what is kept there is in `state`.
"""

from .changes import KEPT, Changed, Changes, packed
from .chunks import (
    add_members,
    drop_fields,
    drop_members,
    get_fields,
    in_chunks,
    list_items,
    put_fields,
    put_large_fields,
    remove,
    scan_fields,
    scan_members,
)
from .clock import shared_time
from .lock import ProjectLock
from .redis_connection import PROBE, Redis, StoreFacts, connect, plain, store_facts, text, why_refused
from .redis_server import EmbeddedRedis, socket_path

__all__ = [
    "KEPT",
    "PROBE",
    "Changed",
    "Changes",
    "EmbeddedRedis",
    "ProjectLock",
    "Redis",
    "StoreFacts",
    "add_members",
    "connect",
    "drop_fields",
    "drop_members",
    "get_fields",
    "in_chunks",
    "list_items",
    "packed",
    "plain",
    "put_fields",
    "put_large_fields",
    "remove",
    "scan_fields",
    "scan_members",
    "shared_time",
    "socket_path",
    "store_facts",
    "text",
    "why_refused",
]
