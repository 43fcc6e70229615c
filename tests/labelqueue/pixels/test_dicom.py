"""DICOM: rescale, window, inversion, the first frame, color; what cannot be decoded is refused with the way out."""

import builtins
import io

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from labelqueue.exceptions import ImageError
from labelqueue.pixels import decoding
from labelqueue.pixels.decoding import MAX_PIXELS, decode
from labelqueue.pixels.dicom import is_dicom, read_dicom
from labelqueue.pixels.levels import find_range

CT = np.random.default_rng(1).integers(-1024, 3000, (48, 64)).astype(np.int16)
BYTES = np.random.default_rng(2).integers(0, 256, (48, 64)).astype(np.uint8)
COLORS = np.random.default_rng(3).integers(0, 256, (48, 64, 3)).astype(np.uint8)


def dataset(pixels, photometric="MONOCHROME2", syntax=ExplicitVRLittleEndian, *, frames=None, **elements):
    """A DICOM image; `pixels` are (rows, columns), (rows, columns, 3), or with `frames` in front of that."""
    one = pixels if frames is None else pixels[0]
    found = Dataset()
    found.file_meta = FileMetaDataset()
    found.file_meta.TransferSyntaxUID = syntax
    found.file_meta.MediaStorageSOPClassUID = found.SOPClassUID = CTImageStorage
    found.file_meta.MediaStorageSOPInstanceUID = found.SOPInstanceUID = "1.2.3"
    found.Rows, found.Columns = one.shape[:2]
    found.SamplesPerPixel = 1 if one.ndim == 2 else 3
    found.PhotometricInterpretation = photometric
    found.BitsAllocated = found.BitsStored = pixels.dtype.itemsize * 8
    found.HighBit = found.BitsStored - 1
    found.PixelRepresentation = int(pixels.dtype.kind == "i")
    if one.ndim == 3:
        found.PlanarConfiguration = 0
    if frames is not None:
        found.NumberOfFrames = frames
    big = syntax == ExplicitVRBigEndian
    found.PixelData = pixels.astype(pixels.dtype.newbyteorder(">" if big else "<")).tobytes()
    found["PixelData"].VR = "OB" if pixels.dtype.itemsize == 1 else "OW"
    for name, value in elements.items():
        setattr(found, name, value)
    return found


def written(found):
    file = io.BytesIO()
    pydicom.dcmwrite(file, found, enforce_file_format=True)
    return file.getvalue()


def read(found):
    return read_dicom(written(found), lambda width, height: None)


def by_range(values):
    return find_range(lambda: [values.ravel()]).scale(values)


def window(values, center, width):
    return np.rint(255 * ((values - (center - 0.5)) / (width - 1) + 0.5).clip(0, 1))


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_without_a_window_the_images_own_range_counts(syntax):
    assert np.array_equal(read(dataset(CT, syntax=syntax)), by_range(CT))
    assert np.array_equal(read(dataset(CT.astype(np.uint16), syntax=syntax)), by_range(CT.astype(np.uint16)))


def test_rescale_and_window_are_applied():
    found = dataset(CT, RescaleSlope=2, RescaleIntercept=-500, WindowCenter=[40, 9], WindowWidth=[400, 1])
    assert np.array_equal(read(found), window(CT * 2.0 - 500, 40, 400))
    found.VOILUTFunction = "LINEAR_EXACT"
    assert np.array_equal(read(found), np.rint(255 * ((CT * 2.0 - 540) / 400 + 0.5).clip(0, 1)))
    found.VOILUTFunction = "SIGMOID"
    assert np.array_equal(read(found), np.rint(255 / (1 + np.exp(-4 * (CT * 2.0 - 540) / 400))))
    found.VOILUTFunction = "CUBIC"
    with pytest.raises(ImageError, match="VOI LUT function 'CUBIC'"):
        read(found)


def test_a_window_of_one_value_is_a_threshold_and_one_of_none_says_nothing():
    assert np.array_equal(read(dataset(CT, WindowCenter=40, WindowWidth=1)), np.where(CT >= 40, 255, 0))
    assert np.array_equal(read(dataset(CT, WindowCenter=40, WindowWidth=0)), by_range(CT))
    assert np.array_equal(read(dataset(CT, WindowCenter=None, WindowWidth=None)), by_range(CT))


def test_a_negative_slope_turns_black_and_white_and_zero_is_refused():
    turned = read(dataset(CT, RescaleSlope=-0.5, RescaleIntercept=7)).astype(int)
    assert np.abs(turned - (255 - by_range(CT).astype(int))).max() <= 1
    with pytest.raises(ImageError, match="rescale slope 0"):
        read(dataset(CT, RescaleSlope=0, RescaleIntercept=7))


