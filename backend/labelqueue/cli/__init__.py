"""The command line.

Imports everything; nothing imports it.
"""

from .parser import build_parser, main, program

__all__ = ["build_parser", "main", "program"]
