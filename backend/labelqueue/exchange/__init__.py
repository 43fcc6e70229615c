"""A project's embeddings as a table: written to a Parquet file, and vectors of a site's own model read from one.

Imports `jobs`, `state` and leaves; pyarrow, an extra, is loaded when a file is read or written.
"""

from .command import add_arguments, run

__all__ = ["add_arguments", "run"]
