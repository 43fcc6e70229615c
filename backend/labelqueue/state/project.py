"""Everything we remember of one Label Studio project, and the Redis keys it lives under."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..exceptions import ProjectError, SettingError
from ..labels import Target, parse_label_config
from ..records import known_fields
from .redis_connection import Redis, text
from .setting_choices import Choice, ProjectSettings

__all__ = ["LIVE_VERSION", "NOT_CONNECTED", "SECRET_HEADER", "Project", "ProjectRef", "TaskRow"]

# What /setup and /predict answer. Never the queue's version: Label Studio stores what /predict answers, and a second
# prediction of one version would upset the order.
LIVE_VERSION = "labelqueue live"
NOT_CONNECTED = "this backend is not connected to the project"  # the fact `paused`, then
SECRET_HEADER = "X-Labelqueue-Secret"  # what the project's webhook sends, so that no stranger can
HOUR = 3600.0  # seconds
LATELY = 600.0  # seconds, over which a pace that has just risen shows

_SETTLE = "if redis.call('hget', KEYS[1], ARGV[1]) == ARGV[2] then redis.call('hset', KEYS[1], ARGV[1], '') end"


@dataclass(frozen=True)
class ProjectRef:
    """Identity of a project. Ids repeat between servers and after resets, so the creation time belongs to it.

    Attributes
    ----------
    origin : str
        Label Studio's URL.
    id : int
        Project id there.
    created : int
        Unix time of the project's creation, in whole seconds.
    """

    origin: str
    id: int
    created: int

    @classmethod
    def load(cls, raw: bytes | str) -> ProjectRef:
        """Parse the JSON form stored in Redis."""
        return cls(**known_fields(cls, json.loads(raw)))

    @property
    def key(self) -> str:
        """Short unique name, used in Redis keys, job arguments and file names."""
        return f"{self.server}-{self.id}-{self.created}"

    @property
    def server(self) -> str:
        """Short name of the Label Studio server."""
        return hashlib.sha256(self.origin.encode()).hexdigest()[:8]

    @classmethod
    def from_setup(cls, origin: str, name: str) -> ProjectRef:
        """Parse the ``<id>.<created>`` that Label Studio sends in /setup and /predict."""
        head, _, tail = name.partition(".")
        if not head.isdigit() or not tail.isdigit():
            raise ProjectError(f"project is {name!r}; expected <id>.<creation time> as Label Studio sends it")
        return cls(origin, int(head), int(tail))

    @classmethod
    def from_api(cls, origin: str, project: Mapping[str, Any]) -> ProjectRef:
        """Take the identity from a project as the API and webhooks show it."""
        try:
            created = datetime.fromisoformat(str(project["created_at"]))
            return cls(origin, int(project["id"]), int(created.timestamp()))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ProjectError(f"not a Label Studio project (id and created_at are needed): {error}") from error


@dataclass(frozen=True)
class TaskRow:
    """What we keep of one task: its image's URI and whether it is unlabeled, annotated or only skipped."""

    uri: str
    state: str

    def dump(self) -> bytes:
        """Return the form stored in Redis: the state's letter, then the URI, in which JSON may leave half a surrogate
        pair."""
        return (self.state + self.uri).encode("utf-8", "surrogatepass")

    @classmethod
    def load(cls, raw: bytes | str) -> TaskRow:
        """Parse `dump`'s form."""
        row = raw if isinstance(raw, str) else raw.decode("utf-8", "surrogatepass")
        return cls(row[1:], row[:1])


