"""Images by the million, wherever they lie, embedded in parts: what `labelqueue embed` writes and `select` reads.

Imports `images`, `fetching` and leaves; pyarrow, fsspec and Ray are loaded when something is read, written or shared
out.
"""

from .directory import Collection
from .embedding import Options, embed
from .part import WHOLE, Part
from .spool import Rows, open_rows

__all__ = ["WHOLE", "Collection", "Options", "Part", "Rows", "embed", "open_rows"]
