"""The geometry of BAL: the centroids that cluster a pool, frozen until the pool outgrows them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..block import Block
from ..exceptions import CacheError
from ..records import pack, unpack

__all__ = ["Geometry"]

TAG, FORMAT = "labelqueue_geometry", "1"
FACTS = 6  # entries of the facts; a later version may add some

GROWTH = 2.0  # pool size, against the one at the fit, from which the centroids are fitted anew
DRIFT = 1.25  # distance of new tasks to their centroid, against the old tasks', likewise
SAMPLE = 2000  # rows on which distances are measured


@dataclass(frozen=True, eq=False)
class Geometry:
    """Frozen centroids of several k-means seeds, and what tells whether they still fit.

    Attributes
    ----------
    centroids : ndarray of shape (s, k, d), float32
        One set of k centroids per k-means seed.
    wanted : int
        The k that was asked for; there are fewer when few images differ.
    rows, newest : int
        Rows at the fit, and the highest task id among them.
    distance : float
        Mean distance of those rows to their nearest centroid (of the first seed).
    source : str
        Generation of the embeddings they were fitted on.
    why : str
        Why they were fitted then, for the audit.
    """

    centroids: NDArray[np.float32]
    wanted: int
    rows: int
    newest: int
    distance: float
    source: str
    why: str = "first clusters"

    @classmethod
    def fit(cls, rows: Block, k: int, *, seed: int, source: str, why: str = "first clusters") -> Geometry:
        """Fit k centroids per seed on a block whose ids ascend."""
        from poolselect import fit_centroids

        embeddings = rows.embeddings.astype(np.float32)
        centroids = fit_centroids(embeddings, k, random_state=seed)
        newest = int(rows.ids[-1])
        return cls(centroids, k, len(rows.ids), newest, _mean_distance(embeddings, centroids[0]), source, why)

    def outgrown(self, rows: Block, k: int, source: str) -> str:
        """Return why the centroids no longer fit these rows, or an empty string."""
        if self.source != source:
            return "the images were embedded anew"
        if self.wanted != k:
            return f"{k} clusters are wanted instead of {self.wanted}"
        if len(rows.ids) >= GROWTH * self.rows:
            return f"the pool grew from {self.rows} to {len(rows.ids)} tasks"
        new = rows.embeddings[rows.ids > self.newest].astype(np.float32)
        if len(new) >= 20 and _mean_distance(new, self.centroids[0]) > DRIFT * self.distance:
            return f"{len(new)} new tasks lie far from the clusters"
        return ""

    @property
    def digest(self) -> str:
        """Short digest of the centroids, for the audit."""
        return hashlib.sha256(np.ascontiguousarray(self.centroids).tobytes()).hexdigest()[:16]

    def to_bytes(self) -> bytes:
        """Return the safetensors form."""
        facts = json.dumps([self.wanted, self.rows, self.newest, self.distance, self.source, self.why]).encode()
        return pack({"centroids": self.centroids, "facts": np.frombuffer(facts, dtype=np.uint8)}, TAG, FORMAT)

    @classmethod
    def from_bytes(cls, data: bytes) -> Geometry:
        """Parse `to_bytes`'s form.

        Raises
        ------
        CacheError
            If the bytes are damaged, or of another format.
        """
        arrays, version = unpack(data, TAG)
        if version not in (None, FORMAT) or not {"centroids", "facts"} <= arrays.keys():  # None: before it was noted
            raise CacheError(f"geometry: format {version!r}, this version reads format {FORMAT!r}: fit it again")
        return cls(arrays["centroids"], *json.loads(arrays["facts"].tobytes())[:FACTS])


def _mean_distance(embeddings: NDArray[np.float32], centroids: NDArray[np.float32]) -> float:
    # Every step-th row: a mean over thousands is good enough, and the same each time.
    some = embeddings[:: max(1, len(embeddings) // SAMPLE)]
    squares = (some**2).sum(axis=1)[:, None] - 2 * some @ centroids.T + (centroids**2).sum(axis=1)[None]
    return float(np.sqrt(np.maximum(squares.min(axis=1), 0)).mean())
