"""A worker process: what it does first, how it goes on when Redis breaks off, and that it leaves no sign behind."""

import signal
import threading
import time

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from conftest import ORIGIN
from labelqueue.jobs import living
from labelqueue.state.project import Project, ProjectRef
from labelqueue.worker import models, searching
from labelqueue.worker import worker as module
from labelqueue.worker.runtime import Runtime, current

pytestmark = pytest.mark.usefixtures("default_signals")


@pytest.fixture
def runtime(deployment):
    return Runtime(deployment)


@pytest.fixture
def loops(runtime, store, monkeypatch):
    """Let the worker's loops end as told: with an error, or because somebody stops it; collect what each saw."""
    seen, housekeepers, ends = [], [], []
    store.set(searching.WATCH, "another worker")  # no Label Studio is there, and how soon that is seen differs

    class House(module.Housekeeper):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            housekeepers.append(self)

    def work(self, **options):
        seen.append(([queue.name for queue in self.queues], living.alive(store) == {self.name}))
        assert current() is runtime and housekeepers[-1].is_alive() and not options["with_scheduler"]
        if ends and (end := ends.pop(0)) is not None:
            raise end
        runtime.leaving.set()

    monkeypatch.setattr(module.SimpleWorker, "work", work)
    monkeypatch.setattr(module, "Housekeeper", House)
    monkeypatch.setattr(module, "AGAIN", 0.01)
    yield seen, ends
    assert not any(one.is_alive() for one in housekeepers) and living.alive(store) == set()


def test_a_tending_worker_looks_at_everything_once(runtime, project, store, loops):
    other = Project(store, ProjectRef(ORIGIN, 8, 1))
    other.register(reading='{"last": 5}')
    module.run_worker(runtime, "tending")
    assert loops[0] == [(["tend"], True)]
    assert [one.get("want_full") for one in (project, other)] == ["1", ""], "a reading that was stopped goes on"
    assert store.llen("rq:queue:tend") == 2


def test_an_embedding_worker_asks_for_no_look_and_forgets_which_model_there_was(runtime, project, store, loops):
    store.hset(models.CARDS, models.name_of(runtime.deployment, False), '{"card": "of other weights"}')
    module.run_worker(runtime, "embedding")
    assert loops[0] == [(["page", "embed", "page-slow"], True)]
    assert project.get("want_full") == "" and not store.exists(models.CARDS)


def test_it_goes_on_when_redis_breaks_off(runtime, project, loops):
    loops[1].extend([RedisConnectionError("reset"), RedisConnectionError("refused"), None])
    module.run_worker(runtime, "tending")
    assert len(loops[0]) == 3


def test_anything_else_ends_it_cleanly(runtime, project, loops):
    loops[1].append(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        module.run_worker(runtime, "tending")


def test_it_knows_at_once_that_it_was_told_to_stop(runtime, store):
    worker = module.Worker([], name="w", connection=store, serializer=module.JSONSerializer, runtime=runtime)
    assert not runtime.leaving.is_set()
    with pytest.raises(module.StopRequested):  # it is idle
        worker.request_stop(signal.SIGTERM, None)
    assert runtime.leaving.is_set()


def test_a_worker_waits_for_a_redis_that_takes_nothing(runtime, store, project, loops, monkeypatch, caplog):
    """A process that ended would have to load everything again."""
    monkeypatch.setattr(module, "ASK_AGAIN", 0.05)
    store.config_set("maxmemory", "1")
    healed = threading.Timer(0.3, store.config_set, ("maxmemory", "0"))
    healed.start()
    begun = time.monotonic()
    module.run_worker(runtime, "tending")
    healed.join()
    assert time.monotonic() - begun > 0.3 and len(loops[0]) == 1 and caplog.text.count("Redis is full") == 1
    assert store.llen("rq:queue:tend") == 1
