"""DICOM files, as a viewer would show them at first: the one door for pydicom, which the extra `dicom` installs."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..exceptions import ImageError
from .levels import find_range

__all__ = ["is_dicom", "read_dicom"]

_PREFIX = slice(128, 132)
_META_END = 0x0003_0000
_DEFLATED, _RLE = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.5"
_MOST_RLE = 2**24  # bytes of one frame: a byte of run-length code can stand for 64, and is decoded in Python
_PART = 2**20  # pixels that are worked on at a time: a strip of rows
_SAVE_PLAIN = "save it with the transfer syntax Explicit VR Little Endian"
_GRAY, _COLOR = ("MONOCHROME1", "MONOCHROME2"), ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")

Strip = NDArray[Any]


def is_dicom(data: bytes) -> bool:
    """Tell whether bytes begin as a DICOM file does: a preamble of 128 bytes, then ``DICM``."""
    return data[_PREFIX] == b"DICM"


def read_dicom(data: bytes, check_size: Callable[[int, int], None]) -> NDArray[np.uint8]:
    """Return the first frame of a DICOM file in 8 bits.

    Gray: the rescale slope and intercept (or the modality LUT) give the unit, such as Hounsfield; the file's first
    window (linear, linear exact or sigmoid) then says what is black and white. Without a window, and after a VOI LUT,
    which has a shape and no scale, the image's own range says it as for other deep images (`levels`), without the
    values that the file marks as padding. Plain 8-bit values are taken as they are. MONOCHROME1 is inverted. Color:
    RGB, YBR and palettes.

    Parameters
    ----------
    data : bytes
        A whole file.
    check_size : callable
        Gets width and height in pixels before anything is decoded; raises ImageError when they are too much.

    Returns
    -------
    ndarray of shape (rows, columns), uint8
        Gray; or of shape (rows, columns, 3): RGB.

    Raises
    ------
    ImageError
        If pydicom is not installed, or the file is damaged, holds no image, or is compressed in a way for which no
        decoder is installed; each with the way out. Whatever else pydicom raises on damaged files is left to `decode`.
    """
    try:
        import pydicom
    except ImportError:
        raise ImageError(
            "a DICOM file, which is read with the extra `dicom` only: pip install 'labelqueue[dicom]'"
        ) from None
    # Many files break rules that do no harm, and pydicom would mention each of them.
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    logging.getLogger("pydicom").setLevel(logging.ERROR)
    dataset = _open(data)
    if "Rows" not in dataset or "Columns" not in dataset:
        raise ImageError(f"the DICOM file holds no image (its modality is {dataset.get('Modality', 'not given')})")
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    if rows < 1 or columns < 1:
        raise ImageError(f"the DICOM image has {columns} × {rows} pixels")
    check_size(columns, rows)
    kind = str(dataset.get("PhotometricInterpretation", ""))
    if kind not in (*_GRAY, *_COLOR, "PALETTE COLOR"):
        raise ImageError(f"the DICOM image has the photometric interpretation {kind!r}, which is not read")
    _lift_frame_facts(dataset)
    pixels = _first_frame(dataset, columns, rows)
    if kind == "PALETTE COLOR":
        return _with_palette(pixels, dataset)
    if pixels.ndim == 3 or kind in _COLOR:
        if pixels.shape != (rows, columns, 3):
            raise ImageError(f"the DICOM image is {kind} and has the shape {pixels.shape}, not three channels")
        return pixels if pixels.dtype == np.uint8 else _by_own_range(pixels.shape, lambda: _whole(pixels))
    gray = _gray(pixels, dataset)
    return 255 - gray if kind == "MONOCHROME1" else gray


def _open(data: bytes) -> Any:
    import pydicom
    from pydicom.filereader import read_dataset

    file = io.BytesIO(data)
    file.seek(_PREFIX.stop)
    meta = read_dataset(file, False, True, stop_when=lambda tag, vr, length: int(tag) >= _META_END)
    if str(meta.get("TransferSyntaxUID", "")) == _DEFLATED:
        # pydicom would inflate it whole, to whatever size.
        raise ImageError(f"the DICOM file is deflated, which is not read: {_SAVE_PLAIN}")
    return pydicom.dcmread(io.BytesIO(data))


def _lift_frame_facts(dataset: Any) -> None:
    """Let rescale and window of a multi-frame file's first frame stand where single images have theirs."""
    for groups in ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"):
        for group in (dataset.get(groups) or [])[:1]:
            for name in ("PixelValueTransformationSequence", "FrameVOILUTSequence"):
                for item in (group.get(name) or [])[:1]:
                    for element in item:
                        if element.tag not in dataset:
                            dataset.add(element)