class Project:
    """State of one project; every value lives in Redis, none in this object.

    Parameters
    ----------
    store : Redis
        Connection.
    ref : ProjectRef
        Which project.
    """

    def __init__(self, store: Redis, ref: ProjectRef) -> None:
        self.store = store
        self.ref = ref
        self.key = ref.key
        self._info = self.name("info")
        self._settings = ProjectSettings(store, self.name("settings"), self.name("extra_params"))

    def name(self, *parts: str) -> str:
        """Return the Redis key of a part of this project's state."""
        return ":".join(("lq", self.key, *parts))

    # -- the set of projects

    @classmethod
    def open(cls, store: Redis, key: str) -> Project:
        """Return the project of this key.

        Raises
        ------
        ProjectError
            When it was never registered here.
        """
        raw = store.hget("lq:projects", key)
        if raw is None:
            raise ProjectError(f"project {key!r} is not known here: connect it in Label Studio (Settings > Model)")
        return cls(store, ProjectRef.load(raw))

    @classmethod
    def find(cls, store: Redis, origin: str, project_id: int) -> Project:
        """Return the newest registered project of a Label Studio server with this id.

        Raises
        ------
        ProjectError
            When there is none.
        """
        here = [project for project in cls.all(store) if project.ref.origin == origin]
        found = [project for project in here if project.ref.id == project_id]
        if not found:
            known = ", ".join(str(project.ref.id) for project in here) or "none"
            # One server goes by several addresses, such as localhost and 127.0.0.1.
            others = sorted({project.ref.origin for project in cls.all(store)} - {origin})
            elsewhere = f", or set LABEL_STUDIO_URL to the one meant: {', '.join(others)}" if others else ""
            raise ProjectError(
                f"project {project_id} of {origin} is not known here (known: {known}): "
                f"connect this backend in Label Studio under Settings > Model{elsewhere}"
            )
        return max(found, key=lambda project: project.ref.created)

    @classmethod
    def all(cls, store: Redis) -> list[Project]:
        """Return every registered project."""
        return [cls(store, ProjectRef.load(raw)) for raw in store.hvals("lq:projects")]

    def register(self, **info: str) -> bool:
        """Remember the project with these facts; return True when it is new here."""
        row = json.dumps({"origin": self.ref.origin, "id": self.ref.id, "created": self.ref.created})
        new = bool(self.store.hset("lq:projects", self.key, row))
        if info:
            self.set(**info)
        self.store.hsetnx(self._info, "secret", secrets.token_urlsafe(24))
        return new

    def forget(self) -> None:
        """Drop everything kept of this project (it was deleted in Label Studio)."""
        self.store.hdel("lq:projects", self.key)
        self.drop("*")

    def drop(self, *names: str) -> None:
        """Drop parts of what is kept; a name that ends with ``*`` stands for all that begin so."""
        for name in names:
            key = self.name(name)
            found = list(self.store.scan_iter(match=key, count=1000)) if name.endswith("*") else [key]
            if found:
                self.store.delete(*found)

    # -- facts

    def get(self, field: str, default: str = "") -> str:
        """Return one fact as text."""
        raw = self.store.hget(self._info, field)
        return default if raw is None else text(raw)

    def info(self) -> dict[str, str]:
        """Return all facts."""
        return {text(field): text(raw) for field, raw in self.store.hgetall(self._info).items()}

    def set(self, **facts: str) -> None:
        """Remember facts."""
        self.store.hset(self._info, mapping=facts)  # type: ignore[arg-type]

    def settle(self, field: str, value: str) -> None:
        """Empty a fact that holds a wish, once it is fulfilled, unless another wish replaced it meanwhile."""
        self.store.eval(_SETTLE, 1, self._info, field, value)

    def count(self, field: str, by: int = 1) -> int:
        """Add to a counting fact and return its new value."""
        return int(self.store.hincrby(self._info, field, by))

    def target(self) -> Target:
        """Return what the label config asks of an image; raises ProjectError when it asks nothing we know."""
        settings = self.settings()
        return parse_label_config(self.get("label_config"), settings["target"], settings["label_map"])

    # -- settings

    def settings(self) -> dict[str, Any]:
        """Return every project setting, defaults filled in."""
        return self._settings.values()

    def setting_choices(self) -> dict[str, Choice]:
        """Return the settings that somebody chose, with where and when; the others have their defaults."""
        return self._settings.choices()

    def put_settings(self, wanted: Mapping[str, Any], source: str) -> dict[str, Any]:
        """Change settings, all of them or none; see `ProjectSettings.put`."""
        return self._settings.put(wanted, source)

    def take_extra_params(self, raw: Any) -> bool:
        """Take over the changes that the Model page's extra params made; see `ProjectSettings.take_extra_params`.

        Returns
        -------
        bool
            True when a setting changed. A wrong value changes nothing and is kept as the fact ``settings_error``.
        """
        try:
            changed = self._settings.take_extra_params(raw)
        except SettingError as error:
            self.set(settings_error=f"extra params of the Model page: {error}")
            return False
        self.set(settings_error="")
        return bool(changed)

    # -- tasks

    def tasks(self) -> dict[int, TaskRow]:
        """Return every task we know, by id."""
        return {int(task): TaskRow.load(raw) for task, raw in self.store.hgetall(self.name("tasks")).items()}

    def task_count(self) -> int:
        """Return how many tasks we know."""
        return int(self.store.hlen(self.name("tasks")))

    def task_rows(self, ids: Sequence[int]) -> dict[int, TaskRow]:
        """Return those of these tasks that we know."""
        if not ids:
            return {}
        raws = self.store.hmget(self.name("tasks"), [str(task) for task in ids])
        return {task: TaskRow.load(raw) for task, raw in zip(ids, raws, strict=True) if raw is not None}

    def put_tasks(self, rows: Mapping[int, TaskRow]) -> None:
        """Add or replace tasks."""
        if rows:
            self.store.hset(self.name("tasks"), mapping={str(task): row.dump() for task, row in rows.items()})

    def drop_tasks(self, ids: Iterable[int]) -> None:
        """Forget deleted tasks."""
        fields = [str(task) for task in ids]
        if fields:
            self.store.hdel(self.name("tasks"), *fields)
            self.store.hdel(self.name("quarantine"), *fields)
            self.store.zrem(self.name("pending"), *fields)

    # -- people

    def note_annotators(self, users: Sequence[int]) -> None:
        """Remember that these people annotated just now: when a refill is due depends on how many are at work."""
        if users:
            now = time.time()
            self.store.zadd(self.name("annotators"), {str(user): now for user in users})
            self.store.zremrangebyscore(self.name("annotators"), 0, now - HOUR)

    def annotated_last(self) -> list[float]:
        """Return when each of the people who annotated within the last hour did so last (Unix time)."""
        rows = self.store.zrange(self.name("annotators"), time.time() - HOUR, "+inf", byscore=True, withscores=True)
        return [float(row[1]) for row in rows]

    def annotators_at_work(self) -> int:
        """Return how many people annotated within the last hour."""
        return int(self.store.zcount(self.name("annotators"), time.time() - HOUR, "+inf"))

    def note_labeled(self, at: Mapping[int, float]) -> None:
        """Remember when tasks were labeled or skipped, as far as it was within the last hour (task to Unix time)."""
        now = time.time()
        key, lately = self.name("pace"), {str(task): min(when, now) for task, when in at.items() if when > now - HOUR}
        if lately:
            self.store.zadd(key, lately)
        self.store.zremrangebyscore(key, 0, now - HOUR)

    def pace(self) -> int:
        """Return how many tasks are labeled per hour: within the last one, or at the speed of the last ten minutes."""
        now, key = time.time(), self.name("pace")
        lately = self.store.zcount(key, now - LATELY, "+inf")
        return int(max(self.store.zcount(key, now - HOUR, "+inf"), lately * HOUR / LATELY))

    def last_labeled(self) -> float:
        """Return when somebody labeled or skipped last, as far as it was within the last hour; else 0."""
        ends = [self.store.zrange(self.name(key), -1, -1, withscores=True) for key in ("pace", "annotators")]
        return max((float(row[1]) for rows in ends for row in rows), default=0.0)

    # -- records that cannot be read

    def note_unreadable(self, kind: str, found: Mapping[str, str], *, read: Iterable[str] | None = None) -> list[str]:
        """Remember records of Label Studio that were left out.

        Parameters
        ----------
        kind : str
            What was read: ``tasks``, ``annotations`` and so on.
        found : mapping of str to str
            Name of a record, such as ``task 12``, to what is wrong with it.
        read : iterable of str, optional
            Names that were looked at; what is known of others stays. None when everything was looked at.

        Returns
        -------
        list of str
            Names that were not known before.
        """
        before = self.unreadable(kind)
        looked = set(before if read is None else read)
        now = {name: why for name, why in before.items() if name not in looked} | dict(found)
        if now != before:
            self.store.hset(self.name("unreadable"), kind, json.dumps(now))
        return [name for name in found if name not in before]

    def unreadable(self, *kinds: str) -> dict[str, str]:
        """Return the records that were left out, of these kinds or of all: name to what is wrong with it."""
        rows = self.store.hgetall(self.name("unreadable"))
        return {
            name: why
            for kind, raw in sorted(rows.items())
            if not kinds or text(kind) in kinds
            for name, why in json.loads(raw).items()
        }

    # -- images that cannot be embedded

    def quarantine(self, reasons: Mapping[int, tuple[str, str]]) -> None:
        """Remember tasks whose image cannot be used, each with its URI and the reason."""
        if reasons:
            rows = {str(task): json.dumps({"uri": uri, "reason": why}) for task, (uri, why) in reasons.items()}
            self.store.hset(self.name("quarantine"), mapping=rows)  # type: ignore[arg-type]

    def quarantined(self) -> dict[int, tuple[str, str]]:
        """Return the quarantined tasks: id to (URI, reason)."""
        rows = {int(task): json.loads(raw) for task, raw in self.store.hgetall(self.name("quarantine")).items()}
        return {task: (row.get("uri", ""), row.get("reason", "")) for task, row in rows.items()}

    def release_quarantine(self) -> None:
        """Give every quarantined image another chance."""
        self.store.delete(self.name("quarantine"), self.name("deaths"), self.name("tries"))

    def forgive(self, ids: Sequence[int]) -> None:
        """Forget earlier failures of images that went well."""
        fields = [str(task) for task in ids]
        if fields:
            self.store.hdel(self.name("deaths"), *fields)
            self.store.hdel(self.name("tries"), *fields)
