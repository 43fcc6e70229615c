"""What the work at hand is about: the project, the job and the order that lines of the log name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

__all__ = ["FIELDS", "about", "current", "forget", "note"]

FIELDS = ("project", "job", "order")
_NOTHING: Mapping[str, Any] = {}
_about: ContextVar[Mapping[str, Any]] = ContextVar("about", default=_NOTHING)


@contextmanager
def about(**fields: int | str | None) -> Iterator[None]:
    """Work on something; what is noted inside is forgotten at the end.

    Parameters
    ----------
    **fields
        Of `FIELDS`; None and the empty string name nothing.
    """
    token = _about.set(_NOTHING)
    try:
        note(**fields)
        yield
    finally:
        _about.reset(token)


def note(**fields: int | str | None) -> None:
    """Note what else the work at hand turned out to be about."""
    _about.set({**_about.get(), **{name: value for name, value in fields.items() if value not in (None, "")}})


def forget() -> None:
    """Forget what this thread's work was about: threads that serve requests are used again."""
    _about.set(_NOTHING)


def current() -> Mapping[str, Any]:
    """Return what the work at hand is about: field to value, in the order of `FIELDS`."""
    known = _about.get()
    return {name: known[name] for name in FIELDS if name in known}
