"""The page "Orders" of a project."""

from __future__ import annotations

from flask import Response

from ..serving import context
from .pages import console, page


@console.get("/<id:number>/orders")
def orders(number: int) -> Response:
    """Show the page."""
    return page("orders.html", context().project(number))
