"""Thumbnails, by which people know an image again: small WebP files, cut from pixels that are decoded anyhow."""

from __future__ import annotations

import io

from PIL import Image
from PIL.Image import Transpose

from ..exceptions import ImageError
from ..transport import reason

__all__ = ["SIDE", "cut"]

SIDE = 128  # pixels of the longer side
# The encoder's third of seven efforts takes half the time of its fifth, for files that are 5 % larger.
_QUALITY, _EFFORT = 60, 2


def cut(image: Image.Image, turn: Transpose | None = None) -> bytes:
    """Return an image's thumbnail.

    Parameters
    ----------
    image : Image
        All pixels, opaque and of 8 bits, gray or RGB.
    turn : Transpose, optional
        How they have yet to be turned.

    Returns
    -------
    bytes
        A WebP file, mostly of one to three kB. Its longer side has `SIDE` pixels, or as many as the image has if that
        is less; the aspect ratio is kept.

    Raises
    ------
    ImageError
        If none can be made, as by a Pillow that was built without WebP.
    """
    try:
        return _webp(image, turn)
    except Exception as error:
        raise ImageError(f"no thumbnail can be made of the image ({reason(error)})") from error


def _webp(image: Image.Image, turn: Transpose | None) -> bytes:
    scale = min(1.0, SIDE / max(image.size))
    width, height = (max(1, round(scale * side)) for side in image.size)
    # First in whole steps, which costs one look at each pixel and cannot be told from the slow way at this size.
    small = image.resize((width, height), Image.Resampling.HAMMING, reducing_gap=2.0).convert("RGB")
    if turn is not None:
        small = small.transpose(turn)
    small.info.clear()  # older releases of Pillow write its color profile along, of whatever size
    file = io.BytesIO()
    small.save(file, "WEBP", quality=_QUALITY, method=_EFFORT)
    return file.getvalue()
