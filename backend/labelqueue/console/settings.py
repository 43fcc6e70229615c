"""The page "Settings" of a project."""

from __future__ import annotations

from flask import Response

from ..serving import context
from .pages import console, page


@console.get("/<id:number>/settings")
def settings(number: int) -> Response:
    """Show the page."""
    return page("settings.html", context().project(number))
