"""How facts look on the command line: the pieces that its lines are made of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

__all__ = ["Record", "clock", "fact", "moment", "shown"]

Record = Mapping[str, Any]


def fact(name: str, what: str) -> str:
    """Return one fact, its name in a column of its own."""
    return f"  {name:<14} {what}"


def shown(value: Any) -> str:
    """Return a setting's value as people write it."""
    if value is None:
        return "auto"
    return value if isinstance(value, str) and value else json.dumps(value)


def moment(at: float) -> str:
    """Return a Unix time in the local time zone, to the minute."""
    return datetime.fromtimestamp(at).strftime("%Y-%m-%d %H:%M")


def clock(at: float) -> str:
    """Return the time of day of a Unix time in the local time zone, to the second."""
    return datetime.fromtimestamp(at).strftime("%H:%M:%S")
