"""What people did, counted from their annotations: how many by day, how many by person, and how long they took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime
from statistics import median
from typing import Any, NamedTuple

from .annotations import Annotation

__all__ = ["Deed", "Work", "deeds_of"]

DAYS = 60  # newest days that are told one by one
PEOPLE = 50  # that are told one by one, those with most annotations
DAY = 86_400  # seconds
NOBODY = 0  # stands for whoever imported an annotation without saying whose it is; ids begin with 1


class Deed(NamedTuple):
    """One annotation as it is counted.

    Attributes
    ----------
    day : int or str
        A number of days since 1970, or a date as it was written.
    user : int
    skip : bool
    seconds : float or None
        How long a label took.
    """

    day: int | str
    user: int
    skip: bool
    seconds: float | None


def deeds_of(said: Sequence[Annotation]) -> tuple[Deed, ...]:
    """Return what a task's annotations count as."""
    return tuple(
        Deed(
            one.created // DAY if one.created else one.updated_at[:10],
            NOBODY if one.user is None else one.user,
            one.cancelled,
            None if one.cancelled else one.seconds,
        )
        for one in said
    )


class Work:
    """A count of annotations, to which they are added and from which they are taken.

    Notes
    -----
    A day is one of UTC, that of the annotation's creation. Where that is not known, the annotation having been read by
    a version that did not keep it, its last change stands for it.
    """

    def __init__(self) -> None:
        self._days: dict[int | str, list[int]] = {}  # labels, skips
        self._people: dict[int, list[int]] = {}
        self._seconds: dict[int, Counter[float]] = {}

    def add(self, deeds: Sequence[Deed], by: int = 1) -> None:
        """Count the annotations of a task; with `by` -1 they are no longer counted."""
        for one in deeds:
            _count(self._days, one.day, one.skip, by)
            _count(self._people, one.user, one.skip, by)
            if one.seconds is not None:
                self._seconds.setdefault(one.user, Counter())[one.seconds] += by

    def told(self) -> dict[str, Any]:
        """Return the counts, ready for JSON.

        Returns
        -------
        dict
            `days`: of the newest `DAYS` with annotations, oldest first, ``[date, labels, skips]``; `earlier`: labels
            before those. `people`: those with most annotations first, ``[user id, labels, skips, seconds]``, where
            `seconds` is the median time that a label took, None where none is known; user 0 stands for annotations of
            nobody. `others`: how many people there are besides, and their labels.
        """
        days: dict[str, list[int]] = {}
        for key, counts in self._days.items():
            if day := _date(key):
                known = days.setdefault(day, [0, 0])
                known[0], known[1] = known[0] + counts[0], known[1] + counts[1]
        newest = sorted(days)[-DAYS:]
        people = sorted(self._people.items(), key=lambda row: (-sum(row[1]), row[0]))
        return {
            "days": [[day, *days[day]] for day in newest],
            "earlier": sum(counts[0] for day, counts in days.items() if day not in newest),
            "people": [[user, *counts, self._median(user)] for user, counts in people[:PEOPLE]],
            "others": [len(people[PEOPLE:]), sum(counts[0] for _, counts in people[PEOPLE:])],
        }

    def _median(self, user: int) -> float | None:
        known = sorted(self._seconds.get(user, Counter[float]()).elements())
        return round(median(known), 1) if known else None


def _count(counts: dict[Any, list[int]], key: int | str, skip: bool, by: int) -> None:
    """Add to a row of counts; one that comes to nothing goes."""
    row = counts.setdefault(key, [0, 0])
    row[skip] += by
    if row == [0, 0]:
        del counts[key]


def _date(key: int | str) -> str:
    """Return a day as ``2026-11-28``; empty when it is none."""
    try:
        if isinstance(key, int):
            return datetime.fromtimestamp(key * DAY, UTC).date().isoformat()
        return date.fromisoformat(key).isoformat()
    except (ValueError, OverflowError, OSError):
        return ""
