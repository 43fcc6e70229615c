"""`labelqueue demo`: a Label Studio with images, labelqueue connected to it, and the order that comes out."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the demo's options to its parser."""
    parser.add_argument(
        "--label-studio",
        type=Path,
        metavar="PATH",
        help="the label-studio program, in an environment of its own (default: the one on PATH)",
    )
    parser.add_argument("--images", type=Path, metavar="DIR", help="a folder of images; sub-folders become classes")
    parser.add_argument("--count", type=int, default=300, metavar="N", help="images to draw without --images (300)")
    parser.add_argument("--once", action="store_true", help="print the order and end")
    parser.add_argument("--port", type=int, default=9090, metavar="PORT", help="port of labelqueue (9090)")
    parser.add_argument(
        "--label-studio-port", type=int, default=8080, metavar="PORT", help="port of Label Studio (8080)"
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(".labelqueue/demo"),
        metavar="DIR",
        help="where everything is kept for the next run (.labelqueue/demo)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the demo until Ctrl-C, or with `once` until the first order is shown; return the exit status."""
    from .show import show

    return show(arguments)
