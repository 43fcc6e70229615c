"""The page "Settings" of a project: a form made from the table of settings, and a preview before they are applied."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from flask import Response, jsonify, redirect, request

from .. import admin
from ..exceptions import SettingError
from ..jobs import EMBEDDING, Question, alive, ask
from ..serving import context
from ..settings import PROJECT
from ..state import Orders, Project
from .forms import acted, sent
from .pages import at, console, page
from .queue import has_controls, told_places

__all__ = ["GROUPS", "settings"]

SOURCE = "console"
WAS, DEFAULT = "was-", "default-"  # before a setting's name in the form: as it was shown, and whether to go back
LONGEST = 4000  # characters of an address
DEADLINE, KEPT = 150.0, 120.0  # seconds that a preview is waited for, and that it is kept
NEXT = 10  # tasks that are shown of the present order
GROUPS: Mapping[str, tuple[str, ...]] = {
    "Strategy": ("strategy", "cold_start", "warm", "switch_after", "budget", "batch_size", "retrain_every"),
    "What is measured and shared out": (
        "control_share",
        "control_share_start",
        "prelabel",
        "duplicates",
        "balance",
        "horizon",
    ),
    "How images are compared": ("uncertainty", "metric", "trials", "balancing_factor", "bal_features", "seed"),
    "Labels": ("target", "label_map"),
    "Embeddings: a change has every image embedded anew": (
        "embedder",
        "n_patterns",
        "attention_ratio",
        "neighbourhood",
    ),
}


@dataclass(frozen=True)
class Typed:
    """What a form has sent.

    Attributes
    ----------
    values : mapping of str to str
        What stands in each field.
    wanted : mapping of str to (str or None)
        Settings that somebody changed, each with its new value; None for the default.
    errors : dict of str to str
        What is wrong, by setting; under an empty name what is about several.
    """

    values: Mapping[str, str]
    wanted: Mapping[str, str | None]
    errors: dict[str, str]


@console.get("/<id:number>/settings")
def settings(number: int) -> Response:
    """Show the form; the address may name values that are to stand in it."""
    project = context().project(number)
    return _form(project, Typed({name: value for name, value in request.args.items() if name in PROJECT}, {}, {}))


@console.post("/<id:number>/settings")
def change(number: int) -> Response:
    """Change settings, all of them or none, or go on to the preview of it."""
    body, project = sent(), context().project(number)
    typed = _typed(project, {name: str(value) for name, value in body.items()})
    if not typed.errors and not typed.wanted:
        return acted("Nothing was changed: every field is as it was.", at("settings", number=number), failed=True)
    if not typed.errors and body.get("do") == "preview":
        address = at("preview", number=number) + "?" + urlencode({k: v or "" for k, v in typed.wanted.items()})
        if len(address) < LONGEST:
            return redirect(address, code=303)  # type: ignore[return-value]
        typed.errors[""] = "this is too long for a preview: save it without one"
    if not typed.errors:
        try:
            changed = admin.change_settings(project, typed.wanted, SOURCE)
            return acted(_what_follows(project, changed), at("settings", number=number))
        except SettingError as error:
            typed.errors[error.name if error.name in PROJECT else ""] = str(error)
    return _form(project, typed)


@console.get("/<id:number>/settings/preview")
def preview(number: int) -> Response:
    """Show the next tasks as they would be with the settings in the address, beside those that are next now."""
    project, store = context().project(number), context().patient_store
    wanted = {name: value or None for name, value in request.args.items() if name in PROJECT}
    admin.wanted_settings(project, wanted)
    live = Orders(project).live()
    seen = json.dumps([live and live.version, project.settings(), project.get("generation")], sort_keys=True)
    question = Question("preview", project.key, (wanted, seen), deadline=DEADLINE, keep=KEPT)
    answer = ask(store, question)
    if "text/html" not in request.headers.get("Accept", "text/html"):
        return jsonify({"waiting": answer is None})
    shown = request.args.get("controls") == "1"
    now = admin.project_order(project, NEXT)["tasks"]
    told = answer.value if answer is not None else None
    coming = told["next"] if told else []
    hidden = has_controls(live.parameters if live else {}, now) or has_controls(told["parameters"] if told else {}, [])
    return page(
        "preview.html",
        project,
        tab="settings",
        wanted={name: _text(value) for name, value in wanted.items()},
        shown_values={name: _text(value) for name, value in project.settings().items()},
        answer=answer,
        told=told,
        now=told_places(now, shown=shown or not hidden),
        coming=told_places(coming, shown=shown or not hidden),
        version=live.version if live else None,
        worker=bool(alive(store, EMBEDDING)),
        hidden=hidden,
        shown=shown,
        query=urlencode({name: value or "" for name, value in wanted.items()}),
    )


def _typed(project: Project, body: Mapping[str, str]) -> Typed:
    """Return which settings a form changes: those that do not stand in it as they were shown."""
    values = {name: body[name].replace("\r\n", "\n") for name in PROJECT if name in body}
    wanted: dict[str, str | None] = {}
    errors: dict[str, str] = {}
    for name, setting in PROJECT.items():
        differs = name in values and values[name] != body.get(f"{WAS}{name}", "").replace("\r\n", "\n")
        if f"{DEFAULT}{name}" in body:
            wanted[name] = None
            if differs:
                errors[name] = "a new value and the default are both asked for: choose one of them"
        elif differs:
            wanted[name] = values[name]
            try:
                setting.value(values[name])
            except SettingError as error:
                errors[name] = str(error)
    if not errors:
        try:
            admin.wanted_settings(project, wanted)
        except SettingError as error:
            errors[error.name if error.name in PROJECT else ""] = str(error)
    return Typed(values, wanted, errors)


def _form(project: Project, typed: Typed) -> Response:
    rows = admin.project_settings(project)
    fields = {name: _field(name, row, typed) for name, row in rows["settings"].items()}
    groups = {title: [fields[name] for name in names] for title, names in GROUPS.items()}
    status = 400 if typed.errors else 200
    return page("settings.html", project, status=status, groups=groups, errors=typed.errors, stored_error=rows["error"])


def _field(name: str, row: Mapping[str, Any], typed: Typed) -> dict[str, Any]:
    """Return what the form shows of a setting."""
    allowed, shown = PROJECT[name].allowed, _text(row["value"])
    typed_now, words = typed.values.get(name, shown), allowed.words()
    if allowed.form == "choice":  # a strategy may be installed no more
        words = tuple(dict.fromkeys((*(one for one in (shown, typed_now) if one not in words), *words)))
    return {
        **row,
        "name": name,
        "form": allowed.form,
        "words": words,
        "low": allowed.low,
        "high": allowed.high,
        "step": 1 if allowed.whole else "any",
        "allowed": str(allowed),
        "empty": allowed.empty,
        "shown": shown,
        "typed": typed_now,
        "back": typed.wanted.get(name, "") is None,
        "default_told": _text(row["default"]) or allowed.empty or "nothing",
        "error": typed.errors.get(name, ""),
    }


def _text(value: Any) -> str:
    """Return a setting's value as it stands in the form: nothing for what is decided at run time."""
    if value is None or value == {}:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _what_follows(project: Project, changed: Mapping[str, Any]) -> str:
    """Say what was changed and what happens next."""
    if not changed:
        return "Saved: every setting has the value that it had."
    each = [f"{name} = {_text(value) or PROJECT[name].allowed.empty or 'empty'}" for name, value in changed.items()]
    told = f"Saved: {', '.join(each)}."
    if paused := project.get("paused"):
        return f"{told} The project is paused ({paused}): a new order follows once it goes on."
    if project.get("hold"):
        return f"{told} An older order is held: a new one follows once the queue goes on (see Orders)."
    return f"{told} If this changes the order, a new one follows {admin.soon(project)}."
