"""The page "Queue" of a project."""

from __future__ import annotations

from flask import Response

from ..serving import context
from .pages import console, page


@console.get("/<id:number>/queue")
def queue(number: int) -> Response:
    """Show the page."""
    return page("queue.html", context().project(number))
