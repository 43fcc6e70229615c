"""The page "Health" of a project."""

from __future__ import annotations

from flask import Response

from ..serving import context
from .pages import console, page


@console.get("/<id:number>/health")
def health(number: int) -> Response:
    """Show the page."""
    return page("health.html", context().project(number))
