"""Where counts are kept: numbers in Redis that every process of every machine adds to.

The files by which prometheus-client sums up processes do not reach over machines, and end with a container.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable

from redis.exceptions import RedisError

from ..exceptions import LabelQueueError
from ..state import Project, Redis, text
from ..telemetry import COUNTERS, METRICS, Counted

__all__ = ["Keeper", "flush", "kept", "kept_key"]

log = logging.getLogger(__name__)

SHARED = "lq:metrics"
BETWEEN = "|"  # parts of a field: metric, part, labels
EVERY = 3.0  # seconds between two times that counts are kept
FAREWELL = 2.0  # seconds that the last time may take, when a process stops


def kept_key(project: str) -> str:
    """Return the Redis key of what was counted of a project, or of none."""
    return f"lq:{project}:metrics" if project else SHARED


def flush(store: Redis) -> None:
    """Add what this process counted to what is kept; what cannot be kept now is counted on.

    Raises
    ------
    redis.RedisError
        When Redis does not take it.
    """
    taken = COUNTERS.take()
    if not taken:
        return
    try:
        known = {text(key) for key in store.hkeys("lq:projects")} | {""}
        with store.pipeline(transaction=True) as pipe:  # all of it or nothing
            for what, by in taken.items():
                if what.project in known:  # nothing is kept of a project that was forgotten
                    field = BETWEEN.join((what.metric, what.part, *what.labels))
                    pipe.hincrbyfloat(kept_key(what.project), field, round(by, 6))
            pipe.execute()
    except BaseException:
        COUNTERS.give_back(taken)
        raise


def kept(store: Redis, projects: Iterable[Project]) -> dict[Counted, float]:
    """Return what all processes counted: of these projects, and of none.

    Numbers of metrics that this version does not know are left out.
    """
    keys = ["", *(project.key for project in projects)]
    pipe = store.pipeline(transaction=False)
    for key in keys:
        pipe.hgetall(kept_key(key))
    found = {}
    for key, row in zip(keys, pipe.execute(), strict=True):
        for field, raw in row.items():
            metric, _, rest = text(field).partition(BETWEEN)
            part, *labels = rest.split(BETWEEN)
            if metric in METRICS and len(labels) == len(METRICS[metric].others):
                found[Counted(key, metric, part, tuple(labels))] = float(raw)
    return found


class Keeper:
    """Keeps this process's counts, every few seconds, in a thread of its own.

    A Redis that is away costs nothing but the counts' place in memory: no work waits for them, and none fails.

    Parameters
    ----------
    store : callable
        Returns a connection to Redis.
    """

    def __init__(self, store: Callable[[], Redis]) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    def ensure(self) -> None:
        """See to it that the thread runs; after a fork, that of the parent does not run in the child."""
        if self._thread is None or not self._thread.is_alive():
            with self._lock:
                if (self._thread is None or not self._thread.is_alive()) and not self._done.is_set():
                    self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
                    self._thread.start()

    def stop(self) -> None:
        """Keep what was counted last, and end."""
        self._done.set()
        if self._thread is not None:
            self._thread.join(FAREWELL)

    def _run(self) -> None:
        while not self._done.wait(EVERY):
            self._keep()
        self._keep()

    def _keep(self) -> None:
        try:
            flush(self._store())
        except (RedisError, LabelQueueError) as error:
            log.debug("counts wait: %s", error)
        except Exception:  # a count is never a reason for anything to fail
            log.exception("counts could not be kept")
