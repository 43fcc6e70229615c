"""The queues: which kind of worker serves which, in which order, and whether a job is still in one."""

import pytest
from rq import SimpleWorker
from rq.serializers import JSONSerializer

from labelqueue.cli.parser import WORKER_KINDS
from labelqueue.jobs import queues as jobs


def test_labels_never_wait_for_images_nor_images_for_labels(store):
    served = {kind: [queue.name for queue in jobs.job_queues(store, kind)] for kind in jobs.KINDS}
    assert served == {"tending": ["tend"], "embedding": ["page", "embed", "page-slow"]}
    assert tuple(served) == WORKER_KINDS, "what the command line offers"


@pytest.mark.usefixtures("default_signals")
def test_what_somebody_waits_for_comes_before_images_and_what_takes_a_page_long_after_them(store):
    for name in ("page-slow", "embed", "tend", "page"):
        jobs.queue(store, name).enqueue("time.strftime", name, result_ttl=60)
    done = []

    class Worker(SimpleWorker):
        def perform_job(self, job, queue, *more):
            done.append(queue.name)
            return super().perform_job(job, queue, *more)

    queues = jobs.job_queues(store, jobs.EMBEDDING)
    Worker(queues, connection=store, serializer=JSONSerializer).work(burst=True, logging_level="ERROR")
    assert done == ["page", "embed", "page-slow"]
    assert store.llen("rq:queue:tend") == 1, "no work of an embedding worker"


def test_a_job_is_on_its_way_while_it_waits_and_while_a_living_worker_runs_it(store):
    job = jobs.queue(store, "embed").enqueue("time.strftime", "x")

    def on_its_way(*living):
        return jobs.is_on_its_way(store, "embed", job.id, living)

    assert on_its_way()
    store.lpop("rq:queue:embed")
    assert not on_its_way("w1"), "taken, and its worker died before it began"
    store.hset(job.key, mapping={"status": "started", "worker_name": "w1"})
    assert on_its_way("w1", "w2") and not on_its_way("w2")
    store.delete(job.key)
    assert not on_its_way("w1")
