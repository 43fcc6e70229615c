"""Chosen images become tasks: `labelqueue import` takes what `labelqueue select` printed to Label Studio.

Imports `labelstudio`, `fetching`, `labels` and leaves.
"""

from .command import add_arguments, run

__all__ = ["add_arguments", "run"]
