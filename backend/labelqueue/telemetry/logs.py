"""The log on standard error: lines for people, or one JSON object a line for programs."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any
from urllib.parse import unquote, urlsplit

from ..settings import DEPLOYMENT
from .topic import current

__all__ = ["JsonFormatter", "say", "set_up_logs", "writes_json"]

TEXT = "%(asctime)s %(levelname)s %(message)s"
SERVERS = ("gunicorn.error", "gunicorn.access")  # loggers with handlers of their own
SHORT = 6  # characters of a secret; a shorter one would black out words that have nothing to do with it

log = logging.getLogger("labelqueue")


class JsonFormatter(logging.Formatter):
    """Writes a record as one JSON object in one line: time, level, logger, message, what the work at hand is about,
    and the traceback as a string.

    Parameters
    ----------
    secrets : sequence of str
        What is blacked out wherever it stands.
    """

    def __init__(self, secrets: Sequence[str] = ()) -> None:
        super().__init__()
        self._secrets = sorted((secret for secret in secrets if len(secret) >= SHORT), key=len, reverse=True)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        try:
            message = record.getMessage()
        except Exception:  # arguments that do not fit: what there is must not be lost
            message = f"{record.msg!r} with {record.args!r}"
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        row: dict[str, Any] = {
            "time": moment.replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": self._clean(message),
            **current(),
        }
        if record.exc_info and record.exc_info[0] is not None:
            row["exception"] = self._clean(self.formatException(record.exc_info))
        elif record.exc_text:
            row["exception"] = self._clean(record.exc_text)
        if record.stack_info:
            row["stack"] = self._clean(record.stack_info)
        return json.dumps(row, default=str)

    def _clean(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "…")
        return text


def set_up_logs(level: int, environ: Mapping[str, str] | None = None, *, served: bool = False) -> None:
    """Write this process's log to standard error as LABELQUEUE_LOG says; call it once, where a process begins.

    Parameters
    ----------
    level : int
        Least level that is written.
    environ : mapping, default os.environ
        Environment variables.
    served : bool, default False
        Whether another program runs us, such as gunicorn: lines for people are then its own business.

    Raises
    ------
    SettingError
        When LABELQUEUE_LOG is neither of the two.
    """
    environ = os.environ if environ is None else environ
    setting = DEPLOYMENT["LABELQUEUE_LOG"]
    if setting.value(environ.get(setting.name, setting.default)) == "text":
        if not served:
            logging.basicConfig(level=level, format=TEXT, stream=sys.stderr)
        return
    formatter = JsonFormatter(_secrets(environ))
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=[handler])
    for name in SERVERS:
        for other in logging.getLogger(name).handlers:
            other.setFormatter(formatter)
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread


def writes_json() -> bool:
    """Tell whether this process writes its log for programs."""
    return any(isinstance(handler.formatter, JsonFormatter) for handler in logging.getLogger().handlers)


def say(line: str, level: int = logging.INFO) -> None:
    """Tell people something on standard error, whatever the level of the log; programs get it as a line of the log."""
    if writes_json():
        record = log.makeRecord(log.name, level, "", 0, line, (), None)
        for handler in logging.getLogger().handlers:
            handler.handle(record)
    else:
        print(line, file=sys.stderr, flush=True)


def _secrets(environ: Mapping[str, str]) -> list[str]:
    """Return the secrets of the environment, as they stand there and as they are sent."""
    try:
        word = urlsplit(environ.get("REDIS_URL", "")).password or ""
    except ValueError:
        word = ""
    found = [environ.get("LABEL_STUDIO_API_KEY", ""), environ.get("BASIC_AUTH_PASS", ""), word, unquote(word)]
    return list(filter(None, found))


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        say("interrupted")
    else:
        log.critical("unexpected %s", kind.__name__, exc_info=(kind, error, trace))


def _uncaught_in_thread(said: threading.ExceptHookArgs) -> None:
    if said.exc_value is not None and not issubclass(said.exc_type, SystemExit):
        log.critical("unexpected %s", said.exc_type.__name__, exc_info=said.exc_value)
