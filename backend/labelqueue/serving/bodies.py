"""The door for what callers send: a JSON object that can be read, stored and sent on, or an error that says why not.

A member that is a list is read entry by entry, with pauses. The interpreter's JSON reader lets no other thread run
until it is done, and an event of 5,000 tasks must not hold up the acknowledgements of others.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Collection
from typing import Any

__all__ = ["MAX_DEPTH", "parsed_object"]

MAX_DEPTH = 100  # levels of lists and objects; the deepest that Label Studio sends has a dozen
TURN, PAUSE = 100, 0.001  # entries of a list after which other threads get a turn, and seconds of it
_SPACE = re.compile(r"[ \t\n\r]*")
_HALF = re.compile("[\ud800-\udfff]")

Reader = Callable[[str, int], tuple[Any, int]]


def parsed_object(content: bytes, *, keep: Collection[str] | None = None, stored: bool = True) -> dict[str, Any]:
    """Return the JSON object in a body.

    Parameters
    ----------
    content : bytes
        UTF-8.
    keep : collection of str, optional
        Names of the members that are wanted; the others are read and dropped.
    stored : bool, default True
        Whether its texts are going to be stored: half a character (a lone surrogate) is an error then.

    Raises
    ------
    ValueError
        If it is none; or holds ``NaN`` or ``Infinity``, which are no JSON, numbers of thousands of digits, half a
        character, or more than `MAX_DEPTH` levels.
    """
    text = content.decode("utf-8-sig")
    if not text.startswith("{", _space(text, 0)):
        raise ValueError("expected a JSON object")
    found: dict[str, Any] = {}

    def member(text: str, at: int) -> tuple[None, int]:
        name, at = _value(text, at)
        if not isinstance(name, str):
            raise ValueError(f"a name is expected before character {at}")
        at = _space(text, at)
        if text[at : at + 1] != ":":
            raise ValueError(f"a colon is expected at character {at}")
        at = _space(text, at + 1)
        wanted = keep is None or name in keep
        value, at = _list(text, at, wanted) if text.startswith("[", at) else _value(text, at)
        if wanted:
            found[name] = value
        return None, at

    end = _space(text, _entries(text, _space(text, 0), "}", member, lambda entry: None))
    if end != len(text):
        raise ValueError(f"more follows the object at character {end}")
    if stored and "\\u" in text and _HALF.search(json.dumps(found, ensure_ascii=False)):
        raise ValueError("half a character (a lone surrogate) cannot be stored")
    return found


def _list(text: str, at: int, wanted: bool) -> tuple[list[Any] | None, int]:
    entries: list[Any] = []
    end = _entries(text, at, "]", _value, entries.append if wanted else lambda entry: None)
    return entries if wanted else None, end


def _entries(text: str, at: int, close: str, read: Reader, take: Callable[[Any], None]) -> int:
    """Read what stands between an opening bracket and its closing one; return where that ends."""
    at = _space(text, at + 1)
    if text.startswith(close, at):
        return at + 1
    number = 0
    while True:
        entry, at = read(text, at)
        take(entry)
        number += 1
        if number % TURN == 0:
            time.sleep(PAUSE)
        at = _space(text, at)
        if text.startswith(close, at):
            return at + 1
        if text[at : at + 1] != ",":
            raise ValueError(f"a comma or {close} is expected at character {at}")
        at = _space(text, at + 1)


def _space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


_read = json.JSONDecoder(parse_constant=_no_number).raw_decode


def _value(text: str, at: int) -> tuple[Any, int]:
    try:
        value, end = _read(text, at)
    except RecursionError:
        raise ValueError(f"it has more than {MAX_DEPTH} levels") from None
    except ValueError as error:
        if "digits" in str(error):  # the interpreter's own words tell how to change the interpreter
            raise ValueError("a number has thousands of digits") from None
        raise
    if isinstance(value, list | dict) and text.count("[", at, end) + text.count("{", at, end) >= MAX_DEPTH - 1:
        _check_depth(value)
    return value, end


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH - 1):  # one level of them is around this value, or two
        below = (one.values() if isinstance(one, dict) else one for one in level)
        level = [entry for entries in below for entry in entries if isinstance(entry, list | dict)]
        if not level:
            return
    raise ValueError(f"it has more than {MAX_DEPTH} levels")
