"""What one process works with: deployment settings, Redis, Label Studio, and a model that stays warm."""

from __future__ import annotations

import os
import threading
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ..exceptions import EmbedderError
from ..fetching import ImageFetcher
from ..jobs import EmbedderChoice, all_tell
from ..labelstudio import LabelStudio
from ..replica import Replica
from ..settings import Deployment
from ..state import PatternCache, Project, Redis, connect
from .models import keep_card, keep_error, precision_of

if TYPE_CHECKING:
    from ..images import Embedder

__all__ = ["Runtime", "current", "install"]

COPIED = 5_000_000  # rows of copies in the memory of one worker; 20 bytes each, more or less
HELD = 2  # models in the memory of one worker: projects of two embedders, or of two kinds, take turns without loading


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
    trouble : str
        Why this worker leaves work to others, empty while it does not: with its sign of life it is told.
    """

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.leaving = threading.Event()
        self.trouble = ""
        self._embedders: dict[tuple[str, int | None, bool, str], Embedder] = {}  # the one used last at the end
        self._replicas: dict[str, Replica] = {}  # likewise, by the project's key

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

    def embedder(self, *, doubled: bool = False, choice: EmbedderChoice | None = None) -> Embedder:
        """Return an embedding model; `doubled` is the double input size that segmentation uses.

        Its card is kept for the processes that do not load it, or why it cannot be had.

        Parameters
        ----------
        choice : EmbedderChoice, optional
            Which model. Default: that of new projects.

        Raises
        ------
        EmbedderError
            If it cannot be had, or only with other weights than those that are wanted.
        """
        choice = choice or EmbedderChoice.offered(self.deployment)
        try:
            model = self._loaded(choice, doubled)
        except EmbedderError as error:
            keep_error(self.store, self.deployment, doubled, error, choice)
            raise
        keep_card(self.store, self.deployment, doubled, model.card, choice)  # Redis may have lost it
        return model

    def _loaded(self, choice: EmbedderChoice, doubled: bool) -> Embedder:
        from ..images import Embedder, weights_file

        wanted = (choice.model, choice.image_size, doubled)
        precision = precision_of(self.store, self.deployment, doubled, choice)
        held = [key for key in self._embedders if key[:3] == wanted and precision in (None, key[3])]
        if held:
            model = self._embedders.pop(held[-1])
        else:
            while len(self._embedders) >= HELD:
                del self._embedders[next(iter(self._embedders))]
            file = weights_file(self.deployment.weights, self.deployment.embedder, choice.model, choice.weights)
            model = Embedder.load(
                choice.model, file, image_size=choice.image_size, doubled=doubled, precision=precision
            )
        # As the newest, also where it is not the one that is asked for: others use it.
        self._embedders[*wanted, model.precision] = model
        if choice.weights and model.weights_digest != choice.weights:
            raise EmbedderError(
                f"the images so far were embedded by {choice.model} with weights of sha256 {choice.weights[:12]}…, and "
                f"those to be had now on {os.uname().nodename} are others ({model.weights_digest[:12]}…): put the file "
                "back (LABELQUEUE_WEIGHTS, the same file on every machine), or have all images of the project embedded "
                f"anew: `labelqueue set PROJECT embedder={choice.model}`"
            )
        return model

    def cache(self, project: Project, generation: str) -> PatternCache:
        """Return a project's pattern cache of one generation."""
        return PatternCache(project, generation, self.spool)

    def replica(self, project: Project) -> Replica:
        """Return the copy of a project's columns that this process keeps, as they are now.

        Copies used longest ago go when all are too large together.
        """
        found = self._replicas.pop(project.key, None) or Replica(project)
        while self._replicas and len(found) + sum(map(len, self._replicas.values())) > COPIED:
            del self._replicas[next(iter(self._replicas))]
        self._replicas[project.key] = found
        found.refresh(trusted=all_tell(self.store))
        return found

    def forget_replica(self, key: str) -> None:
        """Forget the copy of the project with this key, because something did not fit."""
        self._replicas.pop(key, None)

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
