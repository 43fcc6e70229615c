"""The page "Overview" of a project."""

from __future__ import annotations

from flask import Response

from ..serving import context
from .pages import console, page


@console.get("/<id:number>")
def overview(number: int) -> Response:
    """Show the page."""
    return page("overview.html", context().project(number))
