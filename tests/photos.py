"""Pictures for tests of embedding."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def draw_photos(count: int) -> NDArray[np.uint8]:
    """Draw smooth colored blobs on gradients, shape (count, 160, 160, 3): unlike noise, they spread the attention
    unevenly."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:160, :160] / 160
    images = []
    for _ in range(count):
        image = np.stack([x * rng.random() + y * rng.random() for _ in range(3)], axis=2) * 120
        for _ in range(4):
            cy, cx, radius = rng.random(), rng.random(), 0.05 + 0.2 * rng.random()
            image[(y - cy) ** 2 + (x - cx) ** 2 < radius**2] = rng.integers(0, 256, 3)
        images.append(image + rng.normal(0, 6, image.shape))
    return np.clip(np.stack(images), 0, 255).astype(np.uint8)
