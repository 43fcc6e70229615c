"""The relay: a worker's next shard is read while the last one is computed, and every shard ends as if it were alone."""

import base64
import contextlib
import io
import json
import threading

import numpy as np
import pytest
from PIL import Image

from labelqueue import jobs
from labelqueue.exceptions import EmbedderError
from labelqueue.images import Item
from labelqueue.jobs import shards
from labelqueue.labels.annotations import UNLABELED
from labelqueue.state.task_row import TaskRow
from labelqueue.worker import embedding
from labelqueue.worker.relay import Relay, Shard
from labelqueue.worker.runtime import Runtime, install

WORKER, SIZE = "embedding-host-1-abc", 32


class Model:
    """Embeds an image as the mean of its colors, in minibatches of 16; `act` is called at each of them."""

    name, dim, image_size, minibatch_size = "means", 3, 8, 16

    def __init__(self):
        self.minibatches, self.act, self.done = 0, lambda number: None, threading.Event()

    def fingerprint(self, parameters):
        return "g1"

    def lanes(self):
        return contextlib.nullcontext(1)

    def embed(self, pixels, **options):
        self.minibatches += 1
        self.act(self.minibatches)
        means = pixels.astype(np.float32).mean(axis=(1, 2)).astype(np.float16)
        return means, means, np.arange(len(pixels) + 1)


def png(task):
    file = io.BytesIO()
    Image.new("RGB", (10, 6), (task % 250 + 1, 8, 7)).save(file, "PNG")
    return f"data:image/png;n={task};base64,{base64.b64encode(file.getvalue()).decode()}"


@pytest.fixture
def model():
    return Model()


@pytest.fixture
def run(project, store, deployment, monkeypatch, model):
    """Let so many images wait and run the job at the head of the queue; return what it returns."""
    runtime = Runtime(deployment)
    monkeypatch.setattr(runtime, "embedder", lambda doubled, choice=None: model)
    install(runtime)
    jobs.heartbeat(store, WORKER)

    def wait(count, uri=png):
        project.put_tasks({task: TaskRow(uri(task), UNLABELED) for task in range(1, count + 1)})
        store.zadd(project.name("pending"), {str(task): task for task in range(1, count + 1)})
        jobs.enqueue_shards(project)

    def once():
        job = jobs.queue(store, "embed").fetch_job(store.lpop("rq:queue:embed").decode())
        job.worker_name = WORKER
        monkeypatch.setattr(embedding, "get_current_job", lambda: job)
        return embedding.embed_job(*job.args)

    once.wait, once.runtime = wait, runtime
    once.cache = runtime.cache(project, "g1")
    return once


def nothing_is_left(project, store):
    """Of all shards, but for the job of the first, which RQ ends."""
    jobs_of = [key for key in store.keys("rq:job:*") if b"embed_job" in (store.hget(key, "description") or b"")]
    return (
        not store.hlen(project.name("inflight")) and not store.keys(project.name("at_work", "*")) and len(jobs_of) == 1
    )


def test_shards_of_a_project_are_one_stream_and_each_is_struck_off_when_it_is_over(project, store, run, model):
    run.wait(6 * SIZE)
    seen = []
    model.act = lambda number: seen.append(store.hlen(project.name("inflight")))
    assert run() == 6 * SIZE and model.minibatches == 12
    assert len(run.cache.sources_of(range(1, 6 * SIZE + 1))) == 6 * SIZE
    assert nothing_is_left(project, store) and store.llen("rq:queue:embed") == 0
    assert seen[-1] <= 2, "those before are over, though the job goes on"


def test_the_next_shard_is_read_while_the_last_one_is_computed(project, store, run, model, monkeypatch):
    read, computing = [], threading.Event()
    inner = embedding._read

    def reading(runtime, uri, task, until):
        read.append(task)
        if task > SIZE:
            computing.set()
        return inner(runtime, uri, task, until)

    monkeypatch.setattr(embedding, "_read", reading)
    model.act = lambda number: (number == 2 and computing.wait(20)) or None
    run.wait(2 * SIZE)
    assert run() == 2 * SIZE
    assert computing.is_set() and model.minibatches == 4, "else the second minibatch had waited in vain"


def test_a_page_another_project_an_end_or_its_time_ends_the_relay(project, store, run, model, monkeypatch):
    run.wait(4 * SIZE)  # as many as are handed out at first
    store.rpush("rq:queue:page", "somebody waits")
    assert run() == SIZE
    store.delete("rq:queue:page")
    monkeypatch.setattr(embedding, "RELAY", -1.0)
    assert run() == SIZE
    monkeypatch.setattr(embedding, "RELAY", 60.0)
    last = [raw.decode() for raw in store.lrange("rq:queue:embed", 0, -1)]
    store.linsert("rq:queue:embed", "AFTER", last[0], "the shard of another project")
    assert run() == SIZE and store.lindex("rq:queue:embed", 0) == b"the shard of another project"
    store.lpop("rq:queue:embed")
    assert run() == SIZE


