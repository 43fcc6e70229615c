"""What people did, counted from their annotations: how many by day, how many by person, and how long they took."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from statistics import median
from typing import Any

from .annotations import Annotation

__all__ = ["Work"]

DAYS = 60  # newest days that are told one by one
PEOPLE = 50  # that are told one by one, those with most annotations
DAY = 86_400  # seconds
NOBODY = 0  # stands for whoever imported an annotation without saying whose it is; ids begin with 1


class Work:
    """A count of annotations, to which they are added one by one.

    Notes
    -----
    A day is one of UTC, that of the annotation's creation. Where that is not known, the annotation having been read by
    a version that did not keep it, its last change stands for it.
    """

    def __init__(self) -> None:
        self._days: dict[int | str, list[int]] = {}  # a number of days since 1970, or a date as it was written
        self._people: dict[int, list[int]] = {}
        self._seconds: dict[int, list[float]] = {}

    def add(self, said: Sequence[Annotation]) -> None:
        """Count the annotations of a task."""
        for one in said:
            what = int(one.cancelled)  # 0: a label, 1: a skip
            day = one.created // DAY if one.created else one.updated_at[:10]
            self._days.setdefault(day, [0, 0])[what] += 1
            user = NOBODY if one.user is None else one.user
            self._people.setdefault(user, [0, 0])[what] += 1
            if one.seconds is not None and not one.cancelled:
                self._seconds.setdefault(user, []).append(one.seconds)

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
        known = self._seconds.get(user)
        return round(median(known), 1) if known else None


def _date(key: int | str) -> str:
    """Return a day as ``2026-11-28``; empty when it is none."""
    try:
        if isinstance(key, int):
            return datetime.fromtimestamp(key * DAY, UTC).date().isoformat()
        return date.fromisoformat(key).isoformat()
    except (ValueError, OverflowError, OSError):
        return ""