def test_monochrome1_is_inverted():
    assert np.array_equal(read(dataset(CT, "MONOCHROME1")), 255 - by_range(CT))
    assert np.array_equal(read(dataset(BYTES, "MONOCHROME1")), 255 - BYTES)


def test_plain_bytes_are_taken_as_they_are():
    assert np.array_equal(read(dataset(BYTES // 8)), BYTES // 8)
    assert np.array_equal(read(dataset(BYTES // 8, RescaleSlope=1, RescaleIntercept=0)), BYTES // 8)
    assert np.array_equal(read(dataset(BYTES, WindowCenter=100, WindowWidth=50)), window(BYTES, 100, 50))


def test_padding_has_no_part_in_the_range():
    values = CT.copy()
    values[:, :30] = -32_000
    shown = read(dataset(values, PixelPaddingValue=-32_000))
    assert np.array_equal(shown[:, 30:], by_range(CT[:, 30:])) and not shown[:, :30].any()
    values[:, :10] = -31_990
    shown = read(dataset(values, PixelPaddingValue=-32_000, PixelPaddingRangeLimit=-31_990))
    assert np.array_equal(shown[:, 30:], by_range(CT[:, 30:]))


def test_a_voi_lut_gives_the_shape_and_the_range_its_scale():
    item = Dataset()
    item.LUTDescriptor = [4, 10, 16]
    item.LUTData = [0, 100, 1000, 4000]
    item["LUTDescriptor"].VR, item["LUTData"].VR = "US", "US"
    values = np.array([[0, 10, 11, 12, 13, 99]] * 6, np.uint16)
    shown = read(dataset(values, VOILUTSequence=Sequence([item]), WindowCenter=1, WindowWidth=2))
    assert shown[0].tolist() == [0, 0, 6, 64, 255, 255]


def test_the_first_frame_counts_with_its_own_rescale_and_window():
    frames = np.stack([CT, CT * 0, CT * 0])
    assert np.array_equal(read(dataset(frames, frames=3)), by_range(CT))
    rescale, level, group = Dataset(), Dataset(), Dataset()
    rescale.RescaleSlope, rescale.RescaleIntercept, rescale.RescaleType = 2, -500, "HU"
    level.WindowCenter, level.WindowWidth = 40, 400
    group.PixelValueTransformationSequence, group.FrameVOILUTSequence = Sequence([rescale]), Sequence([level])
    for name in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        found = dataset(frames, frames=3, **{name: Sequence([group])})
        assert np.array_equal(read(found), window(CT * 2.0 - 500, 40, 400))


def test_colors():
    assert np.array_equal(read(dataset(COLORS, "RGB")), COLORS)
    deep = COLORS.astype(np.uint16) * 16
    assert np.array_equal(read(dataset(deep, "RGB")), by_range(deep))
    gray = np.dstack([BYTES, np.full_like(BYTES, 128), np.full_like(BYTES, 128)])
    assert np.abs(read(dataset(gray, "YBR_FULL")).astype(int) - BYTES[..., None]).max() <= 1
    with pytest.raises(ImageError, match="photometric interpretation 'CMYK'"):
        read(dataset(COLORS, "CMYK"))


@pytest.mark.parametrize("bits", [8, 16])
def test_a_palette(bits):
    table = {
        f"{color}PaletteColorLookupTable{part}": value
        for color, entries in {"Red": [10, 200], "Green": [20, 210], "Blue": [30, 220]}.items()
        for part, value in {
            "Descriptor": [2, 0, bits],
            "Data": (np.array(entries) << bits - 8).astype(f"<u{bits // 8}").tobytes(),
        }.items()
    }
    found = dataset(BYTES % 2, "PALETTE COLOR", **table)
    assert np.array_equal(read(found), np.array([[10, 20, 30], [200, 210, 220]])[BYTES % 2])
    found.SegmentedRedPaletteColorLookupTableData = b"\0\1\2\3"
    with pytest.raises(ImageError, match="segmented palette, which is not read"):
        read(found)


def compressed(pixels, syntax, encode, **elements):
    found = dataset(pixels, syntax=syntax, **elements)
    found.PixelData = encapsulate([encode(pixels)])
    found["PixelData"].is_undefined_length = True
    found["PixelData"].VR = "OB"
    return found


def saved(kind, **options):
    def encode(pixels):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, kind, **options)
        return file.getvalue()

    return encode


def test_compressed_frames():
    found = dataset(CT)
    found.compress(RLELossless, generate_instance_uid=False)
    assert np.array_equal(read(found), by_range(CT))
    soft = np.add.outer(np.arange(48), np.arange(64)).astype(np.uint8)
    shown = read(compressed(soft, JPEGBaseline8Bit, saved("JPEG", quality=95)))
    assert np.abs(shown.astype(int) - soft).max() <= 8
    assert np.array_equal(read(compressed(BYTES, JPEG2000Lossless, saved("JPEG2000", no_jp2=True))), BYTES)


def test_what_cannot_be_decoded_names_the_way_out():
    way = "install pydicom's plugins for it .*, or save it with the transfer syntax Explicit VR Little Endian"
    with pytest.raises(ImageError, match=f"JPEG-LS Lossless.*{way}"):
        read(compressed(BYTES, JPEGLSLossless, lambda pixels: b"\xff\xd8\xff\xf7" + bytes(60)))
    with pytest.raises(ImageError, match=f"MPEG2.*{way}"):
        read(compressed(BYTES, "1.2.840.10008.1.2.4.100", lambda pixels: bytes(60)))
    with pytest.raises(ImageError, match=f"JPEG Baseline.*cannot be decoded.*{way}"):
        read(compressed(BYTES, JPEGBaseline8Bit, lambda pixels: bytes(60)))
    with pytest.raises(ImageError, match="is deflated, which is not read: save it"):
        read(dataset(CT, syntax=DeflatedExplicitVRLittleEndian))


@pytest.mark.timeout(20)
def test_boxes_around_a_codestream_are_not_searched():
    boxes = b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(60)  # a box of length 0, which pydicom would not get past
    with pytest.raises(ImageError, match="a whole JP2 file instead of its codestream"):
        read(compressed(BYTES, JPEG2000Lossless, lambda pixels: boxes))


def test_without_pydicom_the_extra_is_named(monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name.split(".")[0] == "pydicom":
            raise ImportError(name)
        return real(name, *arguments, **options)

    data = written(dataset(CT))
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImageError, match=r"pip install 'labelqueue\[dicom\]'"):
        decode(data, 24)


def test_a_file_without_an_image_says_what_it_is():
    found = dataset(CT, Modality="SR")
    del found.Rows, found.PixelData
    with pytest.raises(ImageError, match=r"no image \(its modality is SR\)"):
        read(found)


def test_a_bomb_is_refused_before_it_is_decoded(monkeypatch):
    found = dataset(CT)
    found.Rows = found.Columns = 65_000
    assert MAX_PIXELS < 65_000**2
    with pytest.raises(ImageError, match="at most 89,000,000 are read"):
        decode(written(found), 24)
    large = np.zeros((3000, 3000), np.uint8)  # a small frame says so outside, and is large inside
    inside = compressed(BYTES, JPEGBaseline8Bit, lambda pixels: saved("JPEG")(large))
    with pytest.raises(ImageError, match="64 × 48 pixels, and 3000 × 3000 inside"):
        decode(written(inside), 24)
    monkeypatch.setattr("labelqueue.pixels.dicom._MOST_RLE", 100)
    found = dataset(CT)
    found.compress(RLELossless, generate_instance_uid=False)
    with pytest.raises(ImageError, match="bytes of RLE, at most 100"):
        decode(written(found), 24)


def test_a_truncated_file_is_refused():
    data = written(dataset(CT))
    assert is_dicom(data)
    for share in (0.1, 0.5, 0.9, 0.99):
        with pytest.raises(ImageError):
            decode(data[: int(len(data) * share)], 24)


def test_decode_squashes_it_as_other_images():
    expected = Image.fromarray(BYTES).resize((24, 24), Image.Resampling.BICUBIC).convert("RGB")
    assert np.array_equal(decode(written(dataset(BYTES)), 24), np.asarray(expected))
    assert decode(written(dataset(COLORS, "RGB")), 24).shape == (24, 24, 3)
    assert decoding.decode is decode


def _whole():
    found = dataset(CT, RescaleSlope=2, RescaleIntercept=-500, WindowCenter=40, WindowWidth=400)
    yield written(found)
    yield written(dataset(CT, syntax=ImplicitVRLittleEndian))
    found.compress(RLELossless, generate_instance_uid=False)
    yield written(found)
    yield written(compressed(BYTES, JPEG2000Lossless, saved("JPEG2000", no_jp2=True)))
    yield written(dataset(np.stack([CT, CT]), frames=2))


WHOLE = list(_whole())


@pytest.mark.filterwarnings("ignore")  # pydicom mentions what it finds odd
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_bytes_never_raise_anything_else(data):
    whole = bytearray(data.draw(st.sampled_from(WHOLE)))
    for _ in range(data.draw(st.integers(1, 8))):
        place = data.draw(st.integers(132, min(len(whole) - 1, data.draw(st.sampled_from([600, 10**9])))))
        whole[place] = data.draw(st.integers(0, 255))
    whole = whole[: data.draw(st.sampled_from([len(whole), len(whole), len(whole) // 2, 300]))]
    try:
        assert decode(bytes(whole), 16).shape == (16, 16, 3)
    except ImageError as error:
        assert str(error)
