"""Feeding: every image without an embedding waits once, bad ones do not, and the complete generation serves."""

import time
from dataclasses import replace

import numpy as np
import pytest

from labelqueue.block import Block, source_hash
from labelqueue.exceptions import EmbedderError
from labelqueue.images.fingerprint import ModelCard
from labelqueue.jobs import shards
from labelqueue.jobs.queues import queue
from labelqueue.labels.annotations import UNLABELED
from labelqueue.state.snapshots import read_columns
from labelqueue.state.task_row import TaskRow
from labelqueue.worker import feeding, models
from labelqueue.worker.runtime import Runtime


@pytest.fixture
def runtime(deployment):
    return Runtime(deployment)


@pytest.fixture
def feed(runtime, project):
    """Feed the workers for this generation, as each look does; return what serves, and how many images are missing."""

    def once(wanted):
        found = feeding.feed(runtime, project, read_columns(project), runtime.cache(project, wanted))
        return found.cache.generation, found.arriving

    return once


def put(project, *tasks, uri="/{}.jpg"):
    project.put_tasks({task: TaskRow(uri.format(task), UNLABELED) for task in tasks})


def embed(runtime, project, generation, *tasks, uri="/{}.jpg"):
    rows = np.zeros((len(tasks), 2), np.float16)
    sources = np.array([source_hash(uri.format(task)) for task in tasks], np.uint64)
    block = Block(np.array(tasks, np.int64), sources, rows, rows, np.arange(len(tasks) + 1, dtype=np.int64))
    runtime.cache(project, generation).put(block)


def waiting(project):
    """Return the tasks whose image is on its way to a worker, each as often as it is."""
    pending = [int(raw) for raw in project.store.zrange(project.name("pending"), 0, -1)]
    return sorted([*pending, *shards.in_flight(project)])


def test_images_without_an_embedding_wait_once(runtime, project, feed):
    project.set(generation="g1")
    put(project, *range(1, 201))
    embed(runtime, project, "g1", 1, 2, 3)
    assert feed("g1") == feed("g1") == ("g1", 197)
    assert waiting(project) == list(range(4, 201))
    assert project.store.llen("rq:queue:embed") == shards.WINDOW


def test_a_bad_image_is_not_tried_again_until_it_is_another(runtime, project, feed):
    project.set(generation="g1")
    put(project, 1, 2)
    project.quarantine({1: ("/1.jpg", "broken")})
    assert feed("g1") == ("g1", 1) and waiting(project) == [2]
    put(project, 1, uri="/another-{}.jpg")
    assert feed("g1") == ("g1", 2) and waiting(project) == [1, 2]


def test_an_image_that_was_replaced_is_embedded_anew(runtime, project, feed):
    project.set(generation="g1")
    put(project, 1, 2)
    embed(runtime, project, "g1", 1, 2)
    assert feed("g1") == ("g1", 0) and waiting(project) == []
    put(project, 2, uri="/another-{}.jpg")
    assert feed("g1") == ("g1", 1) and waiting(project) == [2]


def test_the_images_of_a_dead_worker_wait_again(runtime, project, feed):
    project.set(generation="g1")
    put(project, 1)
    feed("g1")
    (job,) = [raw.decode() for raw in project.store.hkeys(project.name("inflight"))]
    shards.claim(project, job, "dead-worker")
    feed("g1")
    assert waiting(project) == [1] and not project.store.hexists(project.name("inflight"), job)


def test_the_former_generation_serves_until_the_new_one_is_complete(runtime, project, feed):
    project.set(generation="g1")
    put(project, 1, 2, 3)
    embed(runtime, project, "g1", 1, 2, 3)
    embed(runtime, project, "g2", 1)
    project.quarantine({3: ("/3.jpg", "broken")})  # it cannot be embedded, and is not waited for
    assert feed("g2") == ("g1", 1) and waiting(project) == [2]
    assert project.get("generation") == "g1" and runtime.cache(project, "g1").rows().keys() == {1, 2, 3}
    embed(runtime, project, "g2", 2)
    assert feed("g2") == ("g2", 0) and project.get("generation") == "g2"
    assert runtime.cache(project, "g1").rows() == {}, "dropped"
    assert runtime.cache(project, "g2").rows().keys() == {1, 2}


def test_back_to_the_generation_that_serves_nothing_is_lost(runtime, project, feed):
    project.set(generation="g1")
    put(project, 1, 2)
    embed(runtime, project, "g1", 1, 2)
    feed("g2")
    assert feed("g1") == ("g1", 0) and runtime.cache(project, "g1").rows().keys() == {1, 2}


def test_images_of_a_slow_server_wait_for_their_time_and_hold_up_nothing(runtime, project, feed):
    project.set(generation="g1")
    put(project, 1, 2, 3)
    shards.wait_until(project, [1, 2], time.time() + 50)
    assert feed("g1") == ("g1", 1) and waiting(project) == [3], "those are not arriving"
    shards.wait_until(project, [1, 2], time.time() - 1)
    assert feed("g1") == ("g1", 3) and waiting(project) == [1, 2, 3]


def test_while_the_model_cannot_be_had_no_shard_is_handed_out(project, feed):
    project.set(embedder_error="no weights")
    put(project, 1)
    feed("")
    assert waiting(project) == [1] and project.store.llen("rq:queue:embed") == 0
    project.set(embedder_error="")
    feed("")
    assert project.store.llen("rq:queue:embed") == 1


class TestWantedGeneration:
    """Which is known by the model's card: a tending worker never loads the model."""

    CARD = ModelCard("bundled", "ab" * 32, 224, (0.5,) * 3, (0.5,) * 3, 3, 1)

    @pytest.fixture
    def wanted(self, runtime, project, deployment):
        def ask(found):
            if isinstance(found, Exception):
                models.keep_error(project.store, deployment, False, found)
            elif found is None:
                models.forget_cards(project.store, deployment)
            else:
                models.keep_card(project.store, deployment, False, found)
            generation, known = feeding.wanted_generation(runtime, project, project.target())
            assert known == (found is self.CARD or isinstance(found, models.ModelCard))
            return generation

        return ask

    def test_the_first_one_serves_at_once_and_a_later_one_does_not(self, project, wanted):
        first = wanted(self.CARD)
        assert first == self.CARD.fingerprint({"n_patterns": 1}) == project.get("generation")
        assert wanted(replace(self.CARD, weights="cd" * 32)) != first == project.get("generation")

    def test_without_a_model_what_is_embedded_can_still_be_ordered(self, project, wanted):
        assert wanted(EmbedderError("no weights")) == "" and project.get("embedder_error") == "no weights"
        first = wanted(self.CARD)
        assert wanted(EmbedderError("no weights")) == first and project.get("embedder_error") == "no weights"
        assert wanted(self.CARD) == first and project.get("embedder_error") == ""

    def test_while_it_is_not_known_an_embedding_worker_is_asked_and_what_serves_goes_on(
        self, project, store, deployment, wanted
    ):
        assert wanted(None) == wanted(None) == "" and project.get("embedder_error") == ""
        (job,) = queue(store, "page").get_jobs()
        assert (job.func_name, job.args) == (
            "labelqueue.worker.embedding.model_job",
            [False, models.name_of(deployment, False)],
        )
        first = wanted(self.CARD)
        assert wanted(None) == first and store.llen("rq:queue:page") == 1
