"""What one process works with: deployment settings, Redis, Label Studio, and a model that stays warm."""

from __future__ import annotations

import threading
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ..exceptions import EmbedderError
from ..fetching import ImageFetcher
from ..labelstudio import LabelStudio
from ..settings import Deployment
from ..state import PatternCache, Project, Redis, connect
from .models import keep_card, keep_error

if TYPE_CHECKING:
    from ..images import Embedder

__all__ = ["Runtime", "current", "install"]


class Runtime:
    """The parts of one process, each made on first use and kept.

    Parameters
    ----------
    deployment : Deployment
        Settings of the environment.

    Attributes
    ----------
    leaving : threading.Event
        Set when the process was told to stop: the job at hand comes to an end soon.
    """

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.leaving = threading.Event()
        self._embedders: dict[bool, Embedder] = {}

    @cached_property
    def store(self) -> Redis:
        """Connection to Redis, which is waited for: a worker asks for jobs and is told when there is one."""
        return connect(self.deployment, timeout=None)

    @cached_property
    def client(self) -> LabelStudio:
        """Client of Label Studio."""
        deployment = self.deployment
        return LabelStudio(deployment.label_studio_url, deployment.label_studio_api_key, ca_bundle=deployment.ca_bundle)

    @cached_property
    def fetcher(self) -> ImageFetcher:
        """Reader of task images."""
        deployment = self.deployment
        names = (deployment.label_studio_host, *deployment.label_studio_aliases)
        return ImageFetcher(
            self.client,
            names=names,
            learn=lambda: self.client.hostname(),
            allow_hosts=deployment.allow_hosts,
            ca_bundle=deployment.ca_bundle,
        )

    def embedder(self, *, doubled: bool = False) -> Embedder:
        """Return the embedding model; `doubled` is the double input size that segmentation uses.

        Its card is kept for the processes that do not load it, or why it cannot be had.
        """
        if doubled not in self._embedders:
            from ..images import Embedder

            name, weights = self.deployment.embedder, self.deployment.weights
            try:
                model = Embedder.load(name, weights)
                if doubled:
                    model = Embedder.load(name, weights, image_size=2 * model.image_size)
            except EmbedderError as error:
                keep_error(self.store, self.deployment, doubled, error)
                raise
            self._embedders[doubled] = model
        keep_card(self.store, self.deployment, doubled, self._embedders[doubled].card)  # Redis may have lost it
        return self._embedders[doubled]

    def cache(self, project: Project, generation: str) -> PatternCache:
        """Return a project's pattern cache of one generation."""
        return PatternCache(project, generation, self.spool)

    @property
    def spool(self) -> Path:
        """Folder of local copies of embedded blocks."""
        return self.deployment.home / "spool"


_current: Runtime | None = None


def install(runtime: Runtime) -> None:
    """Make `runtime` the one that this process's jobs use."""
    global _current
    _current = runtime


def current() -> Runtime:
    """Return this process's runtime; jobs are called by name and have no other way to reach it."""
    if _current is None:
        raise RuntimeError("no runtime installed: jobs run inside `labelqueue worker`")
    return _current
