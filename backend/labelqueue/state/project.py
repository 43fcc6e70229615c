"""Everything we remember of one Label Studio project, and the Redis keys it lives under."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeGuard

from ..exceptions import ProjectError, SettingError
from ..labels import Target, parse_label_config
from ..records import known_fields
from ..store import Changes, Redis, drop_fields, drop_members, get_fields, remove, scan_fields, text
from .setting_choices import Choice, ProjectSettings
from .task_row import TaskRow

__all__ = [
    "ASIDE",
    "FORGOTTEN",
    "LIVE_VERSION",
    "NOT_CONNECTED",
    "PER_TASK",
    "SECRET_HEADER",
    "Project",
    "ProjectRef",
    "is_id",
]

log = logging.getLogger(__name__)

# What /setup and /predict answer. Never the queue's version: Label Studio stores what /predict answers, and a second
# prediction of one version would upset the order.
LIVE_VERSION = "labelqueue live"
NOT_CONNECTED = "this backend is not connected to the project"  # the fact `paused`, then
SECRET_HEADER = "X-Labelqueue-Secret"  # what the project's webhook sends, so that no stranger can
HOUR = 3600.0  # seconds
ASIDE = 7 * 24 * HOUR  # seconds that the state of a project is kept that was deleted in Label Studio
# Hashes beside the tasks that have a field for some of them; those of large values are written of known tasks only.
PER_TASK = ("quarantine", "deaths", "tries", "balance", "pins", "exclusions", "thumbless")
LARGE_PER_TASK = ("thumbs",)
COPIED = ("tasks", "quarantine", "balance")  # of which workers keep copies: every write is told to `Project.changes`
# What was forgotten, each with the Unix time from which whatever is found of it is removed, keys and files: a project's
# key, or `key:generation` for embeddings.
FORGOTTEN = "lq:forgotten"
# An id or a time. '²' is a digit for `isdigit` alone, and a number of thousands of digits is none that `int` takes.
_DIGITS = re.compile("[0-9]{1,18}")

_SETTLE = "if redis.call('hget', KEYS[1], ARGV[1]) == ARGV[2] then redis.call('hset', KEYS[1], ARGV[1], '') end"


def is_id(value: Any) -> TypeGuard[int]:
    """Tell whether a value can be the id of something in Label Studio: a database column holds 63 bits."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


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
        """Parse the JSON form stored in Redis; raises ProjectError when it is none that is known here."""
        try:
            return cls(**known_fields(cls, json.loads(raw)))
        except (ValueError, TypeError) as error:
            raise ProjectError(f"what is known of a project cannot be read ({error}): connect it again") from error

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
        if not _DIGITS.fullmatch(head) or not _DIGITS.fullmatch(tail):
            raise ProjectError(f"project is {name[:80]!r}; expected <id>.<creation time> as Label Studio sends it")
        return cls(origin, int(head), int(tail))

    @classmethod
    def from_api(cls, origin: str, project: Mapping[str, Any]) -> ProjectRef:
        """Take the identity from a project as the API and webhooks show it."""
        try:
            number = project["id"]
            if isinstance(number, bool) or not _DIGITS.fullmatch(str(number)):  # neither true nor 1.5 is a project
                raise ValueError(f"id is {str(number)[:80]!r}")
            created = datetime.fromisoformat(str(project["created_at"])[:80])
            return cls(origin, int(number), int(created.timestamp()))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ProjectError(f"not a Label Studio project (id and created_at are needed): {error}") from error


