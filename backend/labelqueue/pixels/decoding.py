"""From the bytes of an image file to the pixels a model looks at, and to the thumbnail that people look at."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError, features
from PIL.Image import Transpose

from ..exceptions import ImageError
from ..transport import reason
from .deep import flatten_deep, is_deep
from .dicom import is_dicom, read_dicom
from .thumbnails import SIDE, cut

__all__ = ["FORMATS", "MAX_PIXELS", "MAX_SIDE", "decode", "decode_with_thumbnail", "thumbnail_of"]

# Older releases of Pillow do not know the word, others were built without the library.
_AVIF = ("AVIF",) if "avif" in features.modules and features.check("avif") else ()
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", *_AVIF)
MAX_PIXELS = 89_000_000  # a file of a few kB can claim gigapixels; Pillow warns a little above this number
MAX_SIDE = 100_000  # resizing takes memory in proportion to the longer side, 32 bytes per pixel of it
_TILE = 2048
_ORIENTATION_TAG = 0x0112
_ORIENTATIONS = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}


def decode(data: bytes, size: int) -> NDArray[np.uint8]:
    """Decode an image and squash it to a square.

    The aspect ratio is not kept: FreeSel (Xie et al., NeurIPS 2023) resizes that way. The EXIF orientation is
    applied, transparency is laid over white, the first frame or page counts. Values of more than 8 bits, integers and
    floats, are scaled by the image's own range, see `levels`; 8-bit values are taken as they are. Of DICOM see `dicom`.

    Parameters
    ----------
    data : bytes
        A whole file in one of `FORMATS`, or DICOM.
    size : int
        Side of the square in pixels.

    Returns
    -------
    ndarray of shape (size, size, 3), uint8
        RGB.

    Raises
    ------
    ImageError
        If the file is empty, of another format, truncated, damaged, has no finite value or more than `MAX_PIXELS` (or
        `MAX_SIDE` in a row). A truncated file is never filled up: a half-gray image is an outlier, which diversity
        sampling picks first.
    """
    with _told(data):
        return _square(*_opened(data, size), size)


def decode_with_thumbnail(data: bytes, size: int) -> tuple[NDArray[np.uint8], bytes]:
    """Decode an image once, for both: the square that `decode` gives, and what `thumbnails.cut` makes of it.

    The thumbnail is empty where none can be made of an image that can be embedded.

    Raises
    ------
    ImageError
        As `decode`.
    """
    with _told(data):
        flat, turn = _opened(data, size)
        thumbnail = b""
        with contextlib.suppress(ImageError):
            thumbnail = cut(flat, turn)
        return _square(flat, turn, size), thumbnail


def thumbnail_of(data: bytes) -> bytes:
    """Return an image's thumbnail alone, a WebP file; see `thumbnails.cut`. It is decoded as for `decode`.

    Raises
    ------
    ImageError
        As `decode`.
    """
    with _told(data):
        return cut(*_opened(data, SIDE))


@contextlib.contextmanager
def _told(data: bytes) -> Iterator[None]:
    """Let every failure to decode be an ImageError that says what is wrong with the file."""
    if not data:
        raise ImageError("the file is empty")
    try:
        yield
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(_not_an_image(data)) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"the image has too many pixels, at most {MAX_PIXELS:,} are read ({error})") from error
    except MemoryError as error:
        raise ImageError("the image does not fit into memory") from error
    except Exception as error:
        # Pillow's readers raise almost anything on damaged files: OSError, SyntaxError, ValueError, struct.error, ...
        raise ImageError(f"the image is damaged or truncated ({reason(error)})") from error


def _opened(data: bytes, size: int) -> tuple[Image.Image, Transpose | None]:
    """Return all pixels, opaque and of 8 bits, and how they have yet to be turned."""
    if is_dicom(data):
        return Image.fromarray(read_dicom(data, _check_size)), None
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        _check_size(*image.size)
        if is_deep(image):
            flat = flatten_deep(image, data)
        else:
            # A JPEG is decoded at 1/2, 1/4 or 1/8 of its size where that is still at least the target's.
            image.draft(None, (size, size))
            image.load()
            flat = _flatten(image)
        # Pillow turns a TIFF by itself while loading it. A PNG is loaded by the question, so it comes last.
        orientation = 1 if image.format == "TIFF" else _orientation(image)
    return flat, _ORIENTATIONS.get(orientation)


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise ImageError(f"the image has {width} × {height} pixels, at most {MAX_PIXELS:,} are read")
    if max(width, height) > MAX_SIDE:
        raise ImageError(f"the image has {width} × {height} pixels, at most {MAX_SIDE:,} in a row are read")


def _square(image: Image.Image, turn: Transpose | None, size: int) -> NDArray[np.uint8]:
    square = image.resize((size, size), Image.Resampling.BICUBIC).convert("RGB")
    if turn is not None:  # a square turns after the resize as well as before it, and much cheaper
        square = square.transpose(turn)
    return np.asarray(square, dtype=np.uint8)


def _orientation(image: Image.Image) -> int:
    # A broken EXIF block says nothing about the pixels.
    with contextlib.suppress(Exception):
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    return 1


def _flatten(image: Image.Image) -> Image.Image:
    """Return an opaque image of 8 bits, in gray or RGB; at no time is there a third copy of all pixels."""
    if image.mode in ("RGB", "L") and not image.has_transparency_data:
        return image
    return _tiled(image, _over_white if image.has_transparency_data else _opaque)


def _tiled(image: Image.Image, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    # Tile by tile: conversions have intermediate results, and all of a large image's would take gigabytes.
    whole = Image.new("RGB", image.size)
    for corner, tile in _tiles(image):
        whole.paste(convert(tile), corner)
    return whole


def _tiles(image: Image.Image) -> Iterator[tuple[tuple[int, int], Image.Image]]:
    width, height = image.size
    for top in range(0, height, _TILE):
        for left in range(0, width, _TILE):
            yield (left, top), image.crop((left, top, min(left + _TILE, width), min(top + _TILE, height)))


def _opaque(tile: Image.Image) -> Image.Image:
    return tile.convert("RGB")


def _over_white(tile: Image.Image) -> Image.Image:
    layer = tile.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")


def _not_an_image(data: bytes) -> str:
    start = data.lstrip()[:15].lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "an HTML page came instead of an image (a login or error page?)"
    if data.startswith((b"II*\0", b"MM\0*", b"\xff\xd8\xff")):
        kind = "JPEG" if data.startswith(b"\xff") else "TIFF"
        return f"a {kind} that is damaged, or with pixels of a kind that is not read: save it as a PNG of 8 or 16 bits"
    return f"not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} image (it begins with {data[:12]!r})"
