"""Model cards: asked for once while they are not known, renewed by whoever loads the model, errors for a while only."""

import json
import time
from dataclasses import replace

import pytest

from labelqueue.exceptions import EmbedderError
from labelqueue.images import embedder
from labelqueue.jobs import EmbedderChoice
from labelqueue.jobs.living import heartbeat
from labelqueue.jobs.queues import queue
from labelqueue.settings import Deployment
from labelqueue.worker import embedding, models
from labelqueue.worker.runtime import Runtime, install


def asked(store):
    return [job.args[:1] for job in queue(store, "page").get_jobs()]


def test_it_is_asked_for_once_while_it_waits_and_anew_when_its_worker_died(store, deployment):
    for _ in range(3):
        assert models.card_of(store, deployment, False) is None
    assert asked(store) == [[False]]
    models.card_of(store, deployment, True)
    assert asked(store) == [[False], [True]], "the model of twice the size is another one"
    store.delete("rq:queue:page")
    models.card_of(store, deployment, False)
    assert asked(store) == [[False]]


def test_the_job_loads_the_model_writes_its_card_and_has_every_project_looked_at(store, project, deployment):
    runtime = Runtime(deployment)
    install(runtime)
    assert embedding.model_job(False) == "bundled"
    card = models.card_of(store, deployment, False)
    assert card == runtime.embedder().card and asked(store) == []
    parameters = {"n_patterns": 5, "attention_ratio": 0.5, "neighborhood": 2}
    assert card.fingerprint(parameters) == runtime.embedder().fingerprint(parameters)
    assert store.llen("rq:queue:tend") == 1


def test_a_model_that_cannot_be_had_is_told_and_asked_for_again_after_a_while(store, project, redis_home):
    environ = {"LABELQUEUE_HOME": str(redis_home), "LABEL_STUDIO_API_KEY": "0" * 40, "LABELQUEUE_EMBEDDER": "none"}
    deployment = Deployment.from_environment(environ)
    install(Runtime(deployment))
    assert "no model 'none'" in embedding.model_job(False)
    with pytest.raises(EmbedderError, match="no model 'none'"):
        models.card_of(store, deployment, False)
    assert asked(store) == []
    now = time.time
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models.time, "time", lambda: now() + models.AGAIN + 1)
        with pytest.raises(EmbedderError):
            models.card_of(store, deployment, False)
    assert asked(store) == [[False]]


def test_other_settings_name_another_model(store, deployment, redis_home):
    runtime = Runtime(deployment)
    runtime.embedder()
    other = Deployment.from_environment(
        {"LABELQUEUE_HOME": str(redis_home), "LABELQUEUE_WEIGHTS": "/w.safetensors", "LABELQUEUE_EMBEDDER": "bundled"}
    )
    assert models.card_of(store, deployment, False) is not None and models.card_of(store, other, False) is None
    models.forget_cards(store, deployment)
    assert models.card_of(store, deployment, False) is None


def test_workers_that_are_set_to_different_models_are_told(store, deployment):
    other = replace(deployment, embedder="vit_tiny_patch16_224")
    asked = models.name_of(other, False)
    assert not models.refuse_other(store, deployment, models.name_of(deployment, False))
    assert models.card_of(store, other, False) is None
    assert models.refuse_other(store, deployment, asked)
    with pytest.raises(
        EmbedderError, match=r"another model .*bundled.* than the tending one .*vit_tiny.*LABELQUEUE_WEIGHTS"
    ):
        models.card_of(store, other, False)


def test_what_one_machine_lacks_does_not_hide_what_another_one_has(store, deployment):
    card = Runtime(deployment).embedder().card
    for others in (0, 1):
        models.keep_card(store, deployment, False, card)
        for number in range(1 + others):
            heartbeat(store, f"embedding-host-{number}-ab")
        models.keep_error(store, deployment, False, EmbedderError("no file"))
        if others:
            assert models.card_of(store, deployment, False) == card
        else:
            with pytest.raises(EmbedderError, match="no file"):
                models.card_of(store, deployment, False)


def test_a_worker_without_the_model_has_another_one_asked(store, project, redis_home, monkeypatch):
    environment = {"LABELQUEUE_HOME": str(redis_home), "LABELQUEUE_EMBEDDER": "none"}
    runtime, waited = Runtime(Deployment.from_environment(environment)), []
    install(runtime)
    monkeypatch.setattr(runtime.leaving, "wait", waited.append)
    heartbeat(store, "embedding-elsewhere-7-ab")
    assert "no model 'none'" in embedding.model_job(False)
    assert waited == [embedding.STEP_BACK] and embedding.STEP_BACK > models.AGAIN
    due = store.zscore("lq:delayed", project.key) - time.time()
    assert models.AGAIN < due < embedding.STEP_BACK, "the next look asks again, while this one stands aside"


