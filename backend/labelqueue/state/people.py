"""The people at work in a project: how many, how fast they label, and when they did last."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from ..store import add_members
from .project import HOUR, Project

__all__ = ["People"]

LATELY = 600.0  # seconds, over which a pace that has just risen shows


class People:
    """Who labeled in a project within the last hour.

    Parameters
    ----------
    project : Project
    """

    def __init__(self, project: Project) -> None:
        self._store = project.store
        self._users, self._pace = project.name("annotators"), project.name("pace")

    def note(self, users: Sequence[int]) -> None:
        """Remember that these people annotated just now: when a refill is due depends on how many are at work."""
        if users:
            now = time.time()
            add_members(self._store, self._users, {str(user): now for user in users})
            self._store.zremrangebyscore(self._users, 0, now - HOUR)

    def at_work(self) -> int:
        """Return how many people annotated within the last hour."""
        return int(self._store.zcount(self._users, time.time() - HOUR, "+inf"))

    def last_times(self) -> list[float]:
        """Return when each of the people who annotated within the last hour did so last (Unix time)."""
        rows = self._store.zrange(self._users, time.time() - HOUR, "+inf", byscore=True, withscores=True)
        return [float(row[1]) for row in rows]

    def note_labeled(self, at: Mapping[int, float]) -> None:
        """Remember when tasks were labeled or skipped, as far as it was within the last hour (task to Unix time)."""
        now = time.time()
        if lately := {str(task): min(when, now) for task, when in at.items() if when > now - HOUR}:
            add_members(self._store, self._pace, lately)
        self._store.zremrangebyscore(self._pace, 0, now - HOUR)

    def pace(self) -> int:
        """Return how many tasks are labeled per hour: within the last one, or at the speed of the last ten minutes."""
        now = time.time()
        lately = self._store.zcount(self._pace, now - LATELY, "+inf")
        return int(max(self._store.zcount(self._pace, now - HOUR, "+inf"), lately * HOUR / LATELY))

    def last_labeled(self) -> float:
        """Return when somebody labeled or skipped last, as far as it was within the last hour; else 0."""
        ends = [self._store.zrange(key, -1, -1, withscores=True) for key in (self._pace, self._users)]
        return max((float(row[1]) for rows in ends for row in rows), default=0.0)
