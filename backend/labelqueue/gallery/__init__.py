"""What the console shows of images, kept in Redis; all of it can be made again.

Imports `jobs` and `state`; what is kept here is made in `pagework` and by embedding workers, and shown by `console`.
"""

from .thumbnails import MEGABYTE, Thumbnails, tidy

__all__ = ["MEGABYTE", "Thumbnails", "tidy"]
