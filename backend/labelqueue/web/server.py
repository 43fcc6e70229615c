"""The web process: uvicorn with clocks on what it leaves unwatched, and our app behind the gate.

One loop holds all connections, so that one that drips its headers or its body byte by byte costs a few kilobytes and
no thread; a server with a thread per connection stands still after as many of those as it has threads.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import resource
import sys
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from ..serving import Gate, error_answer
from ..settings import Deployment
from .app import create_app

__all__ = ["run"]

HEAD_SECONDS = 20.0  # from connecting, or from the answer before, to the end of a request's headers
KEEP_ALIVE = 5  # seconds
FAREWELL_SECONDS = 1.0  # until a line is cut on which no HTTP came
MAX_HEAD = 64 * 2**10  # bytes
MAX_CONNECTIONS, OTHER_FILES = 800, 200
STOP_SECONDS = 8  # for what is being answered when the process is stopped
SWITCH_INTERVAL = 0.0005  # seconds; acknowledgements change threads a dozen times, each waiting so long for a busy one
OPTIONS: dict[str, Any] = {
    "lifespan": "off",
    "ws": "none",
    "proxy_headers": False,  # a header must not make a caller local
    "server_header": False,
    "access_log": False,
    "log_config": None,
}


class PatientProtocol(H11Protocol):
    """Connection that must show a whole request head in time, and gives way when there are too many."""

    _waiting_since = 0.0
    _refused = False
    _clock: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock; the connection that has waited longest gives way to this one when there are too many."""
        super().connection_made(transport)
        self._waiting_since = self.loop.time()
        self._watch()
        if len(self.connections) > MAX_CONNECTIONS:
            slow = [one for one in self.connections if isinstance(one, PatientProtocol) and one._lacks_something()]
            min(slow, key=lambda one: one._waiting_since, default=self)._hang_up()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        if self._clock is not None:
            self._clock.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Go on with the request; nothing more is read of what is no HTTP."""
        if not self._refused:
            super().data_received(data)

    def on_response_complete(self) -> None:
        """Start the clock for the next request."""
        self._waiting_since = self.loop.time()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, in JSON."""
        hint = getattr(sys.exc_info()[1], "error_status_hint", 400)
        answer = error_answer(hint, "not a request of HTTP/1.1, or its headers are too large")
        headers = [*answer.headers, (b"connection", b"close")]
        try:
            events = (h11.Response(status_code=hint, headers=headers), h11.Data(data=answer.body), h11.EndOfMessage())
            self.transport.write(b"".join(self.conn.send(event) or b"" for event in events))
            self.transport.write_eof()
        except h11.LocalProtocolError:  # in the middle of another answer
            self.transport.close()
        # A line that is cut while its other end is still sending may take the answer along.
        self._refused = True
        self.loop.call_later(FAREWELL_SECONDS, self.transport.close)

    def _waits(self) -> bool:
        """Tell whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def _lacks_something(self) -> bool:
        """Tell whether the other end has not sent a whole request."""
        return self._waits() or bool(self.cycle.more_body)

    def _watch(self) -> None:
        left = self._waiting_since + HEAD_SECONDS - self.loop.time() if self._waits() else HEAD_SECONDS
        if left <= 0:
            self._hang_up()
        else:
            self._clock = self.loop.call_later(left, self._watch)

    def _hang_up(self) -> None:
        self.connections.discard(self)  # what it still has to be told must not count meanwhile
        self.transport.abort()


def _allow_open_files() -> None:
    """Raise this process' limit of open files where connections alone would reach it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard)
        )


def run(deployment: Deployment) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Parameters
    ----------
    deployment : Deployment
        `host` and `port` say where.
    """
    app = create_app(deployment, counting=True)
    _allow_open_files()
    sys.setswitchinterval(SWITCH_INTERVAL)
    gc.freeze()  # what is loaded by now stays: looking through it again would stop every thread for some milliseconds
    logging.getLogger("uvicorn").setLevel(logging.ERROR)  # strangers could fill the log with what they send
    uvicorn.run(
        Gate(app),
        host=deployment.host,
        port=deployment.port,
        http=PatientProtocol,
        loop="asyncio",
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=STOP_SECONDS,
        h11_max_incomplete_event_size=MAX_HEAD,
        **OPTIONS,
    )
