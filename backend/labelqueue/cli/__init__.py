"""The command line."""

from .parser import build_parser, main

__all__ = ["build_parser", "main"]
