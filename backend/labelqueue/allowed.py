"""What a setting may be: parsers that turn a JSON value or an environment string into a value, or say what is allowed.

Each returns the value, or a parser that does; they raise ValueError or TypeError, which `settings` turns into an error
that names the setting.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

__all__ = [
    "choice",
    "hosts",
    "label_map",
    "number",
    "optional",
    "origin",
    "path",
    "prelabel",
    "redis_url",
    "seed",
    "strategy",
    "text",
]

STRATEGY_GROUP = "labelqueue.strategies"  # entry points of installed packages that add strategies


def choice(*allowed: str) -> Callable[[Any], str]:
    """Allow one of some words."""

    def parse(raw: Any) -> str:
        if raw not in allowed:
            raise ValueError(f"allowed are {', '.join(allowed)}")
        return str(raw)

    return parse


def number(kind: type, low: float, high: float, *, low_open: bool = False) -> Callable[[Any], Any]:
    """Allow a number of a kind within bounds."""
    noun = "a whole number" if kind is int else "a number"

    def parse(raw: Any) -> Any:
        expected = f"expected {noun} {'above' if low_open else 'from'} {low:g} to {high:g}"
        if isinstance(raw, bool):
            raise ValueError(expected)
        try:
            number = float(raw)
        except (TypeError, ValueError, OverflowError):
            raise ValueError(expected) from None
        if not (low < number if low_open else low <= number) or not number <= high or (kind is int and number % 1):
            raise ValueError(expected)
        return kind(raw) if isinstance(raw, int) else kind(number)

    return parse


def optional(parse: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Allow anything that another parser takes, or nothing."""
    return lambda raw: None if raw in (None, "", "auto") else parse(raw)


def seed(raw: Any) -> int:
    """Allow any whole number."""
    if isinstance(raw, bool) or not isinstance(raw, int | str):
        raise ValueError("expected a whole number")
    try:
        return int(raw)
    except ValueError:
        raise ValueError("expected a whole number") from None


def strategy(*ours: str) -> Callable[[Any], str]:
    """Allow one of our strategies, or one that an installed package adds."""

    def parse(raw: Any) -> str:
        if raw in ours:
            return str(raw)
        # Names only: nothing is imported here, the web process has no need of numpy.
        added = sorted(point.name for point in entry_points(group=STRATEGY_GROUP))
        if raw not in added:
            raise ValueError(f"allowed are {', '.join((*ours, *added))}")
        return str(raw)

    return parse


def prelabel(raw: Any) -> str | float:
    """Allow when answers are filled in."""
    if raw in ("auto", "on", "off"):
        return str(raw)
    if isinstance(raw, bool):  # true is what people write in JSON
        return "on" if raw else "off"
    try:
        return float(number(float, 0, 1, low_open=True)(raw))
    except ValueError:
        raise ValueError("allowed are auto, on, off, or a probability above 0 to 1") from None


def text(raw: Any) -> str:
    """Allow a text."""
    if not isinstance(raw, str):
        raise ValueError("expected text")
    try:
        raw.encode()
    except UnicodeEncodeError:
        raise ValueError("half a character (a lone surrogate) cannot be stored") from None
    return raw


def label_map(raw: Any) -> dict[str, str]:
    """Allow an object from text to text."""
    if isinstance(raw, str):
        try:
            raw = json.loads(raw or "{}")
        except (ValueError, RecursionError):
            raw = None
    if not isinstance(raw, dict) or not all(isinstance(part, str) for pair in raw.items() for part in pair):
        raise ValueError('expected an object of texts, such as {"car": "vehicle"}')
    return {text(before): text(now) for before, now in raw.items()}


def origin(raw: Any) -> str:
    """Allow a URL; return scheme://host[:port][/prefix] without a trailing slash."""
    parts = urlsplit(text(raw).strip())
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("expected a URL such as http://localhost:8080")
    if "@" in parts.netloc:
        raise ValueError("a user and a password in it would take the place of LABEL_STUDIO_API_KEY: leave them out")
    if "_" in parts.hostname:
        raise ValueError(
            "a host name cannot hold an underscore, Label Studio answers 400 to it: name the host otherwise, such as "
            "label-studio, or use its address"
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/")


def redis_url(raw: Any) -> str:
    """Allow an address of a Redis."""
    expected = "expected a URL such as redis://localhost:6379/0"
    parts = urlsplit(text(raw))
    if parts.scheme not in ("redis", "rediss", "unix"):
        raise ValueError(expected)
    try:
        broken = parts.port == 0
    except ValueError:
        broken = True
    # A slash or # in a password ends the address in its middle: the rest would be taken for a host or a database.
    if parts.scheme != "unix" and (broken or ("@" in raw and "@" not in parts.netloc)):
        raise ValueError(f"{expected}; write /, # and ? in a password as %2F, %23 and %3F")
    return str(raw)


def hosts(raw: Any) -> tuple[str, ...]:
    """Allow host names between commas."""
    return tuple(part.strip().lower() for part in text(raw).split(",") if part.strip())


def path(raw: Any) -> Path:
    """Allow a path."""
    return Path(text(raw)).expanduser()
