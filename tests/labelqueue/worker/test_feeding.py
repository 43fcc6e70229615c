"""Feeding: every image without an embedding waits once, bad ones do not, and the complete generation serves."""

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from labelqueue import jobs
from labelqueue.block import Block, source_hash
from labelqueue.exceptions import EmbedderError
from labelqueue.images.fingerprint import ModelCard
from labelqueue.jobs import shards
from labelqueue.jobs.queues import queue
from labelqueue.labels.annotations import UNLABELED
from labelqueue.settings import DEPLOYMENT
from labelqueue.state.task_row import TaskRow
from labelqueue.worker import embedding, feeding, models
from labelqueue.worker.runtime import Runtime, install


@pytest.fixture
def runtime(deployment):
    return Runtime(deployment)


@pytest.fixture
def feed(runtime, project):
    """Feed the workers for this generation, as each look does; return what serves, and how many images are missing."""

    def once(wanted):
        found = feeding.feed(runtime, project, runtime.replica(project), runtime.cache(project, wanted))
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


CARD = ModelCard("bundled", "ab" * 32, 160, (0.5,) * 3, (0.5,) * 3, 3, 1)
ONE = {"n_patterns": 1}


def other(card=CARD, model="vit_tiny_patch16_224", **changes):
    return replace(card, model=model, image_size=224, **changes)


@pytest.fixture
def wanted(runtime, project):
    """Look which generation is wanted, of the model that `answer` loads when it is asked for, or says cannot be had."""

    def ask(answer=None, *, deployment=None):
        runtime.deployment = deployment or runtime.deployment
        generation, known = feeding.wanted_generation(runtime, project, project.target())
        if known or answer is None:
            return generation, known
        choice = jobs.EmbedderChoice.load(project.get("embedder_wanted"))
        if isinstance(answer, Exception):
            models.keep_error(project.store, runtime.deployment, False, answer, choice)
        else:
            models.keep_card(project.store, runtime.deployment, False, answer, choice)
        return feeding.wanted_generation(runtime, project, project.target())

    return ask


def serving(project):
    found = jobs.EmbedderChoice.load(project.get("embedder"))
    return found and (found.model, found.image_size, found.weights)


class TestWantedGeneration:
    """Which is known by the model's card: a tending worker never loads the model."""

    def test_the_first_one_serves_at_once_and_a_later_one_does_not(self, runtime, project, wanted):
        first, known = wanted(CARD)
        assert known and first == CARD.fingerprint(ONE) == project.get("generation")
        embed(runtime, project, first, 1)
        project.put_settings({"embedder": "vit_tiny_patch16_224"}, "test")
        second, known = wanted(other())
        assert known and second == other().fingerprint(ONE) and project.get("generation") == first

    def test_the_card_sizes_the_shards(self, project, wanted, feed):
        put(project, *range(1, 601))
        generation, _ = wanted(replace(CARD, minibatch_size=64))
        assert generation == CARD.fingerprint(ONE), "how many go at a time shapes no number"
        feed(generation)
        assert len(shards.in_flight(project)) == shards.WINDOW * 128

    def test_without_a_model_what_is_embedded_can_still_be_ordered(self, runtime, project, wanted):
        assert wanted(EmbedderError("no weights")) == ("", False) and project.get("embedder_error") == "no weights"
        models.forget_cards(project.store, runtime.deployment)
        first, _ = wanted(CARD)
        embed(runtime, project, first, 1)
        models.forget_cards(project.store, runtime.deployment)
        assert wanted(EmbedderError("no weights")) == (first, False)
        assert project.get("embedder_error") == "no weights" and project.get("generation") == first
        models.forget_cards(project.store, runtime.deployment)
        assert wanted(CARD) == (first, True) and project.get("embedder_error") == ""

    def test_while_it_is_not_known_an_embedding_worker_is_asked_and_what_serves_goes_on(
        self, runtime, project, store, deployment, wanted
    ):
        assert wanted() == wanted() == ("", False) and project.get("embedder_error") == ""
        (job,) = queue(store, "page").get_jobs()
        assert (job.func_name, job.args) == (
            "labelqueue.worker.embedding.model_job",
            [False, models.name_of(deployment, False)],
        )
        first, _ = wanted(CARD)
        embed(runtime, project, first, 1)
        models.forget_cards(store, deployment)
        assert wanted() == (first, False)


