"""The perceptual hash: what leaves it as it is, what changes it, and that it is never 0."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from labelqueue.pixels.decoding import decode
from poolselect.duplicates import BITS
from poolselect.perceptual_hash import perceptual_hash

SIDE = 160


def picture(seed):
    """A photograph of nothing: blots of color, soft as a lens makes them."""
    blots = np.random.default_rng(seed).integers(0, 256, size=(9, 12, 3), dtype=np.uint8)
    return Image.fromarray(blots).resize((320, 240), Image.Resampling.BICUBIC)


def hash_of(image, quality=92, **options):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality, **options)
    return perceptual_hash(decode(file.getvalue(), SIDE))


def apart(one, other):
    return int(one ^ other).bit_count()


CHANGES = {
    "compressed": lambda image: hash_of(image, 30),
    "half as large": lambda image: hash_of(image.resize((160, 120))),
    "twice as large": lambda image: hash_of(image.resize((640, 480))),
    "brighter": lambda image: hash_of(ImageEnhance.Brightness(image).enhance(1.07)),
    "cropped by 1 %": lambda image: hash_of(image.crop((3, 2, 317, 238))),
    "the next frame": lambda image: hash_of(image.transform(image.size, Image.Transform.AFFINE, (1, 0, 2, 0, 1, 1))),
}


@pytest.mark.parametrize("change", CHANGES)
def test_small_changes_leave_most_bits(change):
    changed = [apart(hash_of(picture(seed)), CHANGES[change](picture(seed))) for seed in range(20)]
    assert np.mean(np.array(changed) <= BITS) >= 0.9, changed


def test_other_images_and_other_light_have_other_bits():
    hashes = [hash_of(picture(seed)) for seed in range(20)]
    assert min(apart(a, b) for i, a in enumerate(hashes) for b in hashes[:i]) > BITS
    darker = [hash_of(ImageEnhance.Brightness(picture(seed)).enhance(0.8)) for seed in range(20)]
    assert min(map(apart, hashes, darker)) > BITS


def test_an_image_that_exif_turns_is_the_turned_one():
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = picture(0).transpose(Image.Transpose.ROTATE_90)  # stored lying, to be shown as it was
    assert apart(hash_of(turned, exif=exif), hash_of(picture(0))) <= BITS


@pytest.mark.parametrize("color", ["black", "white", "gray"])
def test_even_images_have_a_hash_and_it_is_always_the_same(color):
    flat = Image.new("RGB", (50, 40), color)
    assert hash_of(flat) != 0 and apart(hash_of(flat, 30), hash_of(flat.resize((300, 300)), 95)) <= 1


def test_it_is_of_any_size_and_64_bits():
    for side in (8, 160, 224):
        value = perceptual_hash(np.zeros((side, side, 3), np.uint8))
        assert isinstance(value, np.uint64) and value > 0
