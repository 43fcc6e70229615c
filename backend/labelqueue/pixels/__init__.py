"""From an image's bytes to its pixels: decoding, more than 8 bits, DICOM, thumbnails.

Imports `transport` and leaves; pydicom is loaded when an image is a DICOM file.
"""

from .decoding import FORMATS, decode, decode_with_thumbnail, thumbnail_of

__all__ = ["FORMATS", "decode", "decode_with_thumbnail", "thumbnail_of"]
