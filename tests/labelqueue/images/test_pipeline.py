import contextlib
import io
import threading
import time
from functools import partial

import numpy as np
import pytest
from PIL import Image

from labelqueue.block import source_hash
from labelqueue.exceptions import CredentialError, ImageError, LabelStudioError, TransientImageError
from labelqueue.images import pipeline
from labelqueue.images.pipeline import Item, embed_stream
from labelqueue.pixels import thumbnail_of
from poolselect import perceptual_hash


class Model:
    """Embeds an image as the mean of its colors; remembers how many images came at once."""

    name, dim, image_size, minibatch_size = "means", 3, 8, 4

    def __init__(self):
        self.sizes, self.options = [], []

    def lanes(self):
        return contextlib.nullcontext(2)

    def embed(self, pixels, **options):
        self.sizes.append(len(pixels))
        self.options.append(options)
        means = pixels.astype(np.float32).mean(axis=(1, 2))
        means[(means < 1).all(axis=1)] = np.nan  # black images break this model
        k = options["n_patterns"]
        embeddings = means.astype(np.float16)
        return embeddings, np.repeat(embeddings, k, axis=0), np.arange(len(pixels) + 1) * k


def png(color):
    file = io.BytesIO()
    Image.new("RGB", (10, 6), color).save(file, "PNG")
    return file.getvalue()


def item(number, load=None):
    data = png((number % 250 + 1, 7, 9))
    return Item(number, f"file://{number}", load or (lambda: data))


def collect(results):
    results = list(results)
    ids = [int(i) for result in results for i in result.block.ids]
    failed = dict(pair for result in results for pair in result.failed)
    transient = dict(pair for result in results for pair in result.transient)
    return results, ids, failed, transient


def test_rows_come_in_order_in_blocks_of_full_minibatches():
    model = Model()
    results, ids, failed, transient = collect(embed_stream(model, map(item, range(22)), block_size=8))
    assert ids == list(range(22)) and not failed and not transient
    assert [len(result.block) for result in results] == [8, 8, 6]
    assert sorted(model.sizes) == [2, 4, 4, 4, 4, 4]
    block = results[1].block
    assert block.embeddings[:, 0].tolist() == [float(n + 1) for n in range(8, 16)]
    assert block.sources.tolist() == [source_hash(f"file://{n}") for n in range(8, 16)]


def test_thumbnails_come_along_and_change_nothing_else():
    items = [
        item(0),
        item(1),
        Item(2, "x", lambda: png("black")),
        Item(3, "y", lambda: b"<html>"),
        *map(item, range(4, 11)),
    ]
    plain = list(embed_stream(Model(), items, block_size=4))
    both = list(embed_stream(Model(), items, block_size=4, thumbnails=True))
    assert [result.block.to_bytes() for result in both] == [result.block.to_bytes() for result in plain]
    assert [result.failed for result in both] == [result.failed for result in plain]
    assert not any(result.thumbnails for result in plain)
    found = {task: file for result in both for task, file in result.thumbnails.items()}
    assert sorted(found) == [0, 1, 2, *range(4, 11)], "also of the image that the model fails at"
    assert found[5] == thumbnail_of(png((6, 7, 9)))


def test_several_patterns_keep_to_their_image():
    _, result = (
        Model(),
        list(embed_stream(Model(), [item(0), item(1), Item(2, "x", lambda: png("black")), item(3)], n_patterns=3)),
    )
    block = result[0].block
    assert block.ids.tolist() == [0, 1, 3] and block.offsets.tolist() == [0, 3, 6, 9]
    assert block.patterns[:, 0].tolist() == [1.0] * 3 + [2.0] * 3 + [4.0] * 3


def test_options_reach_the_model():
    model = Model()
    list(embed_stream(model, [item(0)], n_patterns=2, attention_ratio=0.7, neighborhood=3, layer="last"))
    assert model.options == [{"n_patterns": 2, "attention_ratio": 0.7, "neighborhood": 3, "layer": "last"}]
    list(embed_stream(model, [item(0)]))
    assert model.options[-1] == {"n_patterns": 1}


def test_every_image_ends_in_exactly_one_place():
    def bad():
        raise ImageError("there is no such file")

    def busy():
        raise TransientImageError("the server is busy")

    kinds = {0: None, 1: bad, 2: busy, 3: lambda: b"not an image", 4: lambda: png("black")}
    items = [item(n, kinds[n % 5]) for n in range(50)]
    _, ids, failed, transient = collect(embed_stream(Model(), items, block_size=4))
    assert ids == list(range(0, 50, 5))
    assert set(transient) == set(range(2, 50, 5)) and set(transient.values()) == {"the server is busy"}
    assert set(failed) == {n for n in range(50) if n % 5 in (1, 3, 4)}
    assert failed[1] == "there is no such file" and failed[3].startswith("not a JPEG")
    assert failed[4] == "the model 'means' gives numbers that are not finite for this image"


