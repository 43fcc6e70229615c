"""What the checks look at, an installation and perhaps one of its projects, each asked for once; what they find."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeVar

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from ..exceptions import LabelQueueError, LabelStudioError
from ..labelstudio import LabelStudio, Skipped
from ..settings import Deployment
from ..state import LIVE_VERSION, Project, Redis, StoreFacts, connect, store_facts
from .lines import Record

__all__ = ["Check", "Scene", "Seen", "State", "finding_lines", "unknown", "warning", "well", "worst", "wrong"]

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


# -- what is found

State = Literal["well", "unknown", "warning", "wrong"]
STATES: tuple[State, ...] = ("well", "unknown", "warning", "wrong")  # the worst last


class Seen(NamedTuple):
    """What one look at a thing says: its state, what is seen for people, and the way out unless it is well."""

    state: State
    told: str
    way_out: str = ""


def well(told: str) -> Seen:
    """Return that a thing is as it should be."""
    return Seen("well", told)


def unknown(told: str, way_out: str = "") -> Seen:
    """Return that a thing cannot be seen."""
    return Seen("unknown", told, way_out)


def warning(told: str, way_out: str) -> Seen:
    """Return that a thing works, and will surprise people."""
    return Seen("warning", told, way_out)


def wrong(told: str, way_out: str) -> Seen:
    """Return that a thing does not work."""
    return Seen("wrong", told, way_out)


@dataclass(frozen=True)
class Check:
    """One row of the table of checks.

    Attributes
    ----------
    name : str
        What is looked at.
    why : str
        Why it matters, for people.
    look : callable
        Looks at it; what it raises on purpose says that it cannot be seen.
    fix : callable, optional
        Repairs it when it is wrong, or asks a worker to, and says what it did. Only what is safe to do at any time.
    """

    name: str
    why: str
    look: Callable[[Scene], Seen]
    fix: Callable[[Scene], str] | None = None


def worst(findings: Iterable[Mapping[str, Any]]) -> State:
    """Return the worst state among findings; well when there are none."""
    return STATES[max((STATES.index(finding["state"]) for finding in findings), default=0)]


def finding_lines(findings: Iterable[Record]) -> Iterator[str]:
    """Yield findings for people: one line each, and what they need to know of those that are not well."""
    for finding in findings:
        yield f"  {finding['state']:<8} {finding['check']:<14} {finding['told']}"
        if finding["state"] == "well":
            continue
        for name, text in (("why", finding["why"]), ("way out", finding["way_out"]), ("done", finding["fixed"])):
            if text:
                yield f"  {'':<8} {'':<14} {name}: {text}"
