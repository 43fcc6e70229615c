"""The page that lists all projects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response

from .. import admin
from ..serving import context
from ..state import Project
from . import sentences
from .pages import console, label_studio_link, page


@console.get("")
@console.get("/")
def projects() -> Response:
    """List every project that this backend knows, one row each; those that were set aside come last."""
    here = context()
    found = admin.projects_here(here.patient_store, here.deployment.label_studio_url)
    installation = admin.installation_glance(here.patient_store)
    rows = [_row(project, latest, installation) for project, latest in found]
    rows.sort(key=lambda row: bool(row["facts"]["set_aside"]))  # stable
    return page("projects.html", rows=rows, address=here.deployment.public_url)


def _row(project: Project, latest: bool, installation: dict[str, Any]) -> dict[str, Any]:
    """Return what is shown of a project; `latest` tells whether its pages are about it, or about one of the same id."""
    facts = admin.project_glance(project, at_work=False)
    return {
        "facts": facts,
        "latest": latest,
        "stage": sentences.stage(facts),
        "accuracy": short_accuracy(facts),
        "wrong": next(iter(sentences.warnings(facts, installation)), None),
        "link": label_studio_link(facts["project"]),
    }


def short_accuracy(facts: Mapping[str, Any]) -> str:
    """Return the accuracy with its interval for a table; empty when nothing is known."""
    overall = (facts["accuracy"] or {}).get("overall") or {"count": 0}
    if not overall["count"]:
        return ""
    if overall["interval"] is None:
        return f"{overall['right']} of {overall['count']} right"
    low, high = overall["interval"]
    return f"{overall['accuracy']:.0%} ({low:.0%} to {high:.0%})"
