"""What all pages have in common: the blueprint, its strict headers, the frame around each page, errors as pages."""

from __future__ import annotations

import hashlib
import logging
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, jsonify, render_template, request, url_for
from markupsafe import Markup, escape
from redis.exceptions import RedisError
from werkzeug.exceptions import BadRequest, HTTPException, InternalServerError, NotFound

from ..exceptions import CurationError, LabelQueueError, ProjectError, PublishError, SettingError
from ..jobs import alive
from ..serving import CONSOLE, context
from ..state import Project, plain, why_refused
from .forms import form_token, taken_note

__all__ = ["TABS", "console", "label_studio_link", "page"]

log = logging.getLogger(__name__)

# What the pages may load: what this process serves, and nothing inline.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
# View -> what its tab is called, from left to right.
TABS = {
    "overview": "Overview",
    "queue": "Queue",
    "map": "Map",
    "orders": "Orders",
    "settings": "Settings",
    "health": "Health",
}
CODES: tuple[tuple[type[LabelQueueError], int], ...] = (
    (ProjectError, 404),
    (PublishError, 409),
    (SettingError, 400),
    (CurationError, 400),
)

console = Blueprint(
    "console",
    __name__,
    url_prefix=CONSOLE,
    template_folder="templates",
    static_folder="static",
    static_url_path="/static",
)


def page(template: str, project: Project | None = None, *, status: int = 200, **values: Any) -> Response:
    """Return a page.

    Parameters
    ----------
    template : str
        Its file in `templates`, which extends ``base.html``.
    project : Project, optional
        Whose tabs are shown.
    status : int, default 200
    **values
        What the template shows. It escapes all of it.
    """
    frame: dict[str, Any] = {"tabs": TABS, "tab": (request.endpoint or "").rpartition(".")[2], "note": None}
    frame |= {"token": "", "project": None}
    if status < 500:  # without Redis there is neither
        frame |= {"token": form_token(), "note": taken_note()}
    if project is not None:
        number, title = project.ref.id, project.get("title") or f"project {project.ref.id}"
        frame["project"] = {"id": number, "title": title, "link": label_studio_link(number)}
        frame["revision"] = revision_of(project)
    html = render_template(template, **frame | values).encode(errors="replace")  # an address may have half a character
    answer = Response(html, status, mimetype="text/html")
    answer.headers["Cache-Control"] = "no-store"
    return answer


def label_studio_link(project: int, task: int | None = None) -> str:
    """Return where people find a project, or one of its tasks, in Label Studio."""
    deployment = context().deployment
    named = deployment.label_studio_host
    base = named if named.startswith(("http://", "https://")) else deployment.label_studio_url
    return f"{base}/projects/{project}/data" + ("" if task is None else f"?task={task}")


def revision_of(project: Project) -> str:
    """Return what changes whenever a page about a project would show something else."""
    store, name = project.store, project.name
    info = project.info()
    pipe = store.pipeline(transaction=False)
    for part in ("tasks", "quarantine", "pins", "exclusions"):
        pipe.hlen(name(part))
    for part in ("pending", "late"):
        pipe.zcard(name(part))
    pipe.hlen(name("cache", info.get("generation", ""), "rows"))
    facts = [sorted(info.items()), pipe.execute(), sorted(alive(store))]
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


@console.get("/<id:number>/revision")
def revision(number: int) -> Response:
    """Tell whether a page is still up to date: a script asks every few seconds."""
    now = revision_of(context().project(number))
    answer = jsonify({"revision": now})
    answer.set_etag(now)
    answer.headers["Cache-Control"] = "no-cache"
    answer.make_conditional(request)
    return answer


@console.get("/<path:rest>")
def nothing(rest: str) -> Response:
    """Say that there is no such page."""
    raise NotFound(f"there is no page {request.path} here")


@console.after_request
def strict(answer: Response) -> Response:
    """Send the policy with everything."""
    for name, value in HEADERS.items():
        answer.headers[name] = value
    if request.endpoint == "console.static":
        answer.headers["Cache-Control"] = "no-cache"  # asked for again, and mostly unchanged
    return answer


@console.app_template_filter("when")
def when(at: float) -> Markup:
    """Write a Unix time so that a script can show it in the reader's zone."""
    moment = datetime.fromtimestamp(float(at), UTC)
    told = moment.strftime("%Y-%m-%d %H:%M UTC")
    return Markup('<time datetime="{}">{}</time>').format(moment.isoformat(timespec="seconds"), told)


@console.app_template_filter("percent")
def percent(share: float) -> str:
    """Write a share in whole percent."""
    return f"{100 * share:.0f}%"


@console.app_template_filter("coded")
def coded(told: str) -> Markup:
    """Write what stands between backticks, such as commands, as code."""
    parts = told.split("`")
    whole = len(parts) % 2 == 1  # a lone backtick is one
    marked = [Markup("<code>{}</code>").format(part) if n % 2 else escape(part) for n, part in enumerate(parts)]
    return Markup("").join(marked) if whole else escape(told)


@console.app_template_global()
def at(view: str, **values: Any) -> str:
    """Return the address of a view of the console."""
    return url_for(f"console.{view}", **values)


@console.errorhandler(HTTPException)
@console.errorhandler(BadRequest)  # or the one of the whole app would answer
def refused(error: HTTPException) -> Response:
    """Show what is wrong with a call."""
    if isinstance(error, InternalServerError):
        return _told("unexpected error; labelqueue's log says what happened", 500)
    return _told(error.description or error.name, error.code or 500)


@console.errorhandler(LabelQueueError)
def known_error(error: LabelQueueError) -> Response:
    """Show what is wrong and the way out; what only the log may know stays there."""
    log.warning("%s %r: %s", request.method, request.path, error)
    for kind, code in CODES:
        if isinstance(error, kind):
            return _told(str(error), code)
    return _told("not available right now, try again later; labelqueue's log says why", 503)


@console.errorhandler(RedisError)
def lost_store(error: RedisError) -> Response:
    """Say why Redis did not do it; its address stays in the log."""
    log.error("%s %r: Redis failed: %s", request.method, request.path, plain(error))
    return _told(f"not available right now: {why_refused(error)}; labelqueue's log says why", 503)


def _told(why: str, status: int) -> Response:
    if "text/html" in request.headers.get("Accept", ""):
        return page("error.html", status=status, why=why)
    answer = jsonify({"error": why})
    answer.status_code = status
    return answer
