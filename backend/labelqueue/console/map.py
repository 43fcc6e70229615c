"""The page "Map" of a project."""

from __future__ import annotations

from flask import Response

from ..serving import context
from .pages import console, page


@console.get("/<id:number>/map")
def map(number: int) -> Response:
    """Show the page."""
    return page("map.html", context().project(number))
