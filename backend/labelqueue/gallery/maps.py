"""The map of a project's images as it is shown: where each stands, and a byte for each of what it can be colored by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..exceptions import ProjectError
from ..state import Project, text

__all__ = ["COLUMNS", "MISSING", "Map", "Maps"]

COLUMNS = ("state", "label", "prediction", "doubt", "rank", "order", "duplicates", "arrival")
MISSING = 255  # the byte of an image that has no value there
FORMAT = "1"  # of the hashes, a part of their names
UNFINISHED = 600  # seconds after which a map is nobody's that was written and not put up

# Put a map up, unless one is there that saw the project later. The one before stays, for pages that are half-way
# through reading it, and the one before that goes.
_PUT_UP = """
local now = redis.call('hmget', KEYS[1], 'revision', 'begun', 'before')
if now[2] and tonumber(now[2]) > tonumber(ARGV[3]) then return 0 end
if now[1] and now[1] ~= ARGV[2] then
  if now[3] and now[3] ~= ARGV[2] then redis.call('unlink', ARGV[4] .. now[3]) end
  redis.call('hset', KEYS[1], 'before', now[1])
end
redis.call('hset', KEYS[1], 'facts', ARGV[1], 'revision', ARGV[2], 'begun', ARGV[3])
redis.call('persist', ARGV[4] .. ARGV[2])
return 1
"""


@dataclass(frozen=True, eq=False)
class Map:
    """One map, ready to be shown.

    Attributes
    ----------
    ids : ndarray of shape (n,), int64
        Tasks, ascending.
    points : ndarray of shape (n, 2), uint16
        Where each stands: x to the right, y down, in one unit.
    columns : mapping of str to ndarray of shape (n,), uint8
        One for each of `COLUMNS`.
    facts : mapping
        What else `Maps.facts` tells, ready for JSON; ``columns`` among them.
    """

    ids: NDArray[np.int64]
    points: NDArray[np.uint16]
    columns: Mapping[str, NDArray[np.uint8]]
    facts: Mapping[str, Any]

    def parts(self) -> dict[str, bytes]:
        """Return what pages read, as they read it."""
        return {
            "ids": self.ids.astype("<f8").tobytes(),
            "points": self.points.astype("<u2").tobytes(),
            **{name: self.columns[name].tobytes() for name in COLUMNS},
        }


class Maps:
    """The map of a project that is up. It can be lost: it is made anew when a page asks for it.

    Parameters
    ----------
    project : Project
    """

    def __init__(self, project: Project) -> None:
        self._project, self._store = project, project.store
        self._key = project.name("map")

    def facts(self) -> dict[str, Any] | None:
        """Return what is to be known of the map, ready for JSON; None before the first of these embeddings.

        Returns
        -------
        dict
            ``revision`` (str) names these very bytes; ``count``, the images on it; ``generation`` of their embeddings;
            ``projection``, ``pca`` or ``tsne``, made at ``fitted_at`` (Unix time) of ``fitted`` images;
            ``laying_out``, whether a better one is due; ``made_at`` (Unix time) and the seconds that this ``took``;
            ``of``, the state of the project that it shows; ``missing``, tasks without embeddings, which are not on it;
            ``columns``, for each of `COLUMNS` what its bytes mean. Categories: ``names[byte]``. A scale: from ``low``
            (0) to ``high`` (254), ``log`` where it grows by factors. 255: no value.
        """
        raw = self._store.hget(self._key, "facts")
        if raw is None:
            return None
        facts: dict[str, Any] = json.loads(raw)
        if facts.get("format") != FORMAT or facts["generation"] != self._project.get("generation"):
            return None
        return facts if self._store.exists(self._name(facts["revision"])) else None

    def points(self, revision: str = "") -> bytes:
        """Return where each image stands: x and y, two little-endian uint16 for each.

        Parameters
        ----------
        revision : str, optional
            Of which map. Default: that which is up.

        Raises
        ------
        ProjectError
            When there is no map, or not that one any more.
        """
        return self._part("points", revision)

    def ids(self, revision: str = "") -> bytes:
        """Return the tasks, ascending, a little-endian float64 for each; see `points`."""
        return self._part("ids", revision)

    def column(self, name: str, revision: str = "") -> bytes:
        """Return one of `COLUMNS`, a byte for each image; see `points`."""
        if name not in COLUMNS:
            raise ProjectError(f"the map has no column {name[:40]!r}; it has {', '.join(COLUMNS)}")
        return self._part(name, revision)

    def _part(self, name: str, revision: str) -> bytes:
        number = self._project.ref.id
        if not revision:
            facts = self.facts()
            if facts is None:
                raise ProjectError(f"project {number} has no map yet: open its page Map")
            revision = facts["revision"]
        raw = self._store.hget(self._name(revision), name)
        if not isinstance(raw, bytes):
            raise ProjectError(f"the map {revision[:20]!r} of project {number} is gone, there is a newer one: load it")
        return raw

    def put(self, made: Map, begun: float) -> dict[str, Any]:
        """Put a map up, and return the facts of the one that is up then.

        Parameters
        ----------
        made : Map
        begun : float
            Unix time at which the project was read for it: a map that saw the project later stays.
        """
        parts = made.parts()
        digest = hashlib.sha256()
        for part in parts.values():
            digest.update(part)
        digest.update(json.dumps(made.facts["columns"]).encode())
        revision = digest.hexdigest()[:16]
        facts = {**made.facts, "format": FORMAT, "revision": revision, "count": int(made.ids.size)}
        name = self._name(revision)
        if self._store.hlen(name) != len(parts):
            for part_name, data in parts.items():  # one at a time: each is a few megabytes
                self._store.hset(name, part_name, data)
            self._store.expire(name, UNFINISHED)
        self._store.eval(_PUT_UP, 1, self._key, json.dumps(facts), revision, repr(begun), self._name(""))
        return self.facts() or facts

    def note_layout(self, fitted_at: float) -> None:
        """Note when the images were laid out last: the map that is up is no longer that of the project."""
        self._store.hset(self._key, "laid_out", repr(fitted_at))

    def laid_out(self) -> str:
        """Return when the images were laid out last, as text; empty before."""
        raw = self._store.hget(self._key, "laid_out")
        return "" if raw is None else text(raw)

    def _name(self, revision: str) -> str:
        return self._project.name("map", revision)
