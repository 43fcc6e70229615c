"""The page "Map" of a project, and what is like one image: the bytes that scripts draw, questions, and acts."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any

from flask import Response, jsonify, request
from werkzeug.exceptions import BadRequest, NotFound

from .. import admin
from ..exceptions import LabelQueueError
from ..gallery import Maps, details_question, map_question, nearest_question
from ..jobs import EMBEDDING, Answer, alive, ask
from ..serving import context
from ..state import Project, is_id
from .forms import acted, sent
from .pages import at, console, label_studio_link, page
from .queue import told_places
from .thumbnails import pictures

__all__ = ["like_address", "map"]

SOURCE = "console"
CHANNELS = {
    "state": "State",
    "label": "Label",
    "prediction": "Prediction",
    "doubt": "Doubt",
    "rank": "Place in the queue",
    "order": "Part of the order",
    "duplicates": "Near-duplicates",
    "arrival": "Arrival",
}
SCRIPTS = (
    "console.js",
    *(f"map-{name}.js" for name in ("card", "colors", "known", "lasso", "legend", "list", "paint", "panel", "pick")),
    *(f"map-{name}.js" for name in ("points", "shapes", "stage", "view")),
)
MOST = {"details": 200, "near": 1_000, "act": 10_000}  # tasks that one call may name
ALL = 1_000_000  # places of an order
# Between two maps of a project that changes all the time workers have time for images: so many times what the last one
# took, and so many seconds at most.
REST, LONGEST_REST = 5, 60.0
NEAR = 96  # images that are found to be like others
CONTROL, NEXT = "random control", "next in the order"  # names of the channel `order`
_REVISION = re.compile("[0-9a-f]{1,64}")
_TASK = re.compile("[0-9]{1,18}", re.ASCII)

Json = dict[str, Any]


@console.get("/<id:number>/map")
def map(number: int) -> Response:
    """Show the page; the map itself comes afterwards, by scripts."""
    project = context().project(number)
    base, controls = at("map", number=number), _asked_for_controls()
    data = {
        "base": base,
        "query": "&controls=1" if controls else "",
        **{name: f"{base}/{name}{'?controls=1' if controls else ''}" for name in ("details", "near")},
        **{name: f"{base}/{name}" for name in ("pin", "exclude", "undo")},
        "like": at("like", number=number, task=0).removesuffix("/0"),
        "task": label_studio_link(number, 0).removesuffix("0") + "TASK",
        "limits": json.dumps({"act": MOST["act"], "like": MOST["near"], "name": f"project-{number}"}),
    }
    return page("map.html", project, data=data, channels=CHANNELS, scripts=SCRIPTS, most=MOST["act"], controls=controls)


# -- what the scripts read


@console.get("/<id:number>/map/facts")
def map_facts(number: int) -> Response:
    """Tell what the map that is up shows, and have it brought up to date."""
    project = context().project(number)
    there = project.task_count()
    embedded = project.store.hlen(project.name("cache", project.get("generation"), "rows"))
    question, facts = map_question(project), Maps(project).facts() if embedded else None
    changed = facts is not None and facts["of"] != question.state
    rest = min(REST * facts.get("took", 0.0), LONGEST_REST) if facts is not None else 0.0
    if facts is not None and changed and time.time() - facts["made_at"] < rest:
        answer = None
    else:
        answer = ask(project.store, question) if embedded else Answer()
    return _fresh(
        {
            "facts": facts,
            "waiting": answer is None or facts is None or (changed and not answer.error),
            "told": _standing(project, facts, answer, there, embedded),
            "missing": _without(there - facts["count"]) if facts and facts["count"] < there else "",
        }
    )


def _without(count: int) -> str:
    return f"{count:,} {'has' if count == 1 else 'have'} no embedding"


def _standing(project: Project, facts: Json | None, answer: Answer | None, there: int, embedded: int) -> str:
    """Say why there is no map, or none that is up to date; empty when all is well."""
    idle = "" if alive(project.store, EMBEDDING) else "no embedding worker runs: start `labelqueue serve`"
    if not there:
        return "No images are known of this project yet. Import some in Label Studio; they appear here by themselves."
    if not embedded:
        return f"No image is embedded yet, of {there:,}: {idle or 'the first ones are on their way'}."
    if answer is not None and answer.error:
        return f"The map could not be made: {answer.error}"
    if facts is None:
        return f"The map of {embedded:,} images is waiting: {idle}." if idle else "The map is being laid out …"
    if facts.get("laying_out"):
        return "a better layout is being made and replaces this one when it is there" + (f" ({idle})" if idle else "")
    return f"not up to date: {idle}" if answer is None and idle else ""


@console.get("/<id:number>/map/points")
def map_points(number: int) -> Response:
    """Return where each image stands: see `gallery.Maps.points`."""
    return _raw(Maps(context().project(number)).points(_revision()))


@console.get("/<id:number>/map/ids")
def map_ids(number: int) -> Response:
    """Return the tasks, in the sequence of the points."""
    return _raw(Maps(context().project(number)).ids(_revision()))


@console.get("/<id:number>/map/columns/<name>")
def map_column(number: int, name: str) -> Response:
    """Return one channel, a byte for each image; what is drawn at random passes for the rest unless somebody asks."""
    maps = Maps(context().project(number))
    data = maps.column(name, _revision())
    if name == "order" and not _asked_for_controls():
        names = (maps.facts() or {}).get("columns", {}).get(name, {}).get("names", [])
        if CONTROL in names and NEXT in names:
            data = data.replace(bytes([names.index(CONTROL)]), bytes([names.index(NEXT)]))
    return _raw(data)


def _revision() -> str:
    given = request.args.get("revision", "")
    if given and not _REVISION.fullmatch(given):
        raise BadRequest(f"revision is {given[:40]!r}; it is what the map's facts say")
    return given


def _raw(data: bytes) -> Response:
    answer = Response(data, mimetype="application/octet-stream")
    kept = "private, max-age=86400, immutable" if request.args.get("revision") else "no-store"
    answer.headers["Cache-Control"] = kept  # a revision names these very bytes
    return answer


# -- questions


@console.post("/<id:number>/map/details")
def map_details(number: int) -> Response:
    """Tell what is known of some images; while a worker is asked, their pictures."""
    body, project = sent(), context().project(number)
    tasks = _tasks(body, MOST["details"])
    answer = ask(project.store, details_question(project, tasks))
    if answer is None:
        return _fresh({"waiting": True, "tasks": _with_pictures(project, [{"task": task} for task in tasks])})
    return _answered(project, answer)


@console.post("/<id:number>/map/near")
def map_near(number: int) -> Response:
    """Find the images that are most like some."""
    body, project = sent(), context().project(number)
    answer = ask(project.store, nearest_question(project, _tasks(body, MOST["near"]), NEAR))
    if answer is not None:
        return _answered(project, answer)
    if not alive(project.store, EMBEDDING):
        raise NotFound("nobody can tell: no embedding worker runs; start `labelqueue serve`")
    return _fresh({"waiting": True})


def _answered(project: Project, answer: Answer) -> Response:
    if answer.error:
        raise NotFound(answer.error)
    return _fresh({"tasks": _told_rows(project, answer.value["tasks"])})


def _with_pictures(project: Project, rows: list[Json]) -> list[Json]:
    shown = pictures(project, project.task_rows([row["task"] for row in rows]))
    return [row | {"picture": shown[row["task"]]._asdict()} for row in rows if row["task"] in shown]


def _told_rows(project: Project, rows: list[Json]) -> list[Json]:
    """Return rows as people see them: which images are drawn at random is told to those who ask only."""
    rows = _with_pictures(project, rows)
    if _asked_for_controls():
        return rows
    there = admin.project_order(project, ALL)["tasks"] if any(row["rank"] is not None for row in rows) else []
    reasons = {place["task"]: place["reason"] for place in told_places(there, shown=False)}
    hidden = {"control": False}
    return [row | hidden | {"reason": reasons.get(row["task"], "") if row["reason"] else ""} for row in rows]


def _asked_for_controls() -> bool:
    return request.args.get("controls") == "1"


def _tasks(body: Json, most: int) -> list[int]:
    """Return the tasks that a script has sent, each once; raises BadRequest when they are none, or too many."""
    given = body.get("tasks")
    if not isinstance(given, list) or not given:
        raise BadRequest("tasks: a list of task ids is expected")
    if len(given) > most:
        raise BadRequest(f"{len(given):,} tasks are named: {most:,} is the most at once")
    if odd := [task for task in given if not is_id(task)]:
        raise BadRequest(f"{str(odd[0])[:40]!r} is no task id")
    return list(dict.fromkeys(given))


def _fresh(told: Json) -> Response:
    answer = jsonify(told)
    answer.headers["Cache-Control"] = "no-store"
    return answer


# -- acts


@console.post("/<id:number>/map/pin")
def map_pin(number: int) -> Response:
    """Have images labeled first."""
    body, project = sent(), context().project(number)
    return _done(admin.pin(project, _tasks(body, MOST["act"]), SOURCE))


@console.post("/<id:number>/map/exclude")
def map_exclude(number: int) -> Response:
    """Leave images out."""
    body, project = sent(), context().project(number)
    return _done(admin.exclude(project, _tasks(body, MOST["act"]), body.get("reason", ""), SOURCE))


@console.post("/<id:number>/map/undo")
def map_undo(number: int) -> Response:
    """Take an act back."""
    body, project = sent(), context().project(number)
    act = body.get("act")
    if not is_id(act):
        raise BadRequest(f"act is {str(act)[:40]!r}; it is the number of one")
    return _done(admin.undo(project, act, SOURCE))


def _done(done: Json) -> Response:
    return _fresh({"told": _sentence(done["accepted"]), "act": done["act"], "changed": done["changed"]})


def _sentence(told: str) -> str:
    return f"{told[:1].upper()}{told[1:]}."


# -- more like this


@console.app_template_global()
def like_address(project: int, task: int) -> str:
    """Return the address of the page with the images that are most like one."""
    return at("like", number=project, task=task)


@console.get("/<id:number>/like/<id:task>")
def like(number: int, task: int) -> Response:
    """Show the images that are most like one, to be labeled first."""
    project = context().project(number)
    if not project.task_rows([task]):
        raise NotFound(f"project {number} has no task {task}")
    both = request.args.get("all") == "1"
    values: Json = {
        "tab": "map",
        "task": task,
        "all": both,
        "choice": {"all": 1} if both else {},
        "link": _link_of(number),
    }
    values |= {"waiting": False, "told": "", "rows": []}
    answer = ask(project.store, nearest_question(project, [task], NEAR))
    if answer is None:
        idle = not alive(project.store, EMBEDDING)
        told = "No embedding worker runs: start `labelqueue serve`." if idle else "The nearest images are being found …"
        return page("map_like.html", project, **values | {"waiting": True, "told": told})
    if answer.error:
        return page("map_like.html", project, **values | {"told": answer.error})
    values["rows"] = [row for row in answer.value["tasks"] if both or row["state"] != "labeled"]
    shown = project.task_rows([task, *(row["task"] for row in values["rows"])])
    values["rows"] = [row for row in values["rows"] if row["task"] in shown]
    return page("map_like.html", project, pictures=pictures(project, shown), **values)


@console.post("/<id:number>/like/<id:task>")
def label_like_first(number: int, task: int) -> Response:
    """Have the checked images labeled first, or all that were shown."""
    body, project = sent(), context().project(number)
    back = at("like", number=number, task=task, **({"all": 1} if request.args.get("all") == "1" else {}))
    shown = str(body.get("shown", "")).split() if body.get("which") == "all" else request.form.getlist("task")
    if odd := [one for one in shown if not _TASK.fullmatch(one)]:
        raise BadRequest(f"{odd[0][:40]!r} is no task id")
    if not shown:
        return acted("No image was checked: check those that are to be labeled first.", back, failed=True)
    try:
        done = admin.pin(project, [int(one) for one in shown], SOURCE)
    except LabelQueueError as error:
        return acted(str(error), back, failed=True)
    return acted(_sentence(done["accepted"]), back, undo=done["act"])


@console.post("/<id:number>/undo/<id:act>")
def undo(number: int, act: int) -> Response:
    """Take an act back whose page said so; go on to where it was done."""
    body, project = sent(), context().project(number)
    back = str(body.get("back", ""))
    if not (back.startswith(f"{at('overview', number=number)}/") and back.isprintable()):
        back = at("queue", number=number)
    try:
        return acted(_sentence(admin.undo(project, act, SOURCE)["accepted"]), back)
    except LabelQueueError as error:
        return acted(str(error), back, failed=True)


def _link_of(number: int) -> Callable[[int], str]:
    return lambda task: label_studio_link(number, task)
