"""What the console shows of images, kept in Redis; all of it can be made again.

Imports `jobs` and `state`; what is kept here is made in `pagework` and by embedding workers, and shown by `console`.
"""

from .layouts import Layout, keep_layout, load_layout
from .maps import COLUMNS, MISSING, Map, Maps
from .questions import (
    details_question,
    layout_question,
    map_question,
    nearest_question,
    state_of_project,
    unpack_tasks,
)
from .thumbnails import MEGABYTE, Thumbnails, tidy

__all__ = [
    "COLUMNS",
    "MEGABYTE",
    "MISSING",
    "Layout",
    "Map",
    "Maps",
    "Thumbnails",
    "details_question",
    "keep_layout",
    "layout_question",
    "load_layout",
    "map_question",
    "nearest_question",
    "state_of_project",
    "tidy",
    "unpack_tasks",
]