class TestKeeping:
    """A project keeps the embedder of the generation that serves until somebody asks for another."""

    @pytest.fixture
    def first(self, runtime, project, wanted):
        """A generation with an image, of the bundled model."""
        generation, _ = wanted(CARD)
        put(project, 1)
        embed(runtime, project, generation, 1)
        return generation

    def test_another_default_of_the_deployment_changes_nothing_and_is_told(self, runtime, project, wanted, first):
        upgraded = replace(runtime.deployment, embedder="vit_tiny_patch16_224", image_size=384, weights=Path("/w"))
        assert wanted(CARD, deployment=upgraded) == (first, True)
        assert serving(project) == ("bundled", 160, "ab" * 32)
        offered = jobs.EmbedderChoice.load(project.get("embedder_offered"))
        assert (offered.model, offered.image_size) == ("vit_tiny_patch16_224", 384)

    def test_an_admin_asks_for_another_which_is_built_beside_and_kept_afterwards(
        self, runtime, project, wanted, feed, first
    ):
        project.put_settings({"embedder": "vit_tiny_patch16_224"}, "test")
        second, _ = wanted(other())
        assert feed(second) == (first, 1) and serving(project)[0] == "bundled"
        embed(runtime, project, second, 1)
        assert feed(second) == (second, 0) and serving(project) == ("vit_tiny_patch16_224", 224, "ab" * 32)
        for setting in ({"embedder": None}, {"embedder": "vit_tiny_patch16_224"}):
            assert wanted(deployment=replace(runtime.deployment, embedder="bundled")) == (second, True)
            project.put_settings(setting, "test")
        assert wanted() == (second, True), "asked for once more, with the weights of today: they are the same"

    def test_what_was_set_and_serves_stays_when_size_or_weights_of_the_deployment_change(
        self, runtime, project, wanted, feed, first
    ):
        project.put_settings({"embedder": "vit_tiny_patch16_224"}, "test")
        second, _ = wanted(other())
        embed(runtime, project, second, 1)
        feed(second)
        assert wanted(deployment=replace(runtime.deployment, image_size=448)) == (second, True)
        project.put_settings({"embedder": "vit_tiny_patch16_224"}, "test again")
        larger = replace(runtime.deployment, image_size=448, embedder="vit_tiny_patch16_224")
        third, known = wanted(replace(other(), image_size=448), deployment=larger)
        assert known and third not in (first, second)

    def test_an_image_size_of_the_deployment_is_that_of_its_own_embedder(self, runtime, project, wanted, first):
        project.put_settings({"embedder": "vit_tiny_patch16_224"}, "test")
        wanted(other(), deployment=replace(runtime.deployment, image_size=518))
        assert (choice := jobs.EmbedderChoice.load(project.get("embedder_wanted"))) and choice.image_size == 224

    def test_an_image_size_for_segmentation_is_remembered_before_it_is_doubled(self, project):
        found = models.identity_of(replace(CARD, image_size=448), doubled=True)
        assert (found.model, found.image_size) == ("bundled", 224)

    def test_as_long_as_nothing_is_embedded_the_deployment_decides(self, runtime, project, wanted):
        first, _ = wanted(CARD)
        second, _ = wanted(other(), deployment=replace(runtime.deployment, embedder="vit_tiny_patch16_224"))
        assert second == other().fingerprint(ONE) == project.get("generation") != first
        assert serving(project)[0] == "vit_tiny_patch16_224"

    def test_after_damage_its_images_are_embedded_again_by_the_same(self, runtime, project, wanted, first):
        project.set(generation="")
        upgraded = replace(runtime.deployment, embedder="vit_tiny_patch16_224")
        assert wanted(CARD, deployment=upgraded) == (first, True)


