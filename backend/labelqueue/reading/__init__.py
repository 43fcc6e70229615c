"""Reading Label Studio: whether a project is there, and what changed in it, a slice at a time.

Imports `state`, `labelstudio` and what is below.
"""

from .finding import find_lost
from .names import read_names
from .pages import note_skipped
from .presence import find_remote, noting_absence
from .reading import read_project, unread

__all__ = ["find_lost", "find_remote", "note_skipped", "noting_absence", "read_names", "read_project", "unread"]
