"""What the checks look at: an installation and perhaps one of its projects, each thing asked for once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from ..exceptions import LabelQueueError, LabelStudioError
from ..labelstudio import LabelStudio, Skipped
from ..settings import Deployment
from ..state import LIVE_VERSION, Project, Redis, StoreFacts, connect, store_facts

__all__ = ["Scene"]

T = TypeVar("T")
Json = dict[str, Any]

AWAY = (RedisConnectionError, RedisTimeoutError)
TIMEOUT = (2.0, 8.0)  # seconds to connect and to read: a person waits, and tries again


class Scene:
    """An installation and perhaps one of its projects, looked at without changing anything.

    Each property is asked for once. What it raised it raises again; once Redis or Label Studio gave no answer, nothing
    more is asked of it.

    Parameters
    ----------
    deployment : Deployment
        Settings of the environment.
    number : int, optional
        Project id in Label Studio.
    store : callable, optional
        Returns a connection to Redis that is there already.
    """

    def __init__(
        self, deployment: Deployment, number: int | None = None, store: Callable[[], Redis] | None = None
    ) -> None:
        self.deployment = deployment
        self.number = number
        self._connect = store or (lambda: connect(deployment))
        self._seen: dict[str, Any] = {}
        self._failed: dict[str, Exception] = {}
        self._away: LabelStudioError | None = None
        self._lost: RedisError | None = None

    def note(self, error: Exception) -> None:
        """Remember that Redis does not answer, if this error says so: each further try would take its time."""
        if isinstance(error, AWAY):
            self._lost = error

    def _once(self, name: str, ask: Callable[[], T]) -> T:
        if name in self._failed:
            raise self._failed[name]
        if name not in self._seen:
            try:
                self._seen[name] = ask()
            except (LabelQueueError, RedisError) as error:
                self._failed[name] = error
                self.note(error)
                raise
        found: T = self._seen[name]
        return found

    def _ask(self, name: str, call: Callable[[LabelStudio], T]) -> T:
        if self._away is not None:
            raise self._away
        try:
            return self._once(name, lambda: call(self.client))
        except LabelStudioError as error:
            if error.status is None and name not in ("client", "backends"):
                self._away = error
            raise

    # -- Redis

    def _of_store(self, name: str, ask: Callable[[], T]) -> T:
        if self._lost is not None:
            raise self._lost
        return self._once(name, ask)

    @property
    def store(self) -> Redis:
        """Connection to Redis."""
        return self._of_store("store", self._connect)

    @property
    def facts(self) -> StoreFacts:
        """What Redis says of itself."""
        return self._of_store("facts", lambda: store_facts(self.store))

    @property
    def project(self) -> Project:
        """The project as it is known here."""
        assert self.number is not None
        number = self.number
        return self._of_store("project", lambda: Project.find(self.store, self.deployment.label_studio_url, number))

    @property
    def info(self) -> dict[str, str]:
        """The project's facts."""
        return self._of_store("info", lambda: self.project.info())

    # -- Label Studio

    @property
    def client(self) -> LabelStudio:
        """Client of Label Studio that does not wait long."""
        url, key = self.deployment.label_studio_url, self.deployment.label_studio_api_key
        return self._once("client", lambda: LabelStudio(url, key, timeout=TIMEOUT, retries=0))

    @property
    def server(self) -> tuple[Json, float | None]:
        """What Label Studio says of its version, and by how many seconds its clock is ahead of ours."""
        return self._ask("server", lambda client: client.about())

    @property
    def user(self) -> Json:
        """The user our key belongs to."""
        return self._ask("user", lambda client: client.whoami())

    @property
    def remote(self) -> Json:
        """The project as Label Studio shows it."""
        return self._ask("remote", lambda client: client.project(self._number()))

    @property
    def backends(self) -> list[Json]:
        """The project's ML backends. Label Studio asks each how it is before it answers: silence may be theirs."""
        return self._ask("backends", lambda client: client.ml_backends(self._number(), skipped=Skipped()))

    @property
    def ours(self) -> list[Json]:
        """Those of the project's ML backends that are a labelqueue."""
        return [backend for backend in self.backends if backend.get("model_version") == LIVE_VERSION]

    @property
    def webhooks(self) -> list[Json]:
        """The project's webhooks."""
        return self._ask("webhooks", lambda client: client.webhooks(self._number(), skipped=Skipped()))

    @property
    def predictions(self) -> dict[str, int]:
        """How many predictions of each version the project has."""
        return self._ask("predictions", lambda client: client.prediction_counts(self._number()))

    def _number(self) -> int:
        assert self.number is not None
        return self.number
