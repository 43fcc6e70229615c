"""The gate before the web app: it takes in bodies, so that no thread waits for a slow one and no stranger's is kept."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO, Any
from urllib.parse import unquote_to_bytes

from ..telemetry import count

__all__ = ["ARRIVED", "CAP", "MAX_BODY", "WEBHOOK", "Gate", "error_answer"]

log = logging.getLogger(__name__)

MAX_BODY = 64 * 2**20  # bytes; 5,000 new tasks are 2.6 MB
SMALL = 64 * 2**10  # bytes that are taken in before anybody asked who sends them
LARGE = 256 * 2**10  # bytes from which on bodies are worked on one after another
IN_MEMORY = 4 * 2**20  # bytes of a body that is still coming in; the rest waits in a file
BODY_SECONDS = 60.0  # Label Studio itself gives up after 1 s (webhook) to 100 s (predict)
LINGER_SECONDS = 10.0  # a refused caller that is still sending may read why
THREADS = 16
WEBHOOK = "/webhook"
ARRIVED = "labelqueue.arrived"  # when a request was there as a whole (`time.perf_counter`), in its environment
CAP = "labelqueue.cap"  # bytes that the app takes from this caller, in the environment of a request

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Environ = dict[str, Any]
Wsgi = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


@dataclass(frozen=True)
class Answer:
    """An answer of the app: HTTP status, headers in lower case, body."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class BodyWanted(BaseException):
    """The app asks for the body, having found nothing wrong with the rest. No `Exception`: it is nobody's error."""


class _Untouched:
    """A body that is not read yet."""

    def read(self, size: int = -1) -> bytes:
        raise BodyWanted

    readline = readlines = readinto = read


class _TooLargeError(Exception):
    """A body is larger than its sender may send."""


def error_answer(status: int, why: str) -> Answer:
    """Return an error in JSON, as the app words its own."""
    body = json.dumps({"error": why}).encode() + b"\n"
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    return Answer(status, headers, body)


class Gate:
    """ASGI in front of a WSGI app.

    A small body is taken in and the app called. With a larger one, or one of unknown length, the app is called first
    with the body left outside: what it refuses by the headers alone (no credentials, no such path) is answered there
    and then. Only when it asks for the body is that taken in, beyond some megabytes into a file, and the app called
    again.

    Parameters
    ----------
    app : callable
        The WSGI app. It may lower ``environ[CAP]``.
    """

    def __init__(self, app: Wsgi) -> None:
        self._app = app
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="web")
        # Only one: each keeps the interpreter busy, and acknowledgements must not wait for several.
        self._large = ThreadPoolExecutor(1, thread_name_prefix="web-large")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        environ = _environ(scope)
        length = _length(scope)
        if length is None or length > SMALL:
            first = await self._run(self._threads, {**environ, "wsgi.input": _Untouched()}, environ)
            if first is not None:
                await _refuse(first, receive, send)
                return
        with tempfile.SpooledTemporaryFile(IN_MEMORY) as body:
            if length != 0:
                try:
                    async with asyncio.timeout(BODY_SECONDS):
                        if not await _take_in(receive, body, environ[CAP]):
                            return
                except _TooLargeError:
                    _note_refused(environ)
                    await _refuse(error_answer(413, f"the body has more than {environ[CAP]:,} bytes"), receive, send)
                    return
                except TimeoutError:
                    _note_refused(environ)
                    await _refuse(error_answer(408, f"the body took more than {BODY_SECONDS:g} s"), receive, send)
                    return
            size = body.tell()
            body.seek(0)
            environ |= {"wsgi.input": body, "CONTENT_LENGTH": str(size), ARRIVED: time.perf_counter()}
            answer = await self._run(self._large if size > LARGE else self._threads, environ, environ)
        await _send(answer or error_answer(500, "unexpected error"), send)

    async def _run(self, threads: ThreadPoolExecutor, environ: Environ, caps: Environ) -> Answer | None:
        """Return the app's answer, or None when it asks for the body; then `caps` says how much of it is taken."""
        try:
            return await asyncio.get_running_loop().run_in_executor(threads, _call, self._app, environ)
        except BodyWanted:
            caps[CAP] = environ[CAP]
            return None


def _note_refused(environ: Environ) -> None:
    """Count an event that the app never sees."""
    if environ["PATH_INFO"] == WEBHOOK:
        count("events_total", kind="other", outcome="refused")


def _length(scope: Scope) -> int | None:
    """Return the length of the body that is announced, None when it comes in chunks."""
    headers = dict(scope["headers"])
    return None if b"transfer-encoding" in headers else int(headers.get(b"content-length", 0))


def _environ(scope: Scope) -> Environ:
    """Return the WSGI environment of a request."""
    server, client = scope["server"] or ("", None), scope["client"] or ("", 0)
    environ: Environ = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(scope["raw_path"]).decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1] or ""),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": client[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
        CAP: MAX_BODY,
    }
    for raw, value in scope["headers"]:
        name = raw.decode("latin-1").upper().replace("-", "_")
        key = name if raw in (b"content-type", b"content-length") else f"HTTP_{name}"
        text = value.decode("latin-1")
        environ[key] = f"{environ[key]},{text}" if key in environ else text
    environ.pop("HTTP_TRANSFER_ENCODING", None)  # the app sees a body of known length
    return environ


def _call(app: Wsgi, environ: Environ) -> Answer:
    started: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
        started[:] = [int(status[:3]), [(k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in headers]]

    parts = app(environ, start_response)
    try:
        body = b"".join(parts)
    finally:
        if close := getattr(parts, "close", None):
            close()
    return Answer(started[0], started[1], body)


async def _take_in(receive: Receive, body: IO[bytes], cap: int) -> bool:
    """Copy the body as it comes in; return False when the caller hangs up."""
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return False
        size += len(message["body"])
        if size > cap:
            raise _TooLargeError
        body.write(message["body"])
        more = message["more_body"]
    return True


async def _send(answer: Answer, send: Send, *, end: bool = True) -> None:
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    await send({"type": "http.response.body", "body": answer.body, "more_body": not end})


async def _refuse(answer: Answer, receive: Receive, send: Send) -> None:
    """Answer a caller that may still be sending. It has the whole answer at once, and what it sends is thrown away for
    a while: a line that is cut in the middle of a body shows most clients an error of their own and no answer."""
    await _send(answer, send, end=False)
    try:
        async with asyncio.timeout(LINGER_SECONDS):
            message = await receive()
            while message["type"] == "http.request" and message["more_body"]:
                message = await receive()
    except TimeoutError:
        log.debug("a refused caller was still sending after %g s", LINGER_SECONDS)
    await send({"type": "http.response.body", "body": b"", "more_body": False})
