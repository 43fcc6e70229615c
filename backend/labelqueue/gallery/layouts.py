"""Where images stand on the map, kept per generation of embeddings, so that nothing moves when an image is added."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..exceptions import CacheError
from ..records import pack, unpack
from ..state import Project

__all__ = ["Layout", "keep_layout", "load_layout"]

TAG, FORMAT = "labelqueue_layout", 1
DIGEST = 32  # bytes of the checksum in front
log = logging.getLogger(__name__)

# A worker that only added images must not bring back what another one replaced.
_KEEP = """
local fitted = redis.call('hget', KEYS[1], 'fitted_at')
if fitted and tonumber(fitted) > tonumber(ARGV[1]) then return 0 end
redis.call('hset', KEYS[1], 'fitted_at', ARGV[1], 'layout', ARGV[2])
return 1
"""


@dataclass(frozen=True, eq=False)
class Layout:
    """How images are laid out, and where each stands.

    Attributes
    ----------
    projection : {'pca', 'tsne'}
        How the landmarks were: `pagework.projection` says what becomes of the others.
    fitted_at : float
        Unix time.
    fitted : int
        Images there were then.
    mean : ndarray of shape (d,), float32
    axes : ndarray of shape (d, 2), float32
        Of PCA: a unit vector stands at ``(vector - mean) @ axes``, from the middle of the map.
    anchors : ndarray of shape (k, d), float16
        Of t-SNE: the landmarks, unit vectors.
    places : ndarray of shape (k, 2), float32
        Where they stand.
    ids : ndarray of shape (n,), int64
        Tasks whose images have a place, ascending.
    sources : ndarray of shape (n,), uint64
        Which image that was: `source_hash` of its URI.
    points : ndarray of shape (n, 2), uint16
        Where they stand.
    """

    projection: str
    fitted_at: float
    fitted: int
    mean: NDArray[np.float32]
    axes: NDArray[np.float32]
    anchors: NDArray[np.float16]
    places: NDArray[np.float32]
    ids: NDArray[np.int64]
    sources: NDArray[np.uint64]
    points: NDArray[np.uint16]

    def to_bytes(self) -> bytes:
        """Return the stored form: a checksum, then a safetensors file."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
        facts = {name: value for name, value in values.items() if name not in arrays}
        data = pack(arrays, TAG, json.dumps({"format": FORMAT, **facts}))
        return hashlib.sha256(data).digest() + data

    @classmethod
    def from_bytes(cls, data: bytes) -> Layout:
        """Parse `to_bytes`'s form; raises CacheError when it is damaged or of another format."""
        if hashlib.sha256(data[DIGEST:]).digest() != data[:DIGEST]:
            raise CacheError(f"layout: these {len(data)} bytes do not match their checksum")
        arrays, note = unpack(data[DIGEST:], TAG)
        facts: dict[str, Any] = json.loads(note or "{}")
        if (version := facts.pop("format", None)) != FORMAT:
            raise CacheError(f"layout: format {version!r}, this version reads format {FORMAT}")
        values: dict[str, Any] = {**arrays, **facts}
        return cls(**values)


def load_layout(project: Project, generation: str) -> Layout | None:
    """Return how the images of a generation are laid out; None when that is not known, or cannot be read."""
    raw = project.store.hget(project.name("cache", generation, "layout"), "layout")
    if not isinstance(raw, bytes):
        return None
    try:
        return Layout.from_bytes(raw)
    except (CacheError, TypeError) as error:
        log.warning("project %d: the map is laid out anew: %s", project.ref.id, error)
        return None


def keep_layout(project: Project, generation: str, layout: Layout) -> bool:
    """Keep how the images of a generation are laid out, unless they were laid out anew meanwhile; tell whether it was
    kept."""
    key = project.name("cache", generation, "layout")
    return bool(project.store.eval(_KEEP, 1, key, repr(layout.fitted_at), layout.to_bytes()))
