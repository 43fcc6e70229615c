"""A worker process: it looks at everything once, keeps house while it works, and leaves no sign of life behind."""

import threading
import time

import pytest

from conftest import ORIGIN
from labelqueue.jobs import queues
from labelqueue.state.project import Project, ProjectRef
from labelqueue.worker import worker as module
from labelqueue.worker.runtime import Runtime, current


@pytest.mark.parametrize("how", ["stopped", "failed"])
def test_a_workers_life(store, project, deployment, monkeypatch, how):
    other, runtime, seen = Project(store, ProjectRef(ORIGIN, 8, 1)), Runtime(deployment), []
    other.register()
    housekeepers = []

    class House(module.Housekeeper):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            housekeepers.append(self)

    class Worker:
        def __init__(self, queues, *, name, connection, serializer):
            self.queues, self.name = queues, name
            assert serializer is module.JSONSerializer and connection is runtime.store

        def work(self, **options):
            seen.append(([queue.name for queue in self.queues], queues.alive(store) == {self.name}))
            assert current() is runtime and housekeepers[0].is_alive() and not options["with_scheduler"]
            if how == "failed":
                raise KeyboardInterrupt

    monkeypatch.setattr(module, "SimpleWorker", Worker)
    monkeypatch.setattr(module, "Housekeeper", House)
    if how == "failed":
        with pytest.raises(KeyboardInterrupt):
            module.run_worker(runtime)
    else:
        module.run_worker(runtime)
    assert seen == [(["tend", "embed"], True)]
    assert [one.get("want_full") for one in (project, other)] == ["1", "1"]
    assert store.llen("rq:queue:tend") == 2
    assert not housekeepers[0].is_alive() and queues.alive(store) == set()


def test_a_worker_waits_for_a_redis_that_takes_nothing(store, project, deployment, monkeypatch, caplog):
    """A process that ended would have to load everything again."""
    worked = []

    class Worker:
        def __init__(self, queues, **options):
            pass

        def work(self, **options):
            worked.append(store.llen("rq:queue:tend"))

    monkeypatch.setattr(module, "SimpleWorker", Worker)
    monkeypatch.setattr(module, "ASK_AGAIN", 0.05)
    store.set(project.name("queued"), "1")  # of a job that was lost
    store.config_set("maxmemory", "1")
    thread = threading.Thread(target=module.run_worker, args=(Runtime(deployment),))
    thread.start()
    time.sleep(0.3)
    assert worked == [] and thread.is_alive() and caplog.text.count("Redis is full") == 1
    store.config_set("maxmemory", "0")
    thread.join(timeout=10)
    assert worked == [1]
