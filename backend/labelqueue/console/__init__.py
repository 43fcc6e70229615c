"""The console: pages on which admins see what the queue does, why, and what it is worth, and change it.

Imports `serving`, `admin`, `gallery`, `jobs`, `state` and `learning`; what takes longer than a page may is asked of
`pagework`.
"""

from .health import health
from .map import map
from .orders import orders
from .overview import overview
from .pages import console
from .projects import projects
from .queue import queue
from .settings import settings
from .thumbnails import thumbnail

__all__ = ["console"]

_VIEWS = (
    projects,
    overview,
    queue,
    map,
    orders,
    settings,
    health,
    thumbnail,
)  # importing them gives `console` its views
