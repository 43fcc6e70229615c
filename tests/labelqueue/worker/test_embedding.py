"""The embed job: whatever happens to it, its images wait again and its place in the window is free."""

import base64
import io
import json
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from redis.exceptions import ConnectionError as RedisConnectionError

from labelqueue import jobs
from labelqueue.block import Block, source_hash
from labelqueue.exceptions import EmbedderError, LabelStudioError, StoreError
from labelqueue.gallery import Thumbnails
from labelqueue.images.pipeline import Embedded, Item
from labelqueue.jobs import shards
from labelqueue.labels.annotations import UNLABELED
from labelqueue.pixels import decode_with_thumbnail
from labelqueue.replica.replica import Replica
from labelqueue.state.task_row import TaskRow
from labelqueue.worker import embedding
from labelqueue.worker.runtime import Runtime, install


@pytest.fixture
def shard(project, deployment, monkeypatch):
    """A shard of two images in the queue, as the worker gets it: (job, ids)."""
    install(Runtime(deployment))
    project.put_tasks({task: TaskRow(f"/{task}.jpg", UNLABELED) for task in (1, 2)})
    project.store.zadd(project.name("pending"), {"1": 1, "2": 2})
    jobs.enqueue_shards(project)
    (job_id,) = [raw.decode() for raw in project.store.hkeys(project.name("inflight"))]
    monkeypatch.setattr(
        embedding, "get_current_job", lambda: type("Job", (), {"id": job_id, "worker_name": "living-worker"})()
    )
    jobs.heartbeat(project.store, "living-worker")
    return [1, 2]


@pytest.mark.parametrize(
    "error", [EmbedderError("no file of weights"), LabelStudioError("Label Studio does not answer")]
)
def test_a_worker_that_cannot_do_it_leaves_the_shard_to_the_others(project, shard, monkeypatch, error):
    """It would fail within milliseconds and be the first to ask for the next one."""
    runtime, waited = embedding.current(), []

    def fail(runtime, project, ids, job_id):
        project.store.sadd(shards.at_work(project, job_id), "2")
        raise error

    monkeypatch.setattr(embedding, "embed_shard", fail)
    monkeypatch.setattr(runtime.leaving, "wait", lambda seconds: waited.append((seconds, runtime.trouble)))
    jobs.heartbeat(project.store, "embedding-elsewhere-7-ab")
    assert embedding.embed_job(project.key, shard) == 0
    (raw,) = project.store.hvals(project.name("inflight"))
    assert json.loads(raw) == {"ids": [1, 2], "worker": ""}, "it is in the queue again"
    assert waited == [(embedding.STEP_BACK, str(error))] and not runtime.trouble, "told while it stands aside"
    assert str(error) in project.get("error") and not project.store.exists(project.name("deaths"))


def test_a_shard_that_another_worker_has_by_now_is_left_to_it(project, shard, monkeypatch):
    """A machine whose line was cut is back: it stores nothing twice, and blames no image that it could not fetch."""
    ids = np.array([1])
    block = Block(ids, ids.astype(np.uint64), *(np.ones((1, 4), np.float16),) * 2, np.array([0, 1]))

    class Model:
        dim, image_size, minibatch_size = 4, 16, 16

        def fingerprint(self, parameters):
            return "f" * 32

    def stream(*_, **__):
        project.store.delete(project.name("inflight"))  # meanwhile
        yield Embedded(block, [], [(2, "no route to host")])

    monkeypatch.setattr(embedding.current(), "embedder", lambda doubled, choice=None: Model())
    monkeypatch.setattr(embedding, "embed_stream", stream)
    assert embedding.embed_job(project.key, shard) == 0
    assert not project.store.keys(project.name("cache", "*")) and not project.store.exists(project.name("tries"))
    assert not project.get("arrivals") and not project.get("error")


