"""Deep images as files: every layout that Pillow reads, and what it would quietly cut off."""

import hashlib
import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from labelqueue.exceptions import ImageError
from labelqueue.pixels import deep
from labelqueue.pixels.decoding import decode
from labelqueue.pixels.levels import CONSTANT, find_range

RNG = np.random.default_rng(3)
TWELVE = RNG.integers(0, 4096, (40, 60)).astype(np.uint16)
COLORS = RNG.integers(0, 4096, (40, 60, 3)).astype(np.uint16)


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png(values, color, key=None):
    """A PNG of 16 bits per channel, which Pillow does not write. Color type 0 gray, 2 RGB, 4 and 6 with alpha."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return b"".join([
        b"\x89PNG\r\n\x1a\n",
        chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, color, 0, 0, 0)),
        b"" if key is None else chunk(b"tRNS", np.array(key, ">u2").tobytes()),
        chunk(b"IDAT", zlib.compress(rows)),
        chunk(b"IEND", b""),
    ])  # fmt: skip


def tiff(values, order="<", *, photometric=1, kind=None, planar=1, no_data=None, extra=None, orientation=1):
    """An uncompressed TIFF of one strip, of any type."""
    samples = 1 if values.ndim == 2 else values.shape[2]
    kind = kind or {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    pixels = np.moveaxis(values, 2, 0) if planar == 2 and samples > 1 else values
    data = pixels.astype(values.dtype.newbyteorder(order)).tobytes()
    shorts = {
        256: [values.shape[1]], 257: [values.shape[0]], 258: [values.dtype.itemsize * 8] * samples, 259: [1],
        262: [photometric], 274: [orientation], 277: [samples], 284: [planar], 339: [kind] * samples,
    }  # fmt: skip
    if extra is not None:
        shorts[338] = [extra]
    tags = {tag: (3, len(value), struct.pack(f"{order}{len(value)}H", *value)) for tag, value in shorts.items()}
    tags[279] = (4, 1, struct.pack(f"{order}I", len(data)))
    if no_data is not None:
        tags[42113] = (2, len(no_data) + 1, no_data.encode() + b"\0")
    planes = samples if planar == 2 else 1
    first = 8 + 2 + 12 * (len(tags) + 1) + 4
    spill, offset = b"", first + sum(len(value) for _, _, value in tags.values() if len(value) > 4) + 4 * planes
    size = len(data) // planes
    tags[273] = (4, planes, struct.pack(f"{order}{planes}I", *[offset + size * plane for plane in range(planes)]))
    if planes > 1:
        tags[279] = (4, planes, struct.pack(f"{order}{planes}I", *[size] * planes))
        offset += 4 * planes
        tags[273] = (4, planes, struct.pack(f"{order}{planes}I", *[offset + size * plane for plane in range(planes)]))
    entries = b""
    for tag, (type_, count, value) in sorted(tags.items()):
        if len(value) > 4:
            entries += struct.pack(f"{order}HHII", tag, type_, count, first + len(spill))
            spill += value
        else:
            entries += struct.pack(f"{order}HHI", tag, type_, count) + value.ljust(4, b"\0")
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8) + struct.pack(f"{order}H", len(tags))
    body = head + entries + b"\0" * 4 + spill
    return body.ljust(offset, b"\0") + data


def flat(data):
    """The whole image in 8 bits, before it is resized."""
    with Image.open(io.BytesIO(data)) as image:
        assert deep.is_deep(image)
        return np.asarray(deep.flatten_deep(image, data))


def expected(values):
    return find_range(lambda: [values[np.isfinite(values)]]).scale(values)


def gray_files():
    """Name, file, and the values that are in it."""
    signed = TWELVE.astype(np.int16) - 1024
    floats = TWELVE.astype(np.float32) / 2 - 1000
    wide = TWELVE.astype(np.uint32) * 2**20
    yield "PNG of 12 bits in 16", encoded(Image.fromarray(TWELVE)), TWELVE
    yield "PNG of 10 bits in 16", encoded(Image.fromarray(TWELVE // 4)), TWELVE // 4
    yield "PNG, gray and alpha", png(np.dstack([TWELVE, np.full_like(TWELVE, 65_535)]), 4), TWELVE
    for order in "<>":
        yield f"TIFF u16 {order}", tiff(TWELVE, order), TWELVE
        yield f"TIFF i16 {order}", tiff(signed, order), signed
        yield f"TIFF i32 {order}", tiff(signed.astype(np.int32) * 500_000, order), signed.astype(np.int32) * 500_000
        yield f"TIFF f32 {order}", tiff(floats, order), floats
    yield "TIFF u32", tiff(wide), wide
    yield "TIFF i8", tiff((TWELVE % 256).astype(np.int8)), (TWELVE % 256).astype(np.int8)
    yield "TIFF u16, white is zero", tiff(TWELVE, photometric=0), 5000 - TWELVE
    yield "TIFF f32, white is zero", tiff(floats, photometric=0), -floats
    for codec in ("tiff_lzw", "tiff_adobe_deflate"):
        yield f"TIFF u16, {codec}", encoded(Image.fromarray(TWELVE), "TIFF", compression=codec), TWELVE
        yield f"TIFF f32, {codec}", encoded(Image.fromarray(floats), "TIFF", compression=codec), floats


@pytest.mark.parametrize("part", [2**20, 100])
@pytest.mark.parametrize(("data", "values"), [pytest.param(*rest, id=name) for name, *rest in gray_files()])
def test_every_gray_layout_gives_its_values_by_their_range(monkeypatch, data, values, part):
    monkeypatch.setattr(deep, "_PART", part)  # strips of one row leave no seams either
    assert np.abs(flat(data).astype(int) - expected(values)).max() <= 1  # a half rounds the other way when inverted


def color_files():
    full = np.full((40, 60, 1), 65_535, np.uint16)
    yield "PNG RGB", png(COLORS, 2)
    yield "PNG RGBA", png(np.concatenate([COLORS, full], 2), 6)
    for order in "<>":
        yield f"TIFF RGB {order}", tiff(COLORS, order, photometric=2)
        yield f"TIFF RGBA {order}", tiff(np.concatenate([COLORS, full], 2), order, photometric=2, extra=2)
        yield f"TIFF RGBX {order}", tiff(np.concatenate([COLORS, full // 2], 2), order, photometric=2, extra=0)


@pytest.mark.parametrize("part", [2**20, 100])
@pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, data in color_files()])
def test_both_bytes_of_every_channel_count_and_channels_share_one_range(monkeypatch, data, part):
    monkeypatch.setattr(deep, "_PART", part)
    assert np.array_equal(flat(data), expected(COLORS))


def test_a_compressed_tiff_of_deep_color_gives_both_bytes_too():
    # Pillow writes no such file: a plain one gets another strip, and the tags 259 (compression) and 279 (its length).
    plain = COLORS.astype("<u2").tobytes()
    strip = zlib.compress(plain)
    data = tiff(COLORS, photometric=2).replace(plain, strip)
    data = data.replace(struct.pack("<HHIHxx", 259, 3, 1, 1), struct.pack("<HHIHxx", 259, 3, 1, 8))
    data = data.replace(struct.pack("<HHII", 279, 4, 1, len(plain)), struct.pack("<HHII", 279, 4, 1, len(strip)))
    assert np.array_equal(flat(data), expected(COLORS))


def test_what_pillow_would_misread_is_refused():
    with pytest.raises(ImageError, match="separate planes"):
        decode(tiff(COLORS, photometric=2, planar=2), 24)
    four = np.concatenate([COLORS, COLORS[..., :1]], 2)
    with pytest.raises(ImageError, match="multiplied by the transparency"):
        decode(tiff(four, photometric=2, extra=1), 24)
    with pytest.raises(ImageError, match="a TIFF that is damaged, or with pixels of a kind that is not read"):
        decode(tiff(TWELVE.astype(np.float16)), 24)


def test_transparency_lies_on_white_and_has_no_part_in_the_range():
    values = np.where(np.arange(60) < 30, TWELVE, 60_000).astype(np.uint16)
    alpha = np.where(np.arange(60) < 30, 65_535, 0).astype(np.uint16) + np.zeros_like(TWELVE)
    shown = flat(png(np.dstack([values, alpha]), 4))
    assert (shown[:, 30:] == 255).all() and np.array_equal(shown[:, :30], expected(TWELVE[:, :30]))
    assert np.array_equal(flat(png(values, 0, [60_000])), shown)
    colors = np.where((np.arange(60) < 30)[:, None], COLORS, [60_000, 1, 2]).astype(np.uint16)
    shown = flat(png(np.dstack([colors, alpha]), 6))
    assert (shown[:, 30:] == 255).all() and np.array_equal(shown[:, :30], expected(COLORS[:, :30]))
    assert np.array_equal(flat(png(colors, 2, [60_000, 1, 2])), shown)


@pytest.mark.parametrize(
    ("dtype", "value", "text"),
    [(np.float32, -3.4028234663852886e38, "-3.4028235e+38"), (np.int16, -9999, "-9999"), (np.uint16, 65_535, "65535")],
)
def test_what_a_tiff_marks_as_missing_has_no_part_in_the_range(dtype, value, text):
    values = TWELVE.astype(dtype)
    values[:, :20] = value
    shown = flat(tiff(values, no_data=text))
    assert np.array_equal(shown[:, 20:], expected(TWELVE[:, 20:].astype(dtype))) and not shown[:, :20].any()
    assert np.array_equal(flat(tiff(TWELVE.astype(dtype), no_data="nonsense")), expected(TWELVE))


def test_ct_values_with_an_infinite_one_are_those_without():
    values = TWELVE.astype(np.float32) - 1024
    odd = values.copy()
    odd[3, 3], odd[4, 4] = np.inf, np.nan
    shown = flat(tiff(odd))
    assert shown[3, 3] == 255 and shown[4, 4] == 0
    assert np.abs(np.delete(shown.ravel(), [183, 244]) - np.delete(expected(values).ravel(), [183, 244])).max() == 0


def test_an_image_without_a_finite_value_is_refused_and_a_constant_is_gray():
    with pytest.raises(ImageError, match="no finite pixel"):
        decode(tiff(np.full((30, 30), np.nan, np.float32)), 24)
    assert (decode(tiff(np.full((30, 30), 1e9, np.float32)), 24) == CONSTANT).all()
    assert (decode(encoded(Image.fromarray(np.zeros((30, 30), np.uint16))), 24) == CONSTANT).all()


def test_an_orientation_turns_a_deep_image_once():
    ramp = np.linspace(0, 4000, 60).astype(np.uint16) + np.zeros((40, 1), np.uint16)
    exif = Image.Exif()
    exif[0x0112] = 3
    for data in (encoded(Image.fromarray(ramp), exif=exif), tiff(ramp, orientation=3)):
        pixels = decode(data, 24)
        assert pixels[0, 0, 0] > 250 and pixels[0, -1, 0] < 5


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_deep_files_raise_nothing_else(data):
    files = [
        png(COLORS, 2),
        png(np.dstack([TWELVE, TWELVE]), 4),
        tiff(COLORS, photometric=2),
        tiff(TWELVE, no_data="7"),
    ]
    whole = bytearray(data.draw(st.sampled_from(files)))
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(0, min(len(whole) - 1, 400)))] = data.draw(st.integers(0, 255))
    try:
        assert decode(bytes(whole), 16).shape == (16, 16, 3)
    except ImageError as error:
        assert str(error)


# What 0.1.0 made of 8-bit images: sha256 of the pixels, the first 16 hex digits.
AS_BEFORE = {
    "RGB": "e68fe4d2826cdf06",
    "RGB, one color transparent": "835409ca8f5c06bc",
    "L": "2dca8dccb740a372",
    "L of few values": "a34729388bef9699",
    "RGBA": "6ea0e665ce9f8672",
    "LA": "663c26ea09508283",
    "P": "dda385e435627bda",
    "P, one color transparent": "5e471ccda7fcdc81",
    "1": "46f32e0c78be4622",
    "GIF": "dda385e435627bda",
    "BMP": "e68fe4d2826cdf06",
    "TIFF": "e68fe4d2826cdf06",
    "CMYK": "e68fe4d2826cdf06",
    "white is zero": "2dca8dccb740a372",
}


def eight_bits():
    rng = np.random.default_rng(7)
    colors = Image.fromarray(rng.integers(0, 256, (50, 70, 3), dtype=np.uint8))
    veil = Image.fromarray(rng.integers(0, 256, (50, 70), dtype=np.uint8))
    clear, faint = colors.copy(), colors.convert("L")
    clear.putalpha(veil)
    faint.putalpha(veil)
    few = colors.quantize(16)
    yield "RGB", encoded(colors)
    yield "RGB, one color transparent", encoded(colors, transparency=colors.getpixel((3, 3)))
    yield "L", encoded(colors.convert("L"))
    yield "L of few values", encoded(Image.fromarray(rng.integers(90, 99, (50, 70), dtype=np.uint8)))
    yield "RGBA", encoded(clear)
    yield "LA", encoded(faint)
    yield "P", encoded(few)
    yield "P, one color transparent", encoded(few, transparency=3)
    yield "1", encoded(colors.convert("1"))
    yield "GIF", encoded(few, "GIF")
    yield "BMP", encoded(colors, "BMP")
    yield "TIFF", encoded(colors, "TIFF")
    yield "CMYK", encoded(colors.convert("CMYK"), "TIFF")
    yield "white is zero", encoded(colors.convert("L"), "TIFF", tiffinfo={262: 0})


def test_eight_bits_are_taken_as_they_are_byte_for_byte():
    found = {name: hashlib.sha256(decode(data, 24).tobytes()).hexdigest()[:16] for name, data in eight_bits()}
    assert found == AS_BEFORE
