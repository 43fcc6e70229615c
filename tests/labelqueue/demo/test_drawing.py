"""The images that the demo draws."""

from __future__ import annotations

import io
import time
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from labelqueue.demo.drawing import CLASSES, draw_images, plan


def test_the_same_seed_draws_the_same_bytes_and_another_does_not():
    assert list(draw_images(12, 3)) == list(draw_images(12, 3)) != list(draw_images(12, 4))


def test_drawn_images_are_quick_small_and_of_the_promised_size():
    began = time.process_time()
    images = list(draw_images(50))
    assert time.process_time() - began < 5
    assert {Image.open(io.BytesIO(image.data)).size for image in images} == {(320, 240)}
    assert max(len(image.data) for image in images) < 60_000
    assert len({image.name for image in images}) == 50
    assert not any(label in image.name for image in images for label in CLASSES), "a name must not tell the class"


@pytest.mark.parametrize("count", [0, 1, 5, 6, 7, 300])
def test_the_count_is_kept(count):
    assert len(plan(count)) == count


def test_classes_are_unbalanced_and_all_there():
    amounts = Counter(scene.label for scene in plan(300))
    assert set(amounts) == set(CLASSES)
    assert amounts["disc"] > 10 * amounts["cross"]
    assert Counter(scene.label for scene in plan(len(CLASSES))) == dict.fromkeys(CLASSES, 1)


def test_bursts_stand_together_and_look_alike():
    scenes, images = plan(300), list(draw_images(300))
    seeds = Counter(scene.seed for scene in scenes)
    assert sum(n for n in seeds.values() if n > 1) > 75, "a good part of the collection is redundant"
    first = next(k for k in range(300) if seeds[scenes[k].seed] > 2)
    assert scenes[first].seed == scenes[first + 1].seed
    pixels = [
        np.asarray(Image.open(io.BytesIO(images[k].data)).resize((32, 24)), float) for k in range(first, first + 2)
    ]
    stranger = next(k for k in range(300) if scenes[k].seed != scenes[first].seed)
    other = np.asarray(Image.open(io.BytesIO(images[stranger].data)).resize((32, 24)), float)
    assert np.abs(pixels[0] - pixels[1]).mean() < 0.5 * np.abs(pixels[0] - other).mean()
