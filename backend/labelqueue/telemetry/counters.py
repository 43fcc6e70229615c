"""Counts of this process, in memory, until they are taken away to be kept.

Counting never fails and never waits: it touches neither Redis nor the disk.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from .table import METRICS

__all__ = ["COUNTED", "COUNTERS", "SUM", "Counted", "Counters", "count", "observe", "timed", "uncounted"]

MOST = 20_000  # different numbers that wait for a Redis that is away; what is counted beyond that is lost
COUNTED, SUM = "count", "sum"  # parts of a metric; those of a histogram besides its sum are the bounds of its buckets


class Counted(NamedTuple):
    """What one number counts.

    Attributes
    ----------
    project : str
        Key of the project, empty for what belongs to none.
    metric : str
        Name in `METRICS`.
    part : str
        `COUNTED`; of a histogram `SUM` or the upper bound of a bucket as Prometheus writes it, such as ``0.5``.
    labels : tuple of str
        Values of its labels besides the project, in the order of the table.
    """

    project: str
    metric: str
    part: str
    labels: tuple[str, ...]


class Counters:
    """Numbers that grow until somebody takes them; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers: dict[Counted, float] = {}

    def add(self, what: Counted, by: float) -> None:
        """Add to a number."""
        with self._lock:
            if what in self._numbers or len(self._numbers) < MOST:
                self._numbers[what] = self._numbers.get(what, 0) + by

    def take(self) -> dict[Counted, float]:
        """Return what was counted since the last time, and begin anew."""
        with self._lock:
            taken, self._numbers = self._numbers, {}
        return taken

    def give_back(self, taken: Mapping[Counted, float]) -> None:
        """Count again what was taken and could not be kept."""
        for what, by in taken.items():
            self.add(what, by)


COUNTERS = Counters()
_silent: ContextVar[bool] = ContextVar("_silent", default=False)


def count(name: str, by: int = 1, *, project: str = "", **labels: str) -> None:
    """Count something.

    Parameters
    ----------
    name : str
        A counter of `METRICS`.
    by : int, default 1
        How many there were.
    project : str, optional
        Key of the project.
    **labels : str
        The counter's other labels. A value that the table does not name is counted as its last one.
    """
    if by > 0 and not _silent.get():
        COUNTERS.add(Counted(project, name, COUNTED, METRICS[name].values_of(labels)), by)


def observe(name: str, seconds: float) -> None:
    """Sort a duration into the buckets of a histogram of `METRICS`."""
    metric = METRICS[name]
    if _silent.get():
        return
    COUNTERS.add(Counted("", name, metric.bounds[bisect_left(metric.buckets, seconds)], ()), 1)
    COUNTERS.add(Counted("", name, SUM, ()), max(seconds, 0.0))


@contextmanager
def timed(name: str) -> Iterator[None]:
    """Observe how long something takes, also when it fails."""
    began = time.monotonic()
    try:
        yield
    finally:
        observe(name, time.monotonic() - began)


@contextmanager
def uncounted() -> Iterator[None]:
    """Count nothing of what this thread does meanwhile: it only tries out what others would do."""
    token = _silent.set(True)
    try:
        yield
    finally:
        _silent.reset(token)