class TestFromTheVersionBefore:
    """Which did not write down which embedder a project has; the cards of its models tell."""

    @pytest.fixture
    def upgraded(self, runtime):
        return replace(runtime.deployment, embedder=DEPLOYMENT["LABELQUEUE_EMBEDDER"].default)

    @pytest.mark.parametrize("doubled", [False, True])
    def test_a_card_whose_fingerprint_is_the_generation(self, runtime, project, wanted, upgraded, doubled):
        card = replace(other(model="vit_small_patch16_224.dino"), image_size=448 if doubled else 224)
        for field, one in (('["bundled", "", false]', CARD), (json.dumps([card.model, "", doubled]), card)):
            project.store.hset(models.CARDS, field, json.dumps({"card": one.dump()}))
        generation = card.fingerprint(ONE)
        embed(runtime, project, generation, 1)
        project.set(generation=generation)
        found = models.chosen(project, upgraded, project.target())
        assert (found.model, found.image_size, found.weights) == (card.model, 224, "ab" * 32)
        models.forget_cards(project.store, upgraded)
        assert models.chosen(project, upgraded, project.target()) == found, "what that version wrote is not forgotten"

    def test_no_card_then_its_default_or_what_is_set(self, runtime, project, upgraded):
        embed(runtime, project, "g1", 1)
        project.set(generation="g1")
        found = models.chosen(project, upgraded, project.target())
        assert (found.model, found.precision) == ("vit_small_patch16_224.dino", "float32"), "also where a GPU is now"
        assert models.chosen(project, replace(upgraded, embedder="bundled"), project.target()).model == "bundled"


class TestImported:
    """Vectors of the site's own serve at once; what lacks one waits for the next import, not for a worker."""

    @pytest.fixture
    def imported(self, runtime, project, wanted):
        put(project, 1, 2, 3)
        first, _ = wanted(CARD)
        embed(runtime, project, first, 1, 2, 3)
        embed(runtime, project, "i1", 1, 2)
        project.set(imported=json.dumps({"model": "imported own", "generation": "i1", "file": "ef" * 32}))
        project.put_settings({"embedder": "imported own"}, "test")
        return first

    def test_they_serve_although_some_images_have_none(self, runtime, project, wanted, feed, imported):
        assert wanted() == ("i1", True) and feed("i1") == ("i1", 0)
        assert project.get("generation") == "i1" and serving(project) == ("imported own", None, "ef" * 32)
        assert waiting(project) == [] and runtime.cache(project, imported).rows() == {}

    def test_images_that_come_later_are_never_mixed_with_those_of_a_model(
        self, runtime, project, wanted, feed, imported
    ):
        wanted(), feed("i1")
        put(project, 4)
        wanted()
        assert feed("i1") == ("i1", 0) and waiting(project) == []
        install(runtime)
        assert embedding.embed_shard(runtime, project, [3, 4]) == 0 and runtime.cache(project, "i1").rows().keys() == {
            1,
            2,
        }

    def test_the_way_back_is_a_model(self, runtime, project, wanted, feed, imported):
        wanted(), feed("i1")
        project.put_settings({"embedder": None}, "test")
        assert wanted() == ("i1", True), "no setting keeps what serves"
        project.put_settings({"embedder": "bundled"}, "test")
        second, _ = wanted(CARD)
        assert feed(second) == ("i1", 3) and waiting(project) == [1, 2, 3]
        embed(runtime, project, second, 1, 2, 3)
        assert feed(second) == (second, 0) and project.get("imported") == ""
        assert runtime.cache(project, "i1").rows() == {}

    def test_vectors_that_are_not_here_are_an_error_that_says_the_ways_out(self, project, wanted, feed, imported):
        project.put_settings({"embedder": "imported others"}, "test")
        assert wanted() == (imported, False)
        error = project.get("embedder_error")
        assert "'imported others'" in error and "embeddings import 7 FILE --name others" in error
        assert feed(imported) == (imported, 0)
