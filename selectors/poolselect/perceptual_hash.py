"""A perceptual hash: 64 bits that hardly change when an image is compressed, scaled or shifted by a little."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["perceptual_hash"]

SHAPE, LEVEL = 48, 16  # bits for what is where, and for how bright it all is
FLAT = 0.01  # gray levels: a wave that is weaker is none, so that an even image is the same however it is stored
STEP = 0.0165  # one bit of brightness, as a share: 10 % more light are 6 bits
WAVES = sorted(((a, b) for a in range(12) for b in range(12) if a + b), key=lambda wave: (sum(wave), wave))[:SHAPE]


def perceptual_hash(pixels: NDArray[np.uint8]) -> np.uint64:
    """Return the hash of one image, never 0.

    Parameters
    ----------
    pixels : ndarray of shape (side, side, 3), uint8
        RGB, as a decoder gives it: squashed to a square, turned as its EXIF says.

    Notes
    -----
    48 bits are the signs of the longest waves of the gray image (its discrete cosine transform), which is a pHash
    without its median: what is where, whatever the size, the compression or the contrast. The other 16 tell how bright
    it is, in a code where each step changes one bit and which repeats after 32 steps. Without them, photographs of one
    part under other light would be the same image, and inspection varies the light on purpose.

    Bit `i` of each kind is in band ``i % 4``: every quarter of the hash tells something of everything.
    """
    # Whole numbers below 2**24, which float32 holds exactly: the same gray as of integers, in a quarter of the time.
    gray = (pixels.astype(np.float32) @ np.array([299, 587, 114], np.float32)).astype(np.float64)
    waves = _waves(gray.shape[0])
    strengths = waves @ (gray / 1000) @ waves.T / gray.size
    shape = np.array([strengths[wave] > FLAT for wave in WAVES])
    step = int(np.log(gray.mean() / 1000 + 1) / STEP) % (2 * LEVEL)
    at = np.arange(LEVEL)
    level = at < step if step <= LEVEL else at >= step - LEVEL
    bits = np.concatenate([shape.reshape(-1, 4), level.reshape(-1, 4)]).T.ravel()
    return np.packbits(bits).view(">u8")[0].astype(np.uint64) or np.uint64(1)


@lru_cache(maxsize=4)
def _waves(side: int) -> NDArray[np.float64]:
    """Return the cosine waves of shape (12, side)."""
    wave: NDArray[np.float64] = np.cos(np.pi / side * np.outer(np.arange(12), np.arange(side) + 0.5))
    return wave
