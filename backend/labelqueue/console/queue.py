"""The page "Queue" of a project: what comes next and why, what is labeled first or left out; and how that is told.

Which images are drawn at random to measure the model is not told unless somebody asks: then reasons are cut to their
wording, without the figures that only a pick has, and what is drawn at random has the words of the others.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flask import Response, request
from werkzeug.exceptions import BadRequest, NotFound

from .. import admin
from ..exceptions import LabelQueueError
from ..serving import context
from ..state import Orders, Project, TaskRow
from .forms import acted, sent
from .pages import at, console, label_studio_link, page
from .thumbnails import pictures

__all__ = ["has_controls", "number_of", "page_of", "queue", "told_places"]

PER_PAGE = 24
LISTED = 24  # pins, exclusions and acts that the page lists
ALL = 1_000_000
SOURCE = "console"
PAST = {"pin": "first", "unpin": "no longer first", "exclude": "left out", "include": "in again", "undo": "as before"}
DUPLICATE, CONTROL = "near-duplicate", "random control"
# How reasons begin that say nothing of a pick: each tells the truth, whoever reads it.
OTHERS = (
    "its image is not embedded",
    "it has no rotation features",
    "skipped before",
    "bad image",
    "left out",
    "it was pinned",
)
PINNED = "pinned by an admin"
_FIGURE = re.compile(r"(?<![\w])[-+]?\d[\d.,]*(?:st|nd|rd|th)?(?: ?%)?")

Record = dict[str, Any]


@console.get("/<id:number>/queue")
def queue(number: int) -> Response:
    """Show the next tasks, a page at a time, and the pins and exclusions."""
    project, shown = context().project(number), request.args.get("controls") == "1"
    listed = admin.project_order(project, ALL)
    live = Orders(project).live()
    hidden = live is not None and has_controls(live.parameters, listed["tasks"])
    places = told_places(listed["tasks"], shown=shown or not hidden)
    cards, turn = page_of(_folded(places), PER_PAGE)
    seen = [place for card in cards for place in (card["fold"] or [card])]
    _complete(project, seen)
    told = admin.curation(project, LISTED)
    rows = (*seen, *told["pins"], *told["exclusions"])
    return page(
        "queue.html",
        project,
        cards=cards,
        pictures=pictures(project, {row["task"]: TaskRow(row["image"], "") for row in rows}),
        turn=turn,
        total=len(places),
        order=live,
        pinned={row["task"] for row in told["pins"]},
        facts=_facts(project),
        hidden=hidden,
        shown=shown,
        curation=told,
        past=PAST,
    )


ACTS: Mapping[str, Callable[[Project, list[int], str], Mapping[str, Any]]] = {
    "pin": lambda project, tasks, reason: admin.pin(project, tasks, SOURCE),
    "unpin": lambda project, tasks, reason: admin.unpin(project, tasks, SOURCE),
    "exclude": lambda project, tasks, reason: admin.exclude(project, tasks, reason, SOURCE),
    "include": lambda project, tasks, reason: admin.include(project, tasks, SOURCE),
    "undo": lambda project, acts, reason: admin.undo(project, acts[0], SOURCE),
}


@console.post("/<id:number>/queue/<act>")
def curate(number: int, act: str) -> Response:
    """Label a task first, leave it out, or take such an act back."""
    body, project = sent(), context().project(number)
    if act not in ACTS:
        raise NotFound(f"nobody can {act[:40]!r} here")
    back = at("queue", number=number, **{name: body[name] for name in ("page", "controls") if body.get(name)})
    try:
        done = ACTS[act](project, [number_of(body.get("of"))], str(body.get("reason", "")))
    except LabelQueueError as error:
        return acted(str(error), back, failed=True)
    return acted(str(done["accepted"]), back)


def number_of(raw: Any) -> int:
    """Return the number of a task, or of an act, that a form has sent; raises BadRequest when it is none."""
    told = str(raw)
    if not re.fullmatch("[0-9]{1,18}", told, re.ASCII):
        raise BadRequest(f"{told[:40]!r} is no number of a task or an act")
    return int(told)


# -- how places are told


def has_controls(parameters: Mapping[str, Any], places: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether some places of an order may be drawn at random; what is not on record may be."""
    share = parameters.get("control_share", 1) or parameters.get("control_share_start")
    return bool(share) or any(place["control"] for place in places)