class Project:
    """State of one project; every value lives in Redis, none in this object.

    Parameters
    ----------
    store : Redis
        Connection.
    ref : ProjectRef
        Which project.

    Attributes
    ----------
    changes : Changes
        Where writes of what grows with the project are told.
    """

    def __init__(self, store: Redis, ref: ProjectRef) -> None:
        self.store = store
        self.ref = ref
        self.key = ref.key
        self._info = self.name("info")
        self.changes = Changes(store, self.name("changed"))
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
        """Return every registered project; one whose row cannot be read is registered again by its next event."""
        found = []
        for key, raw in store.hgetall("lq:projects").items():
            try:
                found.append(cls(store, ProjectRef.load(raw)))
            except ProjectError as error:
                log.warning("project %s is passed over: %s", text(key), error)
        return found

    @classmethod
    def secrets(cls, store: Redis) -> set[str]:
        """Return what the webhooks of all registered projects send, so that no stranger can call as one."""
        pipe = store.pipeline(transaction=False)
        for project in cls.all(store):
            pipe.hget(project._info, "secret")
        return {text(raw) for raw in pipe.execute() if raw}

    def register(self, **info: str) -> bool:
        """Remember the project with these facts; return True when it is new here."""
        row = json.dumps({"origin": self.ref.origin, "id": self.ref.id, "created": self.ref.created})
        pipe = self.store.pipeline()  # one way there and back: a webhook waits for it
        pipe.hset("lq:projects", self.key, row)
        pipe.zrem(FORGOTTEN, self.key)
        pipe.hsetnx(self._info, "secret", secrets.token_urlsafe(24))
        if info:
            pipe.hset(self._info, mapping=info)  # type: ignore[arg-type]
        return bool(pipe.execute()[0])

    def forget(self) -> None:
        """Drop everything kept of this project in Redis; each machine removes its own files when it next tidies up.

        A job that runs meanwhile may still write; that is removed at its end, or by housekeeping.
        """
        with self.store.pipeline(transaction=True) as pipe:
            pipe.hdel("lq:projects", self.key)
            pipe.zadd(FORGOTTEN, {self.key: time.time()})
            pipe.zrem("lq:delayed", self.key)
            pipe.execute()
        self.drop("*")

    def drop(self, *names: str) -> int:
        """Drop parts of what is kept, and return how many keys that were; a name that ends with ``*`` stands for all
        that begin so."""
        dropped = 0
        for name in names:
            key = self.name(name)
            found = list(self.store.scan_iter(match=key, count=1000)) if name.endswith("*") else [key]
            dropped += remove(self.store, *found)
        return dropped

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
        parts = scan_fields(self.store, self.name("tasks"))
        return {int(task): TaskRow.load(raw) for part in parts for task, raw in part.items()}

    def task_ids(self) -> Iterator[int]:
        """Yield the id of every task we know, now and then one twice."""
        return (int(task) for part in scan_fields(self.store, self.name("tasks")) for task in part)

    def task_count(self) -> int:
        """Return how many tasks we know."""
        return int(self.store.hlen(self.name("tasks")))

    def task_rows(self, ids: Sequence[int]) -> dict[int, TaskRow]:
        """Return those of these tasks that we know."""
        raws = get_fields(self.store, self.name("tasks"), [str(task) for task in ids])
        return {task: TaskRow.load(raw) for task, raw in zip(ids, raws, strict=True) if raw is not None}

    def put_tasks(self, rows: Mapping[int, TaskRow]) -> None:
        """Add or replace tasks."""
        self.changes.put("tasks", self.name("tasks"), {str(task): row.dump() for task, row in rows.items()})

    def drop_tasks(self, ids: Iterable[int]) -> None:
        """Forget deleted tasks."""
        fields = [str(task) for task in ids]
        drop_members(self.store, self.name("pending"), fields)
        drop_members(self.store, self.name("late"), fields)
        for name in (*PER_TASK, *LARGE_PER_TASK, "tasks"):  # tasks last: as long as we know one, its deletion is found
            self._drop_fields(name, fields)

    def _drop_fields(self, name: str, fields: Sequence[str]) -> None:
        if name in COPIED:
            self.changes.drop(name, self.name(name), fields)
        else:
            drop_fields(self.store, self.name(name), fields)

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
        rows = {str(task): json.dumps({"uri": uri, "reason": why}) for task, (uri, why) in reasons.items()}
        self.changes.put("quarantine", self.name("quarantine"), rows)

    def quarantined(self) -> dict[int, tuple[str, str]]:
        """Return the quarantined tasks: id to (URI, reason)."""
        parts = scan_fields(self.store, self.name("quarantine"))
        rows = {int(task): json.loads(raw) for part in parts for task, raw in part.items()}
        return {task: (row.get("uri", ""), row.get("reason", "")) for task, row in rows.items()}

    def release_quarantine(self, ids: Sequence[int] | None = None) -> None:
        """Give quarantined images another chance: those of some tasks, or all of them."""
        if ids is None:
            names = "quarantine", "deaths", "tries", "late", "thumbless"
            self.changes.renew("quarantine", *map(self.name, names))
            return
        fields = [str(task) for task in ids]
        drop_members(self.store, self.name("late"), fields)
        for part in ("deaths", "tries", "thumbless", "quarantine"):
            self._drop_fields(part, fields)

    def forgive(self, ids: Sequence[int]) -> None:
        """Forget earlier failures of images that went well."""
        fields = [str(task) for task in ids]
        drop_fields(self.store, self.name("deaths"), fields)
        drop_fields(self.store, self.name("tries"), fields)
