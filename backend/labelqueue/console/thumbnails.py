"""Thumbnails: the picture of one task, and what a page needs to show it. None is cut in this process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from flask import Response, jsonify, request, url_for

from ..block import source_hash
from ..gallery import Thumbnails
from ..serving import context
from ..state import Project, TaskRow
from .pages import console

__all__ = ["Picture", "pictures", "thumbnail", "thumbnail_address"]

YEAR = 31_536_000  # seconds; another image of the task has another address
LOST = "the task is not known here, or its image was replaced: load the page again"
NONE_KEPT = "no thumbnails are kept: LABELQUEUE_THUMBNAILS is 0"


class Picture(NamedTuple):
    """What stands for an image on a page; the macro ``picture`` of ``picture.html`` shows it.

    Attributes
    ----------
    address : str
        Where its thumbnail is, or will be once a worker has cut it; empty where it is known that there will be none.
    alt : str
        What is said in its place: which task it is, and why there is no thumbnail.
    """

    address: str
    alt: str


@console.app_template_global()
def thumbnail_address(project: int, task: int, source: int) -> str:
    """Return the address of the thumbnail of a task's image, given by the hash of its URI; `pictures` says more."""
    return url_for("console.thumbnail", number=project, task=task, v=f"{source:016x}")


def pictures(project: Project, rows: Mapping[int, TaskRow]) -> dict[int, Picture]:
    """Return what stands for the images of a page's tasks, a few hundred at most."""
    sources = {task: source_hash(row.uri) for task, row in rows.items()}
    thumbnails = Thumbnails(project)
    reasons = thumbnails.reasons(sources)
    if not context().deployment.thumbnails:
        reasons = dict.fromkeys(sources, NONE_KEPT)
    here = thumbnails.sources_of(list(reasons))  # one that could not be embedded may have a thumbnail all the same
    found = {}
    for task, source in sources.items():
        why = "" if here.get(task) == source else reasons.get(task, "")
        address = "" if why else thumbnail_address(project.ref.id, task, source)
        found[task] = Picture(address, f"task {task}: {why}" if why else f"task {task}")
    return found


@console.get("/<id:number>/thumbs/<id:task>")
def thumbnail(number: int, task: int) -> Response:
    """Answer with a task's thumbnail, or have it cut: it is there a moment later."""
    project = context().project(number)
    thumbnails, found = Thumbnails(project), None
    asked = request.args.get("v", "")
    if (found := thumbnails.get(task)) and asked == f"{found[0]:016x}":
        return _shown(found[1], f"private, max-age={YEAR}, immutable")
    row = project.task_rows([task]).get(task)
    source = source_hash(row.uri) if row else None
    if source is None or asked not in ("", f"{source:016x}"):
        return _missing(LOST)
    if found and found[0] == source:
        return _shown(found[1], "private, no-cache")
    why = thumbnails.reasons({task: source}).get(task, "")
    if not context().deployment.thumbnails:
        why = NONE_KEPT
    if why:
        return _missing(why)
    answer = thumbnails.want([task])
    if answer is not None and answer.error:
        return _missing(answer.error)
    missing = _missing("a worker is asked to cut it: ask again in a moment")
    missing.headers["Retry-After"] = "1"
    return missing


def _shown(file: bytes, caching: str) -> Response:
    answer = Response(file, mimetype="image/webp")
    answer.headers["Cache-Control"] = caching
    return answer


def _missing(why: str) -> Response:
    answer = jsonify({"error": why})
    answer.status_code = 404
    answer.headers["Cache-Control"] = "no-store"
    return answer