@pytest.mark.parametrize(("error", "blamed"), [(RuntimeError("out of memory"), True), (EmbedderError("none"), False)])
def test_a_failed_shard_waits_again(project, shard, monkeypatch, error, blamed):
    def fail(runtime, project, ids, job_id):
        project.store.sadd(shards.at_work(project, job_id), "2")
        raise error

    monkeypatch.setattr(embedding, "embed_shard", fail)
    if blamed:
        with pytest.raises(RuntimeError):
            embedding.embed_job(project.key, shard)
        assert project.store.zrange(project.name("pending"), 0, -1) == [b"1", b"2"]
    else:  # tending puts them back, once the model is there
        embedding.embed_job(project.key, shard)
    assert project.store.hlen(project.name("inflight")) == 0
    assert project.store.hgetall(project.name("deaths")) == ({b"2": b"1"} if blamed else {}), "it was at work on it"
    assert project.store.keys(project.name("at_work", "*")) == []
    assert str(error) in project.get("error")
    assert project.store.zcard("lq:delayed") == 1


def test_an_image_that_fails_every_time_is_quarantined_and_forgiven_when_it_works(project, shard):
    for _ in range(shards.QUARANTINE_AFTER):
        assert project.quarantined() == {}
        jobs.give_back(project, [1], "embedding failed (boom)", [1])
    assert project.quarantined() == {1: ("/1.jpg", "embedding failed (boom), 3 times while it was alone")}
    project.release_quarantine()
    jobs.give_back(project, [1], "again", [1])
    assert project.quarantined() == {}
    project.forgive([1])
    assert project.store.hlen(project.name("deaths")) == 0


# -- a shard


class Model:
    """An embedder that is never asked for a vector."""

    def fingerprint(self, parameters):
        return "g1"


@pytest.fixture
def embed(project, deployment, monkeypatch):
    """Embed the images of these tasks; return the addresses that were read, which say what becomes of them."""
    runtime = Runtime(deployment)
    monkeypatch.setattr(runtime, "embedder", lambda doubled, choice=None: Model())

    def is_good(uri):
        return "bad" not in uri and "busy" not in uri

    def stream(model, items, **parameters):
        for item in items:
            with suppress(Exception):
                item.load()
            read.append(item.uri)
            good = int(is_good(item.uri))
            rows = np.full((good, 2), len(read), np.float16)
            sources = np.array([source_hash(item.uri)] * good, np.uint64)
            block = Block(np.array([item.id] * good, np.int64), sources, rows, rows, np.arange(good + 1))
            failed = [(item.id, "truncated")] if "bad" in item.uri else []
            yield Embedded(block, failed, [(item.id, "no answer")] if "busy" in item.uri else [])

    read = []
    monkeypatch.setattr(embedding, "embed_stream", stream)

    def once(uris):
        read.clear()
        project.put_tasks({task: TaskRow(uri, UNLABELED) for task, uri in uris.items()})
        done = embedding.embed_shard(runtime, project, sorted(uris))
        assert done == sum(map(is_good, read))
        return list(read)

    once.cache = runtime.cache(project, "g1")
    return once


def test_what_is_embedded_is_not_embedded_again_and_a_replaced_image_is(project, embed):
    assert embed({1: "/1.jpg", 2: "/2.jpg"}) == ["/1.jpg", "/2.jpg"]
    assert embed({1: "/1.jpg", 2: "/new.jpg"}) == ["/new.jpg"]
    replica = Replica(project)
    columns = replica.columns
    assert replica.embedded(embed.cache).tolist() == [True, True]
    rows = embed.cache.load(columns.ids, columns.sources)
    assert rows.embeddings[:, 0].tolist() == [1, 1], "the first of the first shard, and the first of the second"
    assert project.get("arrivals") == "3"


def test_what_is_embedded_is_at_work_no_more(project, embed):
    marked = []
    put = embed.cache.put
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            type(embed.cache), "put",
            lambda cache, block: (marked.append(project.store.smembers(project.name("at_work", ""))), put(block)),
        )  # fmt: skip
        embed({1: "/1.jpg"})
    assert len(marked) == 1 and not project.store.exists(project.name("at_work", ""))


def test_an_image_that_was_replaced_while_it_was_embedded_is_embedded_anew(project, embed):
    embed({1: "/old.jpg"})
    project.put_tasks({1: TaskRow("/new.jpg", UNLABELED)})  # as if meanwhile
    assert Replica(project).embedded(embed.cache).tolist() == [False]
    assert embed({1: "/new.jpg"}) == ["/new.jpg"]


