"""A project's settings as chosen: value, where it was changed last, and when. The last change of a key wins."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from redis.client import Pipeline

from ..allowed import brief, check_together
from ..exceptions import SettingError
from ..records import known_fields
from ..settings import PROJECT, parse_project_settings
from ..store import Redis, text

__all__ = ["EXTRA_PARAMS", "Choice", "ProjectSettings", "is_readable"]

EXTRA_PARAMS = "extra params"


@dataclass(frozen=True)
class Choice:
    """A setting's value as somebody chose it.

    Attributes
    ----------
    value : object
        Parsed value; JSON-able.
    source : str
        Where it was changed last, such as ``extra params`` or ``REST``.
    at : float
        Unix time of that change.
    """

    value: Any
    source: str = ""
    at: float = 0.0


class ProjectSettings:
    """Settings that were chosen for one project. A setting nobody chose has no entry here, and its default value.

    Parameters
    ----------
    store : Redis
        Connection.
    key : str
        Redis hash of the choices.
    seen : str
        Redis key of the extra params seen last: Label Studio repeats them at every /setup, so that only a difference
        from these is a change.
    """

    def __init__(self, store: Redis, key: str, seen: str) -> None:
        self._store = store
        self._key = key
        self._seen = seen

    def choices(self) -> dict[str, Choice]:
        """Return what was chosen, by name of the setting."""
        return _load(self._store.hgetall(self._key))

    def values(self) -> dict[str, Any]:
        """Return every project setting's value, defaults filled in."""
        chosen = self.choices()
        return {name: chosen[name].value if name in chosen else row.default for name, row in PROJECT.items()}

    def put(self, wanted: Mapping[str, Any], source: str) -> dict[str, Any]:
        """Change settings, all of them or none.

        Parameters
        ----------
        wanted : mapping
            Name to JSON value; None goes back to the default.
        source : str
            Where the change comes from.

        Returns
        -------
        dict
            Name to new value, only of settings that now have another value.

        Raises
        ------
        SettingError
            On the first unknown name or value that is not allowed; nothing is changed.
        """
        parsed = _parse(wanted)
        return self._write(lambda pipe: parsed, source)

    def take_extra_params(self, raw: Any) -> dict[str, Any]:
        """Take over those keys of the Model page's extra params that changed since they were seen last.

        A key that was taken out falls back to its default if its value still is the one from there.

        Parameters
        ----------
        raw : object
            An object from the API, a JSON string from the page's text area, or null or empty.

        Returns
        -------
        dict
            As `put` does.

        Raises
        ------
        SettingError
            When it is not an object, or holds an unknown name or a value that is not allowed; nothing is changed.
        """
        here = _parse(_as_mapping(raw))

        def changed(pipe: Pipeline) -> dict[str, Any]:
            before = json.loads(pipe.get(self._seen) or "{}")
            wanted = {name: value for name, value in here.items() if name not in before or before[name] != value}
            for name, choice in _load(pipe.hgetall(self._key)).items():
                if choice.source == EXTRA_PARAMS and name not in here:
                    wanted[name] = None
            return wanted

        return self._write(changed, EXTRA_PARAMS, seen=json.dumps(here))

    def _write(
        self, decide: Callable[[Pipeline], Mapping[str, Any]], source: str, *, seen: str | None = None
    ) -> dict[str, Any]:
        """Store what `decide` wants; it decides again when another process changes the settings meanwhile."""

        def write(pipe: Pipeline) -> dict[str, Any]:
            wanted = decide(pipe)
            chosen = _load(pipe.hgetall(self._key))
            now = {name: chosen[name].value if name in chosen else row.default for name, row in PROJECT.items()}
            given = {name: PROJECT[name].default if value is None else value for name, value in wanted.items()}
            if given:
                check_together(now | given)
            pipe.multi()
            for name, value in wanted.items():
                if value is None:
                    pipe.hdel(self._key, name)
                else:
                    pipe.hset(self._key, name, json.dumps(asdict(Choice(value, source, time.time()))))
            if seen is not None:
                pipe.set(self._seen, seen)
            return {name: value for name, value in given.items() if value != now[name]}

        # The client's types do not know that the callable's value is returned.
        return self._store.transaction(write, self._key, self._seen, value_from_callable=True)  # type: ignore


def is_readable(name: str, raw: bytes | str) -> bool:
    """Tell whether a stored choice is one that could be made here, or of a setting that is not known here."""
    try:
        row = json.loads(raw)
        return name not in PROJECT or bool(parse_project_settings({name: row["value"]}))
    except (ValueError, TypeError, KeyError, SettingError):
        return False


def _load(raws: Mapping[Any, Any]) -> dict[str, Choice]:
    chosen = {text(name): Choice(**known_fields(Choice, json.loads(raw))) for name, raw in raws.items()}
    return {name: choice for name, choice in chosen.items() if name in PROJECT}


def _parse(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parsed values; None, for a setting that goes back to its default, stays None."""
    given = {name: value for name, value in raw.items() if value is not None or name not in PROJECT}
    parsed = parse_project_settings(given)
    return {name: parsed.get(name) for name in raw}


def _as_mapping(raw: Any) -> Mapping[str, Any]:
    """Return extra params as a mapping, whatever form Label Studio sent them in."""
    if raw in (None, "", "null"):
        return {}
    if isinstance(raw, str):
        try:
            raw = json.loads(raw)
        except (ValueError, RecursionError):
            raise SettingError(f'{raw[:80]!r} is not JSON; write an object such as {{"seed": 1}}') from None
    if not isinstance(raw, Mapping):
        raise SettingError(f'{brief(raw)} is not an object; write one such as {{"seed": 1}}')
    return {str(key): value for key, value in raw.items()}
