"""Forms: the token that only our own pages know, and the sentence that a page shows after something was done."""

from __future__ import annotations

import hmac
import json
import re
import secrets
import time
from typing import Any

from flask import Response, redirect, request
from werkzeug.exceptions import BadRequest

from ..serving import context, json_object
from ..state import Redis, text

__all__ = ["TOKEN_HEADER", "acted", "form_token", "sent", "taken_note"]

KEY = "lq:form_key"  # what tokens are made with; it goes with everything else when Redis loses its data
NOTE = "lq:note:"  # and a random name: what the next page says
NOTE_SECONDS = 600
TOKEN_HEADER = "X-Labelqueue-Token"  # of a script's call, which sends JSON and no form
HALF_DAY = 12 * 3600.0
OUTDATED = "this page was open for too long, or is none of ours: load it again and repeat what you did"
_NAME = re.compile("[0-9a-f]{32}")


def form_token() -> str:
    """Return what a form of ours carries; it holds for half a day to a day."""
    return _token(context().patient_store, int(time.time() // HALF_DAY))


def _token(store: Redis, period: int) -> str:
    key = store.get(KEY)
    if key is None:
        store.set(KEY, secrets.token_hex(32), nx=True)
        key = store.get(KEY) or b""
    return hmac.digest(text(key).encode(), str(period).encode(), "sha256").hex()


def sent() -> dict[str, Any]:
    """Return what a form, or a script as JSON, has sent, without its token.

    Raises
    ------
    BadRequest
        If its token is none of ours.
    """
    now = int(time.time() // HALF_DAY)
    given = request.headers.get(TOKEN_HEADER) or request.form.get("token", "")
    store = context().patient_store
    if not any(hmac.compare_digest(given.encode(), _token(store, period).encode()) for period in (now, now - 1)):
        raise BadRequest(OUTDATED)
    if TOKEN_HEADER in request.headers:
        return json_object(empty=True)
    return {name: value for name, value in request.form.items() if name != "token"}


def acted(told: str, address: str, *, failed: bool = False, undo: int | None = None) -> Response:
    """Go on to a page, which says first what was done, or why it was not; `undo`: the act that a button takes back."""
    name = secrets.token_hex(16)
    note = json.dumps({"told": told, "failed": failed, "undo": undo, "back": address})
    context().patient_store.set(NOTE + name, note, ex=NOTE_SECONDS)
    mark = "&" if "?" in address else "?"
    return redirect(f"{address}{mark}note={name}", code=303)  # type: ignore[return-value]


def taken_note() -> dict[str, Any] | None:
    """Return what the present page is to say first: `told`, whether it `failed`, and the act to `undo`, if any, with
    the address to come `back` to."""
    name = request.args.get("note", "")
    raw = context().patient_store.get(NOTE + name) if _NAME.fullmatch(name) else None
    note: dict[str, Any] | None = json.loads(text(raw)) if raw else None
    return note
