"""Precision: what a device does best, how far shorter numbers are off, and that a fingerprint tells them."""

import hashlib
import json

import numpy as np
import pytest
import torch

from labelqueue.exceptions import EmbedderError
from labelqueue.images import precision
from labelqueue.images.embedder import BUNDLED, Embedder
from photos import draw_photos

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
SHORT = ("bfloat16", "float16")
DETECTION = {"n_patterns": 5, "attention_ratio": 0.5, "neighborhood": 2}


@pytest.fixture(scope="module")
def photos():
    return draw_photos(18)


@pytest.fixture(scope="module")
def models():
    return {name: Embedder.load(BUNDLED, device="cpu", precision=name) for name in precision.PRECISIONS}


def off(one, other):
    """1 - cosine of each pair of rows."""
    one, other = (rows.astype(np.float64) for rows in (one, other))
    return 1 - (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)


@pytest.mark.parametrize(
    ("capability", "best"), [((9, 0), "bfloat16"), ((8, 0), "bfloat16"), ((7, 5), "float16"), ((6, 1), "float32")]
)
def test_a_device_does_what_it_has_in_hardware(monkeypatch, capability, best):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert precision.best_of(CUDA) == best and precision.best_of(CPU) == "float32"


def test_devices_and_precisions_that_are_none_are_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert precision.device_of(None) == CPU == precision.device_of("cpu")
    with pytest.raises(EmbedderError, match=r"'tpu9' is not known: say cpu, cuda"):
        precision.device_of("tpu9")
    with pytest.raises(EmbedderError, match=r"'cuda:1' is asked for, and torch finds no CUDA here: say cpu"):
        Embedder.load(BUNDLED, device="cuda:1")
    with pytest.raises(EmbedderError, match=r"precision 'int4' is not known: float32, bfloat16, float16 are"):
        Embedder.load(BUNDLED, device="cpu", precision="int4")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert precision.device_of(None) == CUDA and precision.device_of("cuda:1").index == 1


def test_a_cpu_computes_in_float32_unless_told(models):
    assert Embedder.load(BUNDLED, device="cpu").card == models["float32"].card


def test_float32_is_within_the_bound_however_it_is_computed(models, photos):
    """timm's own pass rounds elsewhere, as another device does."""
    model = models["float32"]
    with torch.inference_mode():
        images = torch.cat([part[:used] for part, used in model._minibatches(photos)])
        whole = model._model._model.forward_features(images)[:, 0].half().numpy()
    assert off(whole, model.embed(photos)[0]).max() < precision.BOUND


@pytest.mark.parametrize("name", SHORT)
def test_shorter_numbers_are_near_and_beyond_the_bound(models, photos, name):
    exact, short = models["float32"].embed(photos)[0], models[name].embed(photos)[0]
    assert short.dtype == np.float16 and precision.BOUND < off(exact, short).max() < 1e-3


@pytest.mark.parametrize(("name", "layer"), [("bfloat16", "last"), ("float16", "penultimate")])
def test_patterns_of_shorter_numbers(models, photos, name, layer):
    embeddings, patterns, offsets = models[name].embed(photos, layer=layer, **DETECTION)
    assert patterns.dtype == np.float16 and np.isfinite(patterns).all()
    assert len(offsets) == 19 and (np.diff(offsets) >= 1).all() and offsets[-1] == len(patterns)
    assert off(models[name].embed(photos)[0], embeddings).max() < 1e-3
    theirs = models["float32"].embed(photos, layer=layer, **DETECTION)
    unit = [
        rows.astype(float) / np.linalg.norm(rows.astype(float), axis=1, keepdims=True) for rows in (patterns, theirs[1])
    ]
    assert np.median((unit[0] @ unit[1].T).max(axis=1)) > 0.999


def test_the_fingerprint_tells_what_is_shorter_and_float32_has_that_of_before(models):
    for parameters in ({"n_patterns": 1}, DETECTION):
        assert len({model.fingerprint(parameters) for model in models.values()}) == 3
    card = models["float32"].card
    before = {
        "model": BUNDLED, "weights": card.weights, "image_size": 160, "mean": card.mean, "std": card.std,
        "preprocessing": 3, "parameters": {"n_patterns": 1},
    }  # fmt: skip
    told = hashlib.sha256(json.dumps(before, sort_keys=True).encode()).hexdigest()[:32]
    assert card.fingerprint({"n_patterns": 1}) == told
    row = json.loads(card.dump())
    del row["precision"]
    assert type(card).load(json.dumps(row)) == card, "a card of the version before"


@pytest.mark.parametrize("options", [{"n_patterns": 1}, DETECTION], ids=["one", "several"])
def test_what_overflows_is_computed_in_float32_and_its_companions_are_not(models, photos, options, monkeypatch):
    model = models["float16"]
    fine = model.embed(photos, **options)
    for name in ("embed", "embed_with_patches"):
        inner = getattr(model._model, name)

        def overflowing(images, inner=inner, **more):
            found = inner(images, **more)
            if torch.is_autocast_enabled("cpu"):
                (found if isinstance(found, torch.Tensor) else found[0])[2] = float("inf")
            return found

        monkeypatch.setattr(model._model, name, overflowing)
    mended, exact = model.embed(photos, **options), models["float32"].embed(photos, **options)

    def image(result, at):
        return [result[0][at], result[1][result[2][at] : result[2][at + 1]]]

    for at in range(18):
        expected = exact if at in (2, 18) else fine
        assert all(np.array_equal(a, b) for a, b in zip(image(mended, at), image(expected, at), strict=True)), at
