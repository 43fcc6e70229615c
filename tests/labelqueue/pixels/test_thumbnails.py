"""Thumbnails of every kind of image: upright, over white, in their own range, small; the square is what it was."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from labelqueue.exceptions import ImageError
from labelqueue.pixels import decode, decode_with_thumbnail, thumbnail_of
from labelqueue.pixels.decoding import FORMATS
from labelqueue.pixels.thumbnails import SIDE, cut

RED, BLUE, GREEN = (255, 0, 0), (0, 0, 255), (0, 255, 0)


def picture(width=300, height=200):
    """A red left half and a blue right half, with a green strip on top."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2], pixels[:, width // 2 :], pixels[: height // 4] = RED, BLUE, GREEN
    return Image.fromarray(pixels)


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def dicom(values):
    found = Dataset()
    found.file_meta = FileMetaDataset()
    found.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    found.file_meta.MediaStorageSOPClassUID = found.SOPClassUID = CTImageStorage
    found.file_meta.MediaStorageSOPInstanceUID = found.SOPInstanceUID = "1.2.3"
    found.Rows, found.Columns, found.SamplesPerPixel = *values.shape, 1
    found.PhotometricInterpretation, found.PixelRepresentation = "MONOCHROME2", 1
    found.BitsAllocated = found.BitsStored = 16
    found.HighBit = 15
    found.PixelData = values.tobytes()
    found["PixelData"].VR = "OW"
    file = io.BytesIO()
    dcmwrite(file, found, enforce_file_format=True)
    return file.getvalue()


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(picture(), "JPEG", exif=exif, quality=95)


RAMP = np.tile(np.linspace(0, 4095, 300), (200, 1))  # 12 bits in a container of 16, dark on the left
GRAY = {
    "PNG of 16 bits": encoded(Image.fromarray(RAMP.astype(np.uint16))),
    "TIFF of floats": encoded(Image.fromarray((RAMP / 7 - 90).astype(np.float32)), "TIFF"),
    "TIFF of 32 bits": encoded(Image.fromarray(RAMP.astype(np.int32)), "TIFF"),
    "DICOM": dicom(RAMP.astype(np.int16) - 1024),
    "PNG of 8 bits": encoded(Image.fromarray((RAMP / 4095 * 255).astype(np.uint8))),
}
COLOR = {
    **{kind: encoded(picture(), kind) for kind in FORMATS},
    "palette": encoded(picture().convert("P")),
    "CMYK": encoded(picture().convert("CMYK"), "JPEG"),
    "large": encoded(picture(3000, 2000), "JPEG"),
}
TURNED = {f"turned {n}": turned(n) for n in range(2, 9)}


def opened(file):
    with Image.open(io.BytesIO(file), formats=["WEBP"]) as image:
        return image.convert("RGB")


def near(image, x, y, color, tolerance=60):
    """Whether the pixel at these shares of width and height is about of this color."""
    at = int(x * (image.width - 1)), int(y * (image.height - 1))
    return np.abs(np.subtract(image.getpixel(at), color)).max() <= tolerance


@pytest.mark.parametrize("name", [*COLOR, *GRAY, *TURNED])
def test_the_square_is_the_same_bit_by_bit_and_both_ways_lead_to_the_same_picture(name):
    data = (COLOR | GRAY | TURNED)[name]
    square, file = decode_with_thumbnail(data, 64)
    assert np.array_equal(square, decode(data, 64)) and square.flags.c_contiguous == decode(data, 64).flags.c_contiguous
    alone, beside = opened(thumbnail_of(data)), opened(file)
    assert alone.size == beside.size and max(alone.size) == SIDE
    assert np.abs(np.asarray(alone, int) - np.asarray(beside, int)).mean() < 4
    assert len(file) < 4000


@pytest.mark.parametrize("name", COLOR)
def test_color(name):
    image = opened(thumbnail_of(COLOR[name]))
    assert image.size == (128, 85)
    assert near(image, 0.2, 0.7, RED) and near(image, 0.8, 0.7, BLUE) and near(image, 0.5, 0.1, GREEN)


@pytest.mark.parametrize("name", GRAY)
def test_more_than_8_bits_in_the_range_of_their_own(name):
    image = opened(thumbnail_of(GRAY[name]))
    assert near(image, 0.02, 0.5, (5, 5, 5), 12) and near(image, 0.5, 0.5, (128,) * 3, 12)
    assert near(image, 0.98, 0.5, (250,) * 3, 12)


@pytest.mark.parametrize("name", TURNED)
def test_it_stands_upright_and_has_the_shape_of_the_upright_image(name):
    with Image.open(io.BytesIO(TURNED[name])) as image:
        expected = ImageOps.exif_transpose(image).resize((16, 16))
    image = opened(thumbnail_of(TURNED[name]))
    assert image.size == ((128, 85) if int(name[-1]) < 5 else (85, 128))
    assert np.abs(np.asarray(image.resize((16, 16)), int) - np.asarray(expected, int)).mean() < 15


def test_transparency_is_laid_over_white():
    image = Image.new("RGBA", (200, 100), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (100, 0, 200, 100))
    found = opened(thumbnail_of(encoded(image)))
    assert near(found, 0.2, 0.5, (255, 255, 255)) and near(found, 0.8, 0.5, BLUE)


@pytest.mark.parametrize(
    ("size", "expected"), [((40, 20), (40, 20)), ((1, 1), (1, 1)), ((5000, 3), (128, 1)), ((127, 300), (54, 128))]
)
def test_it_is_never_larger_than_the_image_and_never_empty(size, expected):
    assert opened(thumbnail_of(encoded(Image.new("RGB", size, RED)))).size == expected


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_nothing_else_of_the_file_comes_along(kind):
    """A color profile may take hundreds of kB, and EXIF says where a photograph was taken."""
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    data = encoded(picture(), kind, icc_profile=b"\0" * 40_000, exif=exif, xmp=b"<x>taken at home</x>")
    for file in (thumbnail_of(data), decode_with_thumbnail(data, 64)[1]):
        assert len(file) < 2000 and b"taken at home" not in file
        with Image.open(io.BytesIO(file)) as image:
            assert not {"icc_profile", "exif", "xmp"} & image.info.keys()


def test_what_cannot_be_decoded_is_told_as_ever():
    for data, why in ((b"", "empty"), (b"<html>no", "HTML page"), (COLOR["JPEG"][:900], "damaged or truncated")):
        with pytest.raises(ImageError, match=why):
            thumbnail_of(data)
        with pytest.raises(ImageError, match=why):
            decode_with_thumbnail(data, 64)


def test_an_image_that_can_be_embedded_is_not_lost_for_want_of_a_thumbnail(monkeypatch):
    def fail(*arguments, **options):
        raise KeyError("WEBP")  # of a Pillow that was built without it

    monkeypatch.setattr(Image.Image, "save", fail)
    square, file = decode_with_thumbnail(COLOR["PNG"], 64)
    assert np.array_equal(square, decode(COLOR["PNG"], 64)) and file == b""
    with pytest.raises(ImageError, match="no thumbnail can be made of the image"):
        thumbnail_of(COLOR["PNG"])


def test_a_photograph_takes_about_a_kilobyte_and_a_half():
    rng = np.random.default_rng(0)
    broad = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((640, 480))
    grainy = np.asarray(broad, int) + rng.normal(0, 8, (480, 640, 3))
    assert 300 < len(cut(Image.fromarray(grainy.clip(0, 255).astype(np.uint8)))) < 2500