def test_only_failures_are_reported_too():
    (result,) = embed_stream(Model(), [item(7, lambda: b"")])
    assert len(result.block) == 0 and result.failed == [(7, "the file is empty")]
    assert list(embed_stream(Model(), [])) == []


def test_reading_runs_ahead_but_not_far():
    started, taken, lock = [], [], threading.Lock()

    def source():
        for n in range(200):
            with lock:
                taken.append(n)
            yield item(n, lambda n=n: started.append(n) or png((5, 5, 5)))

    stream = embed_stream(Model(), source(), readers=2, block_size=4)
    next(stream)
    assert 4 <= len(taken) <= 3 * 4 + 2 * 4 + 2  # minibatches in work, and what is read ahead
    stream.close()
    seen = len(started)
    time.sleep(0.05)
    assert len(started) <= seen + 2


def test_readers_work_at_the_same_time():
    together = threading.Barrier(3, timeout=10)

    def load():
        together.wait()
        return png((3, 3, 3))

    _, ids, _, _ = collect(embed_stream(Model(), [item(n, load) for n in range(6)], readers=3))
    assert ids == list(range(6))


@pytest.mark.parametrize("error", [ValueError("odd \n address"), RecursionError(), OSError(5, "Input/output error")])
def test_no_oddity_of_one_image_ends_the_stream(error):
    def odd():
        raise error

    _, ids, failed, transient = collect(embed_stream(Model(), [item(0), item(1, odd), item(2)]))
    assert ids == [0, 2] and set(failed) == {1} and not transient
    assert failed[1] == f"reading the image failed with {type(error).__name__}: {' '.join(str(error).split())}"


@pytest.mark.parametrize(
    "error", [LabelStudioError("does not answer"), CredentialError("refused"), KeyboardInterrupt()]
)
def test_what_is_not_the_images_fault_ends_the_stream(error):
    def broken():
        raise error

    with pytest.raises(type(error)):
        list(embed_stream(Model(), [item(0), item(1, broken)]))


def test_the_models_thread_does_nothing_but_embed(monkeypatch):
    """What it did besides, the next minibatch would wait for."""
    threads = {}

    def note(name, function):
        def noted(*arguments, **options):
            threads.setdefault(name, set()).add(threading.current_thread().name.rsplit("_", 1)[0])
            return function(*arguments, **options)

        return noted

    monkeypatch.setattr(perceptual_hash, "perceptual_hash", note("hash", perceptual_hash.perceptual_hash))
    for name in ("decode", "decode_with_thumbnail"):
        monkeypatch.setattr(pipeline, name, note(name, getattr(pipeline, name)))
    model = Model()
    model.embed = note("embed", model.embed)
    for thumbnails in (False, True):
        collect(embed_stream(model, map(item, range(12)), thumbnails=thumbnails))
    assert threads.pop("embed") == {"labelqueue-model"}
    assert set(threads) == {"hash", "decode", "decode_with_thumbnail"}
    assert set().union(*threads.values()) == {"labelqueue-reader"}


def test_the_next_minibatches_are_computed_while_a_block_is_stored():
    """Whoever stores holds up what is yielded, and not the model."""
    model, embedded = Model(), threading.Event()
    embed = model.embed

    def told(pixels, **options):
        found = embed(pixels, **options)
        if len(model.sizes) == 3:
            embedded.set()
        return found

    model.embed, model.lanes = told, lambda: contextlib.nullcontext(1)
    stream = embed_stream(model, map(item, range(40)), block_size=8)
    next(stream)  # two minibatches: the block that is being stored now
    assert embedded.wait(10), "the third one goes on meanwhile"
    stream.close()


def test_each_image_has_its_perceptual_hash_and_a_bad_one_beside_it_changes_nothing():
    files = [png((9, 7, 9)), b"no image", png("black"), png((9, 7, 9)), png("white")]
    (result,) = embed_stream(Model(), [Item(n, f"file://{n}", partial(bytes, file)) for n, file in enumerate(files)])
    first, again, white = result.block.hashes.tolist()
    assert result.block.ids.tolist() == [0, 3, 4] and first == again != white and first and white
