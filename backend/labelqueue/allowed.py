"""What a setting is, and what it may be: parsers that turn a JSON value or an environment string into a value, or say
what is allowed.

Each returns the value, or a parser that does; they raise ValueError or TypeError, which `settings` turns into an error
that names the setting. Those of words and numbers tell forms which they take: see `Allowed`.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Literal
from urllib.parse import SplitResult, urlsplit

from .exceptions import SettingError

__all__ = [
    "IMPORTED",
    "Allowed",
    "Setting",
    "brief",
    "check_together",
    "choice",
    "embedder",
    "hosts",
    "label_map",
    "model",
    "needs_budget",
    "number",
    "optional",
    "origin",
    "path",
    "prelabel",
    "public_name",
    "reached_at",
    "redis_url",
    "seed",
    "server_names",
    "strategy",
    "text",
]

Scope = Literal["project", "deployment"]
STRATEGY_GROUP = "labelqueue.strategies"  # entry points of installed packages that add strategies
IMPORTED = "imported "  # what the name of an embedder begins with whose vectors came from a file
SHOWN = 200  # characters of a value in an error
SECRETS = ("LABEL_STUDIO_API_KEY", "REDIS_URL", "BASIC_AUTH_PASS")  # hold passwords, which no error shows


@dataclass(frozen=True)
class Allowed:
    """A parser that tells what it takes, so that a form can offer it.

    Attributes
    ----------
    parse : callable
        Turns a JSON value or an environment string into the value.
    form : {'choice', 'number', 'text', 'object'}
        What people fill in: one of some words, a number, a text (`words` are only proposed), an object as JSON.
    words : callable
        Returns the words that are taken.
    whole : bool
        Of a number: whether it has no decimals.
    low, high : float, optional
        Its bounds; None for none.
    low_open : bool
        Whether `low` itself is not taken.
    empty : str
        What nothing is called where nothing may be given; empty where it may not.
    """

    parse: Callable[[Any], Any]
    form: Literal["choice", "number", "text", "object"] = "text"
    words: Callable[[], tuple[str, ...]] = tuple
    whole: bool = False
    low: float | None = None
    high: float | None = None
    low_open: bool = False
    empty: str = ""

    def __call__(self, raw: Any) -> Any:
        """Return the value, or raise ValueError or TypeError."""
        return self.parse(raw)

    def __str__(self) -> str:
        """Say what is taken, for people; empty for any text."""
        told = ""
        if self.form == "number":
            told = "a whole number" if self.whole else "a number"
            if self.low is not None and self.high is not None:
                told += f" {'above' if self.low_open else 'from'} {self.low:,g} to {self.high:,.12g}"
        elif self.form == "object":
            told = "an object of texts, as JSON"
        return f"{told}, or nothing: {self.empty}" if told and self.empty else told


@dataclass(frozen=True)
class Setting:
    """One row of the settings table.

    Attributes
    ----------
    name : str
        Key, as written in extra params or in the environment.
    default : object
        Value when nobody set it; None means "decided at run time", as `help` says.
    scope : {'project', 'deployment'}
        Project settings come from the Model page's extra params, the console, REST or the command line; others from
        the environment only.
    parse : callable
        Turns a JSON value or an environment string into the value; raises ValueError saying what is allowed.
    help : str
        One sentence for people.
    """

    name: str
    default: Any
    scope: Scope
    parse: Callable[[Any], Any]
    help: str

    def value(self, raw: Any) -> Any:
        """Return the parsed `raw`, or raise SettingError naming the key, the value and what is allowed."""
        try:
            return self.parse(raw)
        except (ValueError, TypeError) as error:
            value = "a value that is not shown" if self.name in SECRETS else f"value {self._told(raw)}"
            raise SettingError(f"setting {self.name!r} has {value}: {error}", self.name) from None

    @property
    def allowed(self) -> Allowed:
        """What may be given, for forms."""
        return self.parse if isinstance(self.parse, Allowed) else Allowed(self.parse)

    def _told(self, raw: Any) -> str:
        """Return a value for an error; of an address neither user nor query, where passwords and keys stand."""
        told = brief(raw)
        if self.scope == "deployment":
            told = re.sub(r"[^/@\"']*@", "…@", told)
            told = re.sub(r"\?.+(?=[\"'])", "?…", told)
        return told


def choice(*allowed: str) -> Allowed:
    """Allow one of some words."""

    def parse(raw: Any) -> str:
        if raw not in allowed:
            raise ValueError(f"allowed are {', '.join(allowed)}")
        return str(raw)

    return Allowed(parse, "choice", lambda: allowed)


def number(kind: type, low: float, high: float, *, low_open: bool = False) -> Allowed:
    """Allow a number of a kind within bounds."""
    noun = "a whole number" if kind is int else "a number"

    def parse(raw: Any) -> Any:
        expected = f"expected {noun} {'above' if low_open else 'from'} {low:g} to {high:g}"
        if isinstance(raw, bool):
            raise ValueError(expected)
        try:
            number = float(raw)
        except (TypeError, ValueError, OverflowError):
            raise ValueError(expected) from None
        if not (low < number if low_open else low <= number) or not number <= high or (kind is int and number % 1):
            raise ValueError(expected)
        return kind(raw) if isinstance(raw, int) else kind(number)

    return Allowed(parse, "number", whole=kind is int, low=low, high=high, low_open=low_open)


def optional(parse: Callable[[Any], Any]) -> Allowed:
    """Allow anything that another parser takes, or nothing."""
    told = parse if isinstance(parse, Allowed) else Allowed(parse)
    return replace(told, parse=lambda raw: None if raw in (None, "", "auto") else parse(raw), empty="auto")


def _seed(raw: Any) -> int:
    if isinstance(raw, bool) or not isinstance(raw, int | str):
        raise ValueError("expected a whole number")
    try:
        return int(raw)
    except ValueError:
        raise ValueError("expected a whole number") from None


seed = Allowed(_seed, "number", whole=True)  # any whole number


def strategy(*ours: str) -> Allowed:
    """Allow one of our strategies, or one that an installed package adds."""

    def words() -> tuple[str, ...]:
        # Names only: nothing is imported here, the web process has no need of it.
        return (*ours, *sorted({point.name for point in entry_points(group=STRATEGY_GROUP)} - {*ours}))

    def parse(raw: Any) -> str:
        if raw not in ours and raw not in words():
            raise ValueError(f"allowed are {', '.join(words())}")
        return str(raw)

    return Allowed(parse, "choice", words)


def _prelabel(raw: Any) -> str | float:
    if raw in ("auto", "on", "off"):
        return str(raw)
    if isinstance(raw, bool):  # true is what people write in JSON
        return "on" if raw else "off"
    try:
        return float(number(float, 0, 1, low_open=True)(raw))
    except ValueError:
        raise ValueError("allowed are auto, on, off, or a probability above 0 to 1") from None


prelabel = Allowed(_prelabel, words=lambda: ("auto", "on", "off"))  # when answers are filled in


def text(raw: Any) -> str:
    """Allow a text."""
    if not isinstance(raw, str):
        raise ValueError("expected text")
    try:
        raw.encode()
    except UnicodeEncodeError:
        raise ValueError("half a character (a lone surrogate) cannot be stored") from None
    return raw


def model(raw: Any) -> str:
    """Allow the name of a model of timm, or ``bundled``; whether there is such a one, who loads it tells."""
    name = text(raw).strip()
    if not re.fullmatch(r"[\w][\w.-]{0,199}", name, re.ASCII) or name == IMPORTED.strip():
        raise ValueError(
            "expected the name of a model of timm, such as vit_small_patch14_reg4_dinov2.lvd142m, or bundled"
        )
    return name


def embedder(raw: Any) -> str:
    """Allow what `model` does, ``imported NAME`` for vectors that came from a file, or nothing."""
    name = text(raw).strip()
    if not name or re.fullmatch(rf"{IMPORTED}[\w.-]{{1,60}}", name, re.ASCII):
        return name
    try:
        return model(name)
    except ValueError as error:
        raise ValueError(f"{error}; or `imported NAME` for what `labelqueue embeddings import` brought") from None


def _label_map(raw: Any) -> dict[str, str]:
    if isinstance(raw, str):
        try:
            raw = json.loads(raw or "{}")
        except (ValueError, RecursionError):
            raw = None
    if not isinstance(raw, dict) or not all(isinstance(part, str) for pair in raw.items() for part in pair):
        raise ValueError('expected an object of texts, such as {"car": "vehicle"}')
    return {text(before): text(now) for before, now in raw.items()}


label_map = Allowed(_label_map, "object")  # from text to text


def origin(raw: Any) -> str:
    """Allow a URL; return scheme://host[:port][/prefix] without a trailing slash."""
    parts = urlsplit(text(raw).strip())
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("expected a URL such as http://localhost:8080")
    if "@" in parts.netloc:
        raise ValueError("a user and a password in it would take the place of LABEL_STUDIO_API_KEY: leave them out")
    if "_" in parts.hostname:
        raise ValueError(
            "a host name cannot hold an underscore, Label Studio answers 400 to it: name the host otherwise, such as "
            "label-studio, or use its address"
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/")


def public_url(raw: Any) -> str:
    """Allow a URL without a path, or nothing."""
    if not text(raw).strip():
        return ""
    parts = urlsplit(origin(raw))
    if parts.path:
        raise ValueError("expected a URL without a path, such as https://queue.example.com")
    return f"{parts.scheme}://{parts.netloc}".lower()


def reached_at(host: str, port: int) -> str:
    """Return where browsers reach what listens on a host and port, as far as that can be told from them."""
    if host in ("0.0.0.0", "::", ""):
        host = socket.gethostname()
    elif host in ("127.0.0.1", "::1"):
        host = "localhost"
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def redis_url(raw: Any) -> str:
    """Allow an address of a Redis."""
    expected = "expected a URL such as redis://localhost:6379/0"
    parts = urlsplit(text(raw))
    if parts.scheme not in ("redis", "rediss", "unix"):
        raise ValueError(expected)
    try:
        broken = parts.port == 0
    except ValueError:
        broken = True
    # A slash or # in a password ends the address in its middle: the rest would be taken for a host or a database.
    if parts.scheme != "unix" and (broken or ("@" in raw and "@" not in parts.netloc)):
        raise ValueError(f"{expected}; write /, # and ? in a password as %2F, %23 and %3F")
    return str(raw)


def hosts(raw: Any) -> tuple[str, ...]:
    """Allow host names between commas, each with a port or without; a URL is taken for the host in it."""
    found = []
    for part in _parts(raw):
        address = _address(f"[{part}]" if part.count(":") > 1 and "[" not in part and "/" not in part else part)
        if address is None or address.path.strip("/"):
            raise ValueError(f"expected hosts between commas, such as minio:9000 or 10.0.0.7, not {part!r}")
        port = f":{address.port}" if address.port else ""
        found.append(f"{(address.hostname or '').rstrip('.')}{port}")
    return tuple(found)


def server_names(raw: Any) -> tuple[str, ...]:
    """Allow names of a server between commas: a URL, or a host; each with a port and a path prefix, or without."""
    for part in _parts(raw):
        if _address(part) is None:
            raise ValueError(f"expected URLs between commas, such as https://labels.example.com/label, not {part!r}")
    return tuple(part.rstrip("/") for part in _parts(raw))


def public_name(raw: Any) -> str:
    """Allow what Label Studio allows for its LABEL_STUDIO_HOST: nothing, a URL, or a path prefix alone."""
    name = text(raw).strip().rstrip("/")
    if name and not name.startswith("/") and ("," in name or _address(name) is None):
        raise ValueError("expected one URL, such as https://labels.example.com/label; others: LABEL_STUDIO_ALIASES")
    return name


def _parts(raw: Any) -> list[str]:
    return [part.strip() for part in text(raw).split(",") if part.strip()]


def _address(part: str) -> SplitResult | None:
    """Take a URL, or a host without its scheme, apart; None when it is neither."""
    parts = urlsplit(part if "://" in part else f"http://{part}")
    try:
        named = parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:  # a port that is no number
        return None
    odd = parts.scheme not in ("http", "https") or parts.query or parts.fragment or "@" in parts.netloc
    return None if odd or not named or re.search(r"[\s*%\\]", parts.netloc) else parts


def path(raw: Any) -> Path:
    """Allow a path."""
    return Path(text(raw)).expanduser()


def brief(raw: Any) -> str:
    """Return a value for an error, and not more of it than people read."""
    try:
        return repr(raw)[:SHOWN]
    except RecursionError:
        return "nested too deep"


def needs_budget(values: Mapping[str, Any]) -> bool:
    """Tell whether project settings ask for a strategy that divides a budget, ``bal_paper``."""
    return bool(values["strategy"] == "bal_paper" or (values["strategy"] == "auto" and values["warm"] == "bal_paper"))


def check_together(values: Mapping[str, Any]) -> None:
    """Raise SettingError when project settings, each of which is allowed, do not go together."""
    if needs_budget(values) and values["budget"] is None:
        name = "warm" if values["strategy"] == "auto" else "strategy"
        raise SettingError(
            f"setting {name!r} has value 'bal_paper', which divides a budget into cycles: set budget with it, to the "
            "labels that you will pay for in total, or choose bal",
            "budget",
        )
