"""What stands in a task's data: its image, as Label Studio reads the value of an `<Image>`, and a field's value."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["NO_VALUE", "field_value", "image_uri"]

NO_VALUE = "(none)"
LONGEST = 100  # characters of a value that are told apart

_STEP = re.compile(r"\[(\d+)\]|([^.\[\]]+)")
_VARIABLE = re.compile(r"\$([\w\[\].]+)")
_MISSING = object()


def image_uri(data: Any, field: str) -> str:
    """Return the address of a task's image; empty when its data has none.

    Parameters
    ----------
    data : object
        The task's data: a mapping, or whatever an import put there.
    field : str
        `Target.image_field`: a key, a path such as ``meta.image`` or ``images[0]``, or a text around such paths, each
        after a ``$``. Of a list the first image counts.
    """
    if "$" in field:
        missing = False

        def put_in(match: re.Match[str]) -> str:
            nonlocal missing
            found, rest = _longest(data, match[1])
            missing |= not isinstance(found, str | int)
            return f"{found}{rest}"

        text = _VARIABLE.sub(put_in, field)
        return "" if missing else text
    value = _at(data, field)
    if isinstance(value, list):
        value = value[0] if value else ""
    if isinstance(value, Mapping):
        value = value.get("url", "")
    return value if isinstance(value, str) else ""


def field_value(data: Any, field: str) -> str:
    """Return the value of a field of a task's data, as text.

    Parameters
    ----------
    data : object
        The task's data: a mapping, or whatever an import put there.
    field : str
        A key, or a path such as ``meta.site``.

    Returns
    -------
    str
        At most 100 characters; what is no text as JSON writes it. ``(none)`` where the field is missing, null or empty.
    """
    value = _at(data, field)
    if value is _MISSING or value is None or value == "":
        return NO_VALUE
    return (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True))[:LONGEST]


def _longest(data: Any, path: str) -> tuple[Any, str]:
    """Return what stands at the longest beginning of a path that leads anywhere, and the rest of the path: in
    ``$file.jpg`` the ending belongs to the text."""
    cuts = [len(path), *sorted((match.start() for match in re.finditer(r"[.\[]", path)), reverse=True)]
    for cut in cuts:
        if cut and (found := _at(data, path[:cut])) is not _MISSING:
            return found, path[cut:]
    return None, ""


def _at(data: Any, path: str) -> Any:
    """Return what stands at a path; a key that is written like one comes first."""
    if isinstance(data, Mapping) and path in data:
        return data[path]
    for index, key in _STEP.findall(path):
        if index and isinstance(data, list):
            if int(index) >= len(data):
                return _MISSING
            data = data[int(index)]
        elif isinstance(data, Mapping) and (index or key) in data:
            data = data[index or key]
        else:
            return _MISSING
    return data
