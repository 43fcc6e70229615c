"""What a check finds: whether a thing is well, why it matters and the way out; and how people and scripts see it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from .lines import Record
from .scene import Scene

__all__ = ["Check", "Seen", "State", "finding_lines", "unknown", "warning", "well", "worst", "wrong"]

State = Literal["well", "unknown", "warning", "wrong"]
STATES: tuple[State, ...] = ("well", "unknown", "warning", "wrong")  # the worst last


class Seen(NamedTuple):
    """What one look at a thing says: its state, what is seen for people, and the way out unless it is well."""

    state: State
    told: str
    way_out: str = ""


def well(told: str) -> Seen:
    """Return that a thing is as it should be."""
    return Seen("well", told)


def unknown(told: str, way_out: str = "") -> Seen:
    """Return that a thing cannot be seen."""
    return Seen("unknown", told, way_out)


def warning(told: str, way_out: str) -> Seen:
    """Return that a thing works, and will surprise people."""
    return Seen("warning", told, way_out)


def wrong(told: str, way_out: str) -> Seen:
    """Return that a thing does not work."""
    return Seen("wrong", told, way_out)


@dataclass(frozen=True)
class Check:
    """One row of the table of checks.

    Attributes
    ----------
    name : str
        What is looked at.
    why : str
        Why it matters, for people.
    look : callable
        Looks at it; what it raises on purpose says that it cannot be seen.
    fix : callable, optional
        Repairs it when it is wrong, or asks a worker to, and says what it did. Only what is safe to do at any time.
    """

    name: str
    why: str
    look: Callable[[Scene], Seen]
    fix: Callable[[Scene], str] | None = None


def worst(findings: Iterable[Mapping[str, Any]]) -> State:
    """Return the worst state among findings; well when there are none."""
    return STATES[max((STATES.index(finding["state"]) for finding in findings), default=0)]


def finding_lines(findings: Iterable[Record]) -> Iterator[str]:
    """Yield findings for people: one line each, and what they need to know of those that are not well."""
    for finding in findings:
        yield f"  {finding['state']:<8} {finding['check']:<14} {finding['told']}"
        if finding["state"] == "well":
            continue
        for name, text in (("why", finding["why"]), ("way out", finding["way_out"]), ("done", finding["fixed"])):
            if text:
                yield f"  {'':<8} {'':<14} {name}: {text}"