def test_of_minibatches_the_largest_is_told_until_a_worker_starts_anew(store, deployment):
    """A worker with a GPU and one without share a Redis, and write the card with each shard."""
    card = Runtime(deployment).embedder().card
    assert card.minibatch_size == 16
    large = replace(card, minibatch_size=64)
    for one, told in ((card, 16), (large, 64), (card, 64)):
        models.keep_card(store, deployment, False, one)
        assert models.card_of(store, deployment, False) == replace(card, minibatch_size=told)
    models.forget_cards(store, deployment)
    models.keep_card(store, deployment, False, card)
    assert models.card_of(store, deployment, False) == card
    store.hset(models.CARDS, models.name_of(deployment, False), json.dumps({"error": "none", "at": 0}))
    models.keep_card(store, deployment, False, card)
    assert models.card_of(store, deployment, False) == card


def test_the_version_before_asks_with_three_parts(deployment):
    assert models.asked_for(deployment, '["vit_tiny_patch16_224", "", false]') == EmbedderChoice("vit_tiny_patch16_224")
    choice = EmbedderChoice("bundled", 320, "ab" * 32)
    assert models.asked_for(deployment, models.name_of(deployment, True, choice)) == choice
    assert models.asked_for(deployment, "") == EmbedderChoice("bundled")


def test_an_embedder_that_serves_is_of_float32_unless_it_says_otherwise(store, deployment):
    card = Runtime(deployment).embedder().card
    plain, short = (models.identity_of(replace(card, precision=name), doubled=False) for name in ("float32", "float16"))
    assert plain.dump() == EmbedderChoice("bundled", 160, card.weights).dump(), "as the version before wrote it"
    assert EmbedderChoice.load(short.dump()) == short != plain
    for choice, told in ((plain, "float32"), (short, "float16")):
        assert models.precision_of(store, deployment, False, choice) == told
        assert models.asked_for(deployment, models.name_of(deployment, False, choice)) == choice
        assert not models.refuse_other(store, deployment, models.name_of(deployment, False, choice))
    runtime = Runtime(deployment)
    assert runtime.embedder(choice=short).precision == "float16" and runtime.embedder(choice=plain).card == card
    models.forget_cards(store, deployment)
    assert store.hkeys(models.CARDS) == []


@pytest.mark.parametrize("first", ["float32", "bfloat16"])
def test_of_a_worker_with_a_gpu_and_one_without_the_first_decides_for_new_projects(
    store, deployment, monkeypatch, first
):
    """Else each would write its own card, and the project would be embedded anew with every change."""
    best = {"float32": "bfloat16", "bfloat16": "float32"}
    monkeypatch.setattr(embedder, "best_of", lambda device: first)
    one = Runtime(deployment)
    assert one.embedder().precision == first
    monkeypatch.setattr(embedder, "best_of", lambda device: best[first])
    other = Runtime(deployment)
    for _ in range(2):
        for runtime in (one, other):
            assert runtime.embedder().precision == first
            assert models.card_of(store, deployment, False).precision == first
    pinned = models.identity_of(models.card_of(store, deployment, False), doubled=False)
    models.forget_cards(store, deployment)
    late = Runtime(deployment)
    assert late.embedder().precision == best[first], "a new project"
    assert late.embedder(choice=pinned).precision == first, "one that is under way"
    assert late.embedder(choice=pinned).fingerprint({}) == one.embedder(choice=pinned).fingerprint({})
    assert late.embedder(choice=pinned) is late.embedder(choice=pinned)


class TestRuntime:
    def test_two_models_are_held_and_the_one_not_used_for_longest_makes_room(self, store, deployment):
        runtime = Runtime(deployment)
        first, second = runtime.embedder(), runtime.embedder(doubled=True)
        assert (first.image_size, second.image_size) == (160, 320)
        assert runtime.embedder() is first and runtime.embedder(doubled=True) is second and runtime.embedder() is first
        third = runtime.embedder(choice=EmbedderChoice("bundled", 64))
        assert third.image_size == 64 and runtime.embedder() is first
        assert runtime.embedder(doubled=True) is not second

    def test_the_image_size_of_the_deployment(self, store, deployment):
        assert Runtime(replace(deployment, image_size=96)).embedder().grid == (6, 6)

    def test_other_weights_than_those_that_embedded_the_images_are_refused(self, store, deployment):
        runtime = Runtime(deployment)
        choice = EmbedderChoice("bundled", 160, "ab" * 32)
        with pytest.raises(
            EmbedderError, match=r"sha256 abababababab…, .*LABELQUEUE_WEIGHTS.* PROJECT embedder=bundled"
        ):
            runtime.embedder(choice=choice)
        with pytest.raises(EmbedderError, match="put the file back"):
            models.card_of(store, deployment, False, choice)
        assert runtime.embedder(choice=replace(choice, weights=runtime.embedder().weights_digest))
