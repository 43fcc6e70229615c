"""The page that lists all projects."""

from __future__ import annotations

from flask import Response

from .. import admin
from ..serving import context
from .pages import console, label_studio_link, page


@console.get("")
@console.get("/")
def projects() -> Response:
    """List every project that this backend knows, one row each."""
    here = context()
    rows = admin.project_list(here.patient_store, here.deployment.label_studio_url)
    for row in rows:
        row["link"] = label_studio_link(row["project"])
    return page("projects.html", rows=rows)
