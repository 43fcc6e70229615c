"""Which embedder a project's images go to, by name: what the processes tell each other of it, and people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..allowed import IMPORTED
from ..records import known_fields
from ..settings import Deployment
from ..state import Project

__all__ = ["EmbedderChoice", "embedder_status", "imported_vectors"]


@dataclass(frozen=True)
class EmbedderChoice:
    """How images become vectors, as far as people choose it.

    Attributes
    ----------
    model : str
        timm name, ``bundled``, or ``imported NAME``: vectors that came from a file.
    image_size : int or None
        Side in pixels that images are squashed to, before it is doubled for segmentation. None: the model's usual one.
    weights : str
        sha256 (hex) of the weights; empty: whichever are to be had. Of imported vectors, of the file.
    asked : float
        Unix time at which somebody set the project's `embedder` to it; 0 when nobody did.
    precision : str
        ``bfloat16`` or ``float16``, where the model is to compute with it, on whichever device. Empty: float32 where
        the weights are known, as they are of every embedder that serves; else what the device of whoever loads it
        first does best.
    """

    model: str
    image_size: int | None = None
    weights: str = ""
    asked: float = 0.0
    precision: str = ""

    @classmethod
    def offered(cls, deployment: Deployment) -> EmbedderChoice:
        """Return what a new project gets."""
        return cls(deployment.embedder, deployment.image_size)

    @property
    def imported(self) -> str:
        """Name under which its vectors were imported; empty when a model makes them."""
        return self.model.removeprefix(IMPORTED) if self.model.startswith(IMPORTED) else ""

    @property
    def told(self) -> str:
        """The embedder in words."""
        return f"{self.model} at {self.image_size} pixels" if self.image_size else self.model

    def same(self, other: EmbedderChoice) -> bool:
        """Tell whether it is the same one for people, who do not see weights."""
        sizes = {self.image_size, other.image_size} - {None}
        return self.model == other.model and len(sizes) < 2

    def dump(self) -> str:
        """Return the JSON form, as the facts ``embedder``, ``embedder_wanted`` and ``embedder_offered`` hold it."""
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, raw: str) -> EmbedderChoice | None:
        """Parse `dump`'s form; None for an empty one."""
        return cls(**known_fields(cls, json.loads(raw))) if raw else None


def imported_vectors(project: Project) -> dict[str, Any]:
    """Return what is known of the vectors that were imported: ``model`` (``imported NAME``), ``generation``, ``file``
    (its sha256) and ``dimension``; empty when there are none."""
    found: dict[str, Any] = json.loads(project.get("imported") or "{}")
    return found


def embedder_status(info: Mapping[str, str], embedded: int, tasks: int) -> dict[str, Any]:
    """Return which embedder made the vectors that serve, which one is to, and what new projects get.

    Parameters
    ----------
    info : mapping of str to str
        The project's facts.
    embedded, tasks : int
        How many vectors serve, and for how many tasks.
    """
    names = ("embedder", "embedder_wanted", "embedder_offered")
    serving, wanted, offered = (EmbedderChoice.load(info.get(name, "")) for name in names)
    return {
        "serving": serving.told if serving else "",
        "building": wanted.told if wanted and serving and not wanted.same(serving) else "",
        "new_projects": offered.told if offered else "",
        "model": offered.model if offered and not (wanted and offered.same(wanted)) else "",
        "without_vector": max(tasks - embedded, 0) if serving and serving.imported else 0,
    }