def _first_frame(dataset: Any, columns: int, rows: int) -> Strip:
    """Return stored values, (rows, columns) or (rows, columns, samples)."""
    from pydicom.encaps import get_frame
    from pydicom.pixels import get_decoder, pixel_array

    syntax = dataset.file_meta.TransferSyntaxUID
    if not syntax.is_compressed:
        frame: Strip = pixel_array(dataset, index=0)
        return frame
    missing = f"install pydicom's plugins for it (pylibjpeg, gdcm or pyjpegls), or {_SAVE_PLAIN}"
    try:
        available = get_decoder(syntax).is_available
    except NotImplementedError:
        available = False
    if not available:
        raise ImageError(f"no decoder is installed for the DICOM compression {syntax.name}: {missing}")
    encoded = get_frame(dataset.PixelData, 0, number_of_frames=int(dataset.get("NumberOfFrames") or 1))
    if syntax == _RLE and len(encoded) > _MOST_RLE:
        raise ImageError(f"the DICOM image has {len(encoded):,} bytes of RLE, at most {_MOST_RLE:,}: {_SAVE_PLAIN}")
    if encoded.startswith(b"\0\0\0\x0cjP"):
        # Against the standard, and pydicom's search through the boxes need not end.
        raise ImageError(f"the DICOM image holds a whole JP2 file instead of its codestream: {_SAVE_PLAIN}")
    if encoded.startswith((b"\xff\xd8\xff", b"\xff\x4f\xff\x51")):
        # What is inside may claim another size, which has been checked by nobody.
        try:
            with Image.open(io.BytesIO(encoded), formats=("JPEG", "JPEG2000")) as inside:
                size = inside.size
        except (OSError, SyntaxError):
            size = columns, rows  # JPEG-LS, or 12 bits: the plugins hold it against the header
        if size != (columns, rows):
            raise ImageError(f"the DICOM image has {columns} × {rows} pixels, and {size[0]} × {size[1]} inside")
    try:
        found: Strip = pixel_array(dataset, index=0)
    except (RuntimeError, NotImplementedError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ImageError(f"the DICOM compression {syntax.name} cannot be decoded ({reason}): {missing}") from error
    return found


def _gray(pixels: Strip, dataset: Any) -> NDArray[np.uint8]:
    from pydicom.pixels import apply_modality_lut, apply_voi

    slope = _number(dataset, "RescaleSlope")
    if slope is not None and not (np.isfinite(slope) and slope):
        raise ImageError(f"the DICOM image has the rescale slope {slope}, which leaves nothing of it")
    shape, window = bool(dataset.get("VOILUTSequence")), _window(dataset)
    plain = pixels.dtype == np.uint8 and dataset.get("BitsStored") == 8
    if plain and not (shape or window or dataset.get("ModalityLUTSequence") or slope not in (None, 1.0)):
        return pixels
    padding = _padding(dataset)

    def strips() -> Iterator[tuple[slice, Strip, NDArray[np.bool_]]]:
        for rows in _slices(pixels):
            values: Strip = apply_modality_lut(pixels[rows], dataset)
            if shape:
                values = apply_voi(np.rint(values).astype(np.int32), dataset)
            yield rows, values, ~padding(pixels[rows])

    if shape or window is None:
        return _by_own_range(pixels.shape, strips)
    result = np.empty(pixels.shape, np.uint8)
    for rows, values, _ in strips():
        shares = np.nan_to_num(window(values.astype(np.float64)), nan=0.0, posinf=1.0, neginf=0.0)
        result[rows] = np.rint(255 * shares.clip(0, 1))
    return result


def _by_own_range(
    shape: tuple[int, ...], strips: Callable[[], Iterable[tuple[slice, Strip, NDArray[np.bool_]]]]
) -> NDArray[np.uint8]:
    found = find_range(lambda: (values[known].ravel() for _, values, known in strips()))
    result = np.empty(shape, np.uint8)
    for rows, values, _ in strips():
        result[rows] = found.scale(values)
    return result


def _whole(pixels: Strip) -> Iterator[tuple[slice, Strip, NDArray[np.bool_]]]:
    for rows in _slices(pixels):
        yield rows, pixels[rows], np.ones(pixels[rows].shape, np.bool_)


def _with_palette(pixels: Strip, dataset: Any) -> NDArray[np.uint8]:
    from pydicom.pixels import apply_color_lut

    if "SegmentedRedPaletteColorLookupTableData" in dataset:
        # Segments may repeat segments that repeat others: a few of them unfold to any size.
        raise ImageError(f"the DICOM image has a segmented palette, which is not read: {_SAVE_PLAIN} and as RGB")
    result = np.empty((*pixels.shape, 3), np.uint8)
    for rows in _slices(pixels):
        colors = apply_color_lut(pixels[rows], dataset)[..., :3]
        # A palette's scale is fixed by the standard: entries of 16 bits mean their upper byte.
        result[rows] = colors if colors.dtype == np.uint8 else colors >> 8
    return result


def _window(dataset: Any) -> Callable[[NDArray[np.float64]], NDArray[np.float64]] | None:
    """Return the first window as a function from values to shares of white (PS3.3 C.11.2.1.2 and C.11.2.1.3)."""
    center, width = _number(dataset, "WindowCenter"), _number(dataset, "WindowWidth")
    function = str(dataset.get("VOILUTFunction") or "LINEAR").upper()
    if center is None or width is None or not np.isfinite([center, width]).all():
        return None
    if width <= 0 or (function == "LINEAR" and width < 1):
        return None  # not allowed, and says nothing
    if function == "SIGMOID":
        return lambda values: 1 / (1 + np.exp(np.clip(-4 * (values - center) / width, -700, 700)))
    if function == "LINEAR_EXACT":
        return lambda values: (values - center) / width + 0.5
    if function != "LINEAR":
        raise ImageError(f"the DICOM image has the VOI LUT function {function!r}, which is not read")
    # One value of an integer image is an interval of width 1; a window of that width is a threshold.
    return lambda values: (values - (center - 0.5)) / max(width - 1, 1e-6) + 0.5


def _padding(dataset: Any) -> Callable[[Strip], NDArray[np.bool_]]:
    """Return what tells which stored values are padding around the picture."""
    value, limit = _number(dataset, "PixelPaddingValue"), _number(dataset, "PixelPaddingRangeLimit")
    if value is None:
        return lambda stored: np.zeros(stored.shape, np.bool_)
    least, most = sorted((value, value if limit is None else limit))

    def tell(stored: Strip) -> NDArray[np.bool_]:
        inside: NDArray[np.bool_] = (stored >= least) & (stored <= most)
        return inside

    return tell


def _number(dataset: Any, name: str) -> float | None:
    """Return an element's first value, None where it is missing or empty."""
    value = dataset.get(name)
    if value is None or isinstance(value, (str, bytes)):
        return None
    values = list(value) if hasattr(value, "__iter__") else [value]
    return float(values[0]) if values and values[0] is not None else None


def _slices(pixels: Strip) -> Iterator[slice]:
    rows = max(1, _PART // pixels.shape[1])
    for top in range(0, len(pixels), rows):
        yield slice(top, top + rows)
