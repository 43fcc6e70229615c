"""The geometry of BAL: the centroids that cluster a pool, frozen until the pool outgrows them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..block import Block, Origin, widened
from ..exceptions import CacheError
from ..records import pack, pack_ids, unpack, unpack_ids
from .lesson import BEFORE, Recall

__all__ = ["Clusters", "Geometry", "digest_of"]

TAG, FORMAT = "labelqueue_geometry", "1"
FACTS = 9  # entries of the facts; an earlier version wrote 6, a later one may add some

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
    seed : int
        Of the k-means.
    mark, seen : str
        Mark and digest of the rows' origin; empty when they were not noted.
    fitted : bytes
        The rows' ids, see `records.pack_ids`; with the three above it, everything to fit the same centroids again.
    """

    centroids: NDArray[np.float32]
    wanted: int
    rows: int
    newest: int
    distance: float
    source: str
    why: str = "first clusters"
    seed: int = 0
    mark: str = ""
    seen: str = ""
    fitted: bytes = b""

    @classmethod
    def fit(
        cls, rows: Block, k: int, *, seed: int, source: str, why: str = "first clusters", mark: str = ""
    ) -> Geometry:
        """Fit k centroids per seed on a block whose ids ascend."""
        from poolselect import fit_centroids

        embeddings = widened(rows.embeddings)
        centroids = fit_centroids(embeddings, k, random_state=seed)
        newest = int(rows.ids[-1])
        distance = _mean_distance(_some(embeddings), centroids[0])
        origin = Origin.of(rows, source, mark)
        fitted = pack_ids(rows.ids)
        return cls(centroids, k, len(rows.ids), newest, distance, source, why, seed, mark, origin.digest, fitted)

    @property
    def origin(self) -> Origin:
        """Which embeddings they were fitted on; its digest is empty when that was not noted."""
        return Origin(self.source, self.mark, self.seen)

    def outgrown(self, rows: Block, k: int, source: str) -> str:
        """Return why the centroids no longer fit these rows, or an empty string."""
        if self.source != source:
            return "the images were embedded anew"
        if self.wanted != k:
            return f"{k} clusters are wanted instead of {self.wanted}"
        if len(rows.ids) >= GROWTH * self.rows:
            return f"the pool grew from {self.rows} to {len(rows.ids)} tasks"
        new = np.flatnonzero(rows.ids > self.newest)
        some = rows.embeddings[_some(new)].astype(np.float32)
        if len(new) >= 20 and _mean_distance(some, self.centroids[0]) > DRIFT * self.distance:
            return f"{len(new)} new tasks lie far from the clusters"
        return ""

    @property
    def digest(self) -> str:
        """Short digest of the centroids, for the audit."""
        return digest_of(self.centroids)

    def to_bytes(self) -> bytes:
        """Return the safetensors form."""
        known = [self.wanted, self.rows, self.newest, self.distance, self.source, self.why]
        facts = json.dumps([*known, self.seed, self.mark, self.seen]).encode()
        parts = {"facts": facts, "fitted": self.fitted}
        arrays = {name: np.frombuffer(data, dtype=np.uint8) for name, data in parts.items()}
        return pack({"centroids": self.centroids, **arrays}, TAG, FORMAT)

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
        fitted = arrays["fitted"].tobytes() if "fitted" in arrays else b""
        return replace(cls(arrays["centroids"], *json.loads(arrays["facts"].tobytes())[:FACTS]), fitted=fitted)


@dataclass(frozen=True, eq=False)
class Clusters:
    """What BAL's centroids were fitted on: fitted again, they are the same to the bit.

    Attributes
    ----------
    fitted : bytes
        Ids, see `records.pack_ids`; empty from before they were noted.
    wanted, seed : int
        k, and the seed of the k-means.
    origin : Origin
    digest : str
        Of the centroids.
    """

    fitted: bytes
    wanted: int
    seed: int
    origin: Origin
    digest: str

    @classmethod
    def of(cls, geometry: Geometry) -> Clusters:
        """Return what these centroids were fitted on."""
        return cls(geometry.fitted, geometry.wanted, geometry.seed, geometry.origin, geometry.digest)

    def centroids(self, recall: Recall) -> NDArray[np.float32]:
        """Fit them again; raises CacheError when the rows cannot be had."""
        if not self.fitted:
            raise CacheError(f"its clusters were fitted {BEFORE}")
        rows = recall(unpack_ids(self.fitted), self.origin)
        return Geometry.fit(rows, self.wanted, seed=self.seed, source=self.origin.generation).centroids

    def facts(self) -> dict[str, Any]:
        """Return everything but the ids, ready for JSON."""
        return {"wanted": self.wanted, "seed": self.seed, "origin": asdict(self.origin), "digest": self.digest}

    @classmethod
    def parse(cls, facts: Mapping[str, Any], fitted: bytes) -> Clusters:
        """Return the clusters of `facts` and their ids."""
        return cls(fitted=fitted, **{**facts, "origin": Origin(**facts["origin"])})


def digest_of(centroids: NDArray[np.float32]) -> str:
    """Return a short digest of centroids of shape (s, k, d)."""
    return hashlib.sha256(np.ascontiguousarray(centroids).tobytes()).hexdigest()[:16]


def _some(rows: NDArray[Any]) -> NDArray[Any]:
    """Return every step-th row: a mean over thousands is good enough, and the same each time."""
    chosen: NDArray[Any] = rows[:: max(1, len(rows) // SAMPLE)]
    return chosen


def _mean_distance(some: NDArray[np.float32], centroids: NDArray[np.float32]) -> float:
    squares = (some**2).sum(axis=1)[:, None] - 2 * some @ centroids.T + (centroids**2).sum(axis=1)[None]
    return float(np.sqrt(np.maximum(squares.min(axis=1), 0)).mean())
