"""Images of more than 8 bits per channel: what Pillow reads of them, and what it would quietly cut off."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageFile import ImageFile

from ..exceptions import ImageError
from .levels import find_range

__all__ = ["flatten_deep", "is_deep"]

_PART = 2**20  # pixels that are worked on at a time: a strip of rows
_SIXTEEN = (";16B", ";16L", ";16N")
_OTHER_BYTE = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
_BITS, _PHOTOMETRIC, _PLANAR, _FORMAT, _NO_DATA = 258, 262, 284, 339, 42_113  # TIFF tags
_UNSIGNED, _SIGNED = 1, 2  # values of _FORMAT

Box = tuple[int, int, int, int]
Read = Callable[[Box], tuple[NDArray[Any], NDArray[np.uint8] | None]]


def is_deep(image: ImageFile) -> bool:
    """Tell whether an opened, not yet loaded image has values that 8 bits do not hold as they are.

    That is: integers of 12 to 32 bits, floats, signed bytes, and gray or RGB of 16 bits per channel with or without
    transparency. Not CMYK of 16 bits: shares of ink have a scale of their own, of which the upper byte is enough.
    """
    if image.mode == "F" or image.mode.startswith("I"):
        return True
    if image.mode == "L":
        return _tag(image, _FORMAT) == _SIGNED
    return image.mode in ("RGB", "RGBA") and (_rawmode(image).endswith(_SIXTEEN) or _tag(image, _BITS) == 16)


def flatten_deep(image: ImageFile, data: bytes) -> Image.Image:
    """Load such an image and bring it to 8 bits by the range of its own values; see `levels`.

    Color channels share one range, which keeps their hue. Values that are not finite, that a TIFF marks as missing
    (GDAL's tag) or that are wholly transparent do not count. A TIFF in which white is zero is inverted.

    Parameters
    ----------
    image : ImageFile
        Opened from `data`; afterwards its pixels are another's.
    data : bytes
        The file.

    Returns
    -------
    Image
        Opaque, of mode L or RGB. At no time is there a third copy of all pixels.

    Raises
    ------
    ImageError
        If no value is finite, or the channels are stored in a way that Pillow would misread.
    """
    if _tag(image, _PLANAR) == 2 and (image.mode in ("RGB", "RGBA") or _codec(image) == "raw"):
        raise ImageError("the TIFF stores more than 8 bits per channel in separate planes: save it interleaved")
    whole = _scaled(image, data)
    return whole if whole.mode in ("L", "RGB") else whole.convert("RGB")


def _scaled(image: ImageFile, data: bytes) -> Image.Image:
    with contextlib.ExitStack() as files:
        if image.mode in ("RGB", "RGBA") and _rawmode(image) != "LA;16B":
            again = files.enter_context(Image.open(io.BytesIO(data), formats=[str(image.format)]))
            read, whole = _both_bytes(image, again)
        else:
            read = _gray_and_alpha(image) if image.mode == "RGBA" else _gray(image)
            whole = Image.new("L", image.size)
        found = find_range(lambda: (_known(*read(box)) for box in _boxes(image)))
        inverted = _tag(image, _PHOTOMETRIC) == 0
        for box in _boxes(image):
            values, alpha = read(box)
            pixels = found.scale(values)
            if inverted:
                pixels = 255 - pixels
            if alpha is not None:
                pixels = _over_white(pixels, alpha)
            # Where there are two images already, the result takes the place of the first.
            whole.paste(Image.fromarray(pixels), box)
    return whole


def _gray(image: ImageFile) -> Read:
    unsigned = _tag(image, _FORMAT) in (None, _UNSIGNED) and _tag(image, _BITS) == 32
    missing = _missing(image)
    key = image.info.get("transparency")  # of a PNG: the one value that is transparent
    image.load()

    def read(box: Box) -> tuple[NDArray[Any], NDArray[np.uint8] | None]:
        values: NDArray[Any] = np.asarray(image.crop(box))
        if image.mode == "L":
            values = values.view(np.int8)
        elif image.mode == "I" and unsigned:
            values = values.view(np.uint32)  # Pillow has no such mode and keeps the bits
        if missing is not None:
            # As minus infinity it has no part in the range.
            values = np.where(values == missing, -np.inf, values)
        return values, np.where(values == key, 0, 255).astype(np.uint8) if isinstance(key, int) else None

    return read


def _missing(image: ImageFile) -> np.float64 | np.float32 | None:
    """Return the value that stands for no value, in a type that the image's values can be compared with."""
    with contextlib.suppress(ValueError), np.errstate(over="ignore"):
        number = np.float64(str(_tag(image, _NO_DATA)).strip("\0 "))
        return np.float32(number) if image.mode == "F" else number
    return None


def _gray_and_alpha(image: ImageFile) -> Read:
    # Pillow keeps the upper byte of each; taken as four channels of 8 bits, all bytes are there.
    _set_rawmode(image, "RGBA")
    image.load()

    def read(box: Box) -> tuple[NDArray[Any], NDArray[np.uint8] | None]:
        raw = np.asarray(image.crop(box))
        return raw[..., 0].astype(np.uint16) << 8 | raw[..., 1], raw[..., 2]

    return read


def _both_bytes(high: ImageFile, low: ImageFile) -> tuple[Read, Image.Image]:
    # Pillow has no such mode either and keeps the upper bytes. With the bytes' order the other way round it takes the
    # lower ones for them.
    rawmode = _rawmode(high)
    if rawmode.startswith("RGBa"):
        raise ImageError("the TIFF has 16 bits per channel multiplied by the transparency: save it without that")
    keys = high.info.get("transparency")
    _set_rawmode(low, rawmode[:-1] + _OTHER_BYTE[rawmode[-1]])
    for image in (high, low):
        image.info.pop("transparency", None)
        image.load()

    def read(box: Box) -> tuple[NDArray[Any], NDArray[np.uint8] | None]:
        upper, lower = np.asarray(high.crop(box)), np.asarray(low.crop(box))
        values = upper[..., :3].astype(np.uint16) << 8 | lower[..., :3]
        if high.mode == "RGBA":
            return values, upper[..., 3]
        if isinstance(keys, tuple):
            return values, np.where((values == keys).all(axis=2), 0, 255).astype(np.uint8)
        return values, None

    return read, high


def _known(values: NDArray[Any], alpha: NDArray[np.uint8] | None) -> NDArray[Any]:
    return values.ravel() if alpha is None else values[alpha > 0].ravel()


def _over_white(pixels: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    share = alpha[..., None] / np.float32(255) if pixels.ndim == 3 else alpha / np.float32(255)
    return np.rint(255 - (255 - pixels) * share).astype(np.uint8)


def _boxes(image: Image.Image) -> Iterator[Box]:
    width, height = image.size
    rows = max(1, _PART // width)
    for top in range(0, height, rows):
        yield 0, top, width, min(top + rows, height)


def _tag(image: ImageFile, tag: int) -> object:
    """Return the first value of a TIFF's tag; None without it, or in another format."""
    value = getattr(image, "tag_v2", {}).get(tag)
    return value[0] if isinstance(value, tuple) and value else value


def _codec(image: ImageFile) -> str:
    return str(image.tile[0][0]) if image.tile else ""


def _rawmode(image: ImageFile) -> str:
    """Return how the file lays out its pixels, in Pillow's words, such as ``RGB;16B``."""
    arguments = image.tile[0][3] if image.tile else ""
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments or "")


def _set_rawmode(image: ImageFile, rawmode: str) -> None:
    tiles: list[Any] = []
    for tile in image.tile:
        arguments = (rawmode, *tile[3][1:]) if isinstance(tile[3], tuple) else rawmode
        # Older releases of Pillow have plain tuples here.
        tiles.append(tile._replace(args=arguments) if hasattr(tile, "_replace") else (*tile[:3], arguments))
    image.tile = tiles
