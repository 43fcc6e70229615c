"""The worker process: RQ jobs run in it one after another, without a fork, so that the model stays warm."""

from __future__ import annotations

import logging
import signal
from contextlib import suppress
from types import FrameType
from typing import Any

from redis.exceptions import BusyLoadingError, RedisError, ResponseError
from rq import Queue, SimpleWorker
from rq.exceptions import StopRequested
from rq.executions import Execution
from rq.job import Job
from rq.serializers import JSONSerializer

from ..exceptions import SettingError
from ..jobs import EMBEDDING, TENDING, bury, heartbeat, job_queues, name_worker, say_leaving, signs
from ..metrics import Keeper
from ..state import Project, store_facts, why_refused
from ..telemetry import about
from .housekeeping import Housekeeper, look_at_all
from .models import forget_cards
from .runtime import Runtime, install
from .searching import Searcher

__all__ = ["run_worker"]

log = logging.getLogger(__name__)

ASK_AGAIN = 1.0  # seconds between two tries to write to a Redis that refuses it
AGAIN = 2.0  # seconds after which a worker that lost its Redis asks it for jobs again


class Worker(SimpleWorker):
    """RQ's worker, which says at once that it was told to stop, and whose log names the job and its project.

    Parameters
    ----------
    runtime : Runtime
        Its `leaving` is set by the first SIGTERM or Ctrl-C.
    """

    max_connection_wait_time = AGAIN

    def __init__(self, *arguments: Any, runtime: Runtime, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._leaving = runtime.leaving

    def perform_job(self, job: Job, queue: Queue, execution: Execution) -> bool:
        """Run a job."""
        with about(job=job.id, project=_project_of(job)):
            return super().perform_job(job, queue, execution)

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """Finish the job at hand, which comes to an end soon, and stop."""
        self._leaving.set()
        super().request_stop(signum, frame)  # type: ignore[no-untyped-call]


def _project_of(job: Job) -> int | None:
    """Return the id of the project whose key a job has as its first argument."""
    try:
        number = str(job.args[0]).split("-")[1]
    except Exception:  # whatever is wrong with a job, running it says so
        return None
    return int(number) if number.isdecimal() else None


def run_worker(runtime: Runtime, kind: str) -> None:
    """Work on jobs until SIGTERM or Ctrl-C; the job at hand is finished first.

    Parameters
    ----------
    runtime : Runtime
    kind : str
        Which queues it serves, see `jobs.queues`.

    Raises
    ------
    SettingError
        When it is to tend, and a worker that does so on another machine has another LABEL_STUDIO_URL.
    """
    install(runtime)
    keeper = Keeper(lambda: runtime.store)
    keeper.ensure()
    for number in (signal.SIGTERM, signal.SIGINT):  # RQ's loop has its own
        signal.signal(number, _stop)
    try:
        _wait_for_redis(runtime)
        if kind == TENDING:
            _refuse_another_label_studio(runtime)
            for project in Project.all(runtime.store):
                if not project.get("reading"):  # one that was stopped goes on
                    project.set(want_full="1")
            look_at_all(runtime.store)
        elif kind == EMBEDDING:
            forget_cards(runtime.store, runtime.deployment)
        while not runtime.leaving.is_set():
            _work(runtime, kind)
            if not runtime.leaving.is_set():
                runtime.leaving.wait(AGAIN)
    except StopRequested:  # told to stop before a loop, or between two
        return
    finally:
        keeper.stop()


def _refuse_another_label_studio(runtime: Runtime) -> None:
    """Projects are known by Label Studio's address: whoever has another one would take looks and do nothing."""
    mine = runtime.deployment.label_studio_url
    for sign in signs(runtime.store):
        if sign.kind == TENDING and sign.label_studio not in ("", mine):
            raise SettingError(
                f"LABEL_STUDIO_URL is {mine} here and {sign.label_studio} for the tending worker on {sign.machine}: "
                "give all machines of one Redis the same (a name may lead to another address on each), or this one a "
                "Redis of its own"
            )


def _stop(number: int, frame: FrameType | None) -> None:
    raise StopRequested


def _work(runtime: Runtime, kind: str) -> None:
    """Work on jobs until told to stop, or until Redis breaks off amid RQ's bookkeeping, which ends its loop.

    Each loop has a name of its own: what the one before left behind is taken back as from a worker that is gone.
    """
    store, name = runtime.store, name_worker(kind)
    housekeeper, searcher = Housekeeper(runtime, name), Searcher(runtime, name)
    try:
        heartbeat(store, name, label_studio=runtime.deployment.label_studio_url)
        housekeeper.start()
        if kind == TENDING:
            searcher.start()
        queues = job_queues(store, kind)
        worker = Worker(queues, name=name, connection=store, serializer=JSONSerializer, runtime=runtime)
        worker.work(with_scheduler=False, logging_level="WARNING")
    except RedisError as error:
        log.warning("worker %s lost Redis: %s", name, error)
    finally:
        searcher.done.set()  # Label Studio may take its time: nobody waits for it
        housekeeper.done.set()
        if housekeeper.is_alive():
            housekeeper.join(timeout=5)
        with suppress(RedisError):
            say_leaving(store, name)  # no image is to blame for this end
            bury(store, name)


def _wait_for_redis(runtime: Runtime) -> None:
    """Wait until Redis takes writes: a process that waits goes on sooner than one that ended."""
    told = ""
    while not runtime.leaving.is_set():
        try:
            facts = store_facts(runtime.store)
            if not facts.refuses:
                if facts.unsafe:
                    log.warning("%s", facts.unsafe)
                return
            why = facts.refuses
        except (ResponseError, BusyLoadingError) as error:
            why = why_refused(error)
        if told != why:
            log.error("waiting: %s", told := why)
        runtime.leaving.wait(ASK_AGAIN)