def test_other_settings_end_the_relay(project, store, run, model):
    run.wait(4 * SIZE)
    model.act = lambda number: project.set(embedder_wanted=jobs.EmbedderChoice("another", 8).dump())
    assert run() in (SIZE, 2 * SIZE), "one may be taken before the first minibatch is computed"
    assert store.llen("rq:queue:embed") >= 2


def test_an_image_that_goes_alone_has_nobody_beside_it(project, store, run):
    store.hset(project.name("deaths"), str(SIZE + 1), str(shards.LONELY_AFTER))
    run.wait(3 * SIZE)
    assert run() == SIZE + (SIZE - 1), "up to the one that is alone"
    assert run() == 1, "and it takes no other one"
    assert run() == SIZE


@pytest.mark.parametrize(("error", "again"), [(RuntimeError("out of memory"), True), (EmbedderError("none"), False)])
def test_a_failure_lets_what_is_not_over_wait_again_and_nothing_else(project, store, run, model, error, again):
    def fail(number):
        if number == 5:
            raise error

    model.act = fail
    run.wait(4 * SIZE)
    with pytest.raises(RuntimeError) if again else contextlib.nullcontext():
        run()
    stored = run.cache.sources_of(range(1, 4 * SIZE + 1)).keys()
    assert set(range(1, SIZE + 1)) <= stored, "the first shard is over"
    waiting = {int(task) for task in store.zrange(project.name("pending"), 0, -1)}
    queued = shards.in_flight(project)
    suspects = {int(task) for task in store.hkeys(project.name("deaths"))}
    if again:
        assert stored | waiting | queued == set(range(1, 4 * SIZE + 1)) and not set(range(1, SIZE + 1)) & waiting
        assert suspects and suspects <= waiting and not suspects & stored
    else:
        assert not suspects and not waiting
    assert not store.keys(project.name("at_work", "*"))
    for raw in store.hvals(project.name("inflight")):
        assert json.loads(raw)["worker"] == "", "what it had taken is free"


def test_a_worker_that_is_killed_costs_the_shards_it_had_and_no_more(project, store, run, model):
    class Killed(BaseException):
        """Nothing runs after it, as after SIGKILL."""

    def kill(number):
        if number == 4:
            raise Killed

    model.act = kill
    run.wait(4 * SIZE)
    with pytest.raises(Killed):
        run()
    held = [json.loads(raw) for raw in store.hvals(project.name("inflight"))]
    assert sum(entry["worker"] == WORKER for entry in held) <= 3, "computed, read, and begun where the model is fast"
    assert shards.reclaim(project, {WORKER}) == 0, "while it lives"
    jobs.bury(store, WORKER)
    assert 0 < shards.reclaim(project, set()) <= 3 * SIZE
    suspects = {int(task) for task in store.hkeys(project.name("deaths"))}
    assert suspects and len(suspects) <= 2 * model.minibatch_size + 4 + 3 * model.minibatch_size
    stored = run.cache.sources_of(range(1, 4 * SIZE + 1)).keys()
    assert not suspects & stored


def test_of_two_workers_only_one_gets_the_shard_at_the_head(project, store, run):
    run.wait(4 * SIZE)
    first, *_ = [raw.decode() for raw in store.lrange("rq:queue:embed", 0, -1)]
    store.lpop("rq:queue:embed")
    assert shards.take_next(project, first) is None, "nobody runs it yet"
    shards.claim(project, first, WORKER)
    taken, lock = [], threading.Barrier(3)

    def take():
        lock.wait()
        taken.append(shards.take_next(project, first))

    threads = [threading.Thread(target=take) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ids = [one[1][0] for one in taken if one]
    assert len(ids) == len(set(ids)) and store.llen("rq:queue:embed") == 3 - len(ids)
    assert shards.take_next(project, "gone") is None


def test_a_relay_accounts_for_each_image_in_its_shard():
    def shard(name, ids):
        gathering = [Item(task, f"/{task}", lambda task=task: b"%d" % task) for task in ids]
        return Shard(name, ids, {task: TaskRow(f"/{task}", UNLABELED) for task in ids}, gathering, {}, 0.0)

    more = iter([shard("b", [3, 4]), shard("c", []), None])
    relay = Relay(shard("a", [1, 2]), lambda: next(more), lambda job, item: job.encode() + item.load())
    items = iter(relay)
    assert [next(items).load() for _ in range(2)] == [b"a1", b"a2"] and relay.over() == []
    assert relay.account([1]) == {"a": [1]}
    assert next(items).load() == b"b3" and relay.account([2, 3]) == {"a": [2], "b": [3]}
    assert [one.job_id for one in relay.over()] == ["a"] and relay.row(4).uri == "/4"
    assert [item.load() for item in items] == [b"b4"]
    assert [one.job_id for one in relay.over()] == ["c"] and [one.job_id for one in relay.held] == ["b"]
    relay.account([4])
    assert [one.job_id for one in relay.over()] == ["b"] and relay.held == []