def test_a_bad_image_is_remembered_with_its_address_and_forgotten_with_it(project, embed):
    embed({1: "/bad.jpg", 2: ""})
    assert Replica(project).bad() == {1: "truncated", 2: "the task's data has no image"}
    assert embed({1: "/good.jpg"}) == ["/good.jpg"]
    assert Replica(project).bad() == {2: "the task's data has no image"}


def test_a_server_that_fails_is_asked_again_a_few_times(project, embed):
    for _ in range(embedding.TRIES - 1):
        project.store.delete("lq:delayed")
        embed({1: "/busy.jpg"})
        assert project.quarantined() == {} and project.store.zcard("lq:delayed") == 1
    embed({1: "/busy.jpg"})
    assert project.quarantined() == {1: ("/busy.jpg", "no answer (5 tries)")}


def test_tries_are_forgotten_when_it_works(project, embed):
    for uri in ("/busy.jpg", "/good.jpg"):
        embed({1: uri})
    assert project.store.hlen(project.name("tries")) == 0


def test_a_look_is_asked_for_with_the_first_rows_the_last_ones_and_each_doubling(project, shard, monkeypatch):
    arrivals = iter([2, 3, 4, 7, 9, 10])
    monkeypatch.setattr(embedding, "embed_shard", lambda *_: project.set(arrivals=str(next(arrivals))))
    asked = []
    for _ in range(6):
        project.store.zadd(project.name("pending"), {"9": 9})
        project.store.delete(project.name("queued"), "rq:queue:tend")
        embedding.embed_job(project.key, shard)
        asked.append(project.store.llen("rq:queue:tend"))
    assert asked == [1, 0, 1, 0, 1, 0]


def test_a_redis_that_breaks_off_while_an_image_is_marked_makes_no_bad_image(project, store, monkeypatch):
    def away(*arguments):
        raise RedisConnectionError("away")

    item = Item(1, "/1.jpg", lambda: b"data")
    assert embedding._marked(project, "j", item) == b"data"
    assert store.smembers(shards.at_work(project, "j")) == {b"1"} and store.ttl(shards.at_work(project, "j")) > 900
    monkeypatch.setattr(embedding, "mark", away)
    with pytest.raises(StoreError, match="away"):
        embedding._marked(project, "j", item)


# -- thumbnails


def file_of(seed, kind="PNG"):
    pixels = np.random.default_rng(seed).integers(0, 256, (3, 5, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).resize((500, 300)).save(file, kind)
    return file.getvalue()


def test_embedding_cuts_thumbnails_from_the_same_pixels_and_embeds_as_without(project, deployment):
    """The real model: with no room for thumbnails the vectors are the same, bit by bit."""
    files = {1: file_of(1), 2: file_of(2, "JPEG"), 3: file_of(3)[:200], 4: file_of(4, "WEBP")}
    uris = {task: f"data:image/x;base64,{base64.b64encode(data).decode()}" for task, data in files.items()}
    rows, blocks = {task: TaskRow(uri, UNLABELED) for task, uri in uris.items()}, []
    thumbnails = Thumbnails(project)
    for room in (0, 1):
        project.put_tasks(rows)
        runtime = Runtime(replace(deployment, thumbnails=room))
        assert embedding.embed_shard(runtime, project, [1, 2, 3, 4]) == 3
        cache = runtime.cache(project, runtime.embedder().fingerprint({"n_patterns": 1}))
        blocks.append(cache.load(np.arange(1, 5)).to_bytes())
        if not room:
            assert thumbnails.sources_of([1, 2, 3, 4]) == {}
            cache.delete()
    assert blocks[0] == blocks[1] and 3 in project.quarantined()
    side = runtime.embedder().image_size
    for task in (1, 2, 4):
        assert thumbnails.get(task) == (source_hash(uris[task]), decode_with_thumbnail(files[task], side)[1])
    assert thumbnails.get(3) is None