def told_places(places: Sequence[Mapping[str, Any]], *, shown: bool) -> list[Record]:
    """Return places as people see them.

    Parameters
    ----------
    places : sequence of mapping
        In their sequence, as `admin.project_order` or `admin.order_audit` tells them.
    shown : bool
        Whether it is told which are drawn at random.

    Returns
    -------
    list of dict
        Each with ``duplicate``, whether it is told as a near-duplicate. Unless `shown`, ``control`` is False and
        ``reason`` is the same for what is drawn at random as for what stands around it.
    """
    kinds = [_kind(place) for place in places]
    if shown:
        return [{**place, "duplicate": kind == DUPLICATE} for place, kind in zip(places, kinds, strict=True)]
    words = [_words(place["reason"]) for place, kind in zip(places, kinds, strict=True) if kind == "pick"]
    usual = Counter(words).most_common(1)[0][0] if words else "picked by the strategy"
    told = []
    for number, (place, kind) in enumerate(zip(places, kinds, strict=True)):
        around = _around(kinds, number) if kind == CONTROL else kind
        reason = {"pick": usual if kind == CONTROL else _words(place["reason"]), DUPLICATE: DUPLICATE}.get(around)
        if place.get("pinned"):
            reason = PINNED
        told.append({**place, "reason": reason or place["reason"], "control": False, "duplicate": around == DUPLICATE})
    return told


def _kind(place: Mapping[str, Any]) -> str:
    if place["control"]:
        return CONTROL
    if place["reason"].startswith(DUPLICATE):
        return DUPLICATE
    return "other" if place["reason"].startswith(OTHERS) else "pick"


def _around(kinds: Sequence[str], number: int) -> str:
    """Return what a place drawn at random passes for: a pick among picks, a near-duplicate among those."""
    before = next((kind for kind in reversed(kinds[:number]) if kind != CONTROL), "pick")
    if before in ("pick", DUPLICATE):
        return before
    return next((kind for kind in kinds[number:] if kind in ("pick", DUPLICATE)), "pick")


def _words(reason: str) -> str:
    """Return a pick's reason without its figures: ``covers a new pattern: 0.41 from …`` covers a new pattern."""
    without = re.sub(r" *\(.*\)", "", reason, flags=re.S)  # what the model says of the image
    short = _FIGURE.sub("…", without.split(":", 1)[0]).strip(" ,")
    short = re.sub("^… (?=from )", "far ", short)
    short = re.sub(" of …", "", short).replace("in sub-pool …", "in its part of the pool")
    return re.sub("^(… ?)+", "", short) or "picked by the strategy"


def _folded(places: Sequence[Record]) -> list[Record]:
    """Return one card for each place, and one for each run of near-duplicates, which are folded together."""
    cards: list[Record] = []
    for place in places:
        if place["duplicate"] and not place.get("pinned"):
            if not (cards and cards[-1]["fold"]):
                cards.append({"fold": []})
            cards[-1]["fold"].append(place)
        else:
            cards.append({**place, "fold": None})
    return cards


def page_of(rows: Sequence[Any], size: int) -> tuple[list[Any], Record]:
    """Return the rows of the page that is asked for, and which page of how many that is."""
    pages = max(-(-len(rows) // size), 1)
    raw = request.args.get("page", "1")
    asked = int(raw) if re.fullmatch("[0-9]{1,9}", raw, re.ASCII) else 1
    number = min(max(asked, 1), pages)
    return list(rows[(number - 1) * size : number * size]), {"number": number, "of": pages}


def _complete(project: Project, places: Sequence[Record]) -> None:
    """Add to places how sure the model is of their pre-labels, and what their cards lead to."""
    chances = admin.prelabel_chances(project, [place["task"] for place in places if place["prelabel"] is not None])
    for place in places:
        answer = place["prelabel"]
        place["answer"] = answer if isinstance(answer, str | None) else ", ".join(answer) or "none of them"
        place["chance"] = chances.get(place["task"])
        place["link"] = label_studio_link(project.ref.id, place["task"])


def _facts(project: Project) -> Record:
    """Return what keeps the queue from changing, and whether images are there at all."""
    info = project.info()
    facts: Record = {name: info.get(name, "") for name in ("paused", "hold", "error", "rollback_error")}
    return facts | {"tasks": project.task_count(), "soon": admin.soon(project)}
