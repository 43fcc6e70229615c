"""From the bytes of an image file to the pixels a model looks at."""

from __future__ import annotations

import contextlib
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.Image import Transpose

from .exceptions import ImageError

__all__ = ["FORMATS", "MAX_PIXELS", "decode"]

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
MAX_PIXELS = 89_000_000  # a file of a few kB can claim gigapixels; Pillow warns a little above this number
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
    applied, transparency is laid over white, 16-bit grey is cut to 8 bits, the first frame of an animation counts.

    Parameters
    ----------
    data : bytes
        A whole file in one of `FORMATS`.
    size : int
        Side of the square in pixels.

    Returns
    -------
    ndarray of shape (size, size, 3), uint8
        RGB.

    Raises
    ------
    ImageError
        If the file is empty, of another format, truncated, damaged or has more than `MAX_PIXELS`. A truncated file
        is never filled up: a half-grey image is an outlier, and diversity sampling picks outliers first.
    """
    if not data:
        raise ImageError("the file is empty")
    try:
        return _decode(data, size)
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
        raise ImageError(f"the image is damaged or truncated ({error or type(error).__name__})") from error


def _decode(data: bytes, size: int) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise ImageError(f"the image has {width} × {height} pixels, at most {MAX_PIXELS:,} are read")
        orientation = _orientation(image)
        # A JPEG is decoded at 1/2, 1/4 or 1/8 of its size where that is still at least the target's.
        image.draft(None, (size, size))
        image.load()
        square = _to_rgb(image).resize((size, size), Image.Resampling.BICUBIC)
    if orientation in _ORIENTATIONS:  # a square turns after the resize as well as before it, and much cheaper
        square = square.transpose(_ORIENTATIONS[orientation])
    return np.asarray(square, dtype=np.uint8)


def _orientation(image: Image.Image) -> int:
    # A broken EXIF block says nothing about the pixels.
    with contextlib.suppress(Exception):
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    return 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image).clip(0, 65_535) // 257).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        values = np.nan_to_num(np.asarray(image, dtype=np.float64))
        scale = 255.0 if values.max() <= 1.0 else 1.0
        return Image.fromarray((values * scale).clip(0, 255).round().astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")


def _not_an_image(data: bytes) -> str:
    start = data.lstrip()[:15].lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "an HTML page came instead of an image (a login or error page?)"
    return f"not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} image (it begins with {data[:12]!r})"
