"""What a worker does beside its jobs so that nothing stays lost: a Redis that lost everything is filled again, and a
Label Studio that was away for a moment is read as a whole."""

from __future__ import annotations

import logging
import threading

from redis.exceptions import RedisError

from ..exceptions import LabelStudioError
from ..labelstudio import LabelStudio
from ..reading import find_lost
from ..state import Project
from .runtime import Runtime

__all__ = ["Searcher"]

log = logging.getLogger(__name__)

BEAT = 3.0  # seconds
SEARCH_EVERY = 60.0
WATCH_EVERY = 2.9
WATCH = "lq:watched"  # who asks this time whether Label Studio is there
TURN = "lq:searched"  # who searches this minute; it goes with everything else when Redis loses its data


class Searcher(threading.Thread):
    """Thread of a worker that looks each minute for projects which Label Studio has connected and Redis does not know;
    of several workers one does.

    Parameters
    ----------
    runtime : Runtime
        Of this process; Label Studio gets connections of the thread's own.
    worker : str
        This worker's name.
    """

    def __init__(self, runtime: Runtime, worker: str) -> None:
        super().__init__(name="searcher", daemon=True)
        self._store = runtime.store
        self._client = LabelStudio(runtime.deployment.label_studio_url, runtime.deployment.label_studio_api_key)
        self._worker = worker
        self.done = threading.Event()

    def run(self) -> None:
        """Work until `done` is set; whatever is away for a while is waited for."""
        while True:
            try:
                if self._store.set(WATCH, self._worker, nx=True, px=int(1000 * WATCH_EVERY)):
                    self._watch()
                if self._store.set(TURN, self._worker, nx=True, px=int(1000 * SEARCH_EVERY)):
                    find_lost(self._store, self._client)
            except (RedisError, LabelStudioError) as error:
                log.info("the search for lost projects has to wait: %s", error)
            except Exception:  # the next one may go well
                log.exception("the search for lost projects failed and goes on")
            if self.done.wait(BEAT):
                return

    def _watch(self) -> None:
        """Ask for complete readings while Label Studio is away, however short that is.

        Killed in the middle of a submit, it can keep the annotation and not move the task's ``updated_at``. A look that
        finds it away sees to that itself, but it may be back before the next look. Nothing is remembered from one time
        to the next: workers take turns, and none of them sees every absence begin and end.
        """
        try:
            self._client.about(again=False)
        except LabelStudioError as error:
            if error.unanswered or (error.status or 0) >= 502:  # any other refusal is for the looks to tell
                log.info("Label Studio is away: every project is read as a whole once it is back (%s)", error)
                for project in Project.all(self._store):
                    project.set(want_full="1")
