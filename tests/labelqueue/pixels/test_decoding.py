import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from labelqueue.exceptions import ImageError
from labelqueue.pixels import decoding as module
from labelqueue.pixels.decoding import FORMATS, MAX_PIXELS, MAX_SIDE, decode


def picture(width=96, height=64, mode="RGB"):
    """A red left half and a blue right half, with a green strip on top."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2, 0] = 255
    pixels[:, width // 2 :, 2] = 255
    pixels[: height // 4] = (0, 255, 0)
    return Image.fromarray(pixels).convert(mode)


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


LOSSLESS = {"WEBP": {"lossless": True}, "JPEG": {"quality": 95}, "AVIF": {"quality": 100, "subsampling": "4:4:4"}}


def near(pixels, x, y, color, tolerance=12):
    return np.abs(pixels[y, x].astype(int) - color).max() <= tolerance


@pytest.mark.parametrize("kind", FORMATS)
def test_every_allowed_format_gives_the_same_square(kind):
    pixels = decode(encoded(picture(), kind, **LOSSLESS.get(kind, {})), 32)
    assert pixels.shape == (32, 32, 3)
    assert pixels.dtype == np.uint8
    assert near(pixels, 4, 24, (255, 0, 0)) and near(pixels, 28, 24, (0, 0, 255)) and near(pixels, 16, 2, (0, 255, 0))


def test_the_aspect_ratio_is_squashed_with_bicubic():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 90, 3), dtype=np.uint8))
    expected = np.asarray(image.resize((32, 32), Image.Resampling.BICUBIC))
    assert np.array_equal(decode(encoded(image), 32), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation):
    upright = picture(96, 64)
    turn = {
        1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]  # fmt: skip
    stored = upright if turn is None else upright.transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = decode(encoded(stored, "JPEG", exif=exif, quality=95), 32)
    assert near(pixels, 4, 24, (255, 0, 0)) and near(pixels, 28, 24, (0, 0, 255)) and near(pixels, 16, 2, (0, 255, 0))


@pytest.mark.parametrize("kind", sorted(set(FORMATS) - {"GIF", "BMP"}))
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_format_is_turned_once(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = LOSSLESS.get(kind, {})
    data = encoded(picture(64, 48), kind, exif=exif, **options)
    with Image.open(io.BytesIO(data)) as image:
        expected = ImageOps.exif_transpose(image).resize((32, 32), Image.Resampling.BICUBIC)
    assert np.abs(decode(data, 32).astype(int) - np.asarray(expected)).max() <= 3


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")  # Pillow mentions it; the pixels are whole
def test_a_broken_exif_block_does_not_cost_the_image():
    data = encoded(picture(), "JPEG", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff\x00\x01")
    assert decode(data, 16).shape == (16, 16, 3)


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "YCbCr"])
def test_modes_become_rgb(mode):
    kind = "TIFF" if mode in ("CMYK", "YCbCr") else "PNG"
    pixels = decode(encoded(picture(mode=mode), kind), 32)
    assert pixels.shape == (32, 32, 3)
    if mode in ("P", "CMYK"):
        assert near(pixels, 4, 24, (255, 0, 0), 60)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_lies_on_white(mode):
    image = Image.new(mode, (20, 20), (0, 0, 0, 0) if mode == "RGBA" else (0, 0))
    assert (decode(encoded(image), 16) == 255).all()


def test_palette_transparency_lies_on_white():
    image = Image.new("P", (20, 20), 0)
    image.putpalette([10, 20, 30] + [0] * 765)
    assert (decode(encoded(image, transparency=0), 16) == 255).all()
    assert (decode(encoded(image, "GIF", transparency=0), 16) == 255).all()


def odd_images():
    """Files whose pixels are converted before the resize, each with what a conversion of the whole image gives."""
    rng = np.random.default_rng(5)
    colors = Image.fromarray(rng.integers(0, 256, (50, 70, 3), dtype=np.uint8))
    veil = Image.fromarray(rng.integers(0, 256, (50, 70), dtype=np.uint8))
    white = Image.new("RGB", colors.size, "white")
    clear = colors.copy()
    clear.putalpha(veil)
    yield "alpha", encoded(clear), Image.composite(colors, white, veil)
    few = colors.quantize(16)
    opaque = Image.fromarray((np.asarray(few) != 3).astype(np.uint8) * 255)
    yield "palette", encoded(few, transparency=3), Image.composite(few.convert("RGB"), white, opaque)
    cmyk = colors.convert("CMYK")
    yield "CMYK", encoded(cmyk, "TIFF"), cmyk.convert("RGB")


@pytest.mark.parametrize(("data", "whole"), [pytest.param(*rest, id=name) for name, *rest in odd_images()])
def test_conversion_in_tiles_leaves_no_seams(monkeypatch, data, whole):
    monkeypatch.setattr(module, "_TILE", 32)
    expected = np.asarray(whole.resize((24, 24), Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(decode(data, 24) - expected).max() <= 1


def test_no_intermediate_result_is_as_large_as_the_image(monkeypatch):
    # A PNG of 90 kB can hold 89 megapixels: with a few more copies of them, one reader would take gigabytes.
    sizes, composite = [], Image.alpha_composite
    monkeypatch.setattr(Image, "alpha_composite", lambda a, b: sizes.append(b.size) or composite(a, b))
    decode(encoded(Image.new("RGBA", (5_000, 2_100))), 16)
    assert sizes and max(max(size) for size in sizes) <= 2048


def test_the_first_frame_counts():
    data = encoded(picture(), "GIF", save_all=True, append_images=[Image.new("RGB", (96, 64), "black")])
    assert near(decode(data, 32), 4, 24, (255, 0, 0))


def test_a_large_jpeg_is_decoded_at_reduced_size_but_not_below_the_target(monkeypatch):
    drafts = []
    from PIL.JpegImagePlugin import JpegImageFile

    original = JpegImageFile.draft

    def spy(self, mode, size):
        result = original(self, mode, size)
        drafts.append(self.size)
        return result

    monkeypatch.setattr(JpegImageFile, "draft", spy)
    decode(encoded(picture(1600, 900), "JPEG"), 224)
    ((width, height),) = drafts
    assert width < 1600 and width >= 224 and height >= 224


@pytest.mark.parametrize("kind", FORMATS)
def test_a_truncated_file_is_refused(kind):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    data = encoded(noise, kind)
    for share in (0.1, 0.5, 0.9):
        with pytest.raises(ImageError):
            decode(data[: int(len(data) * share)], 32)


def test_reasons_are_plain():
    with pytest.raises(ImageError, match="empty"):
        decode(b"", 32)
    with pytest.raises(ImageError, match="HTML page"):
        decode(b"\n<!DOCTYPE html><html>sign in", 32)
    with pytest.raises(ImageError, match="not a JPEG"):
        decode(b"%PDF-1.7 hello", 32)
    with pytest.raises(ImageError, match="not a JPEG"):  # a format Pillow reads and we do not
        decode(encoded(picture(), "PPM"), 32)


@pytest.mark.parametrize("side", [9_500, 14_000])
def test_a_bomb_is_refused_before_it_is_decoded(side):
    assert side * side > MAX_PIXELS
    bomb = encoded(Image.new("1", (side, side)), "PNG")
    assert len(bomb) < 100_000
    with pytest.raises(ImageError, match="pixels"):
        decode(bomb, 32)


def test_a_very_long_image_is_refused():
    with pytest.raises(ImageError, match="in a row"):
        decode(encoded(Image.new("1", (MAX_SIDE + 1, 1))), 32)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_bytes_never_raise_anything_else(data):
    whole = bytearray(encoded(picture(), data.draw(st.sampled_from(FORMATS))))
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert decode(bytes(whole), 16).shape == (16, 16, 3)
    except ImageError as error:
        assert str(error)
